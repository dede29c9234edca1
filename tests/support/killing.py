"""Stages of a graph smaller than profile smoke (`tiny_graph`) that are killed and run again, and what has to hold then.

What was finished is not made again: its folder in scratch is the same one afterwards. The outputs are those of an
uninterrupted run, byte for byte, and nothing is left behind, here or in the temporary folder.
"""

import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tiny_graph import AuditHook, begin_stage, lay_out, outputs, pay_for_imports, temporary

FORK = multiprocessing.get_context("fork")
Identities = dict[Path, tuple[int, int]]
Kill = Callable[["Graph"], object]


@dataclass
class Graph:
    """The folder of a graph whose stages ran uninterrupted up to `stage`, with what there was before and after it."""

    folder: Path
    stage: str
    before: dict[str, bytes]
    kept_before: set[Path]
    after: dict[str, bytes]
    seconds: float

    def reset(self) -> None:
        """As before the stage: its outputs and what it keeps in scratch are gone."""
        for name in outputs(self.folder).keys() - self.before.keys():
            (self.folder / name).unlink()
        for path in scratch(self.folder) - self.kept_before:
            shutil.rmtree(path)
        for path in sorted((self.folder / "runs").rglob("*"), reverse=True):
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()

    @property
    def said(self) -> list[str]:
        return (self.folder / "stderr").read_text(encoding="utf-8").splitlines()


@dataclass
class BeforeChange:
    """Sends a signal to its process group when one of its processes is about to make change `number` of its own.

    An audit hook: Python calls it before it opens, renames or removes a file or a folder. For a kill, a file that is
    opened to be written counts twice: before, and when it is there and nothing has been written.
    """

    number: int
    signal: signal.Signals
    seen: int = 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if is_change(event, arguments):
            if self._is_now():
                os.killpg(0, self.signal)
            if event == "open" and self.signal == signal.SIGKILL and self._is_now():
                os.open(arguments[0], arguments[2])
                os.killpg(0, self.signal)

    def _is_now(self) -> bool:
        self.seen += 1
        return self.seen == self.number


@dataclass
class DiesOnceKept:
    """Kills its process group when one of its processes has put a finished folder into scratch, before all else."""

    kept: bool = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if is_change(event, arguments):
            if self.kept:
                os.killpg(0, signal.SIGKILL)
            self.kept = event == "os.rename" and is_kept(Path(arguments[1]))


CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree"}


def is_change(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == "open":
        return bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return event in CHANGES


def is_kept(path: Path) -> bool:
    return path.parent.name == ".scratch" and not path.name.startswith(".")


def in_a_group(work: Callable[..., None], hook: BeforeChange, arguments: tuple[object, ...]) -> None:
    os.setsid()
    sys.addaudithook(hook)
    work(*arguments)


@contextmanager
def begun(hook: BeforeChange, work: Callable[..., None], *arguments: object) -> Iterator[BaseProcess]:
    """A process that works until the hook ends or stops it; whatever happens here, it does not stay."""
    process = FORK.Process(target=in_a_group, args=(work, hook, arguments))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join(60)


def scratch(folder: Path) -> set[Path]:
    """What is kept, and what is on its way."""
    return {path for path in (folder / "runs" / ".scratch").glob("*") if path.is_dir()}


def identities(folder: Path) -> Identities:
    """Inode and time of every finished folder in scratch."""
    found = {path: path.stat() for path in scratch(folder) if is_kept(path)}
    return {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in found.items()}


def ended(process: BaseProcess, seconds: float = 1800) -> int | None:
    """Its exit code, or None where it still runs after some time: long, since machines may be busy."""
    process.join(seconds)
    return process.exitcode


def run(folder: Path, stage: str) -> None:
    process = begin_stage(folder, stage)
    assert ended(process) == 0, (folder / "stderr").read_text(encoding="utf-8")[-3000:]


def kill(process: BaseProcess) -> None:
    """SIGKILL to the whole group, or to the process alone where it has not made its group yet."""
    assert process.pid is not None
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()
    assert ended(process, 30) is not None


def up_to(folder: Path, stages: tuple[str, ...], changes: Mapping[str, Any] | None = None) -> Iterator[Graph]:
    """Run stages one after the other, uninterrupted; each as it stands when it is done."""
    lay_out(folder, changes)
    pay_for_imports()
    for stage in stages:
        before, kept = outputs(folder), scratch(folder)
        start = time.monotonic()
        run(folder, stage)
        yield Graph(folder, stage, before, kept, outputs(folder), time.monotonic() - start)


def killed_and_run_again(graph: Graph, kills: Sequence[Kill]) -> list[int]:
    """Kill the stage, begin it again and kill it in the next way, and so on; then let it end.

    Returns:
        How many folders were kept after each kill.
    """
    graph.reset()
    made: Identities = {}
    counts = []
    for end in kills:
        end(graph)
        made = unchanged(made, graph)
        counts.append(len(made) - len(graph.kept_before))
    goes_on(graph, made)
    return counts


def after(seconds: float) -> Kill:
    """Begin the stage, and kill it after so many seconds."""

    def end(graph: Graph) -> None:
        process = begin_stage(graph.folder, graph.stage)
        time.sleep(seconds)
        kill(process)

    return end


def before_change(number: int) -> Kill:
    """Begin the stage, and kill it when one of its processes is about to make this change, if it makes so many."""
    return lambda graph: died(graph, BeforeChange(number, signal.SIGKILL))


def died(graph: Graph, hook: AuditHook) -> bool:
    """Begin the stage and let it kill itself: False where it came to its end, and to its results."""
    process = begin_stage(graph.folder, graph.stage, hook)
    code = ended(process)
    assert code in (0, -signal.SIGKILL), graph.said
    assert code != 0 or outputs(graph.folder) == graph.after
    return code != 0


def goes_on(graph: Graph, made: Identities) -> None:
    """Run the stage to its end: nothing of what was `made` is made again, and nothing shows that it was killed."""
    run(graph.folder, graph.stage)
    unchanged(made, graph)
    after = outputs(graph.folder)
    assert after.keys() == graph.after.keys()
    assert [name for name in after if after[name] != graph.after[name]] == []
    assert leftovers(graph.folder) == []


def unchanged(made: Identities, graph: Graph) -> Identities:
    """What is kept now; what was kept before, `made`, is as it was."""
    now = identities(graph.folder)
    assert {path: now.get(path) for path in made} == made, "finished work was made again"
    return now


def leftovers(folder: Path) -> list[Path]:
    """What only a run under way has. (PyTorch keeps a cache in the temporary folder, which is nobody's harm.)"""
    unfinished = [path for path in folder.rglob("*") if path.name.endswith((".tmp", ".parts"))]
    return unfinished + list(temporary(folder).glob("sapo-*"))
