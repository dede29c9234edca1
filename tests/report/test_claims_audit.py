"""The papers' own numbers: intervals worked by hand, and how orderings stand."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sapo.evaluate.interval import Interval
from sapo.report.claims.catalog import read_claims
from sapo.report.claims.printed_noise import DECISIVE, STANDINGS, claimed, count, newcombe, ordering, orderings, wilson
from sapo.report.claims.published import Row, read_published
from sapo.report.claims.verifier_metrics import mover


def row(percent: float, items: int | None = 1319, benchmark: str = "GSM8K", method: str = "SFT") -> Row:
    return Row("SAPO", "table1", "Qwen-2.5-0.5B", method, benchmark, "accuracy", percent, items)


def test_wilsons_interval() -> None:
    """Half of 100, z = 1.96: centre (.5 + 3.8416 / 200) / 1.038416 = .5, reach 1.96 * sqrt(.0025 + .00009604) /
    1.038416 = 1.96 * .0509513 / 1.038416 = .0961703."""
    found = wilson(0.5, 100)
    assert (found.low, found.high) == pytest.approx((0.4038, 0.5962), abs=5e-5)
    assert wilson(0.0, 10).low == pytest.approx(0, abs=1e-12)


def test_the_interval_of_a_difference_from_two_intervals() -> None:
    """5 [2, 8] minus 1 [-3, 5]: 4, down by sqrt(3² + 4²) = 5, up by sqrt(3² + 4²) = 5."""
    assert mover(Interval(5, 2, 8), Interval(1, -3, 5)) == Interval(4, -1, 9)


def test_newcombes_interval() -> None:
    """50 v 40 of 100: Wilson's [.4038, .5962] and [.3094, .4980]; .1 - sqrt(.0962² + .0980²) = -.0373,
    .1 + sqrt(.0962² + .0906²) = .2321."""
    found = newcombe(row(50, 100), row(40, 100))
    assert (found.value, found.low, found.high) == pytest.approx((10, -3.73, 23.21), abs=0.02)


def test_the_closest_ordering_of_table_1_is_one_question() -> None:
    """41.62 % and 41.55 % of 1,319 are 549 and 548 questions."""
    assert (count(row(41.62)), count(row(41.55))) == (549, 548)
    found = ordering(row(41.62), row(41.55))
    assert (found.items, found.standing) == (1, "noise however paired")


@pytest.mark.parametrize(
    ("more", "less", "standing"),
    [
        ((60.0, 100), (40.0, 100), "outside noise"),  # [6, 33] points
        ((46.0, 100), (40.0, 100), "only if paired"),  # 6 questions, of which a pairing can make p = 2 / 64 = .031
        ((45.0, 100), (40.0, 100), "noise however paired"),  # 5: p = 2 / 32 = .063 at best
        ((40.0, 100), (40.0, 100), "other way round"),
        ((40.0, 100), (46.0, 100), "other way round"),
        ((40.0, 100), (60.0, 100), "other way round, outside noise"),
        ((60.0, None), (40.0, 100), "items not printed"),
        ((40.0, None), (60.0, None), "other way round, items not printed"),
    ],
)
def test_how_an_ordering_stands(more: tuple[float, int | None], less: tuple[float, int | None], standing: str) -> None:
    assert ordering(row(*more), row(*less)).standing == standing


def test_the_least_decisive_difference_is_that_of_the_exact_test() -> None:
    assert 2 * 0.5**DECISIVE < 0.05 < 2 * 0.5 ** (DECISIVE - 1)


def test_prompts_of_one_task_may_count_as_one_item() -> None:
    """32 v 29 of 2,994 prompts: 3 [0.7, 5.3] by prompt; of 499 tasks 3 [-2.7, 8.7], sqrt(6) times as wide."""
    found = ordering(row(32.0, 2994, "MBPP"), row(29.0, 2994, "MBPP"))
    assert found.standing == "outside noise" and not found.outside_by_task
    assert found.interval and found.by_task
    widths = [interval.high - interval.low for interval in (found.by_task, found.interval)]
    assert widths[0] / widths[1] == pytest.approx(6**0.5, abs=0.02)
    assert ordering(row(32.0, 2994), row(29.0, 2994)).by_task is None


@given(st.integers(0, 200), st.integers(0, 200))
def test_turning_an_ordering_round_turns_its_interval_round(right: int, other: int) -> None:
    one, two = row(right / 2, 200), row(other / 2, 200)
    forth, back = newcombe(one, two), newcombe(two, one)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low), abs=1e-9)
    assert forth.low - 1e-9 <= forth.value <= forth.high + 1e-9
    assert ordering(one, two).standing in STANDINGS


def test_a_claim_is_audited_in_every_model_and_benchmark_that_it_names() -> None:
    """Table 3 has two models: 41.62 v 39.65 (549 v 523 questions) and 34.19 v 32.37 (451 v 427) without process
    feedback, both within the unpaired interval of 3.7 points."""
    (claim,) = [one for one in read_claims() if one.id == "without_process_feedback"]
    found = orderings(claim, read_published())
    assert [(one.more.percent, one.less.percent, one.items) for one in found] == [
        (41.62, 39.65, 26),
        (34.19, 32.37, 24),
    ]
    assert {one.standing for one in found} == {"only if paired"}


def test_orderings_count_once_and_not_if_only_a_claim_about_most_has_them() -> None:
    claims = {one.id: one for one in read_claims()}
    rows = read_published()
    own = [claims["sapo_beats_sft"], replace(claims["sapo_beats_sft"], id="again"), claims["sapo_beats_most"]]
    found = {one.id: orderings(one, rows) for one in own}
    assert [len(entry) for entry in found.values()] == [6, 6, 60]
    assert claimed(own, found) == found["again"]
