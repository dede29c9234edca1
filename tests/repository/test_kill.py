"""Kill anywhere: a stage that was killed and is run again leaves what an uninterrupted run leaves, byte for byte.

Each stage runs in a process group that is killed as a whole: at random moments, and once when the first piece of work
has just been finished, which no clock decides. `killing` says what has to hold then. Kills before every single change
to the file system are in `test_kill_changes`.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import pytest
from killing import (
    DiesOnceKept,
    Graph,
    Kill,
    after,
    before_change,
    died,
    ended,
    goes_on,
    identities,
    killed_and_run_again,
    leftovers,
    run,
    up_to,
)
from memory_group import little_memory
from tiny_graph import GRAPH, SHORT, begin_stage, lay_out, outputs

SOON = 60.0  # seconds in which an interrupted stage has ended, on a busy machine too
QUICK = ("base", "start")
CHANGES = 100  # to the file system, of one process of a tiny stage: about so many, or fewer
KEEPING = ("start", "methods", "evaluate", "efficiency", "process", "verifiers")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    *_, graph = up_to(tmp_path_factory.mktemp("kill") / "graph", QUICK, SHORT)
    return graph


def test_a_killed_start_goes_on(started: Graph) -> None:
    """Early, and when SFT is done; what the 20 kills of the nightly test look at."""
    killed_and_run_again(started, [after(0.3 * started.seconds), after(0.5 * started.seconds)])


def test_an_interrupted_start_ends_soon_and_says_how_to_go_on(started: Graph) -> None:
    interrupted(started, 0.5 * started.seconds)


def kills(seconds: float, chance: random.Random) -> Iterator[list[Kill]]:
    """20, in runs of 5: the first ones are spread over the stage's own time, the others meet runs that go on."""
    for quarter in range(4):
        first = (quarter + chance.random()) / 4
        yield [
            after(first * seconds),
            before_change(chance.randint(1, CHANGES)),
            after(chance.uniform(0, 0.5) * seconds),
            before_change(chance.randint(1, CHANGES)),
            before_change(chance.randint(1, CHANGES)),
        ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Graph]:
    """By stage, what an uninterrupted run of the graph found and made."""
    return {graph.stage: graph for graph in up_to(tmp_path_factory.mktemp("whole") / "graph", GRAPH)}


def again(graph: Graph, folder: Path) -> Graph:
    """The stage once more, in a folder of its own as it was before; its seconds, on a busy machine, are of now."""
    lay_out(folder)
    for name, content in graph.before.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    kept = {path: folder / path.relative_to(graph.folder) for path in graph.kept_before}
    for path, copy in kept.items():
        shutil.copytree(path, copy)
    start = time.monotonic()
    run(folder, graph.stage)
    assert outputs(folder) == graph.after
    return replace(graph, folder=folder, kept_before=set(kept.values()), seconds=time.monotonic() - start)


@pytest.mark.nightly
@pytest.mark.parametrize("stage", [stage for stage in GRAPH if not stage.endswith("_second")])
def test_a_stage_survives_21_kills_and_2_interrupts(
    whole: dict[str, Graph], tmp_path: Path, stage: str, record_property: Callable[[str, object], None]
) -> None:
    """20 kills, 8 at random seconds and 12 at random changes to the file system.

    All of them may come before anything is finished, seconds above all: a busy machine takes long to begin. So that
    one kill surely meets kept work, the stage ends itself for the 21st as soon as it has kept a folder.
    """
    graph = again(whole[stage], tmp_path / "graph")
    chance = random.Random(stage)
    record_property("kept at each kill", [killed_and_run_again(graph, some) for some in kills(graph.seconds, chance)])
    if stage in KEEPING:
        killed_once_kept(graph)
    for share in (0.3, 0.7):
        interrupted(graph, share * graph.seconds)
        run(graph.folder, graph.stage)
        assert outputs(graph.folder) == graph.after
        assert leftovers(graph.folder) == []


def killed_once_kept(graph: Graph) -> None:
    graph.reset()
    assert died(graph, DiesOnceKept()), f"{graph.stage} ended before a kept folder"
    made = identities(graph.folder)
    assert made.keys() - graph.kept_before, f"{graph.stage} kept nothing"
    assert outputs(graph.folder).keys() != graph.after.keys(), f"{graph.stage} was done"
    goes_on(graph, made)


