"""Reading runs for a report: what is there, and files that are not as they should be, named."""

import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
import resealing
from report_runs import MODEL, OOD, SEEDS, TASK, stop, tiny_settings, write_runs
from resealing import reseal

from sapo.records import RecordError, write_json
from sapo.report.accuracies import exploded
from sapo.report.load_run import read_results, uses_scores
from sapo.report.run_records import (
    COT,
    Checkpoint,
    Labelled,
    Rewards,
    RoundResults,
    Stopped,
    TaskResults,
    TrainingStep,
)
from sapo.runtime.workspace import Workspace
from sapo.settings import CellSettings, GroupSettings
from sapo.train.fit import StepLog
from sapo.train.sft import FilterReport


@pytest.fixture
def fresh(tmp_path: Path) -> Workspace:
    return write_runs(tmp_path, tiny_settings())


def read(workspace: Workspace) -> TaskResults:
    (entry,) = read_results(tiny_settings(), workspace)
    return entry


def test_everything_is_read(fresh: Workspace) -> None:
    entry = read(fresh)
    assert entry.last == {"rft": 1, "orpo_outcome": 1, "orpo_mc": 1, "sapo": 2, "sapo_without_ep": 2}
    assert {one: list(found) for one, found in entry.rounds.items()} == {
        Checkpoint("rft", 1): [1, 2],
        Checkpoint("orpo_outcome", 1): [1, 2],
        Checkpoint("orpo_mc", 1): [1, 2],
        Checkpoint("sapo", 1): [1, 2],
        Checkpoint("sapo", 2): [1, 2],
        Checkpoint("sapo_without_ep", 1): [1],
        Checkpoint("sapo_without_ep", 2): [1],
    }
    found = entry.rounds[Checkpoint("sapo", 2)][2]
    assert found.pairs and (found.pairs.pairs, found.samples.trajectories, found.labelled) == (10, 20, Labelled(2, 1))
    assert (found.rewards, found.log[-1].measures["chosen_logp"]) == (Rewards((1.0, 0.75), (0.25, 0.0)), -0.5)
    rft = entry.rounds[Checkpoint("rft", 1)][1]
    assert (rft.pairs, rft.selection, rft.labelled) == (None, FilterReport(10, 5, 8, 4, 1), None)
    own, other = entry.benchmarks
    assert (own.name, other.name, own.groups_Q, own.seeds(COT)) == (TASK, OOD, ["g"] * 4, [1, 2])
    assert own.answers[Checkpoint("sapo", 2)][1].right_with_wrong_step == 1
    assert other.answers[Checkpoint("sapo", 2)][1].right_with_wrong_step is None
    assert own.right_S_Q(Checkpoint("rft", 1), [2, 1]) == [[False] * 4, [True, True, False, False]]


def test_records_have_the_fields_that_the_rounds_write() -> None:
    assert [field.name for field in fields(TrainingStep)] == [field.name for field in fields(StepLog)]


def test_methods_that_no_cell_names_are_not_read(fresh: Workspace) -> None:
    shutil.rmtree(fresh.methods(MODEL, TASK) / "1" / "sapo_without_ep")
    settings = tiny_settings()
    (entry,) = read_results(replace(settings, cells=dict([*settings.cells.items()][:1])), fresh)
    assert "sapo_without_ep" not in entry.last


def test_a_seed_that_only_one_group_has(tmp_path: Path) -> None:
    settings = tiny_settings()
    groups = {"headline": replace(settings.groups["headline"], seeds=(2,)), "ablations": settings.groups["ablations"]}
    (entry,) = read_results(replace(settings, groups=groups), write_runs(tmp_path, settings))
    assert entry.benchmarks[0].seeds(COT) == [*entry.starts] == [1, 2]
    assert entry.benchmarks[0].seeds(Checkpoint("sapo", 2)) == [2]
    assert entry.benchmarks[0].seeds(Checkpoint("sapo", 2), Checkpoint("sapo_without_ep", 2)) == []


