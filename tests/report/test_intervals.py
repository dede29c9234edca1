"""Bootstrap over seeds and clusters: cases whose whole distribution is known, the normal limit, and properties."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapo.evaluate.interval import Interval
from sapo.report.stats import accuracy_interval, difference_interval, mean_interval, share_interval


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("seeds", [1, 3])
def test_equal_answers_leave_no_doubt(right: bool, seeds: int) -> None:
    assert accuracy_interval([[right] * 3] * seeds, ["a", "b", "c"], 100, 1) == Interval(right, right, right)


def test_two_clusters_of_different_size() -> None:
    """Cluster a answers 2 of 2, b 0 of 1. Draws: aa (1/4) 4/4, ab or ba (1/2) 2/3, bb (1/4) 0/2: quantiles 0 and 1."""
    assert accuracy_interval([[True, True, False]], ["a", "a", "b"], 1000, 1) == Interval(2 / 3, 0.0, 1.0)


def test_one_cluster_can_only_be_drawn_whole() -> None:
    assert accuracy_interval([[True, False, False, False]], ["a"] * 4, 100, 1) == Interval(0.25, 0.25, 0.25)


def test_two_seeds_of_one_cluster() -> None:
    """Seed 1 answers 3 of 4, seed 2 1 of 4. Draws: 11 (1/4) 0.75, 12 or 21 (1/2) 0.5, 22 (1/4) 0.25."""
    answers = [[True, True, True, False], [False, False, False, True]]
    assert accuracy_interval(answers, ["a"] * 4, 1000, 1) == Interval(0.5, 0.25, 0.75)


def test_seeds_and_clusters_are_drawn_together() -> None:
    """Seed 1 answers cluster a, seed 2 cluster b. The mean is 1 only where 1 and a, or 2 and b, are all that is drawn.

    Seeds 11 (1/4) and clusters aa (1/4): 1/16, and as much for 22 and bb: 1/8 above 2.5 %; 0 has the same chance.
    """
    assert accuracy_interval([[True, False], [False, True]], ["a", "b"], 2000, 1) == Interval(0.5, 0.0, 1.0)


def test_questions_weigh_the_same_whatever_their_cluster() -> None:
    """Cluster a: 1 of 3, b: 1 of 1. The mean is 2/4, not (1/3 + 1) / 2; every resample is 1/3, 2/4 or 1."""
    found = accuracy_interval([[True, False, False, True]], ["a", "a", "a", "b"], 1000, 1)
    assert (found.value, found.low, found.high) == (0.5, pytest.approx(1 / 3), 1.0)


def test_single_questions_approach_the_normal_interval() -> None:
    """400 questions, half right: 0.5 ± 1.96 · √(0.25 / 400) = 0.5 ± 0.049."""
    found = accuracy_interval([[True, False] * 200], [str(q) for q in range(400)], 4000, 1)
    assert found.low == pytest.approx(0.451, abs=0.004)
    assert found.high == pytest.approx(0.549, abs=0.004)


def test_single_seeds_approach_it_too() -> None:
    """The same 400 answers to one question by 400 seeds."""
    found = accuracy_interval([[True], [False]] * 200, ["q"], 4000, 1)
    assert (found.low, found.high) == (pytest.approx(0.451, abs=0.004), pytest.approx(0.549, abs=0.004))


def test_clusters_widen_the_interval() -> None:
    """The same 400 answers in 40 clusters of 10 equal ones: 0.5 ± 1.96 · √(0.25 / 40) = 0.5 ± 0.155."""
    right_Q = [q // 10 % 2 == 0 for q in range(400)]
    found = accuracy_interval([right_Q], [str(q // 10) for q in range(400)], 4000, 1)
    assert (found.low, found.high) == (pytest.approx(0.345, abs=0.015), pytest.approx(0.655, abs=0.015))


def test_seeds_with_the_same_answers_narrow_nothing() -> None:
    """Ten seeds that agree know no more about the questions than one."""
    right_Q, groups_Q = [True, False] * 20, [str(q) for q in range(40)]
    assert accuracy_interval([right_Q] * 10, groups_Q, 500, 1) == accuracy_interval([right_Q], groups_Q, 500, 1)


def test_a_paired_difference_is_narrower_than_two_intervals_apart() -> None:
    """100 questions, 50 right; the other method gets the same 50 and 10 more. Paired: 0.1 ± 1.96 · √(0.09 / 100)."""
    base_Q = [q < 50 for q in range(100)]
    more_Q = [q < 60 for q in range(100)]
    groups_Q = [f"{q:03d}" for q in range(100)]
    difference = difference_interval([more_Q], [base_Q], groups_Q, 4000, 1)
    assert difference.value == pytest.approx(0.1)
    assert (difference.low, difference.high) == (pytest.approx(0.041, abs=0.011), pytest.approx(0.159, abs=0.011))
    assert difference.better and difference.excludes_zero
    first, second = (accuracy_interval([right_Q], groups_Q, 4000, 1) for right_Q in (base_Q, more_Q))
    assert first.high > second.low  # unpaired, nothing could be said


def test_differences_are_paired_by_seed() -> None:
    """Seeds reach 1, 2 and 3 of 4, the other method one less with each: the difference is 1/4 whatever is drawn.

    With the other method's seeds turned round it is -1/4, 1/4, 3/4, each alone in 1 draw of 27 (3.7 %).
    """
    ours = [[True] * n + [False] * (4 - n) for n in (1, 2, 3)]
    theirs = [[True] * n + [False] * (4 - n) for n in (0, 1, 2)]
    assert difference_interval(ours, theirs, ["a"] * 4, 200, 1) == Interval(0.25, 0.25, 0.25)
    turned = difference_interval(ours, theirs[::-1], ["a"] * 4, 4000, 1)
    assert (turned.value, turned.low, turned.high) == (0.25, -0.25, 0.75)


def test_better_and_worse_and_neither() -> None:
    cases = [Interval(0.1, 0.01, 0.2), Interval(-0.1, -0.2, -0.01), Interval(0.1, 0.0, 0.2), Interval(-0.1, -0.2, 0.0)]
    assert [case.excludes_zero for case in cases] == [True, True, False, False]
    assert [case.better for case in cases] == [True, False, False, False]
    assert [case.below(Interval(0.1, 0.0, 0.2)) for case in cases] == [False, True, False, False]


def test_wrong_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got \[2\] and 1"):
        mean_interval([[1.0, 0.0]], ["a"], 10, 1)
    with pytest.raises(ValueError, match=r"got \[1, 2\] and 1"):
        mean_interval([[1.0], [1.0, 0.0]], ["a"], 10, 1)
    for nothing in ([], [[]]):
        with pytest.raises(ValueError, match=r"got \[0?\] and 0"):
            mean_interval(nothing, [], 10, 1)
    with pytest.raises(ValueError, match="zip"):
        difference_interval([[True, True]], [[True]], ["a", "b"], 10, 1)
    with pytest.raises(ValueError, match="zip"):
        difference_interval([[True]], [[True], [True]], ["a"], 10, 1)


def test_shares_of_counts() -> None:
    """50 of 100: 0.5 ± 1.96 · √(0.25 / 100) = 0.5 ± 0.098. Of two seeds, 0 of 10 and 10 of 10, one may be drawn twice.

    A seed without a whole says nothing, neither alone nor beside another.
    """
    found = share_interval([50], [100], 4000, 1)
    assert (found.low, found.high) == (pytest.approx(0.402, abs=0.011), pytest.approx(0.598, abs=0.011))
    assert share_interval([0, 10], [10, 10], 1000, 1) == Interval(0.5, 0.0, 1.0)
    assert share_interval([0, 1], [0, 1], 1000, 1) == Interval(1.0, 1.0, 1.0)
    for part, whole in (([], []), ([0], [0]), ([2], [1]), ([1], [1, 1])):
        with pytest.raises(ValueError, match="a share needs parts of something"):
            share_interval(part, whole, 10, 1)


def columns(seeds: int) -> st.SearchStrategy[list[tuple[tuple[bool, ...], tuple[bool, ...], str]]]:
    """Questions: the answers of two methods by seed, and a cluster."""
    answers = st.tuples(*[st.booleans()] * seeds)
    return st.lists(st.tuples(answers, answers, st.sampled_from("abcde")), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3).flatmap(columns), st.integers(0, 2**63 - 1), st.randoms())
def test_properties(rows: list[tuple[tuple[bool, ...], tuple[bool, ...], str]], seed: int, random) -> None:
    """The interval holds shares, ignores the order of questions, turns with the sign, and is 0 for equal methods."""
    right_Q_S, other_Q_S, groups_Q = zip(*rows, strict=True)
    right_S_Q, other_S_Q = ([*zip(*answers, strict=True)] for answers in (right_Q_S, other_Q_S))
    found = accuracy_interval(right_S_Q, groups_Q, 200, seed)
    assert 0 <= found.low <= found.high <= 1
    assert found.value == pytest.approx(sum(map(sum, right_S_Q)) / (len(rows) * len(right_S_Q)))
    random.shuffle(rows)
    shuffled_Q_S, _, shuffled_groups_Q = zip(*rows, strict=True)
    assert accuracy_interval([*zip(*shuffled_Q_S, strict=True)], shuffled_groups_Q, 200, seed) == found

    there = difference_interval(right_S_Q, other_S_Q, groups_Q, 200, seed)
    back = difference_interval(other_S_Q, right_S_Q, groups_Q, 200, seed)
    for one, other in ((there.value, back.value), (there.low, back.high), (there.high, back.low)):
        assert math.isclose(one, -other, abs_tol=1e-12)
    assert difference_interval(right_S_Q, right_S_Q, groups_Q, 200, seed) == Interval(0, 0, 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=4), st.integers(0, 2**63 - 1))
def test_properties_of_shares(seeds: list[tuple[int, int]], seed: int) -> None:
    """The interval holds shares, and all or nothing leaves no doubt."""
    part_S, rest_S = zip(*seeds, strict=True)
    whole_S = [part + rest for part, rest in seeds]
    if not sum(whole_S):
        return
    found = share_interval(part_S, whole_S, 200, seed)
    assert 0 <= found.low <= found.high <= 1
    assert found.value == pytest.approx(sum(part_S) / sum(whole_S))
    assert share_interval(whole_S, whole_S, 200, seed) == Interval(1, 1, 1)
    assert share_interval([0] * len(whole_S), whole_S, 200, seed) == Interval(0, 0, 0)
    assert sum(rest_S) or found.low == 1


def test_another_seed_gives_other_draws() -> None:
    right_Q, groups_Q = [q % 3 == 0 for q in range(50)], [str(q) for q in range(50)]
    found = {accuracy_interval([right_Q], groups_Q, 20, seed) for seed in range(5)}
    assert len(found) > 1
    assert len({interval.value for interval in found}) == 1
