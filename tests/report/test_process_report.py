"""Stages `process` and `verifiers` on a tiny run, and the report of what they write."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from resealing import change

from sapo.evaluate import rerank_step
from sapo.evaluate.process.items import read_items
from sapo.records import RecordError, StepScores, read_records
from sapo.report.figures import process_figures
from sapo.report.process_records import V0, ProcessResults, read_process
from sapo.report.run_records import Checkpoint
from sapo.report.style import save
from sapo.report.tables import process_tables
from sapo.runtime.workspace import StageArguments, Workspace, digest
from sapo.settings import CellSettings, GroupSettings, Settings
from sapo.settings.configure import compose
from sapo.stages import base, methods, process, start, verifiers

ROOT = Path(__file__).parents[2]
METHODS = ("sapo", "sapo_without_pf")
MODELS = ("qwen2_nano", "gemma2_nano")
FIGURES = (
    process_figures.verifiers_by_round,
    process_figures.sapo_and_outcome_verifier,
    process_figures.gap_by_round,
    process_figures.rewards_beside_truth,
    process_figures.label_noise,
    process_figures.reliability_of_verifiers,
    process_figures.best_of_n,
)


def tiny() -> Settings:
    """Profile smoke on maths alone: SAPO and its ORM on one model, the second one only writes trajectories."""
    smaller = ["tasks.nano_math.train_questions=12", "tasks.nano_math.max_new_tokens=60", "process.questions=12"]
    _, smoke = compose(ROOT, ["profile=smoke", "workers=1", *smaller])
    groups = {"both": GroupSettings(METHODS, (1,)), "none": GroupSettings((), (1,))}
    cells = {
        "qwen2_nano-nano_math-both": CellSettings("qwen2_nano", "nano_math", "both"),
        "gemma2_nano-nano_math-none": CellSettings("gemma2_nano", "nano_math", "none"),
    }
    tasks = {"nano_math": smoke.tasks["nano_math"]}
    return dataclasses.replace(smoke, tasks=tasks, groups=groups, cells=cells)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Workspace]:
    torch.set_num_threads(1)
    settings, workspace = tiny(), Workspace(tmp_path_factory.mktemp("process"), "smoke")
    workspace.data.symlink_to(ROOT / "assets")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace.root)  # stages read data/ where they run
        for model in MODELS:
            base.run(settings, workspace, StageArguments(model))
            start.run(settings, workspace, StageArguments(model))
        methods.run(settings, workspace, StageArguments("qwen2_nano"))
        process.run(settings, workspace, StageArguments(task="nano_math"))
        for model in MODELS:
            verifiers.run(settings, workspace, StageArguments(model, "nano_math"))
    return settings, workspace


@pytest.fixture(scope="module")
def results(run: tuple[Settings, Workspace]) -> list[ProcessResults]:
    return read_process(*run)


def test_a_benchmark_has_two_trajectories_a_question_by_two_models(run: tuple[Settings, Workspace]) -> None:
    settings, workspace = run
    folder = workspace.process("nano_math")
    items = read_items(folder / "items.jsonl")
    by_question: dict[str, set[str]] = {}
    for item in items:
        by_question.setdefault(item.question_id, set()).add(item.generator)
    assert items and all(writers == set(MODELS) for writers in by_question.values())
    assert len(items) == 2 * len(by_question) <= 2 * settings.process.questions
    assert json.loads((folder / "statistics.json").read_text(encoding="utf-8"))["items"] == len(items)
    assert f"{len(items)} trajectories of {len(by_question)} questions" in (folder / "card.md").read_text(
        encoding="utf-8"
    )


def test_every_round_is_judged(results: list[ProcessResults]) -> None:
    """V_0 and three rounds of two methods; the second model has V_0 alone, and nothing to verify itself with."""
    one, other = results
    rounds = [Checkpoint(method, number) for method in METHODS for number in (1, 2, 3)]
    assert list(one.verifiers) == [V0, *rounds]
    assert (list(other.verifiers), other.mce, other.self_verification) == ([V0], {}, {})
    assert list(one.mce) == rounds and list(one.self_verification) == ["V1-R1", "V1-R3", "V3-R3"]
    for verified in one.verifiers.values():
        assert 0 <= verified.steps.low <= verified.steps.value <= verified.steps.high <= 1
        assert verified.label_steps is not None and 0 < verified.label_steps <= 1
    assert set(one.rerank.rewards) == {"start", *METHODS} and set(one.rerank.beams) == set(METHODS)
    assert {len(right) for right in one.rerank.right} == {4}


def test_figures_are_drawn_from_what_there_is(results: list[ProcessResults], tmp_path: Path) -> None:
    for draw in FIGURES:
        drawn = draw(results)
        assert drawn, draw.__name__
        paths = save(drawn[0], tmp_path, draw.__name__, drawn[1])
        assert all(path.stat().st_size > 0 for path in paths)
        assert draw([]) is None
    other = results[1:]
    assert [draw.__name__ for draw in FIGURES if draw(other)] == ["label_noise", "best_of_n"]


def test_tables_and_metrics_say_the_same(results: list[ProcessResults]) -> None:
    entry = results[0]
    steps = entry.verifiers[Checkpoint("sapo", 3)].steps
    shown = process_tables.verifier_table(results, False).rows
    every = process_tables.verifier_table(results, True).rows
    (row,) = (row for row in shown if row[2] == "SAPRM")
    assert row in every and len(every) > len(shown)
    assert row[3:5] == ("3", f"{100 * steps.value:.1f} [{100 * steps.low:.1f}, {100 * steps.high:.1f}]")
    numbers = process_tables.process_metrics(entry)
    assert isinstance(numbers["verifiers"], dict)
    assert numbers["verifiers"]["sapo"]["3"]["step_accuracy"]["value"] == round(100 * steps.value, 2)
    assert [row[2] for row in process_tables.self_verification_table(results).rows] == ["V1-R1", "V1-R3", "V3-R3"]
    assert len(process_tables.label_table(results).rows) == 8
    chosen = [row[2] for row in process_tables.choice_table(results).rows]
    assert chosen[:5] == ["one sample", "majority", "pass@N", "V0 (OmegaPRM)", "online ORM"] or "SAPRM" in chosen
    assert process_tables.benchmark_table(results).rows[0][0] == "nano_math"


class Killed(Exception):
    """Stands for SIGKILL: nothing in between catches it."""


def die(*_: object) -> None:
    raise Killed


def test_a_killed_stage_goes_on_where_it_was(run: tuple[Settings, Workspace], monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed where V_0 is judged, behind re-ranking; then neither the samples nor the first run's output are lost."""
    settings, workspace = run
    place = StageArguments("gemma2_nano", "nano_math")
    monkeypatch.chdir(workspace.root)
    output = workspace.verifiers(place.model, place.task)
    before, aside = digest(output), workspace.root / "aside"
    workspace.scratch.rename(aside)
    for module, dies in ((verifiers, "_judge"), (rerank_step, "_rerank")):
        with monkeypatch.context() as patch:
            patch.setattr(module, dies, die)
            if dies == "_judge":
                with pytest.raises(Killed):
                    verifiers.run(settings, workspace, place)
            else:
                verifiers.run(settings, workspace, place)
        assert digest(output) == before
    shutil.rmtree(workspace.scratch)
    aside.rename(workspace.scratch)


def test_a_benchmark_is_drawn_once(run: tuple[Settings, Workspace], monkeypatch: pytest.MonkeyPatch) -> None:
    settings, workspace = run
    before = digest(workspace.process("nano_math"))
    monkeypatch.chdir(workspace.root)
    monkeypatch.setattr(process, "sample", die)
    process.run(settings, workspace, StageArguments(task="nano_math"))
    assert digest(workspace.process("nano_math")) == before


def test_scores_of_another_benchmark_are_refused(run: tuple[Settings, Workspace]) -> None:
    settings, workspace = run
    path = workspace.verifiers("qwen2_nano", "nano_math") / "1/sapo/1/scores.jsonl"
    content = path.read_bytes()
    assert read_records(path, StepScores)
    change(path, '"nano_math', '"nano_moth')
    with pytest.raises(RecordError, match=r"are not those of the \d+ process items"):
        read_process(settings, workspace)
    path.write_bytes(content)
