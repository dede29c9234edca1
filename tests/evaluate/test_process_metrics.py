"""Metrics of verifiers against hand-worked cases and against their definitions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from verifier_definitions import auc, calibration_error, f1

from sapo.evaluate.process.items import ProcessItem
from sapo.evaluate.process.metrics import (
    Bin,
    Judged,
    best_threshold,
    halves,
    in_development,
    pair_up,
    reliability,
    verdicts,
)
from sapo.labelling.search import good_until
from sapo.records import RecordError, StepScores

# Truths 1 1, 1 0 0 and 0; scores that call 1 1, 1 0 1 and 1 at .5.
FINE, WRONG, MISSED = (
    Judged("a", (1, 1), (0.9, 0.8)),
    Judged("b", (1, 0, 0), (0.7, 0.2, 0.6)),
    Judged("c", (0,), (0.6,)),
)
ALL = [FINE, WRONG, MISSED]


@st.composite
def judged(draw: st.DrawFn) -> list[Judged]:
    found = []
    for number in range(draw(st.integers(0, 6))):
        steps = draw(st.integers(1, 5))
        scores = draw(st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 1.0]), min_size=steps, max_size=steps))
        found.append(Judged(f"g{number}", good_until(draw(st.integers(0, steps)), steps), tuple(scores)))
    return found


def test_verdicts_by_hand() -> None:
    """At .5: steps 2 of 2, 2 of 3 (the third is called right), 0 of 1; first errors none, 2, and none for 1."""
    found = verdicts(ALL, 0.5)
    assert found.steps == ((True, True), (True, True, False), (False,))
    assert found.first_error == (True, True, False)


def test_f1_by_hand() -> None:
    """Of two wrong trajectories one is right (.5), of the fine ones all (1): 2 · .5 · 1 / 1.5. All missed: 0."""
    assert f1(ALL, (True, True, False)) == pytest.approx(2 / 3)
    assert f1(ALL, (False, False, False)) == 0.0
    assert f1([FINE], (True,)) is None and f1([], ()) is None


def test_auc_by_hand() -> None:
    """Right steps .9 .8 .7, wrong ones .2 .6 .6: all nine pairs are in order. A tie counts half."""
    assert auc(ALL) == 1.0
    assert auc([Judged("a", (1, 0), (0.5, 0.5))]) == 0.5
    assert auc([FINE]) is None


def test_the_threshold_by_hand() -> None:
    """.2 .6 .6 wrong, .7 .8 .9 right: anything above .6 up to .7 makes no mistake; the lowest is nearest to .5."""
    threshold = best_threshold(ALL)
    assert 0.6 < threshold < 0.600001
    assert all(all(own) for own in verdicts(ALL, threshold).steps)
    assert best_threshold([]) == 0.5
    assert best_threshold([Judged("a", (1, 0), (0.6, 0.4))]) == 0.5


@given(judged())
def test_no_threshold_is_better_on_the_development_half(trajectories: list[Judged]) -> None:
    def right(threshold: float) -> int:
        return sum(sum(own) for own in verdicts(trajectories, threshold).steps)

    best = best_threshold(trajectories)
    for threshold in (0.0, 0.05, 0.2, 0.4, 0.5, 0.6, 0.9, 1.0):
        assert right(best) >= right(threshold)
        if right(best) == right(threshold):
            assert abs(best - 0.5) <= abs(threshold - 0.5) + 1e-9


def test_calibration_by_hand() -> None:
    """.9 in the last bin and right; .6 .6 .7 in two bins: .6 .6 wrong, .7 right; .2 wrong; .8 right.

    Distances .1 .2 .3 | .6 .6 | .2 in six steps: (.1 + .2 + .3 + 2 · .6 + .2) / 6.
    """
    assert reliability([Judged("a", (1, 0), (1.0, 0.95))]) == [Bin(2, 0.975, 0.5)]
    assert calibration_error(ALL) == pytest.approx((0.1 + 0.2 + 0.3 + 1.2 + 0.2) / 6)
    assert calibration_error([]) == 0.0


@given(judged())
def test_bins_hold_every_step(trajectories: list[Judged]) -> None:
    bins = reliability(trajectories)
    assert sum(one.steps for one in bins) == sum(len(one.scores) for one in trajectories)
    assert 0.0 <= calibration_error(trajectories) <= 1.0


def test_halves_keep_groups_together_and_are_halves() -> None:
    many = [Judged(f"group {number // 2}", (1,), (0.5,)) for number in range(2000)]
    development, reported = halves(many)
    assert not {one.group for one in development} & {one.group for one in reported}
    assert 0.45 < len(development) / len(many) < 0.55
    assert in_development(development[0].group) and not in_development(reported[0].group)


def test_scores_of_other_items_are_refused() -> None:
    item = ProcessItem("i", "q", "g", "Prompt", ("a\n", "b\n"), 2, "wrong", "oracle", (), "m")
    assert pair_up([item], [StepScores("i", (0.5, 0.5))]) == [Judged("g", (1, 0), (0.5, 0.5))]
    with pytest.raises(RecordError, match="scores of 1 trajectories are not those of the 1 process items"):
        pair_up([item], [StepScores("j", (0.5, 0.5))])
    with pytest.raises(RecordError, match="process item i has 2 steps and 1 scores"):
        pair_up([item], [StepScores("i", (0.5,))])
