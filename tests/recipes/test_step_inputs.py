"""Change any one setting, and exactly the steps whose inputs hold it are made anew; the graph declares them too."""

import dataclasses
import functools
import shutil
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from sapo.evaluate import rerank_step
from sapo.evaluate.process.items import ProcessItem
from sapo.recipes import bootstrap, label_step, sample_step, self_improvement
from sapo.recipes.bootstrap import start_inputs
from sapo.recipes.experiment import Experiment, write_costs
from sapo.records import Cost, Trajectory, read_records, write_records, write_text
from sapo.runtime.cache import made_from, name_of
from sapo.runtime.workspace import Workspace
from sapo.settings import Settings
from sapo.settings.configure import compose
from sapo.stages import efficiency, evaluate, process, verifiers
from sapo.stages.verifiers import Items, Made
from sapo.tasks.catalog import TASKS

ROOT = Path(__file__).parents[2]
MODEL, TASK = "qwen2_nano", "nano_math"
NANO = compose(ROOT, ["profile=nano"])[1]

COMPUTED = {"tuning.device", "tuning.dtype", "engine.kind", "sampling.rows", f"tasks.{TASK}.max_new_tokens"}
TRAIN = {f"tasks.{TASK}.train_questions"}
ALL = lambda *sections: {p for p in paths(NANO) if p.split(".")[0] in sections}  # noqa: E731
LABELS = lambda *more: ALL("rollouts", "labels", "expansion", "verifier", "tuning", *more) | COMPUTED | TRAIN  # noqa: E731
# What each step may read. `seed` names the samples of the start, so that evaluation and judging have none.
HOLDS: dict[str, Callable[[], set[str]]] = {
    "SftInputs": lambda: ALL("seed", "sft", "tuning") | {f"tasks.{TASK}.sft_questions"},
    "StartInputs": lambda: LABELS("seed", "sft", "sampling") | {f"tasks.{TASK}.sft_questions"},
    "SampleInputs": lambda: ALL("seed", "sampling") | COMPUTED | TRAIN,
    "LabelInputs": lambda: LABELS("seed", "detect", "saps"),
    "RoundInputs": lambda: (
        LABELS("seed", "detect", "saps", "sampling", "pairs", "filter", "orpo")
        | {"loop.updates", "loop.reward", "loop.start", "loop.pool", "budget.kind", f"tasks.{TASK}.sft_questions"}
    ),
    "EvaluateInputs": lambda: (
        COMPUTED | {f"tasks.{TASK}.{n}" for n in ("ood", "test_questions", "ood_questions")} | {"data.protocol"}
    ),
    "EfficiencyInputs": lambda: LABELS("seed", "detect", "saps", "efficiency"),
    "ProcessSampleInputs": lambda: COMPUTED | {"seed", "sampling.temperature", "process.samples", "process.questions"},
    "JudgeInputs": lambda: TRAIN | {"tuning.device", "tuning.dtype"},
    "EstimateInputs": lambda: COMPUTED | {"seed", "rollouts.per_position", "rollouts.temperature"},
    "RerankInputs": lambda: (
        COMPUTED | {"seed", "sampling.temperature", "process.rerank_questions", "process.rerank_samples"}
    ),
}
STAGES = {
    "start": ("SftInputs", "StartInputs"),
    "methods": ("SampleInputs", "LabelInputs", "RoundInputs"),
    "evaluate": ("EvaluateInputs",),
    "efficiency": ("EfficiencyInputs",),
    "process": ("ProcessSampleInputs",),
    "verifiers": ("JudgeInputs", "EstimateInputs", "RerankInputs"),
}


def paths(section: Any, above: str = "") -> Iterator[str]:
    """Of every single value that a test may change: not names, cells and methods, which say what runs."""
    for name in [one.name for one in dataclasses.fields(section)]:
        value, path = getattr(section, name), f"{above}{name}"
        if name == "tasks":
            yield from paths(value[TASK], f"tasks.{TASK}.")
        elif dataclasses.is_dataclass(value):
            yield from paths(value, f"{path}.")
        elif not isinstance(value, dict) and name not in ("profile", "tracking"):
            yield path


def changed(section: Any, path: str) -> Any:
    """The settings with one value replaced by another that its type allows."""
    name, _, rest = path.partition(".")
    if isinstance(section, dict):
        return {**section, name: changed(section[name], rest)}
    value, hint = getattr(section, name), typing.get_type_hints(type(section))[name]
    if rest:
        return dataclasses.replace(section, **{name: changed(value, rest)})
    if path == "updates":
        return dataclasses.replace(section, updates=("dpo", *value[1:]))
    if path == "kind" and value == "hf":
        return dataclasses.replace(section, kind="server")  # vLLM may not be installed
    if path == "ood":
        return dataclasses.replace(section, ood="nano_code_ood")
    other: Any = f"{value}x"
    if typing.get_origin(hint) is Literal:
        other = next(one for one in typing.get_args(hint) if one != value)
    elif isinstance(value, bool):
        other = not value
    elif isinstance(value, int | float):
        other = value - 1 if "questions" in name else value + 1
    return dataclasses.replace(section, **{name: other})


