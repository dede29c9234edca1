"""What labels cost and how true they are: who is measured, what agreement is, the stage, the report of its files."""

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from efficiency_settings import small_efficiency_settings
from fakes import LineTask, ScriptedSampler, question, trajectory, wins_unless_bad
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import tiny_reasoner

from sapo.evaluate import efficiency
from sapo.evaluate.efficiency import LABELLERS, LabelRow, TruthRow, choose
from sapo.labelling.labellers import LabelItem, Rules, label
from sapo.labelling.rollouts import CACHED_TOKENS, Rollouts
from sapo.models.loading import save_reasoner
from sapo.models.verifier import Verifier
from sapo.records import Question, RecordError, Trajectory, read_json, read_records, write_records
from sapo.report.efficiency import read_efficiency
from sapo.report.figures.labelling_cost import UNKNOWN, UNMEASURED, figure6
from sapo.report.tables.labelling_tables import agreement_table
from sapo.runtime.workspace import StageArguments, Workspace, WorkspaceError, digest
from sapo.settings import (
    DetectSettings,
    LabelSettings,
    RolloutSettings,
    SapsSettings,
    Settings,
)
from sapo.stages import efficiency as stage
from sapo.tasks.catalog import EMBEDDED, TASKS
from sapo.tasks.task import DataSource, Split

PLACE = StageArguments("tiny", "lines")
LONG = ("ok", "ok", "bad", "x", "y", "lose")
SHORT = ("ok", "bad", "lose")

LABELS = st.lists(st.integers(0, 1), min_size=1, max_size=6)


class FourLines(LineTask):
    """Four questions; a step is right unless it is `bad…` or `lose`."""

    def load(self, split: Split, source: DataSource) -> list[Question]:
        return [question(f"q{number}") for number in range(4)]

    def generate(self, split: Split, count: int, seed: int) -> list[Question]:
        return self.load(split, DataSource(Path()))[:count]

    def step_truth(self, question: Question, steps: Sequence[str]) -> list[bool]:
        return [not step.startswith(("bad", "lose")) for step in steps]


@pytest.mark.parametrize(
    ("truth", "labels", "error"),
    [
        ([True, False, True], (1, 0, 0), 2),
        ([True, True], (1, 1), None),
        ([False], (0,), 1),
    ],
)
def test_truth_of_prefixes_ends_at_the_first_wrong_step(
    truth: list[bool], labels: tuple[int, ...], error: int | None
) -> None:
    assert efficiency.prefix_truth(truth) == labels
    assert efficiency.first_error(labels) == error


def test_agreement_counts_steps_and_first_errors() -> None:
    """Steps: 2 of 3 and 2 of 2, 4 of 5 together. First errors: 2 against 3, none against none."""
    ours, theirs = [(1, 0, 0), (1, 1)], [(1, 1, 0), (1, 1)]
    assert efficiency.same_steps(ours, theirs) == [[True, False, True], [True, True]]
    assert efficiency.same_first_error(ours, theirs) == [False, True]
    assert efficiency.shares(ours, theirs) == {"steps": 0.8, "first_error": 0.5}
    with pytest.raises(ValueError, match="shorter"):
        efficiency.same_steps([(1, 0)], [(1,)])


@given(LABELS, LABELS)
def test_agreement_is_symmetric_and_whole_with_oneself(ours: list[int], theirs: list[int]) -> None:
    assert efficiency.shares([ours], [ours]) == {"steps": 1.0, "first_error": 1.0}
    assert efficiency.same_first_error([ours], [theirs]) == efficiency.same_first_error([theirs], [ours])


def test_a_score_of_one_half_is_called_right() -> None:
    assert efficiency.called((0.5, 0.49, 1.0, 0.0)) == (1, 0, 1, 0)


def samples() -> list[Trajectory]:
    """Four questions with a long, a short and a right sample each, and a single wrong step."""
    made = []
    for q in range(4):
        texts = (LONG, (f"ok{q}", "lose"), ("win",), ("lose",))
        made += [trajectory(f"q{q}/{k}", steps, f"q{q}") for k, steps in enumerate(texts)]
    return made


def names(trajectories: Sequence[Trajectory]) -> set[str]:
    return {t.id for t in trajectories}