def test_one_method_in_two_groups(tmp_path: Path) -> None:
    """Seeds of a method come from all its groups."""
    settings = tiny_settings()
    groups = {"headline": GroupSettings(("sapo",), (1,)), "more": GroupSettings(("sapo",), (2,))}
    cells = {f"{MODEL}-{TASK}-{group}": CellSettings(MODEL, TASK, group) for group in groups}
    settings = replace(settings, groups=groups, cells=cells)
    (entry,) = read_results(settings, write_runs(tmp_path, settings))
    assert [*entry.rounds[Checkpoint("sapo", 2)]] == [1, 2]


def test_what_stopped_is_data(fresh: Workspace) -> None:
    """The rounds and answers before it are read."""
    stop(fresh, "sapo", 1, 2, "loss is\nnan")
    entry = read(fresh)
    assert entry.stopped == {"sapo": {1: Stopped(2, "loss is nan")}}
    assert [*entry.rounds[Checkpoint("sapo", 1)]] == [1, 2]
    assert [*entry.rounds[Checkpoint("sapo", 2)]] == entry.benchmarks[0].seeds(Checkpoint("sapo", 2)) == [2]


def test_which_methods_use_the_first_verifier() -> None:
    settings = tiny_settings()
    assert uses_scores(settings)
    assert not uses_scores(replace(settings, labels=replace(settings.labels, by="shepherd")))
    assert not uses_scores(replace(settings, detect=replace(settings.detect, by="random")))
    assert not uses_scores(replace(settings, loop=replace(settings.loop, reward="outcome")))


def test_a_loss_that_begins_at_nothing_cannot_explode(fresh: Workspace) -> None:
    found: RoundResults = read(fresh).rounds[Checkpoint("sapo", 1)][1]
    first, last = found.log
    for losses, update, expected in (
        ((1.0, 3.1), "orpo", True),
        ((1.0, 3.0), "orpo", False),
        ((0.0, 3.1), "orpo", False),
        ((1.0, 3.1), "grpo", False),
    ):
        log = (replace(first, loss=losses[0]), replace(last, loss=losses[1]))
        assert exploded(replace(found, log=log, update=update)) is expected


def remove(path: Path) -> None:
    path.unlink()


def drop_a_row(path: Path) -> None:
    header, _, *rest = path.read_text(encoding="utf-8").split("\n")
    path.write_text("\n".join([header, *rest]), encoding="utf-8")
    reseal(path)


def cut(path: Path) -> None:
    path.write_text("\n".join(path.read_text(encoding="utf-8").split("\n")[:-2]) + "\n", encoding="utf-8")


def change(old: str, new: str) -> Callable[[Path], None]:
    return lambda path: resealing.change(path, old, new)