class Asked(Exception):
    """A step was asked for: its inputs."""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Outputs of the stages before, of two seeds; a step that is asked for is not made."""

    def ask(store: Path, inputs: object, make: object) -> Path:
        raise Asked(inputs)

    steps = sample_step, label_step, bootstrap, self_improvement, evaluate, efficiency, process, verifiers, rerank_step
    for module in steps:
        monkeypatch.setattr(module, "cached", ask)
    for task in ("nano_math", "nano_math_ood", "nano_code_ood"):
        monkeypatch.setattr(TASKS[task], "load", functools.cache(TASKS[task].load))
    made = Workspace(tmp_path, "test")
    made.data.symlink_to(ROOT / "assets")
    shutil.copytree(ROOT / "assets" / "models" / MODEL, made.base(MODEL))
    monkeypatch.chdir(tmp_path)
    write_text(made.base(MODEL) / "weights", "base")
    question = Experiment(NANO, made, MODEL, TASK).train_questions().items[0]
    drawn = [Trajectory(f"{question.id}/s/{k}", question.id, (f"{k}\n",), "wrong", "sample") for k in range(3)]
    for seed in (1, 2):
        folder = made.start(MODEL, TASK, seed)
        for name in ("sft", "verifier"):
            write_text(folder / name / "weights", name)
        write_text(folder / "labels.jsonl", "labels")
        write_records(folder / "sampled.jsonl", drawn, Trajectory)
        write_records(folder / "labelled.jsonl", drawn[:1], Trajectory)
        write_costs(folder, {"sampling": Cost(rollouts=10)})
    return made


def asked(call: Callable[[], object]) -> Any:
    with pytest.raises(Asked) as caught:
        call()
    return caught.value.args[0]


def all_inputs(settings: Settings, workspace: Workspace) -> dict[str, Any]:
    """The inputs of one step of each kind, by their type's name."""
    experiment = Experiment(settings, workspace, MODEL, TASK)
    first, reasoner = start_inputs(experiment), experiment.start / "sft"
    state = self_improvement.State(reasoner, experiment.start / "verifier", ())
    rounds = self_improvement.round_inputs(experiment, 1, state)
    own = [*read_records(experiment.start / "sampled.jsonl", Trajectory)]
    recipe = rounds.recipe.labels
    questions = experiment.questions(TASK, "test", settings.process.questions)
    q = questions.items[0]
    item = ProcessItem(q.id, q.id, q.group, q.prompt, ("a\n",), 1, "wrong", "oracle", (), "m")
    items, made = Items((item,), "items"), Made("1/sapo/1", experiment.start, reasoner)
    found = [
        first.sft,
        first,
        asked(lambda: sample_step.sampled(bootstrap.samples_of(first, experiment.sft()), experiment.tools)),
        *([self_improvement.label_inputs(rounds, recipe, own)] if recipe else []),  # rewards by outcome need no labels
        rounds,
        evaluate.evaluate_inputs(experiment, reasoner),
        efficiency.efficiency_inputs(experiment),
        asked(lambda: process.draw(experiment, questions)),
        asked(lambda: verifiers.judge(experiment, items, made, workspace.root)),
        asked(lambda: verifiers.estimate(experiment, items, reasoner, [])),
        asked(lambda: rerank_step.rerank(experiment, {made.method: made.folder / "verifier"}, (), workspace.root)),
    ]
    return {type(one).__name__: one for one in found}


def keys(settings: Settings, workspace: Workspace) -> dict[str, str]:
    return {name: name_of(made_from(inputs)) for name, inputs in all_inputs(settings, workspace).items()}


def test_a_changed_setting_makes_exactly_the_steps_anew_that_hold_it(workspace: Workspace) -> None:
    before = keys(NANO, workspace)
    assert before.keys() == HOLDS.keys()
    wrong = {}
    for path in paths(NANO):
        after = keys(changed(NANO, path), workspace)
        expected = {name for name, held in HOLDS.items() if path in held()}
        if (found := {name for name in before if after.get(name, before[name]) != before[name]}) != expected:
            wrong[path] = found ^ expected
    assert wrong == {}


@pytest.mark.parametrize("stage", STAGES)
def test_the_graph_declares_the_settings_that_its_steps_hold(stage: str) -> None:
    """Seeds of methods come from the groups of the cells."""
    graph = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]
    declared = {name.split(".")[0] for name in graph.get("do", graph)["params"]}
    held = {path.split(".")[0] for name in STAGES[stage] for path in HOLDS[name]()} - {"seed"}
    assert held | {"groups", "cells"} <= declared


def test_inputs_say_what_they_are_made_of(workspace: Workspace) -> None:
    """Paths are in no key: the same content elsewhere is the same step."""
    inputs = all_inputs(NANO, workspace)["RoundInputs"]
    said = made_from(inputs)
    assert str(workspace.root) not in str(said)
    assert said["step"] == "RoundInputs"
