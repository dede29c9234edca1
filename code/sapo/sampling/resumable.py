"""Resumable sampling: what a sampler drew is kept on disk in segments, and a run that was killed draws only the rest.

A segment is written as soon as `at_once` requests have been answered; where it ends depends on the requests alone. The
sampler is made anew for every segment (without its prefix cache), so that completions and costs are those of a run
that was not interrupted.
"""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple
from pathlib import Path
from typing import NamedTuple

from sapo.records import Cost, RecordError, parse_object
from sapo.records.checksummed import read_lines, write_lines
from sapo.sampling.protocol import Completion, Request, Sampler, Until

SCHEMA = "Drawn"


class Part(NamedTuple):
    """The answer to one part of a call, and the digest of what was asked."""

    asked: str
    completions: list[Completion]
    cost: Cost


class Journal:
    """A `Sampler` that keeps what it drew in `folder`, one file a segment.

    Args:
        folder: of this sampler alone, for one work with its settings, inputs and code.
        at_once: requests of a segment, and the most that the sampler is given at once.
        make: a sampler as new; called once for every segment of which something has to be drawn.
    """

    def __init__(self, folder: Path, at_once: int, make: Callable[[], Sampler]) -> None:
        self._folder = folder
        self._at_once = at_once
        self._make = make
        self._segment = -1
        self._begin()

    def complete(
        self, requests: Sequence[Request], temperature: float, max_new_tokens: int, until: Until | None = None
    ) -> tuple[list[Completion], Cost]:
        """See `Sampler.complete`.

        Raises:
            RecordError: a segment was damaged, or drawn for other requests.
        """
        found: list[Completion] = []
        cost = Cost()
        for start in range(0, len(requests), self._at_once):
            part = self._answer(requests[start : start + self._at_once], temperature, max_new_tokens, until)
            found += part.completions
            cost += part.cost
        return found, cost

    def _answer(
        self, requests: Sequence[Request], temperature: float, max_new_tokens: int, until: Until | None
    ) -> Part:
        asked = _digest(requests, temperature, max_new_tokens)
        if self._known:
            part = self._known.popleft()
            if part.asked != asked:
                raise RecordError(f"{self._path}: drawn for other requests than are made now; delete this file")
        else:
            self._sampler = self._sampler or self._make()
            part = Part(asked, *self._sampler.complete(requests, temperature, max_new_tokens, until))
            self._drawn.append(part)
        self._answered += len(requests)
        if self._answered >= self._at_once:
            if self._drawn:
                write_lines(self._path, SCHEMA, [_line(part) for part in self._drawn])
            self._begin()
        return part

    def _begin(self) -> None:
        """The next segment: known whole, or not at all."""
        self._segment += 1
        self._answered = 0
        self._sampler: Sampler | None = None
        self._drawn: list[Part] = []
        lines = read_lines(self._path, SCHEMA) if self._path.is_file() else []
        self._known = deque(_part(self._path, number, line) for number, line in enumerate(lines, start=2))

    @property
    def _path(self) -> Path:
        return self._folder / f"{self._segment:06d}.jsonl"


def _digest(requests: Sequence[Request], temperature: float, max_new_tokens: int) -> str:
    asked = repr((temperature, max_new_tokens, [astuple(request) for request in requests]))
    return hashlib.sha256(asked.encode()).hexdigest()


def _line(part: Part) -> str:
    completions = [astuple(completion) for completion in part.completions]
    return json.dumps({"asked": part.asked, "cost": asdict(part.cost), "completions": completions})


def _part(path: Path, number: int, line: str) -> Part:
    value = parse_object(path, number, line)
    return Part(value["asked"], [Completion(*own) for own in value["completions"]], Cost(**value["cost"]))
