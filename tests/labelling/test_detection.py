"""Detection of the first error (SAPO eq. 8-10). Scores are binary fractions, so that ties are exact."""

import pytest

from sapo.labelling.detection import detect, random_position
from sapo.runtime.workspace import derive_seed


@pytest.mark.parametrize(
    ("scores", "last_good"),
    [
        ((1.0, 1.0, 0.25, 0.25), 2),  # drops 0, 0, .75, 0
        ((0.25, 0.25, 0.25), 0),  # drops .75, 0, 0: the virtual start lets step 1 be the suspect
        ((1.0, 0.75, 0.75, 0.0), 3),  # drops 0, .25, 0, .75: the last step is the suspect
        ((0.5, 1.0, 0.25), 2),  # drops .5, -.5, .75: a rise on the way does not matter
        ((0.25, 0.5, 1.0), 0),  # drops .75, -.25, -.5
    ],
)
def test_the_largest_drop_is_behind_the_last_good_step(scores: tuple[float, ...], last_good: int) -> None:
    assert detect(scores) == last_good


@pytest.mark.parametrize(
    ("scores", "last_good"),
    [
        ((0.75, 0.5, 0.25), 0),  # drops .25, .25, .25
        ((1.0, 0.5, 0.5, 0.0), 1),  # drops 0, .5, 0, .5
        ((1.0, 1.0, 1.0), 0),  # drops 0, 0, 0: nothing falls, the first step is as good a suspect as any
    ],
)
def test_ties_go_to_the_earliest(scores: tuple[float, ...], last_good: int) -> None:
    assert detect(scores) == last_good


def test_without_the_virtual_start_the_first_step_is_never_the_suspect() -> None:
    """Scores .25, .25, 0: drops .75 (virtual), 0, .25. Without the first, .25 at j = 2 is the largest."""
    assert detect((0.25, 0.25, 0.0)) == 0
    assert detect((0.25, 0.25, 0.0), virtual_start=False) == 2
    assert detect((0.75, 0.5, 0.25), virtual_start=False) == 1  # drops .25, .25 at j = 1, 2: earliest


def test_a_single_step_is_the_suspect_whatever_the_switches() -> None:
    """n = 1 leaves only j = 0: without a virtual start there would be nothing to choose from."""
    assert detect((0.5,)) == detect((1.0,)) == 0
    assert detect((0.5,), virtual_start=False) == detect((0.5,), "rise", False) == 0


def test_no_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one step"):
        detect(())


def test_the_printed_sign_finds_the_wrong_place() -> None:
    """Step 3 is wrong and the verifier sees it: scores 1, 1, .25, .5, drops 0, 0, .75, -.25.

    Eq. 8-10 as printed look for the largest c^_{j+1} - c^_j over j ≥ 1: 0, -.75, .25. That is j = 3, which makes
    step 4 the suspect and steps 1…3, the wrong one among them, good.
    """
    scores = (1.0, 1.0, 0.25, 0.5)
    assert detect(scores) == 2
    assert detect(scores, sign="rise", virtual_start=False) == 3
    assert detect(scores, sign="rise") == 3  # rises 0, 0, -.75, .25


def test_a_random_position_is_any_of_0_to_n_minus_1() -> None:
    """5,000 seeds, 5 steps: 1,000 each, chi-square with 4 degrees of freedom below 23.5 (one in 10,000)."""
    drawn = [random_position(5, derive_seed(1, "detect", f"t{i}")) for i in range(5000)]
    counts = [drawn.count(j) for j in range(5)]
    assert sum(counts) == 5000
    assert sum((count - 1000) ** 2 / 1000 for count in counts) < 23.5


def test_a_random_position_of_one_step_is_0_and_of_none_is_refused() -> None:
    assert random_position(1, derive_seed(1)) == 0
    with pytest.raises(ValueError, match="0 steps"):
        random_position(0, 1)
