"""Decides when the next request may start: evenly spaced over all threads, later where the endpoint asks for it.

Own code, because neither httpx2 (which limits connections) nor tenacity (which knows one call) limits a rate.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


class Stopped(Exception):
    """`stop` was set while a request waited for its turn."""


def _wait(seconds: float, stop: threading.Event) -> None:
    stop.wait(seconds)


@dataclass(frozen=True, slots=True)
class Time:
    """The clock and the waiting, which ends early when `stop` is set; tests replace both."""

    now: Callable[[], float] = time.monotonic
    wait: Callable[[float, threading.Event], None] = _wait


class Pace:
    """Lets requests start `60 / per_minute` seconds apart, so never more than `per_minute` in any minute."""

    def __init__(self, per_minute: float, time: Time) -> None:
        self._between, self._time = 60.0 / per_minute, time
        self._free = time.now()
        self._lock = threading.Lock()

    def take(self, stop: threading.Event) -> None:
        """Wait for a turn. Raises Stopped."""
        while not stop.is_set() and (seconds := self._missing()) > 0:
            self._time.wait(seconds, stop)
        if stop.is_set():
            raise Stopped

    def hold(self, seconds: float) -> None:
        """Let nothing start for so long."""
        with self._lock:
            self._free = max(self._free, self._time.now() + seconds)

    def _missing(self) -> float:
        """Seconds to wait; 0 takes the turn."""
        with self._lock:
            now = self._time.now()
            if now < self._free:
                return self._free - now
            self._free = now + self._between
            return 0.0
