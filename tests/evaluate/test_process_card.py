"""Counts of a process benchmark worked by hand, and a card that says nothing that was not counted."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sapo.evaluate.process.data_card import (
    ANNOTATORS,
    BINS,
    FIELDS,
    Facts,
    agreement,
    data_card,
    error_positions,
    kappa,
    statistics,
)
from sapo.evaluate.process.items import ProcessItem
from sapo.records import RecordError, Verdict

FACTS = Facts("lines_process", "Trajectories of lines.", "Apache-2.0", {"seed": 11, "questions lost": 5}, ("Tiny.",))


def item(
    steps: int,
    error: int | None,
    outcome: Verdict = "wrong",
    votes: tuple[int, ...] = (),
    name: str = "q0/one/0",
    annotator: str = "rollout",
) -> ProcessItem:
    question, generator, _ = name.split("/")
    texts = tuple(f"{j}\n" for j in range(steps))
    return ProcessItem(name, question, question, "P\n", texts, error, outcome, annotator, votes, generator)


ITEMS = [
    item(4, None, "right", (0, 0, 0), "q0/one/0"),
    item(4, 2, "wrong", (2, 2, 3), "q0/two/0"),
    item(2, 2, "right", (2, 2, 0), "q1/one/0"),
    item(5, 1, "unparsable", (1, 1, 1), "q1/two/0"),
    item(1, 1, "wrong", (1, 1, 1), "q2/two/0"),
]
items = st.lists(
    st.integers(1, 6).flatmap(lambda n: st.builds(item, st.just(n), st.none() | st.integers(1, n))),
    min_size=1,
    max_size=6,
).map(lambda found: [dataclasses.replace(own, id=str(i)) for i, own in enumerate(found)])
bits = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=12)


def test_counts_of_five_items_worked_by_hand() -> None:
    """Steps 4, 4, 2, 5, 1: 16, of which 4, 1, 1, 0, 0 are good; mean 3.2, median 4.

    Places (j - 1/2) / n: 3/8, 3/4, 1/10, 1/2, in fifths 2, 4, 1, 3. Of 3 votes 3, 2, 2, 3, 3 are for what was kept.
    """
    found = statistics(ITEMS)
    assert (found["items"], found["questions"], found["groups"]) == (5, 3, 3)
    assert found["labels"] == {"steps": 16, "good": 6, "good_share": 0.375}
    assert found["outcomes"] == {
        "right": {"none": 1, "early": 0, "late": 1},
        "unparsable": {"none": 0, "early": 1, "late": 0},
        "wrong": {"none": 0, "early": 1, "late": 1},
    }
    assert found["error_positions"] == [1, 1, 1, 1, 0]
    assert found["steps"] == {
        "least": 1,
        "median": 4,
        "mean": 3.2,
        "most": 5,
        "counts": {"1": 1, "2": 1, "4": 2, "5": 1},
    }
    assert found["generators"] == {
        "one": {"items": 2, "right": 2, "with_error": 1},
        "two": {"items": 3, "right": 0, "with_error": 3},
    }
    assert found["annotators"] == {"rollout": 5}
    assert found["votes"] == {"items": 5, "unanimous": 0.6, "for_kept": pytest.approx(13 / 15)}
    assert found["truth"] is None


def test_agreement_with_the_truth_worked_by_hand() -> None:
    """Said 2 of 4 and none of 2, true 3 of 4 and none of 2: labels 1000 11 and 1100 11.

    5 of 6 steps agree, one item of two. Chance: 1/2 * 2/3 + 1/2 * 1/3 = 1/2; kappa = (5/6 - 1/2) / (1/2) = 2/3.
    """
    of = [item(4, 2, name="a/m/0"), item(2, None, name="b/m/0")]
    found = agreement(of, {"a/m/0": 3, "b/m/0": None})
    assert found == {"items": 2, "steps": 5 / 6, "first_error": 0.5, "kappa": pytest.approx(2 / 3)}


def test_annotators_are_compared_with_the_truth_one_by_one() -> None:
    of = [item(2, 1, name="a/m/0", annotator="llm"), item(2, 1, name="b/m/0"), item(3, None, name="c/m/0")]
    truth = {"a/m/0": 2, "b/m/0": 1, "c/m/0": None}
    found = statistics(of, truth)["truth"]
    assert {name: own["first_error"] for name, own in found.items()} == {"llm": 0.0, "rollout": 1.0}
    with pytest.raises(RecordError, match="process item b/m/0 has no truth, 1 of 3 have none"):
        statistics(of, {"a/m/0": 2, "c/m/0": None})


@given(items)
def test_positions_count_every_error_once_and_the_truth_agrees_with_itself(of: list[ProcessItem]) -> None:
    errors = [own for own in of if own.first_error is not None]
    assert sum(error_positions(of)) == len(errors)
    assert len(error_positions(of)) == BINS
    assert sum(n for row in statistics(of)["outcomes"].values() for n in row.values()) == len(of)
    found = agreement(of, {own.id: own.first_error for own in of})
    assert (found["steps"], found["first_error"]) == (1, 1)
    assert found["kappa"] in (None, pytest.approx(1))


def test_positions_worked_by_hand() -> None:
    """1 of 2, 2 of 2, 1 of 1: places 1/4, 3/4, 1/2; an error at the start or end of ten steps is in an outer fifth."""
    assert error_positions([item(2, 1), item(2, 2), item(1, 1)]) == [0, 1, 1, 1, 0]
    assert error_positions([item(10, 1), item(10, 10), item(10, None)]) == [1, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ((1, 1, 0, 0), (1, 0, 0, 0), 0.5),
        ((1, 0), (0, 1), -1.0),
        ((1, 1), (1, 1), None),
        ((1, 1), (1, 0), 0.0),
        ((), (), None),
    ],
)
def test_kappa_worked_by_hand(ours: tuple[int, ...], theirs: tuple[int, ...], expected: float | None) -> None:
    """1, 0 against 0, 1: nothing agrees, chance gives 1/2: -1. 1, 1 against 1, 0: half agrees, as chance has it: 0."""
    assert kappa(ours, theirs) == expected


@given(bits)
def test_kappa_is_symmetric_and_at_most_one(pairs: list[tuple[int, int]]) -> None:
    ours, theirs = zip(*pairs, strict=True)
    found = kappa(ours, theirs)
    assert found == (None if found is None else pytest.approx(kappa(theirs, ours)))
    assert found is None or found <= 1 + 1e-12
    if ours != theirs:
        assert found is not None and found < 1


def test_no_items_are_refused() -> None:
    with pytest.raises(RecordError, match="no items"):
        statistics([])


def test_the_card_names_every_field_of_the_record() -> None:
    assert list(FIELDS) == [field.name for field in dataclasses.fields(ProcessItem)]


def test_the_card_says_what_was_counted_and_nothing_else() -> None:
    """One true first error is 3, 2 was said: 15 of 16 steps agree. Good are 6 and 7 of 16, chance gives
    (6 * 7 + 10 * 9) / 256 = 132 / 256, kappa is (240 - 132) / (256 - 132) = 108 / 124."""
    truth = {own.id: own.first_error for own in ITEMS} | {"q0/two/0": 3}
    card = data_card(FACTS, statistics(ITEMS, truth))
    for line in (
        "# lines_process",
        "5 trajectories of 3 questions, 16 steps.",
        "**Licence:** Apache-2.0",
        "| seed | 11 |",
        "| questions lost | 5 |",
        f"- `rollout` (5 items): {ANNOTATORS['rollout']}",
        "| outcome | first error none | first error early | first error late |",
        "| right | 1 | 0 | 1 |",
        "| 20 % to 40 % | 1 |",
        "| two | 3 | 0 | 3 |",
        "| rollout | 5 | 93.75 % | 80 % | 0.871 |",
        "- Tiny.",
    ):
        assert line in card.splitlines(), line
    assert "37.5 % of all steps are good" in card
    assert "all votes agree on 60 % of them" in card


def test_the_card_of_stored_statistics_is_the_same() -> None:
    """A file of JSON has sorted keys; columns must not follow them."""
    counted = statistics(ITEMS, {own.id: own.first_error for own in ITEMS})
    stored: Any = json.loads(json.dumps(counted, sort_keys=True))
    assert data_card(FACTS, stored) == data_card(FACTS, counted)


def test_a_card_without_votes_and_truth_has_no_empty_tables_and_escapes_bars() -> None:
    of = [item(2, 1, annotator="oracle"), item(2, None, name="q/a|b/1", annotator="oracle")]
    card = data_card(dataclasses.replace(FACTS, limits=(), balanced=False), statistics(of))
    assert "voted" not in card
    assert "against the truth" not in card
    assert "chosen for balance" not in card
    assert r"| a\|b | 1 | 0 | 0 |" in card
