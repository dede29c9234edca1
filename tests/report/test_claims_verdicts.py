"""Verdicts from comparisons, each worked by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sapo.evaluate.interval import Interval
from sapo.report.claims.verdicts import VERDICTS, Cell, Comparison, Verdict, cell_verdict, overall

OPPOSITE: dict[Verdict, Verdict] = {"holds": "contradicted", "contradicted": "holds"}


def points(low: float, high: float, least: float = 0.0) -> Comparison:
    return Comparison("one minus other", "points", Interval((low + high) / 2, low, high), least=least)


def times(value: float, least: float) -> Comparison:
    return Comparison("cost over cost", "times", Interval(value, value, value), least=least)


BETTER, WORSE, OPEN = points(1, 5), points(-5, -1), points(-1, 3)
ABSENT = Comparison("one minus other", "points", None, missing="it was not run")


@pytest.mark.parametrize(
    ("comparisons", "verdict"),
    [
        ([BETTER], "holds"),
        ([WORSE], "contradicted"),
        ([OPEN], "not decided"),
        ([ABSENT], "not run"),
        ([], "not run"),
        ([BETTER, BETTER], "holds"),
        ([BETTER, WORSE], "contradicted"),  # one counter-example to a claim about all
        ([BETTER, OPEN], "not decided"),
        ([ABSENT, WORSE], "contradicted"),
        ([ABSENT, BETTER], "not run"),  # only what was not run keeps it from holding
        ([ABSENT, OPEN], "not decided"),
    ],
)
def test_a_claim_about_all(comparisons: list[Comparison], verdict: Verdict) -> None:
    assert cell_verdict(comparisons) == verdict


@pytest.mark.parametrize(
    ("comparisons", "verdict"),
    [
        ([BETTER, BETTER, WORSE], "holds"),  # 2 of 3
        ([BETTER, WORSE], "contradicted"),  # 1 of 2 is not most
        ([BETTER, OPEN], "not decided"),
        ([BETTER, BETTER, ABSENT], "holds"),
        ([BETTER, ABSENT, ABSENT], "not decided"),
        ([ABSENT], "not run"),
    ],
)
def test_a_claim_about_most(comparisons: list[Comparison], verdict: Verdict) -> None:
    assert cell_verdict(comparisons, "most") == verdict


def test_an_interval_that_ends_at_0_decides_nothing() -> None:
    assert cell_verdict([points(0, 4)]) == "not decided"
    assert cell_verdict([points(-4, 0)]) == "not decided"
    assert cell_verdict([points(0, 0)]) == "not decided"


def test_a_tolerance_moves_the_bar() -> None:
    """Allowed to be 1 point below: [-0.5, 3] is met, [-2, 3] open, [-5, -2] broken."""
    found = [cell_verdict([points(low, high, least=-1)]) for low, high in ((-0.5, 3), (-2, 3), (-5, -2))]
    assert found == ["holds", "not decided", "contradicted"]


def test_a_count_is_met_where_it_reaches_the_bar() -> None:
    """At least twice the cost: 2 and 2.4 times are, 1.9 times is not; counts leave nothing open."""
    assert [cell_verdict([times(value, 2)]) for value in (2, 2.4, 1.9)] == ["holds", "holds", "contradicted"]


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [
        (["holds", "holds"], "holds"),
        (["holds", "not decided", "not run"], "holds"),
        (["contradicted", "not decided", "not run"], "contradicted"),
        (["holds", "contradicted"], "not decided"),  # cells disagree
        (["not decided", "not run"], "not decided"),
        (["not run", "not run"], "not run"),
        ([], "not run"),
    ],
)
def test_cells_must_agree(verdicts: list[Verdict], verdict: Verdict) -> None:
    assert overall(verdicts) == verdict


@given(st.lists(st.sampled_from(VERDICTS)), st.randoms())
def test_the_order_of_cells_plays_no_part_and_the_opposite_claim_has_the_opposite_verdict(
    verdicts: list[Verdict], chance: object
) -> None:
    found = overall(verdicts)
    chance.shuffle(mixed := list(verdicts))  # pyright: ignore[reportAttributeAccessIssue]
    assert overall(mixed) == found
    assert overall([OPPOSITE.get(verdict, verdict) for verdict in verdicts]) == OPPOSITE.get(found, found)


def test_the_deciding_comparison_speaks_most_against_the_claim() -> None:
    """Against bars of 0, -1 and 0 these are 3, -2 and 1 points above: the second."""
    second = points(-4, -2, least=-1)
    cell = Cell("model", "task", "task", (BETTER, second, OPEN, ABSENT))
    assert cell.deciding is second
    assert Cell("model", "task", "task", (ABSENT,)).deciding is None
