"""The file of paid answers survives kills and full disks, and refuses what it did not write."""

import json
import os
import threading
from pathlib import Path

import pytest

from sapo.records import RecordError
from sapo.sampling.http.answer_cache import HEADER, AnswerCache, read_answers
from sapo.sampling.http.replies import Reply

ONE, TWO = Reply("first error: 1\r\n\u2028ä\ud800", True, 10, None), Reply("cut", False, None, 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of two answers in a folder that did not exist."""
    found = tmp_path / "new" / "answers.jsonl"
    with AnswerCache(found) as cache:
        cache.add("k1", ONE, "m", "item", 0)
        cache.add("k2", TWO, "m", "item", 1)
    return found


def test_answers_come_back_as_they_were(path: Path) -> None:
    assert read_answers(path) == {"k1": ONE, "k2": TWO}
    assert len(path.read_bytes().splitlines()) == 3


def test_reading_changes_nothing_and_makes_no_file(tmp_path: Path, path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert read_answers(path) == {"k1": ONE}
    assert path.read_bytes() == whole[:-5]
    assert read_answers(tmp_path / "none") == {}
    assert not (tmp_path / "none").exists()


def test_a_kill_at_any_byte_keeps_every_whole_answer_and_the_file_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut after each byte: what was written whole stays (its line feed may be gone), and the next answer fits."""
    monkeypatch.setattr(os, "fsync", lambda file: None)  # hundreds of them are slow, and no power fails here
    whole = path.read_bytes()
    first, second = (len(b"".join(whole.splitlines(keepends=True)[:n])) - 1 for n in (2, 3))
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        expected = {"k1": ONE} if size >= first else {}
        expected |= {"k2": TWO} if size >= second else {}
        with AnswerCache(path) as cache:
            assert cache.answers == expected, size
            cache.add("k3", TWO, "m", "item", 2)
        assert read_answers(path) == expected | {"k3": TWO}


@pytest.mark.parametrize(
    ("number", "line", "message"),
    [
        (2, b'{"key": "k1", \x00\x00', "line 2: not JSON"),
        (2, b"[]", "line 2: is no paid answer"),
        (2, b"", "line 2: not JSON"),
        (1, b'{"schema": "Trajectory/1", "rows": 1}', "line 1: is no file of paid answers"),
    ],
)
def test_a_corrupt_line_is_one_error_that_names_it_and_the_file_stays(
    path: Path, number: int, line: bytes, message: str
) -> None:
    lines = path.read_bytes().split(b"\n")
    lines[number - 1] = line
    broken = b"\n".join(lines)
    path.write_bytes(broken)
    with pytest.raises(RecordError, match=message), AnswerCache(path):
        pass
    assert path.read_bytes() == broken


def test_an_altered_answer_is_refused(path: Path) -> None:
    lines = path.read_bytes().split(b"\n")
    lines[1] = json.dumps(json.loads(lines[1]) | {"vote": "0"}).encode()
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(RecordError, match="line 2: the answer is not what its sha256 says"):
        read_answers(path)


def test_an_answer_that_is_there_twice_is_refused(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[1]]))
    with pytest.raises(RecordError, match="line 4: the answer to request k1 is there twice"):
        read_answers(path)


@pytest.mark.parametrize("content", [b"my notes", b"my notes\n", HEADER[:-2] + b" x"])
def test_a_file_that_is_none_of_ours_is_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "notes").write_bytes(content)
    with pytest.raises(RecordError, match="line 1"), AnswerCache(tmp_path / "notes"):
        pass
    assert (tmp_path / "notes").read_bytes() == content


def test_two_cannot_write_at_once(path: Path) -> None:
    with (
        AnswerCache(path),
        pytest.raises(RecordError, match="another process is asking for these answers"),
        AnswerCache(path),
    ):
        pass
    with AnswerCache(path) as cache:
        assert len(cache.answers) == 2


def test_who_waits_gets_the_file_with_what_the_other_has_paid_for(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second opens the file while the first has it, and gets it when the first has added a third answer."""
    found: list[str] = []

    def second() -> None:
        with AnswerCache(path, waits=True) as cache:
            found.extend(cache.answers)

    with AnswerCache(path) as cache:
        thread = threading.Thread(target=second)
        thread.start()
        while not (said := capsys.readouterr().err):
            thread.join(0.01)
        cache.add("k3", ONE, "m", "item", 2)
        assert found == []
    thread.join()
    assert said == f"{path}: another process is asking for these answers; waiting for it\n"
    assert found == ["k1", "k2", "k3"]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="cannot be opened: Is a directory"), AnswerCache(tmp_path):
        pass
    with pytest.raises(RecordError, match="cannot be read: Is a directory"):
        read_answers(tmp_path)


def test_a_full_disk_is_an_error_and_nothing_is_written_after_half_a_line(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    with AnswerCache(path) as cache:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda file, line: write(file, line[:20]))
            with pytest.raises(RecordError, match="only 20 of"):
                cache.add("k3", ONE, "m", "item", 2)
        with pytest.raises(RecordError, match="an earlier answer could not be written"):
            cache.add("k4", ONE, "m", "item", 3)
        assert cache.answers == {"k1": ONE, "k2": TWO}
    assert read_answers(path) == {"k1": ONE, "k2": TWO}
    with AnswerCache(path) as cache:
        cache.add("k3", ONE, "m", "item", 2)
    assert list(read_answers(path)) == ["k1", "k2", "k3"]
