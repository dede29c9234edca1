"""Claims tested on the run's results: a cell of comparisons a model and benchmark. `verdicts.py` has the rules.

Accuracies are paired by question and seed and drawn with the seed of the tables. Costs are counts. Measures of training
are compared by epoch, because epochs see the same pairs; intervals draw steps within each epoch, and seeds. Differences
of verifier metrics get their interval from those of the two sides as if independent (`mover`), which is cautious.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from sapo.evaluate.interval import Interval, percentile_interval
from sapo.report.accuracies import difference
from sapo.report.claims.catalog import AccuracyTest, ChangeTest, Claim, CostTest, ProcessTest, TrendTest
from sapo.report.claims.evidence import Evidence, absence, benchmarks_of, checkpoint, name, speaks_of
from sapo.report.claims.verdicts import Cell, Comparison
from sapo.report.claims.verifier_metrics import measured, mover
from sapo.report.claims.wording import LABELS, MEASURES, METRICS, UNITS, judge
from sapo.report.efficiency import Seconds, TaskEfficiency
from sapo.report.names import method_name
from sapo.report.process_records import ProcessResults
from sapo.report.run_records import BenchmarkResults, TaskResults
from sapo.runtime.workspace import derive_seed


def cells(claim: Claim, evidence: Evidence) -> list[Cell]:
    """The claim on every model and benchmark that it speaks of."""
    test = claim.test
    if isinstance(test, CostTest):
        labelled = [e for e in evidence.labelling if e.task in claim.where.benchmarks]
        labelled = [e for e in labelled if speaks_of(evidence, claim.where, e.model)]
        return [Cell(e.model, e.task, e.task, (_cost(test, e, evidence.seconds),)) for e in labelled]
    quorum = test.quorum if isinstance(test, AccuracyTest) else "all"
    return [
        Cell(entry.model, entry.task, benchmark.name, _comparisons(claim, evidence, entry, benchmark), quorum)
        for entry, benchmark in benchmarks_of(evidence, claim.where)
    ]


def _comparisons(
    claim: Claim, evidence: Evidence, entry: TaskResults, benchmark: BenchmarkResults
) -> tuple[Comparison, ...]:
    match claim.test:
        case AccuracyTest(left, right):
            return tuple(_accuracy(evidence, entry, benchmark, (left, other)) for other in right)
        case TrendTest(steps):
            return tuple(_accuracy(evidence, entry, benchmark, pair) for pair in zip(steps[1:], steps, strict=False))
        case ChangeTest() as test:
            return (_change(claim.id, test, evidence, entry),)
        case ProcessTest() as test:
            found = [own for own in evidence.process if (own.model, own.task) == (entry.model, entry.task)]
            return tuple(_process(found, test, pair) for pair in itertools.product(test.more, test.less))
        case CostTest():
            raise TypeError("costs have no benchmark")


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


def _accuracy(evidence: Evidence, entry: TaskResults, benchmark: BenchmarkResults, said: tuple[str, str]) -> Comparison:
    one, other = (checkpoint(entry, name) for name in said)
    what = f"{name(entry, one)} minus {name(entry, other)}"
    if missing := absence(entry, benchmark, [one, other]):
        return Comparison(what, "points", None, missing=missing)
    settings = evidence.settings
    seed = derive_seed(settings.seed, "report", entry.model, entry.task, benchmark.name)
    found = difference(benchmark, one, other, settings.report.resamples, seed)
    return Comparison(what, "points", found and found.percent, seeds=len(benchmark.seeds(one, other)))


def _cost(test: CostTest, entry: TaskEfficiency, seconds: Seconds | None) -> Comparison:
    if test.measure == "seconds":
        each = seconds.each.get(entry.place, {}) if seconds else {}
    else:
        each = {labeller: getattr(found.cost, test.measure) for labeller, found in entry.labellers.items()}
    unit = UNITS[test.measure]
    what = f"{unit} of {LABELS[test.more]} over those of {LABELS[test.less]}"
    if not each.get(test.more) or not each.get(test.less):
        return Comparison(what, "times", None, least=test.times, missing=f"{unit} were not measured")
    times = each[test.more] / each[test.less]
    return Comparison(what, "times", Interval(times, times, times), least=test.times)


def _change(claim: str, test: ChangeTest, evidence: Evidence, entry: TaskResults) -> Comparison:
    one = checkpoint(entry, test.method)
    seed = derive_seed(evidence.settings.seed, "report", "claims", claim, entry.model, entry.task)
    rounds = [found for _, found in sorted(entry.rounds.get(one, {}).items())]
    logs = [[(s.epoch, s.measures[test.measure]) for s in own.log if test.measure in s.measures] for own in rounds]
    logs = [log for log in logs if log]
    change = epoch_change(logs, evidence.settings.report.resamples, seed) if logs else None
    ends = "last epoch minus first" if test.direction == "rises" else "first epoch minus last"
    what = f"{MEASURES[test.measure]}, round {one.round} of {method_name(one.method)}, {ends}"
    if change and test.direction == "falls":
        change = Interval(-change.value, -change.high, -change.low)
    missing = f"{method_name(one.method)} {'trained for one epoch' if logs else 'was not run'}"
    return Comparison(what, "nats", change, seeds=len(logs), missing="" if change else missing)


def _process(found: Sequence[ProcessResults], test: ProcessTest, pair: tuple[str, str]) -> Comparison:
    words = METRICS[test.metric]
    what = f"{words} {judge(pair[0])} minus that of {judge(pair[1])}"
    one, other = (measured(found[0], said, test.metric) if found else None for said in pair)
    if not one or not other:
        missing = f"{words} {judge(pair[1] if one else pair[0])} was not measured"
        return Comparison(what, "points", None, least=-test.allow, missing=missing)
    return Comparison(what, "points", mover(one[0], other[0]), least=-test.allow, seeds=min(one[1], other[1]))
