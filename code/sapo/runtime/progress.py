"""Progress of long work on stderr: a live bar on a terminal, at most a line every ten seconds elsewhere.

`for batch in track(batches, "sapo round 2: rollouts", unit="batches")`, or where one step is many samples
`with Progress("sft qwen2_nano nano_math", total=4000) as progress: … progress.advance(32)`.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from types import TracebackType
from typing import TYPE_CHECKING, TextIO, TypeVar

if TYPE_CHECKING:  # rich is imported when there is a bar to draw: commands import this module to start fast
    from rich.progress import Progress as Bar

LINE_SECONDS = 10.0

Item = TypeVar("Item")


class Progress:
    """Counts work that is done. `what` names stage, round and activity; the rate is that of the whole block."""

    def __init__(
        self,
        what: str,
        total: int,
        unit: str = "samples",
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.what, self.total, self.unit = what, total, unit
        self._stream = stream or sys.stderr
        self._clock = clock
        self._done = 0
        self._start = self._last = clock()
        self._bar: Bar | None = None

    def __enter__(self) -> "Progress":
        self._start = self._last = self._clock()
        if self._stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            rate = (TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
            self._bar = Progress(*columns, *rate, console=Console(file=self._stream))
            self._bar.start()
            self._bar.add_task(self.what, total=self.total, rate="")
        return self

    def advance(self, count: int = 1) -> None:
        self._done += count
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done, rate=f"{self._rate():.1f} {self.unit}/s")
        elif self._clock() - self._last >= LINE_SECONDS:
            self._last = self._clock()
            self._line(f"ETA {_duration((self.total - self._done) / max(self._rate(), 1e-9))}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif kind is None:
            self._line(f"took {_duration(self._clock() - self._start)}")

    def _rate(self) -> float:
        return self._done / max(self._clock() - self._start, 1e-9)

    def _line(self, end: str) -> None:
        share = f"{self._done}/{self.total}"
        self._stream.write(f"{self.what}: {share} {self.unit}, {self._rate():.1f} {self.unit}/s, {end}\n")
        self._stream.flush()


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"


def track(items: Iterable[Item], what: str, total: int | None = None, unit: str = "samples") -> Iterator[Item]:
    """Go through `items` and show how far; `total` is owed only where the items have no length."""
    if total is None:
        if not isinstance(items, Sized):
            raise TypeError(f"{what}: {type(items).__name__} has no length; give total")
        total = len(items)
    with Progress(what, total, unit) as progress:
        for item in items:
            yield item
            progress.advance()
