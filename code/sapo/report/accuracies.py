"""Accuracy of every checkpoint with its interval, paired differences, and training failures.

All checkpoints of one benchmark are resampled with one seed, so that equal answers get equal intervals. A checkpoint
that some seeds did not reach is measured on the others; `missing` names the rest.
"""

from collections import Counter
from dataclasses import dataclass, field, replace

from sapo.evaluate.interval import Interval
from sapo.report.names import in_order, whole_of
from sapo.report.run_records import COT, SFT, BenchmarkResults, Checkpoint, RoundResults, Stopped, TaskResults
from sapo.report.stats import accuracy_interval, difference_interval, share_interval
from sapo.runtime.workspace import derive_seed
from sapo.train.registry import trainer_of

EXPLOSION = 3.0  # times the first loss of an update; the last one should be below


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Share of right answers over `seeds` and `questions`, and its differences to other checkpoints (0 to 1).

    Args:
        seeds: those that reached the checkpoint.
        missing: those that stopped before it.
        differences: to SFT, to ORPO on outcomes and, for a variant, to the method that it is a variant of (at its
            last round); by method, paired on the seeds that both have, so without those that have none in common.
        flawed: share of the right answers that rest on a wrong step; None where that is not known.
        collapsed: on the task it was trained for, the whole interval lies below that of the pretrained model.
        exploded: seeds whose last training loss exceeds three times the first.
        ungraded: answers that the grader could not judge; they count as wrong.
        unparsable: answers of all seeds that could not be read, by kind.
    """

    questions: int
    seeds: tuple[int, ...]
    value: Interval
    missing: dict[int, Stopped] = field(default_factory=dict)
    differences: dict[str, Interval] = field(default_factory=dict)
    flawed: Interval | None = None
    collapsed: bool = False
    exploded: tuple[int, ...] = ()
    ungraded: int = 0
    unparsable: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Column:
    """Accuracies of every checkpoint on one benchmark, by a model that was trained on `task`.

    Args:
        accuracies: in the order of the tables, all rounds of every method.
        last: rounds of every method by the settings, whether or not a seed finished them.
        stopped: by method and seed.
    """

    model: str
    task: str
    benchmark: str
    questions: int
    accuracies: dict[Checkpoint, Accuracy]
    last: dict[str, int]
    stopped: dict[str, dict[int, Stopped]]

    @property
    def out_of_domain(self) -> bool:
        return self.benchmark != self.task


def measure(results: list[TaskResults], resamples: int, seed: int) -> list[Column]:
    """Accuracies of every model, task and benchmark, in that order.

    Args:
        seed: the run's seed; each column draws from its own derivative.
    """
    return [
        _column(entry, benchmark, resamples, derive_seed(seed, "report", entry.model, entry.task, benchmark.name))
        for entry in results
        for benchmark in entry.benchmarks
    ]


def references(checkpoint: Checkpoint, last: dict[str, int]) -> dict[str, Checkpoint]:
    """The checkpoints that one is compared with, by method; never itself."""
    found = {"sft": SFT}
    found |= {
        name: Checkpoint(name, last[name]) for name in ("orpo_outcome", whole_of(checkpoint.method)) if name in last
    }
    return {name: other for name, other in found.items() if other != checkpoint}


def difference(
    benchmark: BenchmarkResults, one: Checkpoint, other: Checkpoint, resamples: int, seed: int
) -> Interval | None:
    """Accuracy of one checkpoint minus that of another on the seeds that both have; None where there are none."""
    seeds = benchmark.seeds(one, other)
    if not seeds:
        return None
    right_S_Q, other_S_Q = benchmark.right_S_Q(one, seeds), benchmark.right_S_Q(other, seeds)
    return difference_interval(right_S_Q, other_S_Q, benchmark.groups_Q, resamples, seed)


def exploded(round_results: RoundResults) -> bool:
    """The last loss of the update exceeds three times the first. Not said of GRPO, whose loss begins at 0."""
    first, last = round_results.log[0].loss, round_results.log[-1].loss
    return trainer_of(round_results.update).falls and last > EXPLOSION * first > 0


def _column(entry: TaskResults, benchmark: BenchmarkResults, resamples: int, seed: int) -> Column:
    methods = in_order(checkpoint.method for checkpoint in benchmark.answers)
    ordered = sorted(benchmark.answers, key=lambda one: (methods.index(one.method), one.round))
    pretrained = accuracy_interval(benchmark.right_S_Q(COT, benchmark.seeds(COT)), benchmark.groups_Q, resamples, seed)
    accuracies = {}
    for one in ordered:
        accuracy = _accuracy(entry, benchmark, one, resamples, seed)
        collapsed = benchmark.name == entry.task and accuracy.value.below(pretrained)
        accuracies[one] = replace(accuracy, collapsed=collapsed)
    place = (entry.model, entry.task, benchmark.name)
    return Column(*place, len(benchmark.groups_Q), accuracies, entry.last, entry.stopped)


def _accuracy(entry: TaskResults, benchmark: BenchmarkResults, one: Checkpoint, resamples: int, seed: int) -> Accuracy:
    seeds = benchmark.seeds(one)
    others = references(one, entry.last).items()
    differences = {name: difference(benchmark, one, other, resamples, seed) for name, other in others}
    rounds = entry.rounds.get(one, {})
    outcomes = [outcome for answers in benchmark.answers[one].values() for outcome in answers.outcomes]
    return Accuracy(
        len(benchmark.groups_Q),
        tuple(seeds),
        accuracy_interval(benchmark.right_S_Q(one, seeds), benchmark.groups_Q, resamples, seed),
        {s: stopped for s, stopped in entry.stopped.get(one.method, {}).items() if s not in seeds},
        {name: interval for name, interval in differences.items() if interval},
        _flawed(benchmark, one, resamples, seed),
        exploded=tuple(s for s in seeds if s in rounds and exploded(rounds[s])),
        ungraded=sum(outcome.verdict == "grader_error" for outcome in outcomes),
        unparsable=sum((Counter(answers.unparsable) for answers in benchmark.answers[one].values()), Counter()),
    )


def _flawed(benchmark: BenchmarkResults, one: Checkpoint, resamples: int, seed: int) -> Interval | None:
    """Share of the right answers that rest on a wrong step; None where unknown, or where no answer is right."""
    known = [a for a in benchmark.answers[one].values() if a.right_with_wrong_step is not None]
    right_S = [sum(answers.right_Q) for answers in known]
    flawed_S = [answers.right_with_wrong_step or 0 for answers in known]
    return share_interval(flawed_S, right_S, resamples, seed) if sum(right_S) else None
