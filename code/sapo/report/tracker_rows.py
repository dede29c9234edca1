"""What a finished stage wrote of its trainings and answers, as runs of a tracker (`report/trackers.py`).

A run is one seed of one method of one stage: a value for every training step, or for every round where the stage
evaluates. Stages `start`, `methods` and `evaluate` have such; `base` keeps no log.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sapo.records import Outcome, read_json, read_records
from sapo.runtime.workspace import StageArguments, Workspace
from sapo.settings import Settings, method_settings

STAGES = ("start", "methods", "evaluate")
LOGS = {"log.json": "update", "verifier_log.json": "verifier"}
# Of the settings, what a run is compared by.
SECTIONS = ("seed", "tuning", "loop", "sampling", "rollouts", "labels", "detect", "saps", "expansion")
SECTIONS += ("sft", "verifier", "pairs", "orpo", "dpo", "grpo", "filter", "budget")


@dataclass(frozen=True, slots=True)
class Tracked:
    """One run as every tracker has it.

    Args:
        group: PROFILE/MODEL/TASK. name: PROFILE/MODEL/TASK/STAGE/SEED/METHOD. parameters: of its settings, flat.
        values: by step, and there by name, whose first part is the round and training or the benchmark.
    """

    stage: str
    group: str
    name: str
    parameters: dict[str, str | float]
    values: dict[int, dict[str, float]]

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(dataclasses.asdict(self), sort_keys=True).encode()).hexdigest()[:16]


def tracked(settings: Settings, workspace: Workspace, stage: str, place: StageArguments) -> Iterator[Tracked]:
    """Runs of one finished stage in the order of their names; of a stage without trainings or answers none."""
    if stage not in STAGES:
        return
    for task in settings.tasks:
        output = _output(workspace, stage, place.model, task)
        for folder in sorted(output.glob("*" if stage == "start" else "*/*")):
            seed, *named = folder.relative_to(output).parts
            values = _answers(folder) if stage == "evaluate" else _steps(folder)
            if values:
                method = named[0] if named else "start"
                group = f"{workspace.profile}/{place.model}/{task}"
                name = f"{group}/{stage}/{seed}/{method}"
                yield Tracked(stage, group, name, _parameters(settings, method, int(seed)), values)


def _output(workspace: Workspace, stage: str, model: str, task: str) -> Path:
    """The folder in which every seed has a folder of its own."""
    if stage == "start":
        return workspace.starts(model, task)
    return workspace.methods(model, task) if stage == "methods" else workspace.evaluation(model, task)


def _steps(folder: Path) -> dict[int, dict[str, float]]:
    """Loss, learning rate, gradient norm and measures of every training below `folder`, by its own steps."""
    found: dict[int, dict[str, float]] = {}
    for path in sorted(path for path in folder.rglob("*log.json") if path.name in LOGS):
        where = path.parent.relative_to(folder).parts
        training = f"round_{where[0]}/{LOGS[path.name]}" if where and where[0].isdigit() else "/".join(where)
        for entry in read_json(path, list):
            named = {name: entry[name] for name in ("loss", "lr", "gradient_norm")} | entry["measures"]
            row = found.setdefault(entry["step"], {})
            row |= {f"{training or LOGS[path.name]}/{name}": float(value) for name, value in named.items()}
    return dict(sorted(found.items()))


def _answers(folder: Path) -> dict[int, dict[str, float]]:
    """Shares of right answers by round, and what the answers cost."""
    found: dict[int, dict[str, float]] = {}
    for path in sorted(folder.glob("*/*.jsonl")):
        outcomes = read_records(path, Outcome)
        said = read_json(path.with_suffix(".json"))
        row = {"accuracy": sum(outcome.verdict == "right" for outcome in outcomes) / max(len(outcomes), 1)}
        row |= {name: float(said[name]) for name in ("generated_tokens", "flops")}
        found.setdefault(int(path.parent.name), {}).update({f"{path.stem}/{name}": v for name, v in row.items()})
    return dict(sorted(found.items()))


def _parameters(settings: Settings, method: str, seed: int) -> dict[str, str | float]:
    known = method in settings.methods
    own = method_settings(settings, method, seed) if known else dataclasses.replace(settings, seed=seed)
    values = dataclasses.asdict(own)
    return {"profile": settings.profile, "method": method} | dict(_flat({name: values[name] for name in SECTIONS}))


def _flat(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, str | float]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield above + name, value if isinstance(value, str | int | float) else ", ".join(map(str, value))