def test_the_last_quarter_of_the_questions_is_held_out_and_single_steps_are_left_out() -> None:
    chosen = choose(samples(), ["q0", "q1", "q2", "q3"], set(), 100, 1)
    assert names(chosen.wrong["long"]) == {"q0/0", "q1/0", "q2/0"}
    assert names(chosen.wrong["short"]) == {"q0/1", "q1/1", "q2/1"}
    assert names(chosen.right) == {"q0/2", "q1/2", "q2/2"}
    assert names(chosen.held_out) == {"q3/0", "q3/1", "q3/2", "q3/3"}
    assert chosen.seen == 0


def test_what_the_detector_learned_from_comes_last() -> None:
    """Six are usable, three of them seen: of five chosen, two are seen, whatever the seed."""
    seen = {(f"q{q}", "".join(f"{step}\n" for step in LONG)) for q in range(3)}
    drawn = [choose(samples(), ["q0", "q1", "q2", "q3"], seen, 5, seed) for seed in range(8)]
    assert {(len(c.wrong["short"]), len(c.wrong["long"]), c.seen) for c in drawn} == {(3, 2, 2)}
    assert len({frozenset(names(c.wrong["long"])) for c in drawn}) > 1


def test_right_samples_come_from_the_questions_of_the_wrong_ones() -> None:
    chosen = choose(samples(), ["q0", "q1", "q2", "q3"], set(), 1, 3)
    (wrong,) = [*chosen.wrong["long"], *chosen.wrong["short"]]
    assert names(chosen.right) == {f"{wrong.question_id}/2"}


def test_nothing_wrong_is_one_clear_error() -> None:
    with pytest.raises(RecordError, match="none of 1 samples is wrong with two steps or more"):
        choose([trajectory("a", ["win"], "q0")], ["q0"], set(), 10, 1)


@pytest.mark.parametrize(("merge", "drawn"), [(False, {4, 6}), (True, {0, 6})])
def test_what_two_trajectories_share_is_counted_once(merge: bool, drawn: set[int]) -> None:
    """`ok bad lose` asks c_1 and c_2, `ok bad x lose` c_1 to c_3, T = 2: 4 and 6. Merged, there are three prefixes."""
    texts = (["ok", "bad", "lose"], ["ok", "bad", "x", "lose"])
    items = [LabelItem(question(), trajectory(f"t{k}", steps)) for k, steps in enumerate(texts)]
    sampler = ScriptedSampler(wins_unless_bad)
    rollouts = Rollouts(LineTask(), sampler, RolloutSettings(2, 1.0, False, merge, False, 0), 9, 1)
    labels = LabelSettings("saps", "reasoner", True, True, 1, 1)
    rules = Rules(labels, DetectSettings("scores", "drop", True), SapsSettings("once"))
    rows = efficiency.label_rows(label("shepherd", items, rollouts, rules))
    assert {row.rollouts for row in rows} == drawn
    assert sum(drawn) == rollouts.cost.rollouts == sum(sampler.sizes)
    assert [row.asked for row in rows] == [(1, 2), (1, 2, 3)]


def test_the_compared_labellers_differ_only_in_what_their_names_say() -> None:
    base, settings = LABELLERS["saps"], RolloutSettings(16, 0.7, True, True, True, 9)
    for name in ("known_correct", "merge", "reuse", "lazy", "cached"):
        assert LABELLERS[f"saps_{name}"] == dataclasses.replace(base, trains=False, **{name: True})
    until = dataclasses.replace(base, trains=False, search="until_located")
    assert LABELLERS["saps_until_located"] == until
    all_of_it = {"search": "until_located", "draws": "ours"} | dict.fromkeys(efficiency.SAVINGS, True)
    assert LABELLERS["ours"] == dataclasses.replace(base, **all_of_it)
    assert LABELLERS["ours"].rollouts(settings).cached_tokens == CACHED_TOKENS
    for paper in ("shepherd", "omega", "saps"):
        assert LABELLERS[paper].rollouts(settings) == RolloutSettings(16, 0.7, False, False, False, 0)
    assert len({LABELLERS[name].draws for name in ("shepherd", "shepherd_again", "omega", "saps", "ours")}) == 5


