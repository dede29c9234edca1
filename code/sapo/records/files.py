"""Records in and out of checked JSON Lines: every field has the type that its record says, or the line is named."""

import dataclasses
import json
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from sapo.records.checksummed import RecordError, parse_object, read_lines, write_lines

Record = TypeVar("Record")


def write_records(path: Path, records: Iterable[object], schema: type) -> None:
    """Write records of one class to `path`, whole or not at all (a temporary file replaces it at the end).

    Raises:
        RecordError: a record is not of class `schema`; nothing is written.
    """
    lines = []
    for record in records:
        if type(record) is not schema:
            raise RecordError(f"{path}: {record!r} is no {schema.__name__}")
        lines.append(json.dumps(dataclasses.asdict(record), ensure_ascii=False))  # pyright: ignore[reportArgumentType]
    write_lines(path, schema.__name__, lines)


def read_records(path: Path, schema: type[Record]) -> list[Record]:
    """Read the records of one class from `path`.

    Raises:
        RecordError: the file is missing, truncated, altered, of another schema, or a line is no such record;
            the message names the file, the line and the reason.
    """
    hints = typing.get_type_hints(schema)
    lines = read_lines(path, schema.__name__)
    return [_build(path, number, line, schema, hints) for number, line in enumerate(lines, start=2)]


def _build(path: Path, number: int, line: str, schema: type[Record], hints: Mapping[str, Any]) -> Record:
    value = parse_object(path, number, line)
    for key in hints.keys() - value.keys():
        raise RecordError(f"{path}: line {number}: field {key!r} of {schema.__name__} is missing")
    for key in value.keys() - hints.keys():
        raise RecordError(f"{path}: line {number}: {schema.__name__} has no field {key!r}")
    fields = {key: _convert(value[key], hint, f"{path}: line {number}: {key}") for key, hint in hints.items()}
    try:
        return schema(**fields)
    except RecordError as error:
        raise RecordError(f"{path}: line {number}: {error}") from error


def _convert(value: Any, hint: Any, where: str) -> Any:
    """Check one JSON value against a field's type; lists become tuples. Raises RecordError."""
    origin = typing.get_origin(hint)
    if origin is Literal:
        if value not in typing.get_args(hint):
            raise RecordError(f"{where} is {value!r}, not one of {typing.get_args(hint)}")
        return value
    if origin is types.UnionType:
        return None if value is None else _convert(value, typing.get_args(hint)[0], where)
    if origin is tuple:
        if not isinstance(value, list):
            raise RecordError(f"{where} is {value!r}, not a list")
        return tuple(_convert(item, typing.get_args(hint)[0], where) for item in value)
    if hint is float and type(value) is int:
        try:
            return float(value)
        except OverflowError as error:
            raise RecordError(f"{where} is too large for a float") from error
    if type(value) is not hint:
        raise RecordError(f"{where} is {value!r}, not {hint.__name__}")
    return value
