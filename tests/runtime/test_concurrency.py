"""Two processes at once: one waits, is told, or does not notice; nobody reads half a file."""

import multiprocessing
import os
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from sapo.records import Trajectory, read_json, read_records, write_json, write_records
from sapo.runtime import workspace
from sapo.runtime.workspace import WorkspaceError, stage_directory

FORK = multiprocessing.get_context("fork")


def make(final: Path, begun: Event, go_on: Event) -> None:
    with stage_directory(final) as folder:
        (folder / "who").write_text(str(os.getpid()), encoding="utf-8")
        begun.set()
        go_on.wait(60)


def test_the_folder_that_another_process_is_making_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one ends as if alone; the second is told who is in its way, and may run when that is done."""
    monkeypatch.setattr(workspace, "LOCK_TIMEOUT_SECONDS", 0.2)
    final, begun, go_on = tmp_path / "start", FORK.Event(), FORK.Event()
    first = FORK.Process(target=make, args=(final, begun, go_on))
    first.start()
    assert begun.wait(30)
    with (
        pytest.raises(WorkspaceError, match=r"start: another process is making it now \(it holds \.start\.lock\.tmp\)"),
        stage_directory(final),
    ):
        raise AssertionError("two processes make one folder")
    go_on.set()
    first.join(30)
    assert first.exitcode == 0
    assert (final / "who").read_text(encoding="utf-8") == str(first.pid)
    with stage_directory(final) as folder:
        (folder / "who").write_text("second", encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["start"]
    assert [path.name for path in final.iterdir()] == ["who"]


def test_a_killed_process_is_in_nobodys_way(tmp_path: Path) -> None:
    final, begun = tmp_path / "start", FORK.Event()
    first = FORK.Process(target=make, args=(final, begun, FORK.Event()))
    first.start()
    assert begun.wait(30)
    first.kill()
    first.join(30)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".start.lock.tmp", ".start.new.tmp"]
    with stage_directory(final) as folder:
        (folder / "who").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["start"]


def test_two_folders_of_one_parent_are_made_at_once(tmp_path: Path) -> None:
    """Two profiles, or two stages: no lock is shared."""
    with stage_directory(tmp_path / "start") as one, stage_directory(tmp_path / "start2") as two:
        assert one != two
    assert sorted(path.name for path in tmp_path.iterdir()) == ["start", "start2"]


def write_again_and_again(folder: Path, stop: Event) -> None:
    number = 0
    while not stop.is_set():
        number += 1
        write_json(folder / "costs.json", {"all": [number] * 2000})
        steps = [Trajectory(f"t{i}", "q", (str(number),), "right", "sample") for i in range(300)]
        write_records(folder / "sampled.jsonl", steps, Trajectory)


def test_a_reader_sees_one_version_while_a_run_writes(tmp_path: Path) -> None:
    """A notebook that reads 200 times meets several versions, each of them whole: checked files say so themselves."""
    stop = FORK.Event()
    writer = FORK.Process(target=write_again_and_again, args=(tmp_path, stop))
    writer.start()
    try:
        while not (tmp_path / "sampled.jsonl").is_file():
            time.sleep(0.01)
        seen = set()
        for _ in range(200):
            values = read_json(tmp_path / "costs.json")["all"]
            texts = [t.text for t in read_records(tmp_path / "sampled.jsonl", Trajectory)]
            assert (len(values), len(set(values))) == (2000, 1)
            assert (len(texts), len(set(texts))) == (300, 1)
            seen.add(values[0])
    finally:
        stop.set()
        writer.join(30)
    assert len(seen) > 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["costs.json", "sampled.jsonl"]
