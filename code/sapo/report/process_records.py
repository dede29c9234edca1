"""Outputs of stages `process` and `verifiers`, read and measured with intervals.

Numbers are of the half of the questions that no threshold was chosen on; intervals draw seeds and question groups.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sapo.evaluate.interval import Interval
from sapo.evaluate.process.items import ProcessItem, read_items
from sapo.evaluate.process.metrics import Bin
from sapo.evaluate.process.verifier_eval import across, as_scores, judge
from sapo.records import RecordError, StepLabels, StepScores, read_json, read_records
from sapo.report.files import numbers
from sapo.report.load_run import planned
from sapo.report.run_records import Checkpoint
from sapo.report.stats import mean_interval
from sapo.runtime.workspace import Workspace, derive_seed
from sapo.settings import Settings, seeds_of

V0 = Checkpoint("start", 0)  # made from omega's labels, before the first round
LABELS = ("trajectories", "steps", "right_steps", "named", "real", "located")


@dataclass(frozen=True, slots=True)
class Verified:
    """One round's verifier, over the seeds that have it.

    Args:
        steps, first_error: accuracies. f1, auc, ece: see `evaluate/process/metrics.py`.
        label_steps, label_precision, label_recall: of the labels that it learned from, against the truth.
        reward, true_steps: means over the round's samples: what it gives, and the share of prefixes that is true.
        bins, rights: of the reliability plot, of the first seed: see `Judgement`.
    """

    seeds: int
    threshold: float
    steps: Interval
    first_error: Interval
    f1: Interval | None
    auc: Interval | None
    ece: Interval | None
    label_steps: float | None
    label_precision: float | None
    label_recall: float | None
    reward: Interval | None
    true_steps: Interval | None
    bins: tuple[Bin, ...]
    rights: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class Rerank:
    """Samples of one reasoner to choose from: by question, whether each is right and its answer's number.

    Args:
        rewards: by method, question and sample. beams: whether beam search found a right answer, by method.
        resamples, seed: that intervals over questions are drawn with.
    """

    groups: tuple[str, ...]
    right: tuple[tuple[bool, ...], ...]
    answers: tuple[tuple[int, ...], ...]
    rewards: dict[str, tuple[tuple[float, ...], ...]]
    beams: dict[str, tuple[bool, ...]]
    resamples: int
    seed: int


@dataclass(frozen=True, slots=True)
class ProcessResults:
    """Everything of one model on one process benchmark.

    Args:
        left_out: of the items, those that the model's verifiers cannot score; no number but the counts is of them.
        mce: step accuracy of the reasoner's own estimates, by the round of the method whose verifier it made.
        self_verification: error (0 to 1) as the reasoner says and as the truth says, by `V1-R1`, `V1-R3`, `V3-R3`.
    """

    model: str
    task: str
    items: int
    left_out: int
    questions: int
    steps: int
    verifiers: dict[Checkpoint, Verified]
    mce: dict[Checkpoint, Interval]
    self_verification: dict[str, tuple[Interval, Interval]]
    rerank: Rerank


def read_process(settings: Settings, workspace: Workspace) -> list[ProcessResults]:
    """Every model on every process benchmark of the settings. Raises RecordError naming what is not as it should be."""
    return [
        _read(settings, workspace, model, task) for model in settings.models for task in settings.process_benchmarks
    ]


def _read(settings: Settings, workspace: Workspace, model: str, task: str) -> ProcessResults:
    every = read_items(workspace.process(task) / "items.jsonl")
    folder = workspace.verifiers(model, task)
    first = folder / str(seeds_of(settings, model, task)[0])
    # What this model's tokenizer cannot encode step by step, none of its verifiers has scored.
    scored = {own.trajectory_id for own in read_records(first / "start/0/scores.jsonl", StepScores)}
    items = [item for item in every if item.id in scored]
    resamples, seed = settings.report.resamples, derive_seed(settings.seed, "report", "process", model, task)
    found = {
        one: _verified([folder / f"{s}/{one.method}/{one.round}" for s in seeds], items, resamples, seed)
        for one, seeds in _checkpoints(settings, folder, model, task)
    }
    mce = {
        one: _estimated(path, items, resamples, seed)
        for one in found
        if (path := first / one.method / str(one.round) / "mce.jsonl").is_file()
    }
    groups = [item.group for item in items]
    said = read_json(folder / "self_verification.json")
    table2 = {name: _errors(folder, name, own, groups, (resamples, seed)) for name, own in said.items()}
    questions, steps = len({item.question_id for item in every}), sum(len(item.steps) for item in every)
    counts = len(every), len(every) - len(items), questions, steps
    choices = _rerank(folder / "rerank.json", resamples, seed)
    return ProcessResults(model, task, *counts, found, mce, table2, choices)


def _checkpoints(settings: Settings, folder: Path, model: str, task: str) -> Iterator[tuple[Checkpoint, list[int]]]:
    """Rounds with a verifier and the seeds that have it; V_0 first, methods in the order of the settings."""
    seeds = seeds_of(settings, model, task)
    yield V0, seeds
    methods: dict[str, list[int]] = {}
    for method, seed in planned(settings, model, task):
        methods.setdefault(method, []).append(seed)
    for method, own in methods.items():
        numbers_ = sorted({int(path.name) for seed in own for path in (folder / str(seed) / method).glob("*")})
        for number in numbers_:
            yield Checkpoint(method, number), [s for s in own if (folder / f"{s}/{method}/{number}").is_dir()]


def _verified(folders: Sequence[Path], items: Sequence[ProcessItem], resamples: int, seed: int) -> Verified:
    judged_S = [judge(items, read_records(folder / "scores.jsonl", StepScores), seed, resamples) for folder in folders]
    found = across(judged_S, seed)
    labels = [_optional(folder / "labels.json", LABELS) for folder in folders]
    rewards = [row for folder in folders for row in _rewards(folder / "rewards.json")]
    return Verified(
        len(folders),
        statistics.fmean(one.threshold for one in judged_S),
        _defined(found, "step_accuracy"),
        _defined(found, "first_error_accuracy"),
        found["f1"],
        found["auc"],
        found["calibration_error"],
        _ratio(labels, "right_steps", "steps"),
        _ratio(labels, "located", "named"),
        _ratio(labels, "located", "real"),
        _mean([(question, reward) for question, reward, _ in rewards], resamples, seed),
        _mean([(question, share) for question, _, share in rewards], resamples, seed),
        judged_S[0].bins,
        judged_S[0].rights,
    )


def _defined(metrics: Mapping[str, Interval | None], name: str) -> Interval:
    """A metric that every benchmark defines."""
    found = metrics[name]
    assert found is not None
    return found


def _optional(path: Path, names: tuple[str, ...]) -> dict[str, Any] | None:
    """Numbers of a file that only tasks with an oracle have."""
    if not path.is_file():
        return None
    values = read_json(path)
    return numbers(path, {name: values.get(name) for name in names}, names)


def _rewards(path: Path) -> list[tuple[str, float, float]]:
    """Question, reward and share of true prefixes of every sample; nothing where the truth is not known."""
    if not path.is_file():
        return []
    rows = read_json(path).get("each")
    if not isinstance(rows, list) or any(not isinstance(row, list) or len(row) != 3 for row in rows):
        raise RecordError(f"{path}: each: must be a question, a reward and a share for every sample")
    return [(question, reward, share) for question, reward, share in rows]


def _mean(values: Sequence[tuple[str, float]], resamples: int, seed: int) -> Interval | None:
    """Over the samples of all seeds; questions are drawn whole."""
    if not values:
        return None
    return mean_interval([[value for _, value in values]], [question for question, _ in values], resamples, seed)


def _ratio(counts: Sequence[dict[str, Any] | None], part: str, whole: str) -> float | None:
    total = sum(own[whole] for own in counts if own)
    return sum(own[part] for own in counts if own) / total if total else None


def _estimated(path: Path, items: Sequence[ProcessItem], resamples: int, seed: int) -> Interval:
    """Step accuracy of labels by rollouts, on the half that is reported of the verifiers."""
    scores = [as_scores(labels) for labels in read_records(path, StepLabels)]
    return _defined(judge(items, scores, seed, resamples).metrics, "step_accuracy")


def _errors(
    folder: Path, name: str, said: dict[str, Any], groups: Sequence[str], drawing: tuple[int, int]
) -> tuple[Interval, Interval]:
    """Shares of pre-labels that are wrong, as the reasoner and as the truth says."""
    found = []
    for kind in ("by_reasoner", "by_truth"):
        if len(said[kind]) != len(groups):
            raise RecordError(f"{folder}: self_verification.json: {name} has {len(said[kind])} of {len(groups)} items")
        found.append(mean_interval([[float(not right) for right in said[kind]]], groups, *drawing))
    return found[0], found[1]


def _rerank(path: Path, resamples: int, seed: int) -> Rerank:
    values = read_json(path)
    questions = values["questions"]
    rewards = {name: tuple(tuple(own) for own in found) for name, found in values["rewards"].items()}
    for name, found in rewards.items():
        if [len(own) for own in found] != [len(question["right"]) for question in questions]:
            raise RecordError(f"{path}: rewards of {name} are not one for each sample")
    return Rerank(
        tuple(question["group"] for question in questions),
        tuple(tuple(question["right"]) for question in questions),
        tuple(tuple(question["answers"]) for question in questions),
        rewards,
        {name: tuple(found) for name, found in values["beams"].items()},
        resamples,
        seed,
    )
