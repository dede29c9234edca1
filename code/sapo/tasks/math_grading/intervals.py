"""Unions of intervals as text keys: `[a,b)`, joined by ` U ` in ascending order, overlapping ones merged.

Ends are keys of numbers (`values`); where an end is no number, parts are only sorted, and nothing is merged.
"""

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

REALS = "(-oo,oo)"
_INTERVAL = re.compile(r"([(\[])([^(),{}\[\]]+),([^(),{}\[\]]+)([)\]])")


class Interval(NamedTuple):
    """One interval; `ends` are the keys of its ends, `closed` whether they belong to it."""

    low: float
    high: float
    ends: tuple[str, str]
    closed: tuple[bool, bool]

    def key(self) -> str:
        if self.ends[0] == self.ends[1]:
            return "{" + self.ends[0] + "}"
        return f"{'(['[self.closed[0]]}{self.ends[0]},{self.ends[1]}{')]'[self.closed[1]]}"


def union(keys: Sequence[str]) -> str:
    """Key of the union of sets that have keys."""
    parts = [read(key) for key in keys]
    known = [interval for part in parts if part for interval in part]
    if not all(parts):
        return " U ".join(sorted(set(keys)))
    merged: list[Interval] = []
    for one in sorted(known, key=lambda one: (one.low, not one.closed[0])):
        last = merged[-1] if merged else None
        if last and (one.low < last.high or (one.low == last.high and (one.closed[0] or last.closed[1]))):
            longer = max(last, one, key=lambda part: (part.high, part.closed[1]))
            closed = last.closed[0] or (one.low == last.low and one.closed[0])
            merged[-1] = Interval(last.low, longer.high, (last.ends[0], longer.ends[1]), (closed, longer.closed[1]))
        else:
            merged.append(one)
    return " U ".join(one.key() for one in merged)


def conjunction_or_union(keys: Sequence[str]) -> str:
    """Key of conditions on one name side by side: `x>2, x<5` both hold; `x<2, x>5` cannot, so that one of them does."""
    parts = [read(key) for key in keys]
    if not all(part and len(part) == 1 for part in parts):
        return union(keys)
    known = [part[0] for part in parts if part]
    low = max(known, key=lambda one: (one.low, not one.closed[0]))
    high = min(known, key=lambda one: (one.high, one.closed[1]))
    if low.low >= high.high:
        return union(keys)
    return Interval(low.low, high.high, (low.ends[0], high.ends[1]), (low.closed[0], high.closed[1])).key()


def without(key: str, points: Sequence[str]) -> str | None:
    """Key of a set without some points; None where they cannot be ordered."""
    parts = read(key)
    for point in points:
        value = _number(point)
        if parts is None or value is None:
            return None
        parts = [piece for one in parts for piece in _split(one, value, point)]
    return " U ".join(one.key() for one in parts) if parts is not None else None


def _split(one: Interval, value: float, point: str) -> list[Interval]:
    if not one.low <= value <= one.high:
        return [one]
    left = Interval(one.low, value, (one.ends[0], point), (one.closed[0], False))
    right = Interval(value, one.high, (point, one.ends[1]), (False, one.closed[1]))
    return [part for part in (left, right) if part.ends[0] != part.ends[1]]


def read(key: str) -> list[Interval] | None:
    """Intervals of a key, a set of numbers as points; None where it is something else or has ends without a value."""
    intervals: list[Interval] = []
    for part in key.split(" U "):
        if part.startswith("{") and part.endswith("}") and len(part) > 2:
            pairs = [((end, end), (True, True)) for end in part[1:-1].split(";")]
        elif found := _INTERVAL.fullmatch(part):
            pairs = [((found[2], found[3]), (found[1] == "[", found[4] == "]"))]
        else:
            return None
        for ends, closed in pairs:
            low, high = _number(ends[0]), _number(ends[1])
            if low is None or high is None or low > high:
                return None
            intervals.append(Interval(low, high, ends, closed))
    return intervals


def _number(key: str) -> float | None:
    if key in ("oo", "-oo"):
        return float(key.replace("oo", "inf"))
    try:
        if "/" in key:
            over, _, under = key.partition("/")
            return float(Fraction(int(over, 16), int(under, 16)))
        return float(key.removeprefix("~")) if key.startswith("~") else None
    except (ValueError, OverflowError):
        return None