def damage(old: str, new: str) -> Callable[[Path], None]:
    """The header still says what was there before."""

    def apply(path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return apply


def write(value: object) -> Callable[[Path], None]:
    return lambda path: write_json(path, value)


EVALUATION = f"evaluation/{MODEL}/{TASK}/2"
METHODS = f"{MODEL}/methods/{TASK}/2"


@pytest.mark.parametrize(
    ("file", "spoil", "message"),
    [
        (f"{EVALUATION}/sft/0/{TASK}.jsonl", remove, "no such file"),
        (f"{EVALUATION}/rft/1/{OOD}.json", remove, "no such file"),
        (f"{EVALUATION}/sapo/2/{OOD}.jsonl", drop_a_row, "3 outcomes, the settings ask for 4"),
        (f"{EVALUATION}/sapo/2/{OOD}.jsonl", change('"q0"', '"z"'), r"z \(group g\) where .*cot.* has q0 \(group g\)"),
        (f"{EVALUATION}/sapo/2/{OOD}.jsonl", change('"g"', '"h"'), r"q0 \(group h\) where .*cot.* has q0 \(group g\)"),
        (f"{EVALUATION}/rft/1/{TASK}.json", change("paper", "standard"), "another protocol"),
        (f"{EVALUATION}/sft/0/{TASK}.json", change('step": 1', 'step": 2'), "right_with_wrong_step is 2 of 1 right"),
        (f"{EVALUATION}/sft/0/{TASK}.json", change("flops", "flips"), "'flops' is missing"),
        (f"{METHODS}/sapo/1/pairs.json", remove, "no such file"),
        (
            f"{METHODS}/sapo/1/pairs.json",
            change('"kept": ', '"kept": -'),
            "kept is -4, expected a number that is not neg",
        ),
        (
            f"{METHODS}/sapo/1/pairs.json",
            change('"questions": 10', '"questions": 9'),
            "questions is 9, the settings train",
        ),
        (f"{METHODS}/rft/1/filter.json", change("low_reward", "slow_reward"), "expected the numbers kept, low_reward"),
        (f"{METHODS}/rft/1/samples.json", remove, "no such file"),
        (f"{METHODS}/rft/1/rewards.json", change("1.0", "1.5"), "right holds 1.5, expected numbers from 0 to 1"),
        (f"{METHODS}/rft/1/rewards.json", change("wrong", "wronged"), "wrong is None, expected a list"),
        (f"{METHODS}/rft/1/log.json", write([]), "no training step"),
        (f"{METHODS}/rft/1/log.json", write({}), "line 1: content is not a JSON list"),
        (f"{METHODS}/rft/1/log.json", write([{"step": 1}]), "entry 1: expected epoch, gradient_norm"),
        (f"{METHODS}/sapo/1/costs.json", change("detection", "dejection"), "'detection' is missing"),
        (f"{METHODS}/sapo/1/costs.json", change("rollouts", "rollups"), "detection: expected the numbers flops"),
        (f"{METHODS}/sapo/1/costs.json", damage("{", "{{"), "line 1: not JSON"),
        (f"{METHODS}/sapo/2/labels.jsonl", change('"t0"', '"z"'), "line 2: trajectory 'z', expected 't0'"),
        (f"{METHODS}/sapo/2/labels.jsonl", drop_a_row, "2 rows for 3 trajectories"),
        (f"{METHODS}/sapo/2/labels.jsonl", cut, "line 1: header promises 3 rows, the file holds 2"),
        (f"{METHODS}/sapo/2/labels.jsonl", change('"case"', '"base"'), "line 2: field 'case' is missing"),
        (f"{METHODS}/sapo/2/labels.jsonl", damage("StepLabels/2", "StepLabels/1"), "line 1: schema is 'StepLabels/1'"),
        (f"{METHODS}/sapo/2/labelled.jsonl", damage('{"id"', '"id"'), "line 2: not JSON"),
        (
            f"{METHODS}/rft/stopped.json",
            write({"round": 2, "reason": ""}),
            "expected a round from 1 to 1 and a reason",
        ),
        (f"{METHODS}/rft/stopped.json", write({"round": 1}), "expected a round from 1 to 1 and a reason"),
        (f"{MODEL}/start/{TASK}/2/costs.json", change("sft", "sift"), "'sft' is missing"),
        (f"{MODEL}/start/{TASK}/2/labelled.jsonl", remove, "no such file"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_named(
    fresh: Workspace, file: str, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(fresh.runs / file)
    with pytest.raises(RecordError, match=f"{file}: {message}"):
        read(fresh)


def test_a_round_that_is_missing_without_a_reason_is_named(fresh: Workspace) -> None:
    folder = fresh.methods(MODEL, TASK) / str(SEEDS[0]) / "sapo" / "2"
    shutil.rmtree(folder)
    with pytest.raises(RecordError, match=r"sapo/2: no such folder, and no stopped\.json beside it says why"):
        read(fresh)
