"""Everything that a report says, read from `runs/PROFILE` into plain records: outcomes, pairs, rewards, costs.

Nothing is computed here but counts. Files that are missing, or that do not belong together (two methods that
answered different questions, scores of another pool), are refused by name.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sapo.records import Cost, Outcome, RecordError, StepLabels, StepScores, Trajectory, read_records
from sapo.settings import Settings
from sapo.train.pairs import PairReport
from sapo.workspace import Workspace


@dataclass(frozen=True, slots=True)
class BenchmarkResults:
    """Answers of every method to the same questions in the same order; methods in the order of the tables."""

    name: str
    outcomes: dict[str, tuple[Outcome, ...]]

    @property
    def groups_Q(self) -> list[str]:
        return [outcome.group for outcome in next(iter(self.outcomes.values()))]

    def right_Q(self, method: str) -> list[bool]:
        return [outcome.verdict == "right" for outcome in self.outcomes[method]]


@dataclass(frozen=True, slots=True)
class Rewards:
    """Rewards r (mean step score, SAPO eq. 14) that a round's verifier gave its pool, by the trajectories' outcome."""

    right: tuple[float, ...]
    wrong: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Supervision:
    """What the labels of one verifier cost: `trajectories` labelled, of which `wrong` ended wrong.

    Args:
        labeller: omega, shepherd or saps.
        round: SAPO round of saps; 0 for the others.
        cost: rollouts and, for saps, the verifier's pass that detects the suspects.
    """

    labeller: str
    round: int
    trajectories: int
    wrong: int
    cost: Cost


@dataclass(frozen=True, slots=True)
class TaskResults:
    """One model trained on one task: its benchmarks (the task, then the out-of-domain one) and its rounds."""

    model: str
    task: str
    benchmarks: tuple[BenchmarkResults, ...]
    pairs: dict[str, PairReport]
    rewards: dict[int, Rewards]
    supervision: tuple[Supervision, ...]


def methods(settings: Settings) -> list[str]:
    """Methods in the order of the tables; `sapo1` is the reasoner that round 1 made."""
    return ["cot", "sft", "orpo_outcome", "orpo_mc", *(f"sapo{r.i}" for r in settings.rounds)]


def read_results(settings: Settings, workspace: Workspace) -> list[TaskResults]:
    """Results of every model and task of the settings. Raises RecordError naming the file that is not as it should."""
    return [_read_task(settings, workspace, model, task) for model in settings.models for task in settings.tasks]


def _read_task(settings: Settings, workspace: Workspace, model: str, task: str) -> TaskResults:
    limits = settings.tasks[task]
    counts = {task: limits.test_questions, limits.ood: limits.ood_questions}
    evaluation = workspace.evaluation(model, task)
    rounds = {r.i: workspace.sapo(model, task, r.i) for r in settings.rounds}
    baselines = {"orpo_outcome": workspace.orpo_outcome(model, task), "orpo_mc": workspace.orpo_mc(model, task)}
    aligned = baselines | {f"sapo{i}": folder for i, folder in rounds.items()}
    return TaskResults(
        model,
        task,
        tuple(_read_benchmark(evaluation, name, methods(settings), count) for name, count in counts.items()),
        {method: _read_pairs(folder / "pairs.json", limits.train_questions) for method, folder in aligned.items()},
        {i: _read_rewards(folder) for i, folder in rounds.items()},
        (
            _read_supervision("omega", 0, workspace.sapo(model, task, 0)),
            _read_supervision("shepherd", 0, baselines["orpo_mc"]),
            *(_read_supervision("saps", i, folder) for i, folder in rounds.items()),
        ),
    )


def _read_benchmark(evaluation: Path, name: str, methods: Sequence[str], count: int) -> BenchmarkResults:
    outcomes: dict[str, tuple[Outcome, ...]] = {}
    first = evaluation / methods[0] / f"{name}.jsonl"
    for method in methods:
        path = evaluation / method / f"{name}.jsonl"
        outcomes[method] = tuple(read_records(path, Outcome))
        if len(outcomes[method]) != count:
            raise RecordError(f"{path}: {len(outcomes[method])} outcomes, the settings ask for {count}")
        for ours, theirs in zip(outcomes[method], outcomes[methods[0]], strict=True):
            if (ours.question_id, ours.group) != (theirs.question_id, theirs.group):
                expected = f"{theirs.question_id} (group {theirs.group})"
                raise RecordError(f"{path}: {ours.question_id} (group {ours.group}) where {first} has {expected}")
    return BenchmarkResults(name, outcomes)


def _read_pairs(path: Path, questions: int) -> PairReport:
    report = PairReport(**_numbers(path, _read_json(path), PairReport))
    if report.questions != questions:
        raise RecordError(f"{path}: questions is {report.questions}, the settings train on {questions}")
    return report


def _read_rewards(folder: Path) -> Rewards:
    pool = read_records(folder / "pool.jsonl", Trajectory)
    path = folder / "scores.jsonl"
    scores = read_records(path, StepScores)
    _check_ids(path, [s.trajectory_id for s in scores], [t.id for t in pool])
    rewards: dict[bool, list[float]] = {True: [], False: []}
    for trajectory, score in zip(pool, scores, strict=True):
        rewards[trajectory.right].append(score.reward)
    return Rewards(tuple(rewards[True]), tuple(rewards[False]))


def _read_supervision(labeller: str, number: int, folder: Path) -> Supervision:
    trajectories = read_records(folder / "labelled.jsonl", Trajectory)
    path = folder / "labels.jsonl"
    labels = read_records(path, StepLabels)
    _check_ids(path, [c.trajectory_id for c in labels], [t.id for t in trajectories])
    labelled = [t for t, c in zip(trajectories, labels, strict=True) if c.case != "expansion"]
    path = folder / "costs.json"
    parts = _read_json(path)
    names = ("labelling", "detection") if labeller == "saps" else ("labelling",)
    for name in names:
        if name not in parts:
            raise RecordError(f"{path}: {name!r} is missing")
    cost = sum((Cost(**_numbers(path, parts[name], Cost, {"seconds"})) for name in names), Cost())
    return Supervision(labeller, number, len(labelled), sum(not t.right for t in labelled), cost)


def _check_ids(path: Path, found: Sequence[str], expected: Sequence[str]) -> None:
    """Refuse a file whose rows are not those of the trajectories beside it, in order."""
    if len(found) != len(expected):
        raise RecordError(f"{path}: {len(found)} rows for {len(expected)} trajectories")
    for number, (ours, theirs) in enumerate(zip(found, expected, strict=True), start=2):
        if ours != theirs:
            raise RecordError(f"{path}: line {number}: trajectory {ours!r}, expected {theirs!r}")


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise RecordError(f"{path}: no such file")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecordError(f"{path}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RecordError(f"{path}: not a JSON object")
    return value


def _numbers(path: Path, values: Any, schema: type, without: frozenset[str] | set[str] = frozenset()) -> dict[str, Any]:
    """The numbers that are the fields of `schema`, all of them and no others. Raises RecordError naming the field."""
    names = {field.name for field in fields(schema)} - without
    if not isinstance(values, dict) or values.keys() != names:
        raise RecordError(f"{path}: expected the numbers {', '.join(sorted(names))}, found {values!r}")
    for name, value in values.items():
        if type(value) not in (int, float) or value < 0:
            raise RecordError(f"{path}: {name} is {value!r}, expected a number that is not negative")
    return values
