"""Checked files: what is written comes back, and every way in which a file is not that is named by file and line."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from resealing import change, reseal

from sapo.records import (
    Cost,
    Outcome,
    PreferencePair,
    RecordError,
    StepScores,
    Trajectory,
    check_lines,
    read_json,
    read_plain_json,
    read_records,
    write_json,
    write_plain_json,
    write_records,
)

TWO = [Trajectory("t0", "q", ("a\n", "b\n"), "right", "sample"), Trajectory("t1", "q", ("ä\u2028",), "wrong", "gold")]
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), inner),
    max_leaves=10,
)
IN_ONE_FOLDER = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_records(tmp_path / "two.jsonl", TWO, Trajectory)
    return tmp_path / "two.jsonl"


def test_the_header_is_what_the_docstring_says(path: Path) -> None:
    """Two rows; the checksum is that of the bytes below the first line."""
    first, _, body = path.read_bytes().partition(b"\n")
    sha256 = hashlib.sha256(body).hexdigest()[:16]
    assert json.loads(first) == {"schema": "Trajectory/2", "rows": 2, "sha256": sha256}
    assert read_records(path, Trajectory) == TWO
    assert sorted(path.parent.iterdir()) == [path]


def test_a_small_result_is_one_json_object_whose_schema_is_its_name(tmp_path: Path) -> None:
    """Numbers as keys become texts, as JSON has it: the checksum is of what is read."""
    path = tmp_path / "costs.json"
    write_json(path, {10: 1.0, 9: [1, None]})
    whole = json.loads(path.read_text(encoding="utf-8"))
    assert (whole["schema"], whole["rows"]) == ("costs/2", 2)
    content = {"10": 1.0, "9": [1, None]}
    assert read_json(path) == whole["content"] == content
    sha256 = hashlib.sha256(b'{"10": 1.0, "9": [1, null]}').hexdigest()[:16]
    assert whole["sha256"] == sha256
    path.write_text(json.dumps(whole), encoding="utf-8")
    assert read_json(path) == content  # other white space
    with pytest.raises(RecordError, match=r"other.json: line 1: schema is 'costs/2', expected 'other/2'"):
        read_json(path.rename(tmp_path / "other.json"))


@IN_ONE_FOLDER
@given(st.lists(st.builds(Trajectory, TEXTS, TEXTS, st.lists(TEXTS, min_size=1).map(tuple), st.just("right"), TEXTS)))
def test_any_records_come_back(tmp_path: Path, records: list[Trajectory]) -> None:
    write_records(tmp_path / "r.jsonl", records, Trajectory)
    assert read_records(tmp_path / "r.jsonl", Trajectory) == records
    check_lines(tmp_path / "r.jsonl")


@IN_ONE_FOLDER
@given(st.dictionaries(TEXTS, JSON) | st.lists(JSON))
def test_any_json_comes_back(tmp_path: Path, value: object) -> None:
    write_json(tmp_path / "v.json", value)
    assert read_json(tmp_path / "v.json", type(value)) == value
    write_plain_json(tmp_path / "p.json", value)
    assert read_plain_json(tmp_path / "p.json", type(value)) == value


def test_a_record_of_another_class_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"x.jsonl: Cost\(.* is no Trajectory"):
        write_records(tmp_path / "x.jsonl", [TWO[0], Cost()], Trajectory)
    with pytest.raises(TypeError, match="int is neither an object nor a list"):
        write_json(tmp_path / "x.json", 3)
    assert not list(tmp_path.iterdir())


def _replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(old, new, 1)


def _lines(*order: int) -> Callable[[bytes], bytes]:
    return lambda data: b"".join(data.splitlines(keepends=True)[number] for number in order)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_lines(0, 2, 1), "line 1: SHA-256 of the content begins with .*: altered since it was written"),
        (_replaced(b'"b', b'"B'), "line 1: SHA-256 of the content begins with"),
        (_replaced(b'"t1"', b't1"'), "line 3: not JSON"),
        (_lines(0, 1), "line 1: header promises 2 rows, the file holds 1: truncated or edited"),
        (_lines(0, 1, 2, 2), "line 1: header promises 2 rows, the file holds 3"),
        (_lines(1, 2), "line 1: schema is None, expected 'Trajectory/2'"),
        (lambda data: data[:-1], "line 3: the file ends within the line: truncated"),
        (lambda data: data[:-9], "line 3: the file ends within the line: truncated"),
        (lambda _: b"", "line 1: not JSON"),
        (_replaced(b"\xc3\xa4", b"\xc3"), "line 3: not UTF-8 at byte"),
        (_replaced(b"Trajectory/2", b"Trajectory/1"), "line 1: schema is 'Trajectory/1', expected 'Trajectory/2'"),
        (_replaced(b"Trajectory/2", b"StepScores/2"), "line 1: schema is 'StepScores/2', expected 'Trajectory/2'"),
        (_replaced(b', "rows": 2', b""), "line 1: expected schema, rows, sha256, found schema, sha256"),
        (_replaced(b'"rows": 2', b'"rows": true'), "line 1: header promises True rows"),
        (lambda data: b"[" * 100_000 + data, "line 1: not JSON"),
    ],
)
def test_what_is_wrong_with_a_file_of_records_is_named(
    path: Path, spoil: Callable[[bytes], bytes], message: str
) -> None:
    whole = path.read_bytes()
    path.write_bytes(spoil(whole))
    assert path.read_bytes() != whole
    with pytest.raises(RecordError, match=f"two.jsonl: {message}"):
        read_records(path, Trajectory)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_replaced(b'"seven": 7', b'"seven": 6'), "line 1: SHA-256 of the content begins with"),
        (_replaced(b'"seven": 7', b'"seven" 7'), "line 2: not JSON"),
        (_replaced(b'"rows": 2', b'"rows": 3'), "line 1: header promises 3 rows, the file holds 2"),
        (_replaced(b'"content"', b'"contents"'), "line 1: expected an object of schema, rows, sha256 and content"),
        (lambda _: b"[]", "line 1: expected an object of"),
        (lambda data: data[:-3], "line 4: not JSON"),
        (lambda _: b"\xff", "line 1: not UTF-8 at byte 0"),
        (lambda data: data.replace(b": 7", b": " + b"7" * 5000), "line 1: not JSON"),
    ],
)
def test_what_is_wrong_with_a_small_result_is_named(
    tmp_path: Path, spoil: Callable[[bytes], bytes], message: str
) -> None:
    path = tmp_path / "small.json"
    write_json(path, {"six": 6, "seven": 7})
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(RecordError, match=f"small.json: {message}"):
        read_json(path)


def test_a_list_is_no_object_and_what_is_not_there_is_named(tmp_path: Path) -> None:
    write_json(tmp_path / "log.json", [1])
    with pytest.raises(RecordError, match=r"log.json: line 1: content is not a JSON object"):
        read_json(tmp_path / "log.json")
    write_plain_json(tmp_path / "plain.json", {})
    with pytest.raises(RecordError, match=r"plain.json: line 1: not a JSON list"):
        read_plain_json(tmp_path / "plain.json", list)
    for read in (read_json, read_plain_json, lambda path: read_records(path, Trajectory)):
        with pytest.raises(RecordError, match=r"none.json: no such file"):
            read(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("kind", "record", "old", "new", "message"),
    [
        (Trajectory, TWO[0], '"right"', '"great"', r"line 2: verdict is 'great', not one of"),
        (Trajectory, TWO[0], '["a', '[3, "a', "line 2: steps is 3, not str"),
        (Trajectory, TWO[0], '"source"', '"sauce"', "line 2: field 'source' of Trajectory is missing"),
        (Trajectory, TWO[0], '"source"', '"more": 1, "source"', "line 2: Trajectory has no field 'more'"),
        (StepScores, StepScores("t", (0.5,)), "0.5", "1.5", r"line 2: scores of trajectory t must lie in \[0, 1\]"),
        (StepScores, StepScores("t", (0.5,)), "[0.5]", "0.5", "line 2: scores is 0.5, not a list"),
        (Outcome, Outcome("q", "g", "c", "right"), '"c"', "null", "line 2: completion is None, not str"),
    ],
)
def test_a_record_that_breaks_its_contract_is_named_by_its_line(
    tmp_path: Path, kind: type, record: object, old: str, new: str, message: str
) -> None:
    """The header fits, as in a file that another program wrote."""
    path = tmp_path / "r.jsonl"
    write_records(path, [record], kind)
    change(path, old, new)
    with pytest.raises(RecordError, match=f"r.jsonl: {message}"):
        read_records(path, kind)


def test_a_whole_number_is_a_float_unless_it_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    write_records(path, [PreferencePair("q", "p", "c", "r", 1.5, 0.25)], PreferencePair)
    change(path, "1.5", "2")
    (pair,) = read_records(path, PreferencePair)
    assert (pair.chosen_reward, type(pair.chosen_reward)) == (2.0, float)
    change(path, ": 2", ": " + "9" * 400)
    with pytest.raises(RecordError, match="line 2: chosen_reward is too large for a float"):
        read_records(path, PreferencePair)


def test_the_stream_check_says_the_same(path: Path) -> None:
    check_lines(path)
    whole = path.read_bytes()
    for spoil, message in (
        (_lines(0, 2, 1), "line 1: SHA-256"),
        (_lines(0, 1), "line 1: header promises 2 rows, the file holds 1"),
        (lambda data: data[:-1], "line 1: SHA-256"),
        (_replaced(b"Trajectory/2", b"Trajectory/1"), "line 1: schema is 'Trajectory/1'"),
        (lambda _: b"", "line 1: not JSON"),
    ):
        path.write_bytes(spoil(whole))
        with pytest.raises(RecordError, match=f"two.jsonl: {message}"):
            check_lines(path)
    path.write_bytes(whole)
    reseal(path)
    assert path.read_bytes() == whole
