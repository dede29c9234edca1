"""Profile real_smoke on the real files: one model through all its stages in story order, counts cut down.

The stages run in this process and without `verify_data`, which is about the embedded questions.
"""

import dataclasses
import importlib
import json
import shutil
import time
from pathlib import Path

import torch

from sapo.cli.stages import STAGES
from sapo.evaluate.efficiency import LabelRow, TruthRow
from sapo.evaluate.process.items import ProcessItem, read_items
from sapo.models.loading import load_reasoner
from sapo.models.verifier import Verifier
from sapo.records import Outcome, StepLabels, StepScores, Trajectory, read_json, read_plain_json, read_records
from sapo.runtime.workspace import StageArguments, Workspace
from sapo.settings import CellSettings, GroupSettings, Settings
from sapo.settings.configure import compose

ROOT = Path(__file__).parents[2]
MODEL, OTHER = "qwen2_scratch", "gemma2_scratch"  # the other one only writes and judges trajectories
TASKS = {"gsm8k": "math", "mbpp": "humaneval"}
REASONERS = ["cot/0", "sft/0", "orpo_outcome/1", "orpo_mc/1", "sapo/1", "sapo/2"]
SMALLER = {"sft_questions": 16, "train_questions": 16, "test_questions": 6, "ood_questions": 5, "max_new_tokens": 48}
RECORDS: dict[str, type] = {
    kind.__name__: kind for kind in (LabelRow, Outcome, ProcessItem, StepLabels, StepScores, Trajectory, TruthRow)
}
# What transformers writes and reads, and statistics for readers.
PLAIN = {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "statistics.json"}
UNKNOWN = {"truth.jsonl", "held_out_truth.jsonl"}  # no real task has an oracle of steps


def small_settings(real_data: Path) -> Settings:
    """Profile real_smoke with one model and less of everything."""
    overrides = [f"tasks.{task}.{key}={value}" for task in TASKS for key, value in SMALLER.items()]
    shape = ["scratch.vocabulary=600", "scratch.hidden=32", "scratch.epochs=2"]
    counts = ["process.questions=6", "process.rerank_questions=2"]
    counts += [f"labels.{name}_trajectories=8" for name in ("bootstrap", "round")]
    _, settings = compose(ROOT, ["profile=real_smoke", "workers=1", *overrides, *shape, *counts])
    data = dataclasses.replace(settings.data, root=str(real_data))
    cells = {name: cell for name, cell in settings.cells.items() if cell.model == MODEL}
    cells |= {f"{OTHER}-{task}-none": CellSettings(OTHER, task, "none") for task in TASKS}
    groups = settings.groups | {"none": GroupSettings((), (1,))}
    return dataclasses.replace(settings, cells=cells, groups=groups, data=data)


def run_all(settings: Settings, workspace: Workspace) -> None:
    """Every stage but `verify_data`, in the order of the graph."""
    for stage, (_, needed) in STAGES.items():
        if stage == "verify_data":
            continue
        run = importlib.import_module(f"sapo.stages.{stage}").run
        for model in settings.models if "model" in needed else [""]:
            for task in TASKS if "task" in needed else [""]:
                run(settings, workspace, StageArguments(model, task))


def check_records(folder: Path) -> None:
    """Every file of records and of JSON below `folder` reads back; scores and labels are those of trajectories."""
    for path in folder.rglob("*.json"):
        content = read_plain_json(path) if path.name in PLAIN else read_json(path, list if "log" in path.name else dict)
        assert content or path.name == "self_verification.json", path
    for path in folder.rglob("*.jsonl"):
        with path.open(encoding="utf-8") as lines:
            kind = RECORDS[json.loads(lines.readline())["schema"].partition("/")[0]]
        assert bool(read_records(path, kind)) == (path.name not in UNKNOWN), path
    for labelled in folder.rglob("labelled.jsonl"):
        path = labelled.with_name("labels.jsonl")
        seen = read_records(labelled, Trajectory)
        for trajectory, labels in zip(seen, read_records(path, StepLabels), strict=True):
            assert labels.trajectory_id == trajectory.id
            labels.check(trajectory)


def check_task(workspace: Workspace, task: str) -> None:
    """Every question was sampled, kept a pair by outcome where it could, and every reasoner answered everything."""
    drawn = read_records(workspace.start(MODEL, task, 1) / "sampled.jsonl", Trajectory)
    assert len({t.question_id for t in drawn}) == 16
    assert any(not t.right for t in drawn)
    headline = workspace.methods(MODEL, task) / "1"
    assert not list(headline.rglob("stopped.json"))
    pairs = read_json(headline / "orpo_outcome" / "1" / "pairs.json")
    assert (pairs["questions"], pairs["kept"]) == (16, 16)  # the gold rationale over a wrong sample
    for reasoner in REASONERS:
        for benchmark, count in ((task, 6), (TASKS[task], 5)):
            path = workspace.evaluation(MODEL, task) / "1" / reasoner / f"{benchmark}.jsonl"
            assert len(read_records(path, Outcome)) == count


def test_real_questions_go_through_every_stage(real_data: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    start = time.monotonic()
    settings, workspace = small_settings(real_data), Workspace(tmp_path, "real_smoke")
    shutil.copytree(ROOT / "paper", tmp_path / "paper")
    run_all(settings, workspace)
    assert time.monotonic() - start < 300  # a minute on a quiet core

    check_records(workspace.runs)
    reasoners = [path.parent for path in workspace.runs.rglob("config.json") if path.parent.name != "verifier"]
    # A base model each, M_0 each by task, and what the methods made.
    assert len(reasoners) == len(settings.models) * (1 + len(TASKS)) + len(TASKS) * (len(REASONERS) - 2)
    for folder in reasoners:
        model, encoder = load_reasoner(folder)
        assert f"{model.config.model_type}_scratch" in folder.parts
        assert model.config.vocab_size == len(encoder.tokenizer) == 600
    for folder in workspace.runs.rglob("verifier"):
        Verifier.load(folder)
    for task in TASKS:
        check_task(workspace, task)

    table = (tmp_path / settings.report.results / "table.md").read_text(encoding="utf-8")
    metrics = json.loads((tmp_path / settings.report.results / "metrics.json").read_text(encoding="utf-8"))
    assert metrics
    for name in (MODEL, *TASKS, *TASKS.values()):
        assert name in table
    assert list((tmp_path / settings.report.figures).glob("*.png"))
    assert (tmp_path / "paper" / "real_smoke.pdf").stat().st_size > 0
    for task in TASKS:
        assert {item.annotator for item in read_items(workspace.process(task) / "items.jsonl")} == {"rollout"}
