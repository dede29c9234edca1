"""What a finished run says of its texts, by hand, and where `python -m sapo plan --measure` puts it."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import AutoConfig

from sapo.models.loading import load_encoder
from sapo.plan.calibration import NotMeasured, measured_texts, store_texts
from sapo.plan.methods import Place, labelling
from sapo.plan.texts import MEASURED, TEXTS, Texts
from sapo.recipes.experiment import write_costs
from sapo.records import Cost, Trajectory, read_plain_json, write_json, write_records
from sapo.runtime.workspace import Workspace
from sapo.settings import Settings
from sapo.settings.configure import compose
from sapo.tasks.catalog import find_task
from sapo.tasks.task import DataSource

ROOT = Path(__file__).parents[2]
MODEL, TASK = "qwen2_nano", "nano_math"


def drawn(number: int, *texts: str, right: tuple[str, ...] = ()) -> list[Trajectory]:
    """Samples of one question, with their steps; those in `right` end right."""
    return [
        Trajectory(f"q/{number}/{k}", "q", tuple(f"{s}\n" for s in t), "right" if t in right else "wrong", "sample")
        for k, t in enumerate(texts)
    ]


def settings_of() -> Settings:
    """Ten questions, four samples each, one seed; SAPO in two rounds; ORPO and the verifier learn for two epochs."""
    said = ["profile=smoke", f"tasks.{TASK}.train_questions=10", "sampling.per_question=4", "orpo.fit.epochs=2"]
    said += ["loop.updates=[orpo,orpo]", "verifier.fit.epochs=2", "pairs.per_question=2", "workers=1"]
    settings = compose(ROOT, [*said, "expansion.max_per_trajectory=4", "process_benchmarks={}"])[1]
    cells = {name: cell for name, cell in settings.cells.items() if cell.model == MODEL}
    return dataclasses.replace(settings, models={MODEL: settings.models[MODEL]}, cells=cells)


def lay_out(root: Path) -> Workspace:
    """A run whose numbers are round: rows of 100 tokens, of which the completion has 100 less the prompt's."""
    workspace = Workspace(root, "smoke")
    (root / "data").symlink_to(ROOT / "assets")
    start, methods = workspace.start(MODEL, TASK, 1), workspace.methods(MODEL, TASK) / "1"
    for folder in (workspace.base(MODEL), start / "sft"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(ROOT / "assets" / "models" / MODEL)
    # Four samples, three different ones, one of them right; the wrong ones have 3, 3 and 1 steps.
    first = drawn(1, "abc", "abc", "xy", "z", right=("xy",))
    write_records(start / "sampled.jsonl", first, Trajectory)
    write_records(start / "labelled.jsonl", labelled(first), Trajectory)
    sampling = Cost(rollouts=4, generated_tokens=320)
    verifier = Cost(trained_tokens=2 * 500)
    write_costs(start, {"sampling": sampling, "labelling": Cost(rollouts=30), "verifier": verifier})
    # Three of the second round's, one of them drawn before.
    second = drawn(2, "abc", "uv", "w", right=("w",))
    for number, (own, read) in enumerate(((first, 100), (second, 160)), start=1):
        folder = methods / "sapo" / str(number)
        costs = {"scoring": Cost(prompt_tokens=read), "update": Cost(trained_tokens=2 * 240)}
        costs |= {"detection": Cost(prompt_tokens=90), "labelling": Cost(rollouts=10), "verifier": verifier}
        write_records(folder / "sampled.jsonl", own, Trajectory)
        write_records(folder / "labelled.jsonl", labelled(own), Trajectory)
        write_json(folder / "pairs.json", {"pairs": 2 * number})
        write_costs(folder, costs)
    write_costs(methods / "orpo_outcome" / "1", {})
    write_json(methods / "orpo_outcome" / "1" / "pairs.json", {"pairs": 5})
    return workspace


def labelled(samples: list[Trajectory]) -> list[Trajectory]:
    """The samples, and a text that their expansion added."""
    return [*samples, dataclasses.replace(samples[0], id="q/x", source="rollout")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Workspace]]:
    workspace = lay_out(tmp_path_factory.mktemp("run"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace.root)  # questions are read from data/ below the folder that a command runs in
        yield settings_of(), workspace


@pytest.fixture(scope="module")
def found(run: tuple[Settings, Workspace]) -> Texts:
    return measured_texts(*run, TASK, "measured: here")


def test_lengths_and_shares_of_the_first_samples(found: Texts) -> None:
    """320 tokens of 4 samples; wrong ones of 3, 3 and 1 steps; 1 of 4 right, 3 of 4 different, 1 of these 3 right.

    Two of the second round's three are new: two thirds of the first round's three different ones.
    """
    assert (found.completion, found.right, found.different) == (80.0, 0.25, 0.75)
    assert (found.steps, found.different_right, found.unseen) == (2.33, 0.333, 0.667)
    assert found.source == "measured: here" and found.judging == TEXTS[TASK].judging
    encoder = load_encoder(ROOT / "assets" / "models" / MODEL)
    questions = find_task(TASK).load("train", DataSource(ROOT / "assets"))[:10]
    assert found.prompt == pytest.approx(sum(len(encoder.prompt_ids(q.prompt)) for q in questions) / 10, rel=0.01)


def test_pairs_and_what_trees_save(found: Texts, run: tuple[Settings, Workspace]) -> None:
    """Of 20 possible pairs 5 by outcome, 2 and 4 by score: a quarter and 0.15.

    Round 1 reads 100 tokens of a pool of 3 and the gold ones; round 2 reads 60 more of 2 new ones; detection reads 90
    of 4 and of 3; ORPO learns from 240 an epoch in 2 and in 4 pairs, each of two rows.
    """
    settings, _ = run
    gold = sum(bool(q.solution) for q in find_task(TASK).load("train", DataSource(ROOT / "assets"))[:10])
    row = found.prompt + 80
    assert found.paired == (0.25, 0.15)
    pool, added, subset, pairs = found.apart
    assert pool == pytest.approx(100 / ((3 + min(gold, settings.tasks[TASK].sft_questions)) * row), rel=0.01)
    assert added == pytest.approx(60 / (2 * row), rel=0.01)
    assert subset == pytest.approx((90 / 4 + 90 / 3) / 2 / row, rel=0.01)
    assert pairs == pytest.approx((240 / 4 + 240 / 8) / 2 / row, rel=0.01)


def test_rollouts_and_examples_against_the_most_that_there_could_be(
    found: Texts, run: tuple[Settings, Workspace]
) -> None:
    """30, 10 and 10 rollouts for 3, 3 and 2 wrong ones; 500 tokens an epoch three times, less 4, 4 and 3 subsets' rows.

    There could be 4 examples more of each of the 8 wrong ones.
    """
    settings, workspace = run
    row = found.prompt + 80
    assert found.expanded == pytest.approx((3 * 500 / row - 11) / (8 * 4), rel=0.01)
    config = AutoConfig.from_pretrained(workspace.base(MODEL))
    place = Place(settings, MODEL, TASK, config, found)
    omega, once = labelling(place, "omega").rollouts, labelling(place, settings.saps.search).rollouts
    assert found.merged == pytest.approx(50 / (3 * omega + 5 * once), rel=0.02)


def test_the_command_replaces_the_tasks_of_the_run_and_no_others(
    run: tuple[Settings, Workspace], tmp_path: Path
) -> None:
    file = tmp_path / "measured.json"
    file.write_text(json.dumps({"chess": {"prompt": 1}, TASK: {}}), encoding="utf-8")
    stored = store_texts(*run, file)
    known = read_plain_json(file)
    assert known["chess"] == {"prompt": 1}
    assert known[TASK]["completion"] == 80.0 and known[TASK]["source"].startswith("measured: smoke, qwen2_nano, ")
    assert stored == {TASK: known[TASK]["source"]}


def test_a_run_that_is_not_finished_is_named(run: tuple[Settings, Workspace], tmp_path: Path) -> None:
    settings, _ = run
    with pytest.raises(NotMeasured, match=r"start/nano_math/1: no finished run there; `dvc repro` makes it"):
        measured_texts(settings, Workspace(tmp_path, "smoke"), TASK, "")


def test_embedded_tasks_are_measured_and_real_ones_say_that_they_are_assumed() -> None:
    measured = read_plain_json(MEASURED)
    assert {"nano_math", "nano_code"} <= measured.keys()
    assert all(TEXTS[task].measured == (task in measured) for task in TEXTS)
