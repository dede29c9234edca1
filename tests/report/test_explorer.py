"""What the explorer reads of a run: trajectories, scores, labels, rollouts, and the truth."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from explorer_runs import (
    DRAWN,
    OTHER,
    RIGHT,
    ROLLOUT,
    WRONG,
    experiment,
    steps,
    write_round,
    write_run,
)

from sapo.records import RecordError, StepLabels, Trajectory, read_records, write_records
from sapo.report.explorer.collect import agree, collect, spread
from sapo.report.explorer.labels import Drawn, ExplorerError, read_labels
from sapo.report.explorer.views import Labelling, Rollout, Round, Shown
from sapo.tasks.catalog import EMBEDDED

WITNESS = Labelling("known_correct", (), None, (), "agrees", ())


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of method `sapo`; the workspace is the current folder."""
    monkeypatch.chdir(tmp_path)
    return write_run(monkeypatch)


def test_a_run_by_hand(run: Path) -> None:
    """Scores of round 1 are V_1's, t^ is found with V_0's; equal samples are one; the rollout hangs on its parent."""
    explored = collect(experiment(), "sapo", 10)
    assert (explored.model, explored.task, explored.method, explored.seed) == ("tiny", "lines", "sapo", 1)
    assert [question.id for question in explored.questions] == ["q0", "q1"]
    start, first, second = explored.rounds
    right = Shown("q0", "s/1", "right", 1, steps("ok win", (0.9, 0.9), "11"), 0, WITNESS)
    assert start == Round(0, "omega", "", 1, (right,))
    rollout = Rollout(2, 5, "wrong", steps("lose", (0.0,), "0"), 2)
    labelling = Labelling("c", (2, 3), 2, (0.9, 0.8, 0.1, 0.1), "agrees", (rollout,))
    wrong = Shown("q0", "s/0", "wrong", 2, steps("ok bad x lose", (1.0, 0.25, 0.5, 0.0), "1000"), 2, labelling)
    right = dataclasses.replace(right, steps=steps("ok win", (1.0, 0.75), "11"))
    flawed = Shown("q1", "s/0", "right", 1, steps("bad win", (0.25, 0.75)), 1, None)
    assert first == Round(1, "saps", "scores", 3, (wrong, right, flawed))
    assert second == Round(2, "", "", 1, (dataclasses.replace(flawed, steps=steps("bad win")),))


def test_a_round_may_be_cut_down_to_its_labelled_trajectories(run: Path) -> None:
    explored = collect(experiment(), "sapo", 1)
    assert [(own.different, len(own.shown)) for own in explored.rounds] == [(1, 1), (3, 2), (1, 1)]


