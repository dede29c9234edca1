"""Small files of a run into checked values: JSON objects, dataclasses of numbers, logs, and counts of labelled rows.

Every message begins with the file that is not as it should be.
"""

import math
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from sapo.records import Cost, RecordError, parse_object, read_json, read_lines

Numbers = TypeVar("Numbers")

COUNTS = tuple(field.name for field in fields(Cost) if field.name != "seconds")  # seconds are not on file


def numbers(where: object, values: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Numbers that are not negative, one for each of `names` and no others. Raises RecordError naming the field."""
    if not isinstance(values, dict) or values.keys() != set(names):
        raise RecordError(f"{where}: expected the numbers {', '.join(sorted(names))}, found {values!r}")
    for name, value in values.items():
        if type(value) not in (int, float) or not 0 <= value < math.inf:
            raise RecordError(f"{where}: {name} is {value!r}, expected a number that is not negative")
    return values


def read_numbers(path: Path, schema: type[Numbers]) -> Numbers:
    """A dataclass of numbers from a file that holds its fields and no others."""
    names = tuple(field.name for field in fields(schema))  # pyright: ignore[reportArgumentType]
    return schema(**numbers(path, read_json(path), names))


def read_costs(path: Path, needed: tuple[str, ...]) -> dict[str, Cost]:
    """What each part of the work spent. Raises RecordError where one of the `needed` parts is missing."""
    parts = read_json(path)
    for name in needed:
        if name not in parts:
            raise RecordError(f"{path}: {name!r} is missing")
    return {name: Cost(**numbers(f"{path}: {name}", values, COUNTS)) for name, values in parts.items()}


def share_list(path: Path, values: Any, name: str) -> tuple[float, ...]:
    """A list of numbers from 0 to 1."""
    if not isinstance(values, list):
        raise RecordError(f"{path}: {name} is {values!r}, expected a list of numbers from 0 to 1")
    for value in values:
        if type(value) not in (int, float) or not 0 <= value <= 1:
            raise RecordError(f"{path}: {name} holds {value!r}, expected numbers from 0 to 1")
    return tuple(values)


def read_rows(path: Path, schema: type, names: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Some fields of every record of a file, without building the records: these files are long.

    Raises:
        RecordError: the file is missing, altered or of another schema, or a record lacks a field.
    """
    found = []
    for number, line in enumerate(read_lines(path, schema.__name__), start=2):
        record = parse_object(path, number, line)
        if missing := [name for name in names if name not in record]:
            raise RecordError(f"{path}: line {number}: field {missing[0]!r} is missing")
        found.append(tuple(record[name] for name in names))
    return found