def kill_worker(worker: psutil.Process, process: BaseProcess) -> None:
    worker.kill()
    assert ended(process) == 2


def take_memory_away(worker: psutil.Process, process: BaseProcess) -> None:
    """What the worker has counts elsewhere; with the next page that it writes to, it has more than it may."""
    with little_memory(1 << 16) as group:
        (group / "cgroup.procs").write_text(str(worker.pid))
        assert ended(process) == 2


@pytest.mark.nightly
@pytest.mark.parametrize("end", [kill_worker, take_memory_away])
def test_a_stage_whose_worker_the_system_kills_names_it_and_goes_on(
    tmp_path: Path, end: Callable[[psutil.Process, BaseProcess], None]
) -> None:
    """As it does where memory runs out: to one process, not to all."""
    *_, graph = up_to(tmp_path / "graph", ("base", "start", "methods"), {"workers": 2})
    graph.reset()
    process = begin_stage(graph.folder, graph.stage)
    parent = psutil.Process(process.pid)
    while not (workers := [child for child in parent.children() if child.cmdline() == parent.cmdline()]):
        assert process.is_alive(), graph.said
        time.sleep(0.01)
    time.sleep(0.3 * graph.seconds)
    end(workers[0], process)
    assert re.match(r"error: .* ended by SIGKILL\. .* the same command goes on from there$", graph.said[-1])
    run(graph.folder, graph.stage)
    assert outputs(graph.folder) == graph.after
    assert leftovers(graph.folder) == []


def interrupted(graph: Graph, moment: float) -> None:
    """Interrupt the stage as Ctrl-C does, after `moment` seconds: it ends soon, unless it was done before."""
    graph.reset()
    (graph.folder / "stderr").unlink()
    process = begin_stage(graph.folder, graph.stage)
    time.sleep(moment)
    assert process.pid is not None
    with suppress(ProcessLookupError):  # it is done
        os.killpg(process.pid, signal.SIGINT)
    code = ended(process, SOON)
    if code == 0:
        return
    assert code == 130, graph.said
    assert graph.said[-1] == "interrupted: what is finished is kept, and the same command goes on from there"
    assert not any("Traceback" in line for line in graph.said)


@pytest.fixture(params=[1, 2, 3, 4, 5])
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of so many MB; a start takes seven, in files of one or less."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or not mounted("-t", "tmpfs", "-o", f"size={request.param}m", "tmpfs", str(folder)):
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def mounted(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True).returncode == 0


@pytest.mark.nightly
def test_a_full_disk_is_said_and_more_room_is_enough(started: Graph, small_disk: Path, tmp_path: Path) -> None:
    lay_out(small_disk / "graph", SHORT)
    (small_disk / "graph" / "stderr").symlink_to(tmp_path / "stderr")  # there is room for complaints
    code = ended(begin_stage(small_disk / "graph", "base"))
    code = code or ended(begin_stage(small_disk / "graph", "start"))
    assert code == 2, "there was room enough"
    said = (small_disk / "graph" / "stderr").read_text(encoding="utf-8").splitlines()
    assert said[-1].startswith("error: No space left on device: ")
    assert not any("Traceback" in line for line in said)
    assert mounted("-o", "remount,size=300m", str(small_disk))
    for stage in QUICK:
        run(small_disk / "graph", stage)
    assert outputs(small_disk / "graph") == started.after
    assert leftovers(small_disk / "graph") == []


@pytest.mark.nightly
def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    """As root, modes do not bind: the folder is mounted read-only."""
    folder = lay_out(tmp_path / "graph")
    run(folder, "base")
    runs = folder / "runs"
    if os.geteuid() != 0 or not mounted("--bind", str(runs), str(runs)):
        pytest.skip("only root can mount a folder read-only")
    try:
        assert mounted("-o", "remount,bind,ro", str(runs))
        process = begin_stage(folder, "start")
        assert ended(process) == 2
        said = (folder / "stderr").read_text(encoding="utf-8").splitlines()
        assert said[-1].startswith("error: Read-only file system: [Errno 30] Read-only file system: 'runs/")
        assert not any("Traceback" in line for line in said)
    finally:
        subprocess.run(["umount", str(runs)], check=True)
    run(folder, "start")
