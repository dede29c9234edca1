"""Clustered bootstrap: cases whose whole distribution is known, the normal limit, and properties."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapo.report.intervals import Interval, accuracy_interval, difference_interval, mean_interval


@pytest.mark.parametrize("right", [True, False])
def test_equal_answers_leave_no_doubt(right: bool) -> None:
    assert accuracy_interval([right] * 3, ["a", "b", "c"], 100, 1) == Interval(right, right, right)


def test_two_clusters_of_different_size() -> None:
    """Cluster a answers 2 of 2, b 0 of 1. Draws: aa (1/4) 4/4, ab or ba (1/2) 2/3, bb (1/4) 0/2: quantiles 0 and 1."""
    assert accuracy_interval([True, True, False], ["a", "a", "b"], 1000, 1) == Interval(2 / 3, 0.0, 1.0)


def test_one_cluster_can_only_be_drawn_whole() -> None:
    assert accuracy_interval([True, False, False, False], ["a"] * 4, 100, 1) == Interval(0.25, 0.25, 0.25)


def test_questions_weigh_the_same_whatever_their_cluster() -> None:
    """Cluster a: 1 of 3, b: 1 of 1. The mean is 2/4, not (1/3 + 1) / 2; every resample is 1/3, 2/4 or 1."""
    found = accuracy_interval([True, False, False, True], ["a", "a", "a", "b"], 1000, 1)
    assert (found.value, found.low, found.high) == (0.5, pytest.approx(1 / 3), 1.0)


def test_single_questions_approach_the_normal_interval() -> None:
    """400 questions, half right: 0.5 ± 1.96 · √(0.25 / 400) = 0.5 ± 0.049."""
    found = accuracy_interval([True, False] * 200, [str(q) for q in range(400)], 4000, 1)
    assert found.low == pytest.approx(0.451, abs=0.004)
    assert found.high == pytest.approx(0.549, abs=0.004)


def test_clusters_widen_the_interval() -> None:
    """The same 400 answers in 40 clusters of 10 equal ones: 0.5 ± 1.96 · √(0.25 / 40) = 0.5 ± 0.155."""
    right_Q = [q // 10 % 2 == 0 for q in range(400)]
    found = accuracy_interval(right_Q, [str(q // 10) for q in range(400)], 4000, 1)
    assert (found.low, found.high) == (pytest.approx(0.345, abs=0.015), pytest.approx(0.655, abs=0.015))


def test_a_paired_difference_is_narrower_than_two_intervals_apart() -> None:
    """100 questions, 50 right; the other method gets the same 50 and 10 more. Paired: 0.1 ± 1.96 · √(0.09 / 100)."""
    base_Q = [q < 50 for q in range(100)]
    more_Q = [q < 60 for q in range(100)]
    groups_Q = [f"{q:03d}" for q in range(100)]
    difference = difference_interval(more_Q, base_Q, groups_Q, 4000, 1)
    assert difference.value == pytest.approx(0.1)
    assert (difference.low, difference.high) == (pytest.approx(0.041, abs=0.011), pytest.approx(0.159, abs=0.011))
    assert difference.better and difference.excludes_zero
    first, second = (accuracy_interval(right_Q, groups_Q, 4000, 1) for right_Q in (base_Q, more_Q))
    assert first.high > second.low  # unpaired, nothing could be said


def test_better_and_worse_and_neither() -> None:
    cases = [Interval(0.1, 0.01, 0.2), Interval(-0.1, -0.2, -0.01), Interval(0.1, 0.0, 0.2), Interval(-0.1, -0.2, 0.0)]
    assert [case.excludes_zero for case in cases] == [True, True, False, False]
    assert [case.better for case in cases] == [True, False, False, False]


def test_wrong_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="got 2 and 1"):
        mean_interval([1.0, 0.0], ["a"], 10, 1)
    with pytest.raises(ValueError, match="got 0 and 0"):
        mean_interval([], [], 10, 1)
    with pytest.raises(ValueError, match="zip"):
        difference_interval([True, True], [True], ["a", "b"], 10, 1)


answers = st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from("abcde")), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(answers, st.integers(0, 2**63 - 1), st.randoms())
def test_properties(rows: list[tuple[bool, bool, str]], seed: int, random) -> None:
    """The interval holds shares, ignores the order of questions, turns with the sign, and is 0 for equal methods."""
    right_Q, other_Q, groups_Q = zip(*rows, strict=True)
    found = accuracy_interval(right_Q, groups_Q, 200, seed)
    assert 0 <= found.low <= found.high <= 1
    assert found.value == pytest.approx(sum(right_Q) / len(rows))
    random.shuffle(rows)
    shuffled_Q, _, shuffled_groups_Q = zip(*rows, strict=True)
    assert accuracy_interval(shuffled_Q, shuffled_groups_Q, 200, seed) == found

    there = difference_interval(right_Q, other_Q, groups_Q, 200, seed)
    back = difference_interval(other_Q, right_Q, groups_Q, 200, seed)
    for one, other in ((there.value, back.value), (there.low, back.high), (there.high, back.low)):
        assert math.isclose(one, -other, abs_tol=1e-12)
    assert difference_interval(right_Q, right_Q, groups_Q, 200, seed) == Interval(0, 0, 0)


def test_another_seed_gives_other_draws() -> None:
    right_Q, groups_Q = [q % 3 == 0 for q in range(50)], [str(q) for q in range(50)]
    found = {accuracy_interval(right_Q, groups_Q, 20, seed) for seed in range(5)}
    assert len(found) > 1
    assert len({interval.value for interval in found}) == 1
