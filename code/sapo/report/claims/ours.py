"""Each claim's test on our results: cells of comparisons, by kind of test. `verdicts.py` has the rules.

Differences in accuracy are paired by question and seed, drawn with the seed that the tables draw with, so that the
numbers are those of the tables. Costs are counts. Measures of training are compared by epoch, because an epoch sees the
same pairs as another one; intervals draw steps within each epoch (as if their batches were different pairs, which is
cautious) and seeds. Metrics of verifiers come with intervals of their own, and the interval of a difference is made of
those as if the two were independent (`mover`), which is cautious too: both judge the same trajectories.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from sapo.report.accuracies import difference
from sapo.report.claims.catalog import AccuracyTest, ChangeTest, Claim, CostTest, ProcessTest, TrendTest
from sapo.report.claims.evidence import Evidence, absence, benchmarks_of, checkpoint, name, speaks_of
from sapo.report.claims.judged import measured, mover
from sapo.report.claims.verdicts import Cell, Comparison, Quorum, cell_verdict
from sapo.report.claims.words import LABELS, MEASURES, METRICS, UNITS, judge
from sapo.report.intervals import Interval, percentile_interval
from sapo.report.names import method_name
from sapo.report.process.results import ProcessResults
from sapo.report.results import BenchmarkResults, Checkpoint, TaskResults, TrainingStep
from sapo.workspace import derive_seed


def cells(claim: Claim, evidence: Evidence) -> list[Cell]:
    """The claim on every model and benchmark that it speaks of."""
    return list(_BY_KIND[type(claim.test)](claim, evidence))


def epoch_change(logs_S: Sequence[Sequence[tuple[int, float]]], resamples: int, seed: int) -> Interval | None:
    """Mean of a measure in the last epoch minus that in the first, over seeds; None with fewer than two epochs.

    Args:
        logs_S: of each seed, (epoch, value) by step.
    """
    ends_S = []
    for log in logs_S:
        epochs = sorted({epoch for epoch, _ in log})
        if len(epochs) < 2:
            return None
        ends_S.append([np.array([v for epoch, v in log if epoch == end]) for end in (epochs[0], epochs[-1])])
    chance = np.random.default_rng(seed)
    drawn_S_R = np.array([_drawn(last, resamples, chance) - _drawn(first, resamples, chance) for first, last in ends_S])
    seeds_R_S = chance.integers(len(ends_S), size=(resamples, len(ends_S)))
    means_R = drawn_S_R[seeds_R_S, np.arange(resamples)[:, None]].mean(axis=1)
    return percentile_interval(np.mean([last.mean() - first.mean() for first, last in ends_S]), means_R)


def _drawn(values: np.ndarray, resamples: int, chance: np.random.Generator) -> np.ndarray:
    """Means of as many values drawn with replacement."""
    return values[chance.integers(len(values), size=(resamples, len(values)))].mean(axis=1)


def _accuracy(claim: Claim, evidence: Evidence) -> Iterator[Cell]:
    test = claim.test
    assert isinstance(test, AccuracyTest)
    for entry, benchmark in benchmarks_of(evidence, claim.where):
        left = checkpoint(entry, test.left)
        pairs = [(left, checkpoint(entry, said)) for said in test.right]
        yield _accuracy_cell(evidence, entry, benchmark, pairs, test.quorum)


def _trend(claim: Claim, evidence: Evidence) -> Iterator[Cell]:
    test = claim.test
    assert isinstance(test, TrendTest)
    for entry, benchmark in benchmarks_of(evidence, claim.where):
        steps = [checkpoint(entry, said) for said in test.steps]
        pairs = list(zip(steps[1:], steps, strict=False))
        yield _accuracy_cell(evidence, entry, benchmark, pairs, "all")


def _accuracy_cell(
    evidence: Evidence,
    entry: TaskResults,
    benchmark: BenchmarkResults,
    pairs: Sequence[tuple[Checkpoint, Checkpoint]],
    quorum: Quorum,
) -> Cell:
    comparisons = [_accuracy_comparison(evidence, entry, benchmark, one, other) for one, other in pairs]
    verdict = cell_verdict(comparisons, quorum)
    return Cell(entry.model, entry.task, benchmark.name, verdict, tuple(comparisons), quorum)


def _accuracy_comparison(
    evidence: Evidence, entry: TaskResults, benchmark: BenchmarkResults, one: Checkpoint, other: Checkpoint
) -> Comparison:
    what = f"{name(entry, one)} minus {name(entry, other)}"
    if missing := absence(entry, benchmark, [one, other]):
        return Comparison(what, "points", None, missing=missing)
    settings = evidence.settings
    seed = derive_seed(settings.seed, "report", entry.model, entry.task, benchmark.name)
    found = difference(benchmark, one, other, settings.report.resamples, seed)
    return Comparison(what, "points", found and found.percent, seeds=len(benchmark.seeds(one, other)))


def _cost(claim: Claim, evidence: Evidence) -> Iterator[Cell]:
    test = claim.test
    assert isinstance(test, CostTest)
    for entry in evidence.labelling:
        if entry.task not in claim.where.benchmarks or not speaks_of(evidence, claim.where, entry.model):
            continue
        if test.measure == "seconds":
            each = evidence.seconds.each.get(entry.place, {}) if evidence.seconds else {}
        else:
            each = {labeller: getattr(found.cost, test.measure) for labeller, found in entry.labellers.items()}
        unit = UNITS[test.measure]
        what = f"{unit} of {LABELS[test.more]} over those of {LABELS[test.less]}"
        if each.get(test.more) and each.get(test.less):
            times = each[test.more] / each[test.less]
            found = Comparison(what, "times", Interval(times, times, times), least=test.times)
        else:
            found = Comparison(what, "times", None, least=test.times, missing=f"{unit} were not measured")
        yield Cell(entry.model, entry.task, entry.task, cell_verdict([found]), (found,))


def _change(claim: Claim, evidence: Evidence) -> Iterator[Cell]:
    test = claim.test
    assert isinstance(test, ChangeTest)
    for entry, benchmark in benchmarks_of(evidence, claim.where):
        one = checkpoint(entry, test.method)
        seed = derive_seed(evidence.settings.seed, "report", "claims", claim.id, entry.model, entry.task)
        logs = {s: _measures(found.log, test.measure) for s, found in sorted(entry.rounds.get(one, {}).items())}
        logs = {s: log for s, log in logs.items() if log}
        change = epoch_change(list(logs.values()), evidence.settings.report.resamples, seed) if logs else None
        ends = "last epoch minus first" if test.direction == "rises" else "first epoch minus last"
        what = f"{MEASURES[test.measure]}, round {one.round} of {method_name(one.method)}, {ends}"
        if change and test.direction == "falls":
            change = Interval(-change.value, -change.high, -change.low)
        why = "trained for one epoch" if logs else "was not run"
        missing = "" if change else f"{method_name(one.method)} {why}"
        found = Comparison(what, "nats", change, seeds=len(logs), missing=missing)
        yield Cell(entry.model, entry.task, benchmark.name, cell_verdict([found]), (found,))


def _measures(log: Sequence[TrainingStep], measure: str) -> list[tuple[int, float]]:
    return [(step.epoch, step.measures[measure]) for step in log if measure in step.measures]


def _process(claim: Claim, evidence: Evidence) -> Iterator[Cell]:
    test = claim.test
    assert isinstance(test, ProcessTest)
    for entry, benchmark in benchmarks_of(evidence, claim.where):
        place = (entry.model, entry.task)
        pairs = [(more, less) for more in test.more for less in test.less]
        comparisons = [_process_comparison(evidence.process, place, test, pair) for pair in pairs]
        yield Cell(*place, benchmark.name, cell_verdict(comparisons), tuple(comparisons))


def _process_comparison(
    process: Sequence[ProcessResults], place: tuple[str, str], test: ProcessTest, pair: tuple[str, str]
) -> Comparison:
    words = METRICS[test.metric]
    what = f"{words} {judge(pair[0])} minus that of {judge(pair[1])}"
    one, other = (measured(process, place, said, test.metric) for said in pair)
    if not one or not other:
        missing = f"{words} {judge(pair[1] if one else pair[0])} was not measured"
        return Comparison(what, "points", None, least=-test.allow, missing=missing)
    return Comparison(what, "points", mover(one[0], other[0]), least=-test.allow, seeds=min(one[1], other[1]))


_BY_KIND: dict[type, Callable[[Claim, Evidence], Iterator[Cell]]] = {
    AccuracyTest: _accuracy,
    TrendTest: _trend,
    CostTest: _cost,
    ChangeTest: _change,
    ProcessTest: _process,
}