@pytest.fixture
def settings() -> Settings:
    return small_efficiency_settings()


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A run up to round 0, of a reasoner that babbles."""
    monkeypatch.setitem(TASKS, "lines", FourLines())
    workspace = Workspace(tmp_path, "test")
    folder = workspace.start("tiny", "lines", 1)
    save_reasoner(*tiny_reasoner(), folder / "sft")
    Verifier.from_reasoner(*tiny_reasoner(), seed=1).save(folder / "verifier")
    write_records(folder / "sampled.jsonl", samples(), Trajectory)
    write_records(folder / "labelled.jsonl", samples()[:1], Trajectory)
    return workspace


def test_the_stage_counts_what_labels_cost_and_repeats_itself(
    settings: Settings, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three long ones of 6 steps ask c_1 to c_5 of shepherd, twice each: 30 rollouts; three of 2 steps: 6.

    Saps asks at most two positions, 12. The truth of `ok ok bad …` is 110000. q3's four samples are held out.
    """
    monkeypatch.setitem(EMBEDDED, "lines", FourLines())
    stage.run(settings, workspace, PLACE)
    folder = workspace.efficiency("tiny", "lines")
    costs = read_json(folder / "costs.json")
    assert (costs["shepherd/long"]["rollouts"], costs["shepherd/short"]["rollouts"]) == (30, 6)
    assert 0 < costs["saps/long"]["rollouts"] <= 12
    assert costs["detection/long"]["flops"] > 0 == costs["detection/long"]["rollouts"]
    truth = read_records(folder / "truth.jsonl", TruthRow)
    assert [row.labels for row in truth] == [(1, 1, 0, 0, 0, 0)] * 3 + [(1, 0)] * 3
    rows = read_records(folder / "shepherd" / "labels.jsonl", LabelRow)
    assert [row.rollouts for row in rows] == [10] * 3 + [2] * 3
    lazy, full = (read_records(folder / name / "labels.jsonl", LabelRow) for name in ("saps_lazy", "saps"))
    assert [row.labels for row in lazy] == [row.labels for row in full]
    summary = read_json(folder / "summary.json")
    assert summary["wrong"] == {"long": {"steps": 18, "trajectories": 3}, "short": {"steps": 6, "trajectories": 3}}
    assert (summary["right"], summary["held_out"], summary["seen_by_detector"]) == (3, 4, 1)
    assert summary["labellers"]["shepherd"]["shepherd"] == {"first_error": 1.0, "steps": 1.0}
    assert {n for n in LABELLERS if (folder / n / "scores.jsonl").is_file()} == {"shepherd", "omega", "saps", "ours"}
    before = digest(folder)
    shutil.rmtree(workspace.scratch)
    stage.run(settings, workspace, PLACE)
    assert digest(folder) == before
    monkeypatch.delattr(stage, "answer_of")  # nothing is labelled again
    stage.run(settings, workspace, PLACE)
    assert digest(folder) == before
    (entry,) = read_efficiency(settings, workspace)
    assert (entry.trajectories, entry.mean_steps, entry.labellers["shepherd"].cost.rollouts) == (3, 6, 10)


def test_a_task_without_truth_has_costs_and_agreement_only(settings: Settings, workspace: Workspace) -> None:
    stage.run(settings, workspace, PLACE)
    folder = workspace.efficiency("tiny", "lines")
    summary = read_json(folder / "summary.json")["labellers"]
    assert all(found["truth"] is found["verifier"] is None for found in summary.values())
    assert not list(folder.glob("*/scores.jsonl"))
    (entry,) = read_efficiency(settings, workspace)
    assert entry.labellers["ours"].truth is entry.labellers["ours"].verifier is None
    texts = [text.get_text() for axes in figure6([entry], None)[0].axes for text in axes.texts]
    assert (texts.count(UNKNOWN), texts.count(UNMEASURED)) == (2, 1)
    assert agreement_table([entry]).rows[0][-4:] == ("–", "–", "–", "–")


def test_a_missing_run_is_named(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"start/lines/1/sft: no such file or folder; `dvc repro` makes it"):
        stage.run(settings, Workspace(tmp_path, "nowhere"), PLACE)
    with pytest.raises(RecordError, match=r"measured\.jsonl: no such file"):
        read_efficiency(settings, Workspace(tmp_path, "nowhere"))
