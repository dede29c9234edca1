"""Checksummed files: a header of schema with version, number of rows and start of the SHA-256 of the content.

Truncated, altered, reordered and foreign files are refused, by file, line and reason. Files are written atomically.

1. Records: JSON Lines; below the header `{"schema": "Trajectory/2", "rows": 3, "sha256": "…"}` one record a line.
2. Small results: one JSON object, `{"schema": "costs/2", "rows": 5, "sha256": "…", "content": …}`, whose schema is the
   file's name. The checksum is of the values: other white space is the same file.
3. What other programs and people read (`results/`) is plain JSON without a header.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 2
HEADER = ("schema", "rows", "sha256")
DIGITS = 16  # of a checksum


class BadInput(ValueError):
    """What a user gave cannot be used; the command line shows the message as one line, without a trace."""


class RecordError(BadInput):
    """A record or a file of records breaks its contract; the message names file, record and value."""


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` atomically: readers see the old file or the new one, never a part."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content` atomically.

    What a killed process left half-written has the name that the next one writes to, so nothing stays behind. Of two
    at once one waits: the lock of a process goes with it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    while True:
        with temporary.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not same_file(temporary, file.fileno()):
                continue  # another process has finished its own meanwhile, and the name is free
            try:
                file.truncate(0)
                file.write(content)
                file.flush()
                os.replace(temporary, path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            return


def same_file(path: Path, opened: int) -> bool:
    """Whether `path` is still the name of the file with descriptor `opened`."""
    try:
        return os.path.samestat(path.stat(), os.fstat(opened))
    except FileNotFoundError:
        return False


def write_plain_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON with sorted keys, atomically and without a header: for readers outside."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def read_plain_json(path: Path, kind: type = dict) -> Any:
    """The JSON object or list (`kind`) of a file without a header. Raises RecordError naming file, line and reason."""
    value = _parsed(path, _text(path))
    if type(value) is not kind:
        raise RecordError(f"{path}: line 1: not a JSON {'object' if kind is dict else 'list'}")
    return value


def write_json(path: Path, value: object) -> None:
    """Write an object or a list as a checked file; keys are sorted.

    Raises:
        TypeError: `value` is neither.
    """
    if not isinstance(value, dict | list):
        raise TypeError(f"{path}: {type(value).__name__} is neither an object nor a list")
    content = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
    header = json.dumps(_header(path.stem, len(value), _short(_canonical(json.loads(content)))))
    write_text(path, f'{header[:-1]}, "content": {content}}}\n')


def read_json(path: Path, kind: type = dict) -> Any:
    """The object or list (`kind`) that `write_json` wrote under this file's name.

    Raises:
        RecordError: the file is missing, or not what was written; the message names file, line and reason.
    """
    value = _parsed(path, _text(path))
    if not isinstance(value, dict) or value.keys() != {*HEADER, "content"}:
        raise RecordError(f"{path}: line 1: expected an object of {', '.join(HEADER)} and content")
    content = value.pop("content")
    _check_schema(path, value, path.stem)
    rows = len(content) if isinstance(content, dict | list) else -1
    if type(content) is not kind:
        raise RecordError(f"{path}: line 1: content is not a JSON {'object' if kind is dict else 'list'}")
    _check_content(path, value, rows, _short(_canonical(content)))
    return content


def write_lines(path: Path, schema: str, lines: Sequence[str]) -> None:
    """Write lines of JSON below a header."""
    body = "".join(f"{line}\n" for line in lines)
    header = json.dumps(_header(schema, len(lines), _short(body.encode("utf-8"))))
    write_text(path, f"{header}\n{body}")


def read_lines(path: Path, schema: str) -> list[str]:
    """The lines below the header of a checked file; the first of them is line 2.

    Raises:
        RecordError: the file is missing, or not what was written; the message names file, line and reason.
    """
    text = _text(path)
    first, _, body = text.partition("\n")
    header = parse_object(path, 1, first)
    _check_schema(path, header, schema)
    *lines, last = body.split("\n")
    try:
        if last:
            raise RecordError(f"{path}: line {len(lines) + 2}: the file ends within the line: truncated")
        _check_content(path, header, len(lines), _short(body.encode("utf-8")))
    except RecordError:
        for number, line in enumerate(lines, start=2):
            parse_object(path, number, line)  # names the line, where it can be told
        raise
    return lines


def check_lines(path: Path) -> None:
    """Check a file of lines of any schema against its header, without holding it in memory. Raises RecordError."""
    digest, rows = hashlib.sha256(), 0
    with path.open("rb") as file:
        header = parse_object(path, 1, file.readline().decode("utf-8", errors="replace"))
        for line in file:
            digest.update(line)
            rows += 1
    _check_schema(path, header, str(header.get("schema")).rpartition("/")[0])
    _check_content(path, header, rows, digest.hexdigest()[:DIGITS])


def parse_object(path: Path, number: int, line: str) -> dict[str, Any]:
    """The JSON object in a line. Raises RecordError naming file and line."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: line {number}: not JSON ({_why(error)}): {line[:60]!r}") from error
    if not isinstance(value, dict):
        raise RecordError(f"{path}: line {number}: not a JSON object: {line[:60]!r}")
    return value


def _text(path: Path) -> str:
    if not path.is_file():
        raise RecordError(f"{path}: no such file")
    data = path.read_bytes()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RecordError(f"{path}: line {line}: not UTF-8 at byte {error.start}") from error


def _parsed(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 1
        raise RecordError(f"{path}: line {line}: not JSON ({_why(error)})") from error


def _why(error: Exception) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)


def _header(schema: str, rows: int, sha256: str) -> dict[str, object]:
    return {"schema": f"{schema}/{SCHEMA_VERSION}", "rows": rows, "sha256": sha256}


def _check_schema(path: Path, header: dict[str, Any], schema: str) -> None:
    expected = f"{schema}/{SCHEMA_VERSION}"
    if header.get("schema") != expected:
        raise RecordError(f"{path}: line 1: schema is {header.get('schema')!r}, expected {expected!r}")
    if header.keys() != set(HEADER):
        raise RecordError(f"{path}: line 1: expected {', '.join(HEADER)}, found {', '.join(header)}")


def _check_content(path: Path, header: dict[str, Any], rows: int, sha256: str) -> None:
    if type(header["rows"]) is not int or header["rows"] != rows:
        said = f"header promises {header['rows']!r} rows, the file holds {rows}"
        raise RecordError(f"{path}: line 1: {said}: truncated or edited")
    if header["sha256"] != sha256:
        said = f"SHA-256 of the content begins with {sha256}, the header says {header['sha256']!r}"
        raise RecordError(f"{path}: line 1: {said}: altered since it was written")


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode("ascii")


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:DIGITS]
