"""What labels cost and how true they are, by labeller: read, measured with intervals, held against targets (figure 6).

Costs are those of the long trajectories, for which the targets are stated, where there are any, else of all. A cost of
saps includes the verifier's pass that detects. Agreements are shares, 0 to 1, with intervals that draw questions.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from sapo.evaluate.efficiency import (
    LABELLERS,
    LENGTHS,
    LONG,
    RIGHT,
    LabelRow,
    TruthRow,
    called,
    same_first_error,
    same_steps,
)
from sapo.evaluate.interval import Interval
from sapo.records import Cost, RecordError, StepScores, Trajectory, read_json, read_plain_json, read_records
from sapo.report.stats import accuracy_interval, difference_interval
from sapo.runtime.workspace import Workspace, derive_seed
from sapo.settings import Settings

SECONDS = Path("benchmarks/labelling_seconds.json")  # written by benchmarks/labelling.py

Row = TypeVar("Row", LabelRow, TruthRow, StepScores)


@dataclass(frozen=True, slots=True)
class Seconds:
    """What `benchmarks/labelling.py` measured: seconds per labelled trajectory by `model/task` and labeller."""

    machine: str
    each: dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Each:
    """What one labelled trajectory costs on average."""

    rollouts: float
    prompt_tokens: float
    generated_tokens: float
    flops: float
    programs: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """Shares of steps, and of trajectories whose first error is the same."""

    steps: Interval
    first_error: Interval


@dataclass(frozen=True, slots=True)
class Measured:
    """One labeller on one task.

    Args:
        cost, cost_all: per labelled wrong trajectory, of the long ones and of all.
        cost_half: per labelled trajectory where every second one is right, of the long ones; None without right ones.
        same_as_saps: share of trajectories with exactly the labels of `saps`.
        verifier: of the verifier trained on these labels, with the truth of held-out samples.
    """

    cost: Each
    cost_all: Each
    cost_half: Each | None
    same_as_saps: float
    shepherd: Agreement
    truth: Agreement | None
    verifier: Agreement | None


@dataclass(frozen=True, slots=True)
class TaskEfficiency:
    """All labellers on one task; `trajectories` with `mean_steps` are those that `cost` speaks of."""

    model: str
    task: str
    trajectories: int
    mean_steps: float
    long: bool
    trajectories_all: int
    gain: Interval
    labellers: dict[str, Measured]

    @property
    def place(self) -> str:
        return f"{self.model}/{self.task}"

    @property
    def which(self) -> str:
        least = f" of at least {LONG} steps" if self.long else ""
        return f"{self.trajectories} wrong trajectories{least}, {self.mean_steps:.1f} on average"


@dataclass(frozen=True, slots=True)
class Target:
    """What was aimed at, what was measured, and whether that is enough: `value` at most or at least `goal`."""

    name: str
    value: float
    goal: float
    at_most: bool

    @property
    def met(self) -> bool:
        return self.value <= self.goal if self.at_most else self.value >= self.goal

    @property
    def sign(self) -> str:
        return "≤" if self.at_most else "≥"

    def __str__(self) -> str:
        return f"{self.name}: {self.value:.2f}, goal {self.sign} {self.goal:g}: {'met' if self.met else 'missed'}"


def read_efficiency(settings: Settings, workspace: Workspace) -> list[TaskEfficiency]:
    """Every model and task of the settings. Raises RecordError naming the file that is not as it should be."""
    return [
        _measure(
            _read(workspace.efficiency(model, task)),
            model,
            task,
            settings.report.resamples,
            derive_seed(settings.seed, "report", "efficiency", model, task),
        )
        for model in settings.models
        for task in settings.tasks
    ]


@dataclass(frozen=True, slots=True)
class _Files:
    """What a stage wrote; the truths are empty where the task knows none."""

    measured: list[Trajectory]
    rows: dict[str, list[LabelRow]]
    truth: list[TruthRow]
    held_truth: list[TruthRow]
    scores: dict[str, list[StepScores]]
    costs: dict[str, Cost]
    costed: int


def _read(folder: Path) -> _Files:
    measured = read_records(folder / "measured.jsonl", Trajectory)
    held_out = read_records(folder / "held_out.jsonl", Trajectory)
    held_truth = _in_step(folder / "held_out_truth.jsonl", TruthRow, held_out, empty=True)
    trained = [name for name, arithmetic in LABELLERS.items() if arithmetic.trains and held_truth]
    return _Files(
        measured,
        {name: _in_step(folder / name / "labels.jsonl", LabelRow, measured) for name in LABELLERS},
        _in_step(folder / "truth.jsonl", TruthRow, measured, empty=True),
        held_truth,
        {name: _in_step(folder / name / "scores.jsonl", StepScores, held_out) for name in trained},
        _costs(folder / "costs.json"),
        read_json(folder / "summary.json")["costed_right"],
    )


def _measure(files: _Files, model: str, task: str, resamples: int, seed: int) -> TaskEfficiency:
    long = [len(t.steps) for t in files.measured if len(t.steps) >= LONG]
    of_cost = long or [len(t.steps) for t in files.measured]
    labels = {name: [row.labels for row in own] for name, own in files.rows.items()}
    groups = [row.group for row in files.rows["shepherd"]]

    def agreement(labels_N_S: Sequence[Sequence[int]], others: Sequence[TruthRow] | Sequence[LabelRow]) -> Agreement:
        theirs, own = [row.labels for row in others], [row.group for row in others]
        same = same_steps(labels_N_S, theirs)
        each_step = [g for row, g in zip(same, own, strict=True) for _ in row]
        steps = accuracy_interval([[s for row in same for s in row]], each_step, resamples, seed)
        return Agreement(steps, accuracy_interval([same_first_error(labels_N_S, theirs)], own, resamples, seed))

    found = {}
    for name, own in labels.items():
        verifier = files.scores.get(name)
        wrong = _each(files.costs, name, ("long",) if long else LENGTHS, len(of_cost))
        right = _each(files.costs, name, (RIGHT,), files.costed) if files.costed else None
        half = [(getattr(wrong, f.name) + getattr(right, f.name)) / 2 for f in fields(Each)] if right else None
        found[name] = Measured(
            wrong,
            _each(files.costs, name, LENGTHS, len(files.measured)),
            Each(*half) if half else None,
            statistics.mean(ours == saps for ours, saps in zip(own, labels["saps"], strict=True)),
            agreement(own, files.rows["shepherd"]),
            agreement(own, files.truth) if files.truth else None,
            agreement([called(entry.scores) for entry in verifier], files.held_truth) if verifier else None,
        )
    ours, saps = (same_first_error(labels[name], labels["shepherd"]) for name in ("ours", "saps"))
    gain = difference_interval([ours], [saps], groups, resamples, seed)
    mean = statistics.mean(of_cost)
    return TaskEfficiency(model, task, len(of_cost), mean, bool(long), len(files.measured), gain, found)


def _in_step(path: Path, schema: type[Row], trajectories: Sequence[Trajectory], empty: bool = False) -> list[Row]:
    """Rows of these trajectories in their order, with a number a step; none at all where `empty` allows it."""
    rows = read_records(path, schema)
    if empty and not rows:
        return rows
    if len(rows) != len(trajectories):
        raise RecordError(f"{path}: {len(rows)} rows for {len(trajectories)} trajectories")
    for number, (row, t) in enumerate(zip(rows, trajectories, strict=True), start=2):
        name, steps = row.trajectory_id, len(row.scores if isinstance(row, StepScores) else row.labels)
        if (name, steps) != (t.id, len(t.steps)):
            said = f"trajectory {name!r} of {steps} steps, expected {t.id!r} of {len(t.steps)}"
            raise RecordError(f"{path}: line {number}: {said}")
    return rows


def _costs(path: Path) -> dict[str, Cost]:
    values = read_json(path)
    names = [f"{name}/{kind}" for name in ("detection", *LABELLERS) for kind in (*LENGTHS, RIGHT)]
    if values.keys() != set(names):
        raise RecordError(f"{path}: expected costs of {', '.join(names)}, found {', '.join(values) or 'none'}")
    try:
        return {name: Cost(**value) for name, value in values.items()}
    except TypeError as error:
        raise RecordError(f"{path}: {error}") from error


def _each(costs: dict[str, Cost], name: str, kinds: Sequence[str], count: int) -> Each:
    """Mean cost of one of `count` trajectories of these kinds; detection only where something is detected."""
    arithmetic = LABELLERS[name]
    detects = arithmetic.labeller == "saps" and not (arithmetic.known_correct and kinds == (RIGHT,))
    parts = [name, *(["detection"] if detects else [])]
    total = sum((costs[f"{part}/{kind}"] for part in parts for kind in kinds), Cost())
    return Each(**{field.name: getattr(total, field.name) / count for field in fields(Each)})


def read_seconds(path: Path, profile: str) -> Seconds | None:
    """Measured seconds of a profile's run; None where there are none. Raises RecordError for another kind of file."""
    if not path.is_file():
        return None
    values = read_plain_json(path)
    try:
        machine = f"{values['machine']['cpu']}, {values['threads']} thread, {values['date']}"
        each = {place: {n: float(s) for n, s in found.items()} for place, found in values["seconds"].items()}
        other = values["profile"] != profile
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"{path}: {error!r}; `python benchmarks/labelling.py --write` writes it anew") from error
    return None if other else Seconds(machine, each)


def targets(entry: TaskEfficiency) -> list[Target]:
    """The efficiency targets of the laboratory, on the trajectories that `cost` speaks of."""
    cost = {name: found.cost for name, found in entry.labellers.items()}
    saps = cost["saps"]
    half = {name: entry.labellers[name].cost_half or cost[name] for name in ("ours", "saps")}
    return [
        Target("rollouts of saps / shepherd", saps.rollouts / cost["shepherd"].rollouts, 0.5, True),
        Target("FLOPs of saps / shepherd", saps.flops / cost["shepherd"].flops, 0.5, True),
        Target("rollouts of saps / omega", saps.rollouts / cost["omega"].rollouts, 1.0, True),
        Target("FLOPs of saps / omega", saps.flops / cost["omega"].flops, 1.0, True),
        Target("FLOPs of ours / saps, every second one right", half["ours"].flops / half["saps"].flops, 0.5, True),
        Target("first errors as shepherd, ours - saps, in points", 100 * entry.gain.value, 5.0, False),
        Target("labels of lazy saps as of saps, share", entry.labellers["saps_lazy"].same_as_saps, 0.99, False),
    ]
