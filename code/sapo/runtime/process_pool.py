"""Independent pieces of a stage's work, shared among processes that were forked after the imports were paid."""

import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess

from sapo.records import BadInput


@dataclass(frozen=True, slots=True)
class Work:
    """A named piece of work: a function of the module level, and its arguments."""

    name: str
    run: Callable[..., object]
    arguments: tuple[object, ...]


class WorkerDied(BadInput):
    """A process ended in the middle of its work; the message names the work and what ended it."""


def run_all(works: Sequence[Work], workers: int) -> None:
    """Do all works, the first ones first, on `workers` processes, and say when each is done.

    The first error ends the stage; what is running is waited for, what has not begun is not begun. An interrupt ends
    what is running too, and no process outlives this one, whatever ends it.

    Raises:
        WorkerDied: a process was killed, as the system does where memory runs out.
    """
    start = time.monotonic()
    if workers == 1 or len(works) == 1:
        for number, work in enumerate(works, start=1):
            work.run(*work.arguments)
            _say(work, number, len(works), start)
        return
    # Shared with the processes to come: the process that has begun each work.
    begun = memoryview(mmap.mmap(-1, max(1, len(works)) * 8)).cast("q")
    others = set(active_children())
    # Forked, not spawned: importing torch and transformers again would cost seconds for each process. Nothing has
    # started a thread yet, because the parent only imports.
    with ProcessPoolExecutor(workers, get_context("fork"), _prepare, (begun,)) as pool:
        running: dict[Future[None], Work] = {pool.submit(_do, i, work): work for i, work in enumerate(works)}
        processes = set(active_children()) - others
        try:
            for number, future in enumerate(as_completed(running), start=1):
                future.result()
                _say(running[future], number, len(works), start)
        except BrokenProcessPool as error:
            pool.shutdown()
            raise WorkerDied(_describe_crash(works, begun.tolist(), processes)) from error
        except KeyboardInterrupt:
            for process in processes:
                process.kill()
            raise
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


_begun: memoryview  # of a worker process


def _prepare(begun: memoryview) -> None:
    """A worker's first act: it leaves interrupts to its parent, and ends with it."""
    global _begun
    _begun = begun
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(number: int, work: Work) -> None:
    _begun[number] = os.getpid()
    work.run(*work.arguments)


def _describe_crash(works: Sequence[Work], begun: Sequence[int], processes: set[BaseProcess]) -> str:
    """Which work went down with which signal; the pool has ended the processes that were still alive by SIGTERM."""
    dead = [process for process in processes if process.exitcode not in (0, -signal.SIGTERM)]
    last = {pid: work.name for pid, work in zip(begun, works, strict=True)}
    said = [f"{last.get(process.pid or 0, 'a process')} ended by {_end(process.exitcode or 0)}" for process in dead]
    said = said or ["a process was ended from outside"]  # by SIGTERM, or before it had begun any work
    return (
        f"{'; '.join(sorted(said))}. SIGKILL is how the system answers when memory runs out: fewer `workers` or "
        "`sampling.rows` need less. Finished work is kept: the same command goes on from there"
    )


def _end(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _say(work: Work, number: int, total: int, start: float) -> None:
    seconds = time.monotonic() - start
    sys.stderr.write(f"{work.name}: done, {number} of {total} after {seconds:.0f} s\n")
    sys.stderr.flush()
