"""Two runs of one stage, whatever the moment at which one comes between the other's changes to the file system.

The first process stops before every change in turn, and for each of them the second one before every change of its
own; then the first goes on to its end, and the second after it. Nobody ever sees half an output, and at least one of
them makes it.
"""

import os
import signal
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from killing import BeforeChange, begun

from sapo.records import read_json, write_json
from sapo.runtime import workspace
from sapo.runtime.workspace import WorkspaceError, stage_directory

NAMES = ("one", "two")
TOLD = 2  # exit code of the process that was told of the other one


def make(final: Path) -> None:
    try:
        with stage_directory(final) as folder:
            for name in NAMES:
                write_json(folder / f"{name}.json", [name])
    except WorkspaceError:
        os._exit(TOLD)


def stopped(process: BaseProcess) -> bool:
    """Wait until the process stops or ends: whether it has stopped."""
    assert process.pid is not None
    end = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    assert end is not None
    return end.si_code == os.CLD_STOPPED


def go_on(process: BaseProcess) -> int:
    """Its exit code."""
    assert process.pid is not None
    os.kill(process.pid, signal.SIGCONT)
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode


def whole(final: Path) -> bool:
    """Whether the output is there; what is there is all of it, and nothing else."""
    if not final.is_dir():
        return False
    assert sorted(path.name for path in final.iterdir()) == [f"{name}.json" for name in NAMES]
    return all(read_json(final / f"{name}.json", list) == [name] for name in NAMES)


def switched(final: Path, first: int, second: int) -> tuple[bool, bool]:
    """Let the second run begin at change `first`, and the first one go on at `second`: whether there are so many."""
    with begun(BeforeChange(first, signal.SIGSTOP), make, final) as one:
        if not stopped(one):
            return False, False
        with begun(BeforeChange(second, signal.SIGSTOP), make, final) as two:
            more = stopped(two)
            codes = [go_on(one)]
            whole(final)
            codes.append(go_on(two))
    assert sorted(codes) in ([0, 0], [0, TOLD])
    assert whole(final)
    assert [path.name for path in final.parent.iterdir()] == [final.name]
    return True, more


def switches(folder: Path, first: int, old: bool) -> bool:
    """All of the second run's changes, for one of the first."""
    second = 0
    while True:
        second += 1
        final = folder / f"{first}-{second}" / "output"
        if old:
            make(final)
        one, two = switched(final, first, second)
        if not two:
            return one


@pytest.mark.nightly
@pytest.mark.parametrize("old", [False, True])
def test_no_switch_between_two_runs_shows_half_an_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bool
) -> None:
    monkeypatch.setattr(workspace, "LOCK_TIMEOUT_SECONDS", -1.0)
    first = 1
    while switches(tmp_path, first, old):
        first += 1
    assert first > 8
