"""Rows of the real benchmark files, from a folder or from the hub, checked; what the task modules build on.

A file that is missing, malformed or lacks a field is a RecordError that names file, line and value. Rows read
from the hub come at a pinned revision and must add up to the same content as the real file (`rows_sha256`), so
that records are identical either way; a mirror that changed is refused by name.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sapo.records import RecordError
from sapo.tasks.task import DataSource


@dataclass(frozen=True, slots=True)
class Origin:
    """One real file and the hub's copy of it.

    Args:
        path: place of the file under `DataSource.root`; `.gz` files are unpacked while reading.
        sha256: digest of the real file, for `is_pinned`.
        fields: name and type of the fields that rows must have; others are dropped.
        rows_sha256: digest of the rows' fields, whatever their order (`rows_digest`).
        hub: repository, configuration and revision on the hub; empty where it holds no copy.
        hub_splits: splits that make up the file, in file order.
        hub_names: field names on the hub where they differ.
    """

    path: str
    sha256: str
    fields: Mapping[str, type]
    rows_sha256: str
    hub: tuple[str, str, str] | None = None
    hub_splits: tuple[str, ...] = ()
    hub_names: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """The checked fields of one line; `where` begins every complaint about it."""

    where: str
    values: Mapping[str, Any]

    def __getitem__(self, field: str) -> Any:
        return self.values[field]


def read_rows(origin: Origin, source: DataSource) -> list[Row]:
    """Rows of a benchmark file in file order.

    Raises:
        RecordError: the file is missing, a row is malformed, or the hub's rows are not the pinned ones.
    """
    if source.hub:
        return _hub_rows(origin)
    path = source.root / origin.path
    return [_row(origin, f"{path}: line {n}", _parse(path, n, line)) for n, line in _lines(path) if line.strip()]


def is_pinned(origin: Origin, root: Path) -> bool:
    """Whether the file under `root` is byte for byte the one that the published protocols were recovered from."""
    path = root / origin.path
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == origin.sha256


def rows_digest(rows: Iterable[Row]) -> str:
    """Digest of the rows' content that does not depend on their order."""
    lines = sorted(json.dumps(row.values, sort_keys=True, ensure_ascii=False) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def refuse_split(name: str, split: str, known: tuple[str, ...]) -> RecordError:
    """The error for a split that a benchmark does not have."""
    return RecordError(f"{name} has no split {split!r}, only {' and '.join(known)}")


def _lines(path: Path) -> list[tuple[int, str]]:
    if not path.is_file():
        raise RecordError(f"{path}: no such file; put the benchmark's file there or set data.hub")
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise RecordError(f"{path}: unreadable: {error}") from error
    return list(enumerate(text.split("\n"), start=1))


def _parse(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: line {number}: not JSON ({error}): {line[:60]!r}") from error


def _row(origin: Origin, where: str, value: Any) -> Row:
    if not isinstance(value, dict):
        raise RecordError(f"{where}: not a JSON object: {value!r:.60}")
    for field, kind in origin.fields.items():
        if field not in value:
            raise RecordError(f"{where}: field {field!r} is missing")
        if type(value[field]) is not kind:
            raise RecordError(f"{where}: {field} is {value[field]!r:.60}, not {kind.__name__}")
        if kind is list and not all(isinstance(item, str) for item in value[field]):
            raise RecordError(f"{where}: {field} holds something else than text: {value[field]!r:.60}")
    return Row(where, {field: value[field] for field in origin.fields})


def _hub_rows(origin: Origin) -> list[Row]:
    if origin.hub is None:
        raise RecordError(f"{origin.path} has no copy on the hub; put the file under data.root and unset data.hub")
    import datasets  # slow to import, and not needed for files

    repository, configuration, revision = origin.hub
    names = origin.hub_names or {}
    rows = []
    for split in origin.hub_splits:
        where = f"{repository}@{revision[:8]} {split}"
        table = datasets.load_dataset(repository, configuration, split=split, revision=revision)
        for number, value in enumerate(table, start=1):
            fields = {field: value.get(names.get(field, field)) for field in origin.fields}  # pyright: ignore[reportAttributeAccessIssue]
            rows.append(_row(origin, f"{where}: row {number}", fields))
    if rows_digest(rows) != origin.rows_sha256:
        raise RecordError(f"{repository}@{revision}: its {len(rows)} rows are not those of {origin.path}")
    return rows
