"""JSON that others wrote, read with complaints that name file, line, field and value.

What pandas and CSV files make of JSON is undone where only one reading is possible: whole floats are integers, NaN is
null, and a text where another type is expected counts as the value that it spells in JSON or Python: "-1", "True",
"['a', 'b']". A byte order mark before the first line is no content.
"""

import ast
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

    @property
    def spelled(self) -> Any:
        """The value; of a text, the value that it spells."""
        return _spelled(self.value) if type(self.value) is str else self.value

    def of(self, *kinds: type) -> Any:
        """The value, or the one that it spells where texts are not asked for, of one of these types; a bool is no int.

        Raises:
            RecordError: it is of another type.
        """
        value = self.value if str in kinds else self.spelled
        if type(value) not in kinds:
            self.refuse(f"is {json.dumps(self.value)[:60]}, not {' or '.join(kind.__name__ for kind in kinds)}")
        return value

    def at(self, key: str) -> "Node":
        if key not in self.of(dict):
            self.refuse(f"has no field {key!r}" if self.path else f"field {key!r} is missing")
        return self.maybe(key)

    def maybe(self, key: str) -> "Node":
        """A field that may be null or missing, either of which has the value None."""
        return Node(self.file, f"{self.path}.{key}" if self.path else key, self.of(dict).get(key))

    def entries(self) -> list["Node"]:
        return [Node(self.file, f"{self.path}[{i}]", value) for i, value in enumerate(self.of(list))]

    def text(self) -> str:
        """A text that is not empty."""
        if not self.of(str):
            self.refuse("is empty")
        return self.value

    def name(self) -> str:
        """A text that is not empty, or an integer as a text."""
        return str(self.value) if type(self.value) is int else self.text()

    def flag(self) -> bool:
        """A bool, which pandas may have made 1 or 0."""
        value = self.of(bool, int)
        if value not in (0, 1):
            self.refuse(f"is {value}, neither true nor false")
        return bool(value)

    def texts(self, separator: str = "") -> list[str]:
        """Texts, at least one and none empty. A text that is no list is cut at the separator, if there is one."""
        node = self
        if separator and type(self.spelled) is str and not self.spelled.startswith(("['", '["')):
            node = Node(self.file, self.path, self.value.strip().split(separator))
        if not node.of(list):
            self.refuse("is empty: there are no steps")
        return [entry.text() for entry in node.entries()]


def objects(path: Path) -> Iterator[Node]:
    """The objects of a JSON list or of JSON Lines, with the lines that they begin at."""
    if not path.is_file():
        raise RecordError(f"{path}: no such file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordError(f"{path}: not UTF-8 at byte {error.start}") from error
    if not text.strip():
        raise RecordError(f"{path}: the file is empty")
    yield from _listed(path, text) if text.lstrip()[:1] == "[" else _lines(path, text)


def parse(text: str, where: str) -> Any:
    """A JSON value, as the module's docstring has it. Raises RecordError, which begins with `where`."""
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        said = error.msg if isinstance(error, json.JSONDecodeError) else error
        raise RecordError(f"{where}: not JSON ({said}): {text[:60]!r}") from error


def _number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() else value


_DECODER = json.JSONDecoder(
    parse_float=_number, parse_constant=lambda name: None if name == "NaN" else float(name.replace("Infinity", "inf"))
)


def _spelled(text: str) -> Any:
    """The value that a text spells, the text itself where it spells none."""
    if text in ("", "nan"):
        return None
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        pass
    try:
        value = ast.literal_eval(text)
        # NumPy writes ['a' 'b'], which Python would read as one text.
        return _DECODER.decode(json.dumps(value)) if repr(value) == text.strip() else text
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return text


def _lines(path: Path, text: str) -> Iterator[Node]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{path}: line {number}"
            yield Node(where, "", parse(line, where))


def _listed(path: Path, text: str) -> Iterator[Node]:
    try:
        _DECODER.decode(text)
    except json.JSONDecodeError as error:
        near = text[max(0, error.pos - 30) : error.pos + 30]
        raise RecordError(f"{path}: line {error.lineno}: not JSON ({error.msg}): {near!r}") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: not JSON ({error})") from error
    line, counted, position = 1, 0, text.index("[") + 1
    while True:
        while text[position].isspace() or text[position] == ",":
            position += 1
        if text[position] == "]":
            return
        line, counted = line + text.count("\n", counted, position), position
        value, position = _DECODER.raw_decode(text, position)
        yield Node(f"{path}: line {line}", "", value)
