"""Work shared among processes: all of it is done, errors come through, nothing is left running."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from memory_group import little_memory

from sapo.cli import main as command
from sapo.records import BadInput
from sapo.runtime.process_pool import Work, WorkerDied, run_all


def leave(folder: Path, name: str) -> None:
    (folder / name).write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(0.05)


def refuse(folder: Path, name: str) -> None:
    raise BadInput(f"{name} has nothing to train on")


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_every_work_is_done_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int) -> None:
    run_all([Work(f"work {n}", leave, (tmp_path, str(n))) for n in range(5)], workers)
    assert sorted(path.name for path in tmp_path.iterdir()) == list("01234")
    processes = {path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert (processes == {str(os.getpid())}) == (workers == 1)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 5
    assert sorted(line.split(":")[0] for line in said) == [f"work {n}" for n in range(5)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_ends_the_work_with_its_message(tmp_path: Path, workers: int) -> None:
    works = [Work("bad", refuse, (tmp_path, "sapo"))]
    works += [Work(f"work {n}", leave, (tmp_path, str(n))) for n in range(30)]
    before = psutil.Process().children(recursive=True)
    with pytest.raises(BadInput, match="sapo has nothing to train on"):
        run_all(works, workers)
    assert len(list(tmp_path.iterdir())) < 30
    assert set(psutil.Process().children(recursive=True)) <= set(before)


def die(folder: Path, name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_named_with_its_work(tmp_path: Path) -> None:
    """As when memory runs out. What was finished before is there."""
    works = [Work(f"work {n}", leave, (tmp_path, str(n))) for n in range(4)]
    works += [Work("orpo_mc seed 3", die, (tmp_path, "x"))]
    with pytest.raises(WorkerDied, match=r"^orpo_mc seed 3 ended by SIGKILL\. .* Finished work is kept") as found:
        run_all(works, 2)
    assert "\n" not in str(found.value)
    assert len(list(tmp_path.iterdir())) >= 3


def take_more_than_there_is(group: Path, folder: Path, name: str) -> None:
    while not (folder / "0").exists():
        time.sleep(0.01)
    if group.is_dir():
        (group / "cgroup.procs").write_text(str(os.getpid()))
        assert bytearray(b"x") * (1 << 28)
    leave(folder, name)


def test_a_process_that_the_system_kills_for_memory_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """256 MB in a control group that has 32; with more memory, the same command does all works."""
    with little_memory(32 << 20) as group:
        works = [Work("finished", leave, (tmp_path, "0"))]
        works += [Work("too large", take_more_than_there_is, (group, tmp_path, "1"))]
        monkeypatch.setattr(command.sapo, "main", lambda *_, **__: run_all(works, 2))
        assert command.main(["methods"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: too large ended by SIGKILL. ")
    assert "fewer `workers` or `sampling.rows` need less" in said
    assert said.endswith("Finished work is kept: the same command goes on from there")
    assert [path.name for path in tmp_path.iterdir()] == ["0"]
    assert command.main(["methods"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


def test_a_process_that_is_ended_before_its_work_is_no_lie(tmp_path: Path) -> None:
    """It was never seen: what the pool itself ended by SIGTERM afterwards is not blamed."""
    with pytest.raises(WorkerDied, match=r"^a process was ended from outside\. "):
        run_all([Work(f"work {n}", end, (tmp_path, str(n))) for n in range(4)], 2)


def end(folder: Path, name: str) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)


SLEEPERS = """
import sys, time, os
from pathlib import Path
from sapo.runtime.process_pool import Work, run_all

def sleep(folder):
    (folder / str(os.getpid())).touch()
    time.sleep(300)

folder = Path(sys.argv[1])
run_all([Work(f"work {n}", sleep, (folder,)) for n in range(4)], 2)
"""


@pytest.fixture
def sleepers(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], list[psutil.Process]]]:
    """A process whose two workers are in the middle of their works, and the workers."""
    command = [sys.executable, "-c", SLEEPERS, str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as parent:
        while len(list(tmp_path.iterdir())) < 2:
            assert parent.poll() is None
            time.sleep(0.05)
        workers = [psutil.Process(int(path.name)) for path in tmp_path.iterdir()]
        yield parent, workers
        parent.kill()
        for process in workers:
            if process.is_running():
                process.kill()


def test_no_worker_outlives_a_killed_stage(sleepers: tuple[subprocess.Popen[bytes], list[psutil.Process]]) -> None:
    parent, workers = sleepers
    parent.kill()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []


@pytest.mark.parametrize("group", [True, False])  # as a terminal sends it, or as `kill -INT` does
def test_an_interrupt_ends_all_workers(
    sleepers: tuple[subprocess.Popen[bytes], list[psutil.Process]], group: bool
) -> None:
    """At once, not when their works are done; they leave it to the parent and print no traces of their own."""
    parent, workers = sleepers
    if group:
        os.killpg(parent.pid, signal.SIGINT)
    else:
        parent.send_signal(signal.SIGINT)
    _, said = parent.communicate(timeout=60)
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert (alive, parent.returncode) == ([], -signal.SIGINT)
    assert said.count(b"Traceback") == said.count(b"KeyboardInterrupt") == 1