def test_without_a_laboratory_nothing_is_true(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(EMBEDDED, "lines")
    for own in collect(experiment(), "sapo", 10).rounds:
        for shown in own.shown:
            assert shown.first_error is None
            assert not shown.labelling or shown.labelling.agreement is None


def test_what_was_asked_overrules_scores(run: Path) -> None:
    """V_0's scores say t^ = 2. Had the labeller asked about 3 first, another machine had found t^ = 3."""
    labels = [StepLabels(WRONG.id, (1, 0, 0, 0), (3,), "c"), StepLabels(RIGHT.id, (1, 1), (), "known_correct")]
    write_records(run / "1" / "labels.jsonl", [*labels, StepLabels(ROLLOUT.id, (1, 0, 0), (), "expansion")], StepLabels)
    labelling = collect(experiment(), "sapo", 10).rounds[1].shown[0].labelling
    assert labelling and labelling.detected == 3


def test_a_random_step_has_no_suspicion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sapo_without_dv` verifies a random step; asked (2, 3) says that it was t^ = 2."""
    monkeypatch.chdir(tmp_path)
    write_run(monkeypatch, "sapo_without_dv")
    first = collect(experiment("sapo_without_dv"), "sapo_without_dv", 10).rounds[1]
    labelling = first.shown[0].labelling
    assert first.suspects == "random"
    assert labelling and (labelling.detected, labelling.suspicion) == (2, ())


def test_right_trajectories_that_were_verified_all_the_same_have_a_detected_step(run: Path) -> None:
    """`ok ok win`, V_0: .9 .9 .9, so the largest fall is the first, t^ = 0, and position 1 was asked."""
    verified = Trajectory("q0/s/3", "q0", ("ok\n", "ok\n", "win\n"), "right", "sample")
    (run / "1" / "verifier" / "table.json").unlink()
    (run / "1" / "verifier").rmdir()
    write_round(run / "1", [verified], [(verified, (1, 1, 1), (1,), "known_correct")], 1)
    (shown,) = collect(experiment(), "sapo", 10).rounds[1].shown
    assert shown.labelling == Labelling("known_correct", (1,), 0, (0.9, 0.9, 0.9), "agrees", ())


@pytest.mark.parametrize(
    ("labels", "truth", "expected"),
    [
        ("110", "110", "agrees"),
        ("111", "111", "agrees"),
        ("100", "110", "early"),
        ("110", "100", "late"),
        ("110", "111", "alarm"),
        ("111", "110", "missed"),
        ("101", "100", "beyond"),
    ],
)
def test_labels_beside_the_truth(labels: str, truth: str, expected: str) -> None:
    assert agree([int(label) for label in labels], [int(label) for label in truth]) == expected


@pytest.mark.parametrize(("most", "expected"), [(-1, ""), (0, ""), (1, "0"), (2, "02"), (3, "013"), (9, "01234")])
def test_trajectories_are_left_out_evenly(most: int, expected: str) -> None:
    """Of 5: 2 are at ⌊0 · 5 / 2⌋ = 0 and ⌊5 / 2⌋ = 2; 3 are at 0, ⌊5 / 3⌋ = 1 and ⌊10 / 3⌋ = 3."""
    five = [dataclasses.replace(WRONG, id=str(number)) for number in range(5)]
    assert "".join(one.id for one in spread(five, most)) == expected


def test_rollouts_are_in_order(run: Path) -> None:
    """After position, then number, as numbers: 10 comes behind 9."""
    folder = run / "1"
    ids = ["after3/0", "after2/10", "after2/9"]
    lines = [(*WRONG.steps[: int(name[5])], "lose\n") for name in ids]
    rollouts = [
        Trajectory(f"{WRONG.id}/{name}", "q0", own, "wrong", "rollout") for name, own in zip(ids, lines, strict=True)
    ]
    write_records(folder / "labelled.jsonl", [*rollouts[:1], WRONG, *rollouts[1:]], Trajectory)
    labels = [StepLabels(one.id, (0,) * len(one.steps), (), "expansion") for one in rollouts]
    own = StepLabels(WRONG.id, (0, 0, 0, 0), (), "a")
    write_records(folder / "labels.jsonl", [*labels[:1], own, *labels[1:]], StepLabels)
    found = read_labels(folder)
    assert found.trajectories == (WRONG,)
    in_order = [rollouts[2], rollouts[1], rollouts[0]]
    assert found.rollouts == {
        WRONG.id: [Drawn(WRONG.id, p, n, w) for p, n, w in zip((2, 2, 3), (9, 10, 0), in_order, strict=True)]
    }
    assert found.texts == [WRONG, *in_order]


def drop_a_label(folder: Path) -> None:
    write_records(folder / "labels.jsonl", read_records(folder / "labels.jsonl", StepLabels)[1:], StepLabels)


def swap_labels(folder: Path) -> None:
    write_records(folder / "labels.jsonl", read_records(folder / "labels.jsonl", StepLabels)[::-1], StepLabels)


def replace_rollout(**changes: object) -> Callable[[Path], None]:
    """Another trajectory in the place of the rollout."""

    def change(folder: Path) -> None:
        other = dataclasses.replace(ROLLOUT, **changes)
        labels = read_records(folder / "labels.jsonl", StepLabels)
        labels[-1] = dataclasses.replace(labels[-1], trajectory_id=other.id)
        write_records(folder / "labelled.jsonl", [WRONG, RIGHT, other], Trajectory)
        write_records(folder / "labels.jsonl", labels, StepLabels)

    return change


def ask_another_question(folder: Path) -> None:
    foreign = dataclasses.replace(OTHER, question_id="q7")
    write_records(folder / "sampled.jsonl", [*DRAWN[:3], foreign], Trajectory)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop_a_label, r"1/labels.jsonl: 2 labels for the 3 trajectories of labelled.jsonl"),
        (swap_labels, r"1/labels.jsonl: line 2: labels of q0/s/0/after2/5, expected those of q0/s/0"),
        (
            replace_rollout(id="q0/s/9/after2/5"),
            r"1/labelled.jsonl: q0/s/9/after2/5 is labelled by expansion and is no",
        ),
        (replace_rollout(id="five"), r"1/labelled.jsonl: five is labelled by expansion and is no rollout"),
        (replace_rollout(id="q0/s/0/after4/5"), r"q0/s/0/after4/5 does not begin with the first 4 steps of q0/s/0"),
        (replace_rollout(steps=("ok\n", "x\n", "lose\n")), r"does not begin with the first 2 steps of q0/s/0"),
        (ask_another_question, r"1/sampled.jsonl: q1/s/0: the settings have no training question of that id"),
        (lambda folder: (folder / "labels.jsonl").unlink(), r"1/labels.jsonl: no such file"),
    ],
)
def test_files_that_do_not_fit_together_are_named(run: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(run / "1")
    with pytest.raises((ExplorerError, RecordError), match=message):
        collect(experiment(), "sapo", 10)


def test_a_method_without_rounds_is_named(run: Path) -> None:
    with pytest.raises(ExplorerError, match=r"methods/lines/1/rft: no round of rft is on file"):
        collect(experiment("rft"), "rft", 10)
