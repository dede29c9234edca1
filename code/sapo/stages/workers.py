"""Independent pieces of a stage's work, shared among processes that were forked after the imports were paid."""

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context


@dataclass(frozen=True, slots=True)
class Work:
    """A named piece of work: a function of the module level, and its arguments."""

    name: str
    run: Callable[..., object]
    arguments: tuple[object, ...]


def share(works: Sequence[Work], workers: int) -> None:
    """Do all works, the first ones first, on `workers` processes, and say when each is done.

    The first error ends the stage; what is running is waited for, what has not begun is not begun.
    """
    start = time.monotonic()
    if workers == 1 or len(works) == 1:
        for number, work in enumerate(works, start=1):
            work.run(*work.arguments)
            _say(work, number, len(works), start)
        return
    # Forked, not spawned: importing torch and transformers again would cost seconds for each process. Nothing has
    # started a thread yet, because the parent only imports.
    with ProcessPoolExecutor(workers, get_context("fork")) as pool:
        running = {pool.submit(work.run, *work.arguments): work for work in works}
        try:
            for number, future in enumerate(as_completed(running), start=1):
                future.result()
                _say(running[future], number, len(works), start)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _say(work: Work, number: int, total: int, start: float) -> None:
    seconds = time.monotonic() - start
    sys.stderr.write(f"{work.name}: done, {number} of {total} after {seconds:.0f} s\n")
    sys.stderr.flush()
