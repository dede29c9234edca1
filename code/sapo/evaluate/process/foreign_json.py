"""JSON that others wrote, read with complaints that name file, line, field and value."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from sapo.records import RecordError


@dataclass(frozen=True, slots=True)
class Node:
    """A JSON value with its place, `FILE: line 3: label.steps[1]`, which begins every complaint about it."""

    file: str
    path: str
    value: Any

    def refuse(self, reason: str) -> NoReturn:
        raise RecordError(f"{self.file}: {self.path} {reason}" if self.path else f"{self.file}: {reason}")

    def of(self, *kinds: type) -> Any:
        """The value, if its type is one of these (a bool is no int)."""
        if type(self.value) not in kinds:
            self.refuse(f"is {json.dumps(self.value)[:60]}, not {' or '.join(kind.__name__ for kind in kinds)}")
        return self.value

    def at(self, key: str) -> "Node":
        if key not in self.of(dict):
            self.refuse(f"has no field {key!r}" if self.path else f"field {key!r} is missing")
        return Node(self.file, f"{self.path}.{key}" if self.path else key, self.value[key])

    def maybe(self, key: str) -> Any:
        """The value of a field that may be null or missing."""
        return self.of(dict).get(key)

    def entries(self) -> list["Node"]:
        return [Node(self.file, f"{self.path}[{i}]", value) for i, value in enumerate(self.of(list))]

    def text(self) -> str:
        if not self.of(str):
            self.refuse("is empty")
        return self.value


def objects(path: Path) -> Iterator[Node]:
    """The objects of a JSON list or of JSON Lines, with the lines that they begin at."""
    if not path.is_file():
        raise RecordError(f"{path}: no such file")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecordError(f"{path}: not UTF-8 at byte {error.start}") from error
    if not text.strip():
        raise RecordError(f"{path}: the file is empty")
    yield from _listed(path, text) if text.lstrip()[:1] == "[" else _lines(path, text)


def _lines(path: Path, text: str) -> Iterator[Node]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                value = json.loads(line)
            except json.JSONDecodeError as error:
                raise RecordError(f"{path}: line {number}: not JSON ({error.msg}): {line[:60]!r}") from error
            yield Node(f"{path}: line {number}", "", value)


def _listed(path: Path, text: str) -> Iterator[Node]:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        near = text[max(0, error.pos - 30) : error.pos + 30]
        raise RecordError(f"{path}: line {error.lineno}: not JSON ({error.msg}): {near!r}") from error
    decoder = json.JSONDecoder()
    line, counted, position = 1, 0, text.index("[") + 1
    while True:
        while text[position].isspace() or text[position] == ",":
            position += 1
        if text[position] == "]":
            return
        line, counted = line + text.count("\n", counted, position), position
        value, position = decoder.raw_decode(text, position)
        yield Node(f"{path}: line {line}", "", value)
