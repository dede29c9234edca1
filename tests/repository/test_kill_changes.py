"""A kill before every single change to the file system: the moments are enumerated, not sampled.

Python tells the audit hooks of a process before it opens, renames or removes anything (`killing.BeforeChange`). The
work of every day does what stages do, without a model: a piece with a finished part, kept in scratch, and handed over
into an output that takes the place of an older one. The nightly tests kill it again while it goes on, and do the same
to a real stage.
"""

import itertools
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from killing import BeforeChange, begun, died, goes_on, identities, up_to
from tiny_graph import SHORT, outputs

from sapo.recipes.stage_cache import hand_over
from sapo.records import read_json, write_json
from sapo.runtime.cache import cached, code_digest, parts
from sapo.runtime.workspace import StageArguments, stage_directory

OLD, NEW = 1, 2
PROCESS = ("base", "base_second", "start", "start_second", "process")


def work(root: Path, version: int) -> None:
    with stage_directory(root / "runs" / "output") as folder:

        def make(piece: Path) -> None:
            half = parts(piece) / "half.json"
            if not half.is_file():
                write_json(half, [version])
            write_json(piece / "whole.json", read_json(half, list) * 2)

        hand_over(cached(root / "runs" / ".scratch", StageArguments(str(version)), make), folder / "piece")


def found(root: Path) -> list[int] | None:
    """What the output holds; None where there is none."""
    folder = root / "runs" / "output"
    return read_json(folder / "piece" / "whole.json", list) if folder.is_dir() else None


def kills(root: Path, begin: Callable[[], None]) -> Iterator[int]:
    """Begin, and work up to the first change, then begin again and work up to the second one, and so on to the last."""
    for number in itertools.count(1):
        begin()
        with begun(BeforeChange(number, signal.SIGKILL), work, root, NEW) as process:
            process.join(60)
        if process.exitcode == 0:
            return
        assert process.exitcode == -signal.SIGKILL
        yield number


def goes_on_to_the_end(root: Path) -> None:
    """What a kill left: no output or a whole one. The work then ends well, and what was kept is not made again."""
    assert found(root) in (None, [OLD] * 2, [NEW] * 2)
    made = identities(root)
    work(root, NEW)
    assert found(root) == [NEW] * 2
    assert {path: identities(root)[path] for path in made} == made
    names = {path.name for path in (root / "runs").rglob("*")}
    assert {name for name in names if name.endswith((".tmp", ".parts")) or name == ".lock"} == set()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder where the work was done before, in its older version."""
    code_digest(StageArguments.__module__)  # once, for all processes that are forked
    work(tmp_path, OLD)
    return tmp_path


def saved(runs: Path, copy: Path) -> Callable[[], None]:
    """What brings `runs` back to what it is now."""
    shutil.copytree(runs, copy)

    def restore() -> None:
        shutil.rmtree(runs)
        shutil.copytree(copy, runs)

    return restore


def test_a_kill_before_any_change_loses_nothing_that_was_kept(root: Path) -> None:
    numbers = []
    for number in kills(root, saved(root / "runs", root / "before")):
        goes_on_to_the_end(root)
        numbers.append(number)
    assert len(numbers) > 30


@pytest.mark.nightly
def test_nor_does_a_second_kill_before_any_change_of_the_run_that_goes_on(root: Path) -> None:
    for number in kills(root, saved(root / "runs", root / "before")):
        for _ in kills(root, saved(root / "runs", root / f"killed{number}")):
            goes_on_to_the_end(root)


@pytest.mark.nightly
def test_a_kill_before_any_change_of_a_real_stage_loses_nothing_either(tmp_path: Path) -> None:
    """Samples by two models, and the benchmark that is made of them; one process, so that changes have an order."""
    *_, graph = up_to(tmp_path / "graph", PROCESS, SHORT | {"workers": 1})
    for number in itertools.count(1):
        graph.reset()
        if not died(graph, BeforeChange(number, signal.SIGKILL)):
            break
        there = {name: made for name, made in outputs(graph.folder).items() if "/." not in name}
        assert there in (graph.before, graph.after)
        goes_on(graph, identities(graph.folder))
