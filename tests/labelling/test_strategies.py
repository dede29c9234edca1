"""The labellers as pure strategies, driven by a truth that is known: c_j = 1 for j < error."""

import math
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sapo.labelling.detection import detect
from sapo.labelling.search import (
    SearchResult,
    Strategy,
    good_until,
    known_correct,
    omega,
    outcome,
    saps,
    saps_until_located,
    shepherd,
)


def drive(strategy: Strategy, truth: Callable[[int], bool]) -> tuple[SearchResult, list[int]]:
    """What a strategy finds, and the positions it asked for in order."""
    asked: list[int] = []
    answers: dict[int, bool] | None = None
    while True:
        try:
            wanted = next(strategy) if answers is None else strategy.send(answers)
        except StopIteration as end:
            return end.value, asked
        assert wanted or answers is None, "a strategy that waits must want something"
        asked += wanted
        answers = {j: truth(j) for j in wanted}


def first_error(error: int) -> Callable[[int], bool]:
    return lambda j: j < error


def test_labels_stand_until_the_last_good_step() -> None:
    assert good_until(0, 3) == (0, 0, 0)
    assert good_until(2, 3) == (1, 1, 0)
    assert good_until(3, 3) == (1, 1, 1)


def test_outcome_and_witness_ask_nothing() -> None:
    assert drive(outcome(3, True), first_error(1)) == (((1, 1, 1), "outcome"), [])
    assert drive(outcome(3, False), first_error(3)) == (((0, 0, 0), "outcome"), [])
    assert drive(known_correct(2), first_error(1)) == (((1, 1), "known_correct"), [])


def test_shepherd_asks_every_step_but_the_last() -> None:
    """Answers 1, 0, 1 at steps 1, 2, 3 of four; the wrong outcome is step 4's label.

    Raw labels repeat them. Monotone: the success from step 3 is a success from step 2 as well.
    """
    noisy = {1: True, 2: False, 3: True}
    assert drive(shepherd(4, False, monotone=False), noisy.__getitem__) == (((1, 0, 1, 0), "every_step"), [1, 2, 3])
    assert drive(shepherd(4, False, monotone=True), noisy.__getitem__) == (((1, 1, 1, 0), "every_step"), [1, 2, 3])


def test_shepherd_of_a_right_trajectory() -> None:
    """Asked although it ends right (witness off): the outcome overrules failed rollouts only where monotone."""
    assert drive(shepherd(3, True, monotone=False), first_error(1))[0].labels == (0, 0, 1)
    assert drive(shepherd(3, True, monotone=True), first_error(1))[0].labels == (1, 1, 1)


# Positions that bisection of 1…n visits, by steps n and first error, worked by hand: middle of low = 0 and high = n,
# rounded down; a good middle becomes low, a bad one high.
OMEGA_VISITS: dict[int, list[list[int]]] = {
    1: [[]],
    2: [[1], [1]],
    3: [[1], [1, 2], [1, 2]],
    4: [[2, 1], [2, 1], [2, 3], [2, 3]],
    5: [[2, 1], [2, 1], [2, 3], [2, 3, 4], [2, 3, 4]],
    6: [[3, 1], [3, 1, 2], [3, 1, 2], [3, 4], [3, 4, 5], [3, 4, 5]],
    7: [[3, 1], [3, 1, 2], [3, 1, 2], [3, 5, 4], [3, 5, 4], [3, 5, 6], [3, 5, 6]],
    8: [[4, 2, 1], [4, 2, 1], [4, 2, 3], [4, 2, 3], [4, 6, 5], [4, 6, 5], [4, 6, 7], [4, 6, 7]],
}


@pytest.mark.parametrize("steps", OMEGA_VISITS)
def test_omega_visits_what_bisection_visits(steps: int) -> None:
    for error, visits in enumerate(OMEGA_VISITS[steps], start=1):
        assert drive(omega(steps), first_error(error)) == ((good_until(error - 1, steps), "bisection"), visits)


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))))
def test_omega_finds_every_first_error_in_logarithmic_time(case: tuple[int, int]) -> None:
    steps, error = case
    finding, asked = drive(omega(steps), first_error(error))
    assert finding.labels == good_until(error - 1, steps)
    assert len(asked) <= math.ceil(math.log2(steps))


