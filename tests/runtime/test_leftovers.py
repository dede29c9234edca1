"""What killed processes leave in folders that they share with others is gone after the next one's work."""

import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from sapo.records import write_bytes, write_text
from strict_sandbox import Program, Sandbox
from strict_sandbox.folder import OwnFolder

FORK = multiprocessing.get_context("fork")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def killed_at(begin: Callable[[Event], None]) -> None:
    """Run `begin` in a process that is killed when it sets its event."""
    reached = FORK.Event()
    process = FORK.Process(target=begin, args=(reached,))
    process.start()
    assert reached.wait(60)
    process.kill()
    process.join(30)


def stopped_before_the_end(path: Path, reached: Event) -> None:
    """A process that has written everything and not yet given it its name."""

    def stop(*_: object) -> None:
        reached.set()
        time.sleep(300)

    os.replace = stop
    write_text(path, "half")


def test_a_half_written_file_is_gone_when_the_file_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "table.md"
    write_text(path, "old")
    killed_at(lambda reached: stopped_before_the_end(path, reached))
    assert (names(tmp_path), path.read_text(encoding="utf-8")) == ([".table.md.tmp", "table.md"], "old")
    write_text(path, "new")
    assert (names(tmp_path), path.read_text(encoding="utf-8")) == (["table.md"], "new")


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "table.md" / "inside").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        write_text(tmp_path / "table.md", "new")
    assert names(tmp_path) == ["table.md"]


def test_many_writers_of_one_file_leave_one_whole_text(tmp_path: Path) -> None:
    """8 threads write 50 texts each, of a length of their own; a reader meets whole ones only."""
    path = tmp_path / "table.md"
    texts = {str(number) * 10_000 * (number + 1) for number in range(8)}
    writers = [threading.Thread(target=lambda text=text: [write_text(path, text) for _ in range(50)]) for text in texts]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert not path.exists() or path.read_text(encoding="utf-8") in texts
    assert path.read_text(encoding="utf-8") in texts
    assert names(tmp_path) == ["table.md"]


def test_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    write_bytes(tmp_path / "deep" / "x", b"\r\n\x00\xff")
    assert (tmp_path / "deep" / "x").read_bytes() == b"\r\n\x00\xff"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of the system's with nothing in it."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


def hold(reached: Event) -> None:
    folder = OwnFolder()
    (folder.path / "inside").touch()
    reached.set()
    time.sleep(300)


def test_a_dead_process_s_folder_goes_and_a_living_one_s_stays(temporary: Path) -> None:
    """So does whatever else has such a name: a file, and a link to a folder."""
    living = OwnFolder()
    killed_at(hold)
    assert len(names(temporary)) == 2
    (temporary / "sapo-own-file").touch()
    (temporary / "sapo-own-link").symlink_to(temporary.parent)
    second = OwnFolder()
    assert names(temporary) == sorted([living.path.name, second.path.name, "sapo-own-file", "sapo-own-link"])
    assert second.path != living.path
    living.close()
    second.close()
    second.close()
    assert names(temporary) == ["sapo-own-file", "sapo-own-link"]


def test_a_forked_child_leaves_its_parent_s_folder_alone(temporary: Path) -> None:
    folder = OwnFolder()
    child = FORK.Process(target=folder.close)
    child.start()
    child.join(30)
    assert (child.exitcode, folder.path.is_dir()) == (0, True)
    folder.close()
    assert names(temporary) == []


ONE = Program("def f():\n    return 1\n", ("assert f() == 1",), ("f",))


def judge_and_stay(reached: Event) -> None:
    Sandbox(workers=1).judge([ONE])
    reached.set()
    time.sleep(300)


def test_a_killed_sandbox_leaves_no_folder_once_another_has_run(temporary: Path) -> None:
    killed_at(judge_and_stay)
    (left,) = names(temporary)
    with Sandbox(workers=1) as sandbox:
        assert sandbox.judge([ONE]) == ["PASS"]
        (own,) = names(temporary)
        assert own != left
    assert names(temporary) == []
