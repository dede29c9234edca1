"""Accuracy of every method with its interval, and its paired differences to the two methods that matter most.

All methods of one benchmark are resampled alike (one seed), so that equal answers get equal intervals.
"""

from dataclasses import dataclass

from sapo.report.intervals import Interval, accuracy_interval, difference_interval
from sapo.report.results import BenchmarkResults, TaskResults
from sapo.workspace import derive_seed

REFERENCES = ("sft", "orpo_outcome")
NAMES = {
    "cot": "CoT (pretrained)",
    "sft": "SFT",
    "orpo_outcome": "ORPO on outcomes",
    "orpo_mc": "ORPO + MC supervision",
}


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Share of right answers, and its difference to every reference other than the method itself (0 to 1)."""

    questions: int
    value: Interval
    differences: dict[str, Interval]


@dataclass(frozen=True, slots=True)
class Column:
    """Accuracies of every method on one benchmark, by a model that was trained on `task`."""

    model: str
    task: str
    benchmark: str
    ungraded: int
    accuracies: dict[str, Accuracy]

    @property
    def out_of_domain(self) -> bool:
        return self.benchmark != self.task


def method_name(method: str) -> str:
    """What a reader calls the method: `sapo2` is "SAPO-iter 2"."""
    return NAMES.get(method) or f"SAPO-iter {method.removeprefix('sapo')}"


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


def _column(entry: TaskResults, benchmark: BenchmarkResults, resamples: int, seed: int) -> Column:
    groups_Q = benchmark.groups_Q
    right = {method: benchmark.right_Q(method) for method in benchmark.outcomes}
    accuracies = {}
    for method, right_Q in right.items():
        value = accuracy_interval(right_Q, groups_Q, resamples, seed)
        others = [reference for reference in REFERENCES if reference != method]
        differences = {o: difference_interval(right_Q, right[o], groups_Q, resamples, seed) for o in others}
        accuracies[method] = Accuracy(len(right_Q), value, differences)
    ungraded = sum(o.verdict == "grader_error" for outcomes in benchmark.outcomes.values() for o in outcomes)
    return Column(entry.model, entry.task, benchmark.name, ungraded, accuracies)