@pytest.mark.parametrize(
    ("detected", "answers", "asked", "labels", "case"),
    [
        (2, {2: 1, 3: 0}, [2, 3], (1, 1, 0, 0, 0), "a"),  # as pre-assigned
        (2, {2: 1, 3: 1}, [2, 3], (1, 1, 1, 0, 0), "b"),  # step 3 becomes 1
        (2, {2: 0, 3: 0}, [2, 3], (1, 0, 0, 0, 0), "c"),  # step 2 becomes 0
        (2, {2: 0, 3: 1}, [2, 3], (1, 1, 1, 0, 0), "b"),  # 0,1 cannot be: the success at 3 proves 2
        (0, {1: 0}, [1], (0, 0, 0, 0, 0), "a"),  # c_0 = 1 is free
        (0, {1: 1}, [1], (1, 0, 0, 0, 0), "b"),
        (4, {4: 1}, [4], (1, 1, 1, 1, 0), "a"),  # c_5 = 0 is the outcome, free
        (4, {4: 0}, [4], (1, 1, 1, 0, 0), "c"),
        (1, {1: 0, 2: 0}, [1, 2], (0, 0, 0, 0, 0), "c"),
    ],
)
def test_saps_verifies_two_positions_and_corrects_one_step(
    detected: int, answers: dict[int, int], asked: list[int], labels: tuple[int, ...], case: str
) -> None:
    """Five steps, wrong outcome; `detected` is t^, the answers are c at t^ and t^ + 1."""
    assert drive(saps(5, detected), lambda j: bool(answers[j])) == ((labels, case), asked)


def test_one_wrong_step_is_free() -> None:
    """n = 1: position 0 is good by definition and position 1 is the wrong outcome."""
    for strategy in (saps(1, 0), saps_until_located(1, 0, (0.5,)), omega(1)):
        finding, asked = drive(strategy, first_error(1))
        assert (finding.labels, asked) == ((0,), [])


def test_once_corrects_no_more_than_one_step() -> None:
    """Error at step 5 of 6, detected at 1: answers 1,1 → step 2 becomes 1; steps 3 and 4 stay wrongly 0."""
    assert drive(saps(6, 1), first_error(5))[0].labels == (1, 1, 0, 0, 0, 0)
    assert drive(saps_until_located(6, 1, (1.0,) * 6), first_error(5))[0].labels == (1, 1, 1, 1, 0, 0)


def test_until_located_follows_the_scores() -> None:
    """Eight steps, error at 7, t^ = 2, scores 1 1 .5 .5 .5 .5 0 0.

    Positions 2 and 3 are good, so the error is in 4…8. The largest drop there (.5) is behind step 6; asking 6
    (good) leaves 7 and 8, and asking 7 (bad) ends it. Bisection would ask 5 first.
    """
    scores = (1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.0, 0.0)
    assert detect(scores) == 2
    assert drive(saps_until_located(8, 2, scores), first_error(7)) == (((1,) * 6 + (0,) * 2, "b"), [2, 3, 6, 7])


def test_until_located_goes_down_when_the_error_is_earlier() -> None:
    """Six steps, error at 2, t^ = 4: 4 is bad, so 5 is not asked. Of 1…4 the drop .5 is behind 1: good; 2 is bad."""
    scores = (1.0, 0.5, 0.5, 0.5, 0.0, 0.0)
    assert drive(saps_until_located(6, 4, scores), first_error(2)) == (((1, 0, 0, 0, 0, 0), "c"), [4, 1, 2])


@st.composite
def located(draw: st.DrawFn) -> tuple[int, int, Sequence[float]]:
    steps = draw(st.integers(1, 40))
    scores = draw(st.lists(st.floats(0, 1), min_size=steps, max_size=steps))
    return draw(st.integers(1, steps)), draw(st.integers(0, steps - 1)), scores


@given(located())
def test_until_located_is_exact_within_its_budget(case: tuple[int, int, Sequence[float]]) -> None:
    """Whatever the scores say and wherever detection starts: the right first error, ceil(log2 n) + 2 positions."""
    error, detected, scores = case
    steps = len(scores)
    finding, asked = drive(saps_until_located(steps, detected, scores), first_error(error))
    assert finding.labels == good_until(error - 1, steps)
    assert len(asked) <= math.ceil(math.log2(steps)) + 2
    assert len(set(asked)) == len(asked) and all(0 < j < steps for j in asked)


@given(located())
def test_without_scores_until_located_is_as_exact(case: tuple[int, int, Sequence[float]]) -> None:
    error, detected, scores = case
    finding, asked = drive(saps_until_located(len(scores), detected, None), first_error(error))
    assert finding.labels == good_until(error - 1, len(scores))
    assert len(asked) <= math.ceil(math.log2(len(scores))) + 2


def test_without_scores_what_is_left_is_bisected() -> None:
    """Eight steps, error at 2, t^ = 5: 5 is bad. Of 1…4 the middle 2 is bad, then 1 is good."""
    assert drive(saps_until_located(8, 5, None), first_error(2)) == (((1,) + (0,) * 7, "c"), [5, 2, 1])


@given(located())
def test_once_agrees_with_until_located_next_to_the_error(case: tuple[int, int, Sequence[float]]) -> None:
    """Detection that is off by at most one step is corrected exactly by the paper's two positions."""
    error, _, scores = case
    steps = len(scores)
    for detected in {max(0, error - 2), error - 1, min(steps - 1, error)}:
        finding, asked = drive(saps(steps, detected), first_error(error))
        assert finding.labels == good_until(error - 1, steps)
        assert len(asked) <= 2
