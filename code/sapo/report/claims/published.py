"""Every number that the two papers print, from `code/conf/published.csv` into checked records.

Values are in %, as printed. Where a paper does not say how many items a number rests on, `items` is None.
"""

import csv
import re
from dataclasses import dataclass, fields
from pathlib import Path

from sapo.records import BadInput

CONF = Path(__file__).parents[3] / "conf"
PUBLISHED = CONF / "published.csv"
HEADER = "source,location,model,method,benchmark,metric,value,n_items"


class PublishedError(BadInput):
    """The file of published numbers is not as it should be; the message names file, line and value."""


@dataclass(frozen=True, slots=True)
class Row:
    """One printed number: `percent` of `items` questions, 0 to 100."""

    source: str
    location: str
    model: str
    method: str
    benchmark: str
    metric: str
    percent: float
    items: int | None


def read_published(path: Path = PUBLISHED) -> list[Row]:
    """All rows in order. Raises PublishedError: no such file, another header, a bad number, or one number twice."""
    if not path.is_file():
        raise PublishedError(f"{path}: no such file")
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    if not lines or ",".join(lines[0]) != HEADER:
        raise PublishedError(f"{path}: line 1: {','.join(lines[0]) if lines else ''!r}, expected {HEADER!r}")
    found, seen = [], {}
    for number, cells in enumerate(lines[1:], start=2):
        row = _row(cells, f"{path}: line {number}")
        key = (row.source, row.location, row.model, row.method, row.benchmark, row.metric)
        if key in seen:
            raise PublishedError(f"{path}: line {number}: {', '.join(key)} is in line {seen[key]} already")
        seen[key] = number
        found.append(row)
    return found


def _row(cells: list[str], where: str) -> Row:
    if len(cells) != len(fields(Row)):
        raise PublishedError(f"{where}: {len(cells)} values, expected {len(fields(Row))}")
    *words, value, items = cells
    if "" in words:
        raise PublishedError(f"{where}: {HEADER.split(',')[words.index('')]} is empty")
    if not re.fullmatch(r"\d+(\.\d+)?", value) or float(value) > 100:
        raise PublishedError(f"{where}: value is {value!r}, expected a number from 0 to 100")
    if items and not (items.isdecimal() and int(items) > 0):
        raise PublishedError(f"{where}: n_items is {items!r}, expected a positive whole number or nothing")
    source, location, model, method, benchmark, metric = words
    return Row(source, location, model, method, benchmark, metric, float(value), int(items) if items else None)
