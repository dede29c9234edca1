"""ProcessBench and PRM800K files become items, items become a ProcessBench file, and what is broken is named."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from process_files import ROW, line, prm800k, save, step

from sapo.evaluate.process.formats import read_prm800k, read_processbench, write_processbench
from sapo.evaluate.process.items import ProcessItem
from sapo.records import RecordError

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """A row of ProcessBench; problems repeat, as they do there."""
    steps = draw(st.lists(TEXTS, min_size=1, max_size=4))
    return {
        "id": draw(TEXTS),
        "generator": draw(TEXTS),
        "problem": draw(st.sampled_from(["one?", "two?"])),
        "steps": steps,
        "final_answer_correct": draw(st.booleans()),
        "label": draw(st.integers(-1, len(steps) - 1)),
    }


def test_a_row_of_processbench_is_read(tmp_path: Path) -> None:
    """Label 1, counted from 0, is step 2; blank lines stood between the steps."""
    item = ProcessItem(
        "gsm8k-0",
        "gsm8k-0",
        "gsm8k-0",
        "How many?",
        ("There are 2.\n\n", "Twice 2 is 5.\n\n", "So 5."),
        2,
        "wrong",
        "people",
        (),
        "small",
    )
    assert read_processbench(save(tmp_path, ROW)) == [item]
    (tmp_path / "list.json").write_text(json.dumps([ROW], indent=2), encoding="utf-8")
    assert read_processbench(tmp_path / "list.json") == [item]


def test_minus_one_is_no_error_and_one_problem_is_one_question(tmp_path: Path) -> None:
    path = save(tmp_path, ROW, {**ROW, "id": "gsm8k-1", "label": -1, "final_answer_correct": True})
    first, second = read_processbench(path)
    assert (second.first_error, second.outcome) == (None, "right")
    assert second.question_id == second.group == first.id


@given(st.lists(rows(), max_size=4, unique_by=lambda row: row["id"]), st.sampled_from(["", "\n", "\n\n"]))
def test_processbench_rows_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, written: list[dict[str, Any]], separator: str
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    (folder / "in.json").write_text(json.dumps(written), encoding="utf-8")
    items = read_processbench(folder / "in.json", separator)
    write_processbench(folder / "out.json", items, separator)
    assert json.loads((folder / "out.json").read_text(encoding="utf-8")) == written
    assert read_processbench(folder / "out.json", separator) == items


def test_items_of_any_task_keep_their_steps_without_a_separator(tmp_path: Path) -> None:
    """Three verdicts but `right` are written as an answer that is not correct."""
    item = ProcessItem("q/m/0", "q", "g", "Prompt.\n", ("a\n\n  ", "b"), 2, "unparsable", "oracle", (), "m")
    write_processbench(tmp_path / "out.json", [item], "")
    (back,) = read_processbench(tmp_path / "out.json", "")
    assert (back.id, back.prompt, back.steps, back.first_error, back.generator) == (
        *(item.id, item.prompt, item.steps, item.first_error, item.generator),
    )
    assert back.outcome == "wrong"
    with pytest.raises(RecordError, match=r"out.json: step 1 of item q/m/0 is 'a\\n\\n  ', no text with '\\n\\n'"):
        write_processbench(tmp_path / "out.json", [item])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": []}, "steps is empty: there are no steps"),
        ({"steps": ["a", "", "c"]}, "steps[1] is empty"),
        ({"steps": ["a", None]}, "steps[1] is null, not str"),
        ({"label": 3}, "label is 3, not -1 (no wrong step) to 2, the last step"),
        ({"label": -2}, "label is -2, not -1 (no wrong step) to 2, the last step"),
        ({"label": True}, "label is true, not int"),
        ({"label": "one"}, 'label is "one", not int'),
        ({"label": 0.5}, "label is 0.5, not int"),
        ({"label": float("nan")}, "label is null, not int"),
        ({"final_answer_correct": 2}, "final_answer_correct is 2, neither true nor false"),
        ({"final_answer_correct": "yes"}, 'final_answer_correct is "yes", not bool or int'),
        ({"steps": "['There are 2.' 'Twice 2 is 5.']"}, """steps is "['There are 2.' 'Twice 2 is 5.']", not list"""),
        ({"problem": ""}, "problem is empty"),
    ],
)
def test_a_broken_row_of_processbench_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = save(tmp_path, ROW, {**ROW, "id": "gsm8k-1", **change})
    with pytest.raises(RecordError) as caught:
        read_processbench(path)
    assert str(caught.value) == f"{path}: line 2: {message}"


@pytest.mark.parametrize("key", sorted(ROW))
def test_a_missing_field_is_named_with_the_line_in_a_list_too(tmp_path: Path, key: str) -> None:
    path = tmp_path / "list.json"
    broken = {k: value for k, value in ROW.items() if k != key}
    path.write_text(f"[\n{json.dumps({**ROW, 'id': 'other'})},\n\n {json.dumps(broken)}]", encoding="utf-8")
    with pytest.raises(RecordError) as caught:
        read_processbench(path)
    assert str(caught.value) == f"{path}: line 4: field {key!r} is missing"


@pytest.mark.parametrize("read", [read_processbench, read_prm800k])
def test_truncated_files_are_refused_with_the_line(tmp_path: Path, read: Any) -> None:
    path = tmp_path / "cut.jsonl"
    whole = json.dumps(line([1]))
    for text, where in ((whole[:50], 1), (f"[\n {whole[:70]}", 2), (f"[{whole},\n", 2)):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(RecordError, match=rf"cut.jsonl: line {where}: not JSON"):
            read(path)
    path.write_text("", encoding="utf-8")
    with pytest.raises(RecordError, match=r"cut.jsonl: the file is empty"):
        read(path)
    with pytest.raises(RecordError, match="no such file"):
        read(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("ratings", "neutral_good", "neutral_bad"),
    [([1, 1, 1], None, None), ([1, 0, -1], 3, 2), ([0, 1, 1], None, 1), ([-1, 0, 1], 1, 1)],
)
def test_ratings_name_the_first_error(
    tmp_path: Path, ratings: list[int], neutral_good: int | None, neutral_bad: int | None
) -> None:
    (lenient,) = prm800k(tmp_path, line(ratings)).items
    (strict,) = prm800k(tmp_path, line(ratings), neutral_is_good=False).items
    assert (lenient.first_error, strict.first_error) == (neutral_good, neutral_bad)
    assert (lenient.votes, strict.votes) == ((neutral_good or 0,), (neutral_bad or 0,))
    assert lenient.steps == ("1a\n", "2a\n", "3a")


def test_the_trajectory_takes_the_chosen_step_or_the_one_written_by_hand(tmp_path: Path) -> None:
    """The second candidate of step 1, a step by hand, which is right, then a step by hand that was corrected to -1."""
    by_hand = {"text": "by hand", "rating": None, "source": "human", "flagged": False, "corrected_rating": None}
    steps = [
        step(-1, 1, chosen=1, name="1"),
        step(-1, -1, chosen=None, human=by_hand, name="2"),
        step(-1, chosen=None, human={**by_hand, "text": "mended", "corrected_rating": -1}, name="3"),
    ]
    (item,) = prm800k(tmp_path, line(steps)).items
    assert item.steps == ("1b\n", "by hand\n", "mended")
    assert (item.first_error, item.outcome, item.generator) == (3, "right", "prm800k phase 1")


def test_phase_two_goes_on_after_the_first_error(tmp_path: Path) -> None:
    """Labelling stopped at step 2, of whose candidates the pre-generated one, 2b, is wrong; two steps follow it."""
    steps = [1, step(1, -1, 0, chosen=None, name="2")]
    whole = ["1a", "2b", "3", "4"]
    row = line(steps, "found_error", pre_generated_steps=whole, pre_generated_answer="5") | {"generation": 9}
    (item,) = prm800k(tmp_path, row).items
    assert item.steps == ("1a\n", "2b\n", "3\n", "4")
    assert (item.first_error, item.outcome) == (2, "wrong")
    assert item.generator == "prm800k phase 2, generation 9"


def test_an_error_need_not_make_the_answer_wrong_and_may_hide_it(tmp_path: Path) -> None:
    """The same error with the true answer 4; then without what followed it, so that nobody knows the answer."""
    steps = [1, step(-1, chosen=None, name="2")]
    lucky = line(steps, "found_error", pre_generated_steps=["1a", "2a", "3"], pre_generated_answer="4")
    cut = line(steps, "found_error")
    other = line(
        steps, "found_error", pre_generated_steps=["another", "2a", "3"], pre_generated_answer="5", problem="?"
    )
    found = prm800k(tmp_path, lucky, cut, other).items
    assert [item.outcome for item in found] == ["right", "unparsable", "unparsable"]
    assert [len(item.steps) for item in found] == [3, 2, 2]
    assert found[0].question_id == found[1].question_id != found[2].question_id


def test_answers_are_compared_as_mathematics(tmp_path: Path) -> None:
    row = line([-1], "found_error", pre_generated_steps=["1a"], pre_generated_answer="4.0")
    (item,) = read_prm800k(save(tmp_path, row)).items
    assert item.outcome == "right"


def test_lines_without_a_judged_trajectory_are_counted_by_reason(tmp_path: Path) -> None:
    found = prm800k(
        tmp_path,
        line([1], "give_up"),
        line([1], "bad_problem"),
        line([1, step(None, name="2")]),
        line([1, {"completions": None, "human_completion": None, "chosen_completion": None}]),
        line([1, 1], "found_error"),
        line([1, 1]),
        line([1, 0]),
    )
    assert [item.id for item in found.items] == ["prm800k/5"]
    assert found.left_out == {
        "bad_problem": 1,
        "a step without a rating": 1,
        "a step without candidates": 1,
        "found_error without a step rated -1": 1,
        "give_up": 1,
        "repeated": 1,
    }


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (line([1, 2]), "label.steps[1].completions[0].rating is 2, not -1, 0 or 1"),
        (line([step(1, True)]), "label.steps[0].completions[1].rating is true, not -1, 0 or 1"),
        (line([]), "label.steps is empty: there are no steps"),
        (line([step(1, chosen=1)]), "label.steps[0].chosen_completion is 1, there are 1 completions"),
        (line([step(1, chosen=-1)]), "label.steps[0].chosen_completion is -1, there are 1 completions"),
        (
            line([step(1, chosen=None), 1]),
            "label.steps[0].chosen_completion is null without a human_completion, yet steps follow",
        ),
        (line([step(chosen=None)]), "label.steps[0].completions is empty, and no step was written by hand"),
        (line([{"completions": []}]), "label.steps[0] has no field 'chosen_completion'"),
        (line([1], "tired"), "label.finish_reason is 'tired', not solution, found_error, bad_problem or give_up"),
        (line([1], problem=""), "question.problem is empty"),
        (line([1], pre_generated_steps=["1a", ""]), "question.pre_generated_steps[1] is empty"),
        ({"question": {}}, "field 'label' is missing"),
        ([], "is [], not dict"),
    ],
)
def test_a_broken_line_of_prm800k_is_named(tmp_path: Path, broken: Any, message: str) -> None:
    path = save(tmp_path, line([1]), broken)
    with pytest.raises(RecordError) as caught:
        read_prm800k(path)
    assert str(caught.value) == f"{path}: line 2: {message}"
