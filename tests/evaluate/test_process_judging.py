"""Judgements of verifiers: every resample by its definition, pairs, seeds."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from verifier_definitions import auc, calibration_error, f1

from sapo.evaluate.interval import Interval
from sapo.evaluate.process.items import ProcessItem
from sapo.evaluate.process.metrics import Judged, best_threshold, halves, in_development, pair_up, verdicts
from sapo.evaluate.process.verifier_eval import METRICS, Judgement, across, as_scores, judge
from sapo.records import RecordError, StepLabels, StepScores

NAMES = [f"g{number}" for number in range(40)]
DEVELOPMENT = [name for name in NAMES if in_development(name)]
REPORTED = [name for name in NAMES if not in_development(name)]


def item(number: int, group: str, steps: int, error: int | None) -> ProcessItem:
    texts = tuple(f"{j}\n" for j in range(steps))
    return ProcessItem(f"i{number}", group, group, "Prompt", texts, error, "wrong", "oracle", (), "m")


def written(*made: tuple[str, int | None, tuple[float, ...]]) -> tuple[list[ProcessItem], list[StepScores]]:
    """Items and scores from group, first error, and scores."""
    items = [item(number, group, len(own), error) for number, (group, error, own) in enumerate(made)]
    return items, [StepScores(one.id, own) for one, (_, _, own) in zip(items, made, strict=True)]


@st.composite
def benchmarks(draw: st.DrawFn) -> tuple[list[ProcessItem], list[StepScores]]:
    made = []
    for number in range(draw(st.integers(1, 8))):
        group = draw(st.sampled_from(REPORTED[:3])) if number == 0 else draw(st.sampled_from([*REPORTED[:3], "g0"]))
        steps = draw(st.integers(1, 4))
        scores = draw(st.lists(st.sampled_from([0.0, 0.15, 0.5, 0.75, 1.0]), min_size=steps, max_size=steps))
        made.append((group, draw(st.sampled_from([None, *range(1, steps + 1)])), tuple(scores)))
    return written(*made)


def known(metric: Interval | None) -> Interval:
    assert metric is not None
    return metric


def by_definition(judged: list[Judged], threshold: float) -> list[float]:
    """The numbers of `METRICS` from their definitions; NaN where undefined."""
    called = verdicts(judged, threshold)
    steps = list(itertools.chain.from_iterable(called.steps))
    found = [
        sum(steps) / len(steps),
        sum(called.first_error) / len(judged),
        f1(judged, called.first_error),
        auc(judged),
        calibration_error(judged),
    ]
    return [math.nan if value is None else value for value in found]


@given(benchmarks())
def test_every_resample_is_the_metrics_of_what_it_drew(given: tuple[list[ProcessItem], list[StepScores]]) -> None:
    """Column 0 is the sample; the others hold every trajectory as often as its group was drawn."""
    found = judge(*given, seed=5, resamples=6)
    development, reported = halves(pair_up(*given))
    assert found.threshold == best_threshold(development)
    assert (found.trajectories, found.steps) == (len(reported), sum(len(one.labels) for one in reported))
    assert found.draws_M_R[:, 0] == pytest.approx(by_definition(reported, found.threshold), nan_ok=True)
    groups = sorted({one.group for one in reported})
    drawn = np.random.default_rng(5).multinomial(len(groups), [1 / len(groups)] * len(groups), 6)
    for column, times in enumerate(drawn, start=1):
        again = [one for one in reported for _ in range(times[groups.index(one.group)])]
        assert found.draws_M_R[:, column] == pytest.approx(by_definition(again, found.threshold), nan_ok=True)


def test_a_judgement_by_hand() -> None:
    """Threshold 0.5 tells the development half apart; of the reported half, scores .9 .4 (fine) and .8 .6 (wrong at 2).

    Steps: .9 and .8 are called right, .4 wrong (a miss), .6 right (a miss): 2 of 4. First errors: 2 for none, none for
    2: 0 of 2, so F1 is 0. Right .9 .4 .8, wrong .6: two of three pairs in order. Bins .4 .6 .8 .9 are off by
    .6 .6 .2 .1: 1.5 / 4.
    """
    one, other = REPORTED[:2]
    fine, wrong = (one, None, (0.9, 0.4)), (other, 2, (0.8, 0.6))
    found = judge(*written((DEVELOPMENT[0], 2, (0.6, 0.4)), fine, wrong), seed=1, resamples=200)
    values = [known(found.metrics[name]).value for name in METRICS]
    assert found.threshold == 0.5 and values == pytest.approx([0.5, 0.0, 0.0, 2 / 3, 0.375])
    # Both groups twice: (.9 .4) alone has ECE (.1 + .6) / 2, (.8 .6) alone (.2 + .6) / 2; alone neither has an F1.
    assert known(found.metrics["step_accuracy"]) == Interval(0.5, 0.5, 0.5)
    ece = known(found.metrics["calibration_error"])
    assert (ece.low, ece.high) == (pytest.approx(0.35), pytest.approx(0.4))
    assert [one.steps for one in found.bins] == [1, 1, 1, 1]


def test_undefined_numbers_have_no_interval() -> None:
    """No step is wrong: neither F1 nor AUC; step accuracy is 1 in every resample."""
    found = judge(*written((REPORTED[0], None, (0.9,)), (REPORTED[1], None, (0.8, 0.7))), seed=1, resamples=50)
    assert found.metrics["f1"] == found.metrics["auc"] is None
    assert found.metrics["step_accuracy"] == Interval(1.0, 1.0, 1.0)


def pair(good: float) -> tuple[Judgement, Judgement]:
    """Two verifiers of forty items with an error at 2: one scores wrong steps .1, the other `good`; right ones .9."""
    made = [(name, 2, (0.9, 0.1)) for name in NAMES]
    items, scores = written(*made)
    other = [StepScores(one.trajectory_id, (0.9, good if n % 3 else 0.1)) for n, one in enumerate(scores)]
    return judge(items, scores, 1, 300), judge(items, other, 1, 300)


def test_seeds_are_averaged_and_drawn() -> None:
    """Of one seed: as judged. Of two: the mean, and an interval that reaches both of them where seeds are drawn."""
    one, other = pair(0.95)
    assert across([one], 3) == one.metrics
    found = known(across([one, other], 3)["step_accuracy"])
    low = known(other.metrics["step_accuracy"]).value
    assert found.value == pytest.approx((1.0 + low) / 2)
    assert found.low <= low + 0.05 and found.high == 1.0


def test_other_resamples_are_not_averaged() -> None:
    one, _ = pair(0.95)
    items, scores = written((REPORTED[0], 2, (0.9, 0.1)))
    with pytest.raises(ValueError, match="2 judgements of 2 kinds"):
        across([one, judge(items, scores, 1, 300)], 1)
    with pytest.raises(ValueError, match="0 judgements"):
        across([], 1)


def test_a_benchmark_without_a_reported_half_is_refused() -> None:
    with pytest.raises(RecordError, match="none of 1 process items is in the half that is reported"):
        judge(*written((DEVELOPMENT[0], 1, (0.5,))), seed=1, resamples=10)


def test_labels_are_judged_as_scores() -> None:
    assert as_scores(StepLabels("t", (1, 1, 0), (), "every_step")) == StepScores("t", (1.0, 1.0, 0.0))
