"""Math-Shepherd's lines become items; what has no step or no label is counted, what is broken is named."""

from pathlib import Path
from typing import Any

import pytest
from process_files import save

from sapo.evaluate.process.items import ProcessItem
from sapo.evaluate.process.math_shepherd import read_math_shepherd
from sapo.records import RecordError


def shepherd(marks: str, text: str = "How many? Step 1: 2 + 2 = 4. ки\nStep 2: 4 * 2 = 9. ки\nStep 3: So 8. ки") -> Any:
    """A line of Math-Shepherd: a mark in place of each tag."""
    label = text
    for mark in marks:
        label = label.replace("ки", mark, 1)
    return {"input": text, "label": label, "task": "GSM8K"}


def test_a_line_of_math_shepherd_is_read(tmp_path: Path) -> None:
    """+ - +: the second step is wrong, and the right end does not mend it."""
    assert read_math_shepherd(save(tmp_path, shepherd("+-+"))).items == [
        ProcessItem(
            *("math_shepherd/0", "math_shepherd/0", "math_shepherd/0", "How many?"),
            ("Step 1: 2 + 2 = 4.\n", "Step 2: 4 * 2 = 9.\n", "Step 3: So 8."),
            *(2, "right", "rollout", (2,), "math_shepherd GSM8K"),
        )
    ]


def test_marks_say_which_steps_and_whether_the_answer_is_right(tmp_path: Path) -> None:
    texts = [f"Q{i}? Step 1: a - b ки\nStep 2: c\nd + e ки\n" for i in range(3)]
    rows = [shepherd(marks, text) for marks, text in zip(("++", "+-", "--"), texts, strict=True)]
    found = read_math_shepherd(save(tmp_path, *rows)).items
    assert [(item.first_error, item.outcome, item.votes) for item in found] == [
        (None, "right", (0,)),
        (2, "wrong", (2,)),
        (1, "wrong", (1,)),
    ]
    assert found[0].steps == ("Step 1: a - b\n", "Step 2: c\nd + e")


def test_lines_of_math_shepherd_without_steps_or_labels_are_counted(tmp_path: Path) -> None:
    rows = [shepherd("+", "Q? Just 4. ки"), shepherd("+", "Q? Step 1: a ки\nStep 2: b"), shepherd("+", "Step 1: a ки")]
    found = read_math_shepherd(save(tmp_path, *rows, shepherd("+-+"), shepherd("+++")))
    assert [item.first_error for item in found.items] == [2]
    assert found.left_out == {
        "a step without a label": 1,
        "no question, no 'Step 1:' or an empty step": 2,
        "repeated": 1,
    }


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (shepherd("+-"), "label is not the input with + or - for each tag: "),
        (shepherd("+-*"), "label is not the input with + or - for each tag: "),
        ({**shepherd("+-+"), "label": "+-+"}, "label is not the input with + or - for each tag: '+-+'"),
        (shepherd("", "How many? Step 1: 4."), "input has no step tag 'ки': 'How many? Step 1: 4.'"),
        ({"input": "Q? Step 1: a ки", "label": "Q? Step 1: a +"}, "field 'task' is missing"),
        ({**shepherd("+-+"), "input": None}, "input is null, not str"),
    ],
)
def test_a_broken_line_of_math_shepherd_is_named(tmp_path: Path, broken: Any, message: str) -> None:
    path = save(tmp_path, shepherd("+-+"), broken)
    with pytest.raises(RecordError) as caught:
        read_math_shepherd(path)
    assert str(caught.value).startswith(f"{path}: line 2: {message}")
