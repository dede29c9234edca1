"""Answers that were paid for, one a line, on the disk before they are used: a killed run loses none, pays none twice.

The file begins with a header line; a line holds the hash of the whole request (model, prompt, temperature, seed of the
vote, limit), the answer, and the start of the SHA-256 of both. A last line that a kill cut short is taken off; whatever
else does not fit is refused, because overwriting a foreign file or guessing at an answer does more harm than stopping.
A line that was deleted is an answer that is asked for again.
"""

import fcntl
import hashlib
import json
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from sapo.records import RecordError
from sapo.sampling.http.replies import Reply

HEADER = b'{"schema": "PaidAnswers/2"}\n'
CHECK = "sha256"
FIELDS: tuple[str, ...] = ("key", "model", "item", "vote", "text", "complete", "prompt_tokens", "completion_tokens")


def read_answers(path: Path) -> dict[str, Reply]:
    """Answers by the hash of their request; none where there is no file. Changes nothing. Raises RecordError."""
    if not path.exists():
        return {}
    try:
        return _parse(path, path.read_bytes())[0]
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from error


def _parse(path: Path, data: bytes) -> tuple[dict[str, Reply], int]:
    """Answers, and how many bytes of the file are sound: a last line without its end is, if it is a whole answer."""
    if not data.startswith(HEADER):
        if HEADER.startswith(data):
            return {}, 0
        raise RecordError(f"{path}: line 1: is no file of paid answers: {data[:60]!r}")
    answers: dict[str, Reply] = {}
    *lines, last = data[len(HEADER) :].split(b"\n")
    for number, line in enumerate([*lines, last], start=2):
        try:
            key, reply = _answer(f"{path}: line {number}", line)
        except RecordError:
            if number == len(lines) + 2:
                return answers, len(data) - len(last)
            raise
        if key in answers:
            raise RecordError(f"{path}: line {number}: the answer to request {key[:12]} is there twice")
        answers[key] = reply
    return answers, len(data)


def _answer(where: str, line: bytes) -> tuple[str, Reply]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{where}: not JSON: {line[:60]!r}") from error
    if not isinstance(value, dict) or value.keys() != {*FIELDS, CHECK}:
        raise RecordError(f"{where}: is no paid answer with the fields {', '.join(FIELDS)}: {line[:60]!r}")
    if value.pop(CHECK) != _checksum(value):
        raise RecordError(f"{where}: the answer is not what its {CHECK} says: altered since it was written")
    reply = Reply(value["text"], value["complete"], value["prompt_tokens"], value["completion_tokens"])
    return value["key"], reply


def _checksum(value: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("ascii")).hexdigest()[:16]


class AnswerCache:
    """The file, open for one process; `answers` holds what is in it. Threads may share it.

    Args:
        waits: for another process that has the file, saying so, instead of refusing.
    """

    def __init__(self, path: Path, waits: bool = False) -> None:
        self.path = path
        self._waits = waits
        self.answers: dict[str, Reply] = {}
        self._lock = threading.Lock()
        self._opened = ExitStack()
        self._whole = True

    def __enter__(self) -> "AnswerCache":
        """Open, lock and mend the file.

        Raises:
            RecordError: it cannot be opened, another process has it, or it holds something else.
        """
        with ExitStack() as opened:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = opened.enter_context(self.path.open("ab", buffering=0))
                self._lock_file()
                self._mend()
            except OSError as error:
                raise RecordError(f"{self.path}: cannot be opened: {error.strerror}") from error
            self._opened = opened.pop_all()
        return self

    def _lock_file(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            said = f"{self.path}: another process is asking for these answers"
            if not self._waits:
                raise RecordError(said) from None
            sys.stderr.write(f"{said}; waiting for it\n")
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def _mend(self) -> None:
        data = self.path.read_bytes()
        self.answers, sound = _parse(self.path, data)
        self._file.truncate(sound)
        if not sound:
            self._write(HEADER)
            folder = os.open(self.path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
        elif not data[:sound].endswith(b"\n"):
            self._write(b"\n")

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def add(self, key: str, reply: Reply, model: str, item: str, vote: int) -> None:
        """Bring an answer to the disk, then into `answers`. Raises RecordError: the disk does not take it."""
        row = (key, model, item, vote, reply.text, reply.complete, reply.prompt_tokens, reply.completion_tokens)
        value = dict(zip(FIELDS, row, strict=True))
        line = json.dumps(value | {CHECK: _checksum(value)}).encode("ascii") + b"\n"
        with self._lock:
            self._write(line)
            self.answers[key] = reply

    def _write(self, line: bytes) -> None:
        """Append; nothing after a line that was not written whole, which the next start takes off."""
        if not self._whole:
            raise RecordError(f"{self.path}: an earlier answer could not be written")
        self._whole = False
        try:
            written = os.write(self._file.fileno(), line)
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RecordError(f"{self.path}: cannot be written: {error.strerror}") from error
        if written < len(line):
            raise RecordError(f"{self.path}: cannot be written: only {written} of {len(line)} bytes fitted")
        self._whole = True
