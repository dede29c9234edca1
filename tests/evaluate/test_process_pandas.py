"""Process benchmarks that went through pandas, CSV or an editor that writes a byte order mark are read as before."""

import json
from pathlib import Path
from typing import Any

import pytest
from process_files import ROW, line, prm800k, save, step

from sapo.evaluate.process.formats import read_processbench


@pytest.mark.parametrize(
    "change",
    [
        {"label": 1.0, "final_answer_correct": 0.0},
        {"label": "1", "final_answer_correct": "False"},
        {"label": "1.0", "final_answer_correct": "false"},
        {"steps": json.dumps(ROW["steps"])},
        {"steps": str(ROW["steps"])},
        {"steps": "There are 2.\n\nTwice 2 is 5.\n\nSo 5.\n"},
    ],
    ids=str,
)
def test_what_pandas_and_csv_files_make_of_a_row_is_undone(tmp_path: Path, change: dict[str, Any]) -> None:
    assert read_processbench(save(tmp_path, {**ROW, **change})) == read_processbench(save(tmp_path, ROW))


def test_an_integer_id_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    for text in (json.dumps(ROW | {"id": 7.0}), json.dumps([ROW | {"id": 7}], indent=1)):
        (tmp_path / "bom.json").write_text(text, encoding="utf-8-sig")
        (item,) = read_processbench(tmp_path / "bom.json")
        assert (item.id, item.first_error) == ("7", 2)


def test_a_line_of_prm800k_that_went_through_pandas_is_the_same(tmp_path: Path) -> None:
    """Numbers are floats, null is NaN, a step by hand is its text alone, columns are texts; the answer is a number."""
    by_hand = {"text": "by hand", "rating": None, "corrected_rating": None}
    plain = line([1, step(-1, -1, chosen=None, human=by_hand), 0, -1], pre_generated_steps=["x"]) | {"generation": 9}
    nan = float("nan")
    steps = [step(1.0, chosen=0.0, human=nan, name="1"), step("-1", "-1.0", chosen=nan, human="by hand")]
    steps += [step(0.0, chosen="0", human="nan", name="3"), step(-1.0, chosen=0.0, human="", name="4")]
    made = line(steps, ground_truth_answer=4.0, pre_generated_steps="['x']", pre_generated_answer=nan)
    made |= {"generation": 9.0}
    as_text = {**made, "label": json.dumps(made["label"]), "question": json.dumps(made["question"])}
    for found in (made, as_text):
        (item,) = prm800k(tmp_path, found).items
        assert [item] == prm800k(tmp_path, plain).items and item.first_error == 4
    lucky = line([-1.0], "found_error", pre_generated_steps=["1a"], pre_generated_answer=4.0, ground_truth_answer="4")
    lucky["label"]["steps"] = [step(-1.0, chosen=nan, name="1")]
    assert [item.outcome for item in prm800k(tmp_path, lucky).items] == ["right"]
