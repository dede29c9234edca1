"""A process item holds together, its labels follow from its first error, and files of items come back as they were."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resealing import change as change_file
from resealing import reseal

from sapo.evaluate.efficiency import first_error
from sapo.evaluate.process.items import ProcessItem, good, read_items, write_items
from sapo.records import RecordError

ITEM = ProcessItem("q/small/0", "q", "g", "Prompt.\n", ("a\n", "b\n", "c\n"), 2, "wrong", "llm", (2, 2, 0), "small")
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)


@st.composite
def items(draw: st.DrawFn) -> ProcessItem:
    steps = tuple(draw(st.lists(TEXTS, min_size=1, max_size=6)))
    error = st.integers(1, len(steps))
    return ProcessItem(
        *draw(st.tuples(TEXTS, TEXTS, TEXTS, TEXTS)),
        steps,
        draw(st.none() | error),
        draw(st.sampled_from(["right", "wrong", "unparsable", "grader_error"])),
        draw(TEXTS),
        tuple(draw(st.lists(st.just(0) | error, max_size=3))),
        draw(TEXTS),
    )


def test_labels_are_one_before_the_first_error_and_zero_from_there_on() -> None:
    assert good(ITEM) == (1, 0, 0)
    assert good(replace(ITEM, first_error=1)) == (0, 0, 0)
    assert good(replace(ITEM, first_error=None)) == (1, 1, 1)


@given(items())
def test_labels_name_the_first_error_again(item: ProcessItem) -> None:
    assert first_error(good(item)) == item.first_error
    assert len(good(item)) == len(item.steps)


@given(st.lists(items(), max_size=4, unique_by=lambda item: item.id))
def test_a_file_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, written: list[ProcessItem]
) -> None:
    path = tmp_path_factory.mktemp("items") / "items.jsonl"
    write_items(path, written)
    assert read_items(path) == written


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": ()}, "q/small/0: there are no steps"),
        ({"steps": ("a\n", "", "c\n")}, "q/small/0: step 2 is empty"),
        ({"first_error": 4}, "q/small/0: first_error is 4, the steps are 1 to 3"),
        ({"first_error": 0}, "q/small/0: first_error is 0, the steps are 1 to 3"),
        ({"votes": (2, 4)}, "q/small/0: votes name step 4, the steps are 1 to 3"),
        ({"votes": (-1,)}, "q/small/0: votes name step -1, the steps are 1 to 3"),
        ({"outcome": "great"}, "q/small/0: outcome is 'great', not"),
        ({"generator": ""}, "q/small/0': generator is empty"),
        ({"prompt": ""}, "q/small/0': prompt is empty"),
    ],
)
def test_a_broken_item_is_refused_by_name_and_value(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RecordError, match="process item") as caught:
        replace(ITEM, **change)
    assert message in str(caught.value)


def test_a_broken_line_of_a_file_is_refused_by_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    write_items(path, [ITEM, replace(ITEM, id="q/small/1")])
    header, first, second = path.read_text(encoding="utf-8").splitlines()
    broken = json.dumps({**json.loads(second), "first_error": 9})
    path.write_text(f"{header}\n{first}\n{broken}\n", encoding="utf-8")
    reseal(path)
    with pytest.raises(RecordError) as caught:
        read_items(path)
    assert str(caught.value) == f"{path}: line 3: process item q/small/1: first_error is 9, the steps are 1 to 3"


def test_an_id_that_appears_twice_is_refused_on_the_way_out_and_in(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    with pytest.raises(RecordError, match="item 2: id 'q/small/0' appears twice"):
        write_items(path, [ITEM, ITEM])
    assert not path.exists()
    write_items(path, [ITEM, replace(ITEM, id="other")])
    change_file(path, '"other"', '"q/small/0"')
    with pytest.raises(RecordError, match="item 2: id 'q/small/0' appears twice"):
        read_items(path)
