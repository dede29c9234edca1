"""Two runs side by side: what could make them differ (machine, builds, code, settings, data), then what does differ.

A run is its `dvc.lock` (digests of what every stage read and wrote, and its settings) and its result files, of which
`environment.json` tells the machine and the arithmetic. Upstream outputs that differ are not causes: they follow from
one.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sapo.records import RecordError
from sapo.report.environment import NOWHERE, THIS_PROCESSOR
from sapo.report.tables.method_tables import Table
from sapo.report.verdict_agreement import Agreement, agreement

ENVIRONMENT, CLAIMS = "environment.json", "claims.json"
# Aspects by what they are signs of.
REASONS = {
    "another machine": ("machine", "arithmetic"),
    "other libraries": ("versions", "builds"),
    "another code": ("code",),
    "other settings or data": ("settings", "data"),
}
GONE = "–"


@dataclass(frozen=True, slots=True)
class Run:
    """What is on file of a run: its dvc.lock as parsed, and its result files by path."""

    lock: Mapping[str, Any]
    results: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Aspect:
    """One thing that two runs may differ in: `changes` names each difference; `total` were compared."""

    name: str
    changes: tuple[str, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Change:
    """A value of a result file, before and after."""

    place: str
    then: object
    now: object

    @property
    def size(self) -> float:
        """How far a number moved, relative to the larger one; 1 for anything else."""
        then, now = _number(self.then), _number(self.now)
        return 1.0 if then is None or now is None else abs(now - then) / max(abs(then), abs(now))

    def __str__(self) -> str:
        then, now = _number(self.then), _number(self.now)
        moved = "" if then is None or now is None else f" ({now - then:+.4g})"
        return f"{self.place}: {_short(self.then)} → {_short(self.now)}{moved}"


def causes(then: Run, now: Run, profile: str, results: Path) -> list[Aspect]:
    """Machine, arithmetic, versions, builds, code, settings and data, each with what differs."""
    before, after = (_environment(run, results) for run in (then, now))
    sections = ("machine", "arithmetic", "versions", "builds")
    return [
        *(_aspect(name, before.get(name, {}), after.get(name, {})) for name in sections),
        _files("code", *(_reads(run.lock, profile, _is_code) for run in (then, now))),
        _aspect("settings", _settings(then.lock, profile), _settings(now.lock, profile)),
        _files("data", *(_reads(run.lock, profile, _is_data) for run in (then, now))),
    ]


def outputs(then: Run, now: Run, profile: str) -> Aspect:
    """Outputs of stages whose digests differ."""
    return _files("outputs", *(_writes(run.lock, profile) for run in (then, now)))


def changed_values(then: Run, now: Run) -> dict[str, tuple[list[Change], int]]:
    """By result file that differs: its changed values, the largest first, and how many there are in all.

    Files that are not JSON count as one value. Raises RecordError for JSON that cannot be read.
    """
    found = {}
    for path in sorted(then.results.keys() | now.results.keys()):
        before, after = then.results.get(path), now.results.get(path)
        if before == after or Path(path).name == ENVIRONMENT:
            continue
        if before is None or after is None or not path.endswith(".json"):
            states = ["no such file" if data is None else f"{len(data)} bytes" for data in (before, after)]
            found[path] = ([Change("file", *states)], 1)
            continue
        values = _leaves(parsed(path, before)), _leaves(parsed(path, after))
        changes = [Change(*change) for change in _differences(*values)]
        found[path] = (sorted(changes, key=lambda change: -change.size), len(values[0].keys() | values[1].keys()))
    return found


def aspects_table(aspects: list[Aspect], most: int) -> Table:
    """A row each: how many differ of how many, and the first `most` of them."""
    rows = []
    for aspect in aspects:
        names = ", ".join(aspect.changes[:most]) + (" …" if len(aspect.changes) > most else "")
        count = f"{len(aspect.changes)} of {aspect.total}" if aspect.total else "not on file"
        rows.append((aspect.name, count, names or ("same" if aspect.total else "")))
    return Table("What could differ, and what does", ("", "Differ", "Which"), tuple(rows))


def values_table(changed: Mapping[str, tuple[list[Change], int]], most: int) -> Table:
    """The largest changes of every result file."""
    rows = []
    for path, (changes, total) in changed.items():
        shown = [str(change) for change in changes[:most]]
        rows += [(path if not n else "", f"{len(changes)} of {total}" if not n else "", s) for n, s in enumerate(shown)]
    return Table("Results that differ, the largest change first", ("File", "Values", "Then → now"), tuple(rows))


def compared_by_verdicts(then: Run, now: Run, results: Path) -> bool:
    """Whether the two machines cannot be expected to give the same bytes (`environment.same_bytes_on`)."""
    sides = [_environment(run, results) for run in (then, now)]
    promises = {side.get("arithmetic", {}).get("same_bytes_on") for side in sides}
    differ = any(sides[0].get(name) != sides[1].get(name) for name in REASONS["another machine"])
    return NOWHERE in promises or (THIS_PROCESSOR in promises and differ)


def verdicts_agree(then: Run, now: Run, results: Path) -> Agreement | None:
    """How far the verdicts on the claims agree; None where a run has none. Raises RecordError for unusable files."""
    path = (results / CLAIMS).as_posix()
    if path not in then.results or path not in now.results:
        return None
    try:
        return agreement(*(parsed(path, run.results[path]) for run in (then, now)))
    except (KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{path}: not the verdicts of a report: {error!r}") from error


def changed_aspects(aspects: list[Aspect]) -> set[str]:
    """Names of the aspects that differ and can be a reason."""
    return {aspect.name for aspect in aspects if aspect.changes} - {"outputs"}


def verdict(aspects: list[Aspect], differ: bool, by_verdicts: bool) -> str:
    """One line: whether the runs are equal and, if not, what the reason can be.

    Args:
        by_verdicts: the machines cannot be expected to give the same bytes.
    """
    changed = changed_aspects(aspects)
    unknown = [aspect.name for aspect in aspects if not aspect.total]
    named = {why: [name for name in names if name in changed] for why, names in REASONS.items()}
    reasons = ", ".join(f"{why} ({', '.join(names)})" for why, names in named.items() if names)
    if not differ:
        return "equal" + (f", although {reasons}" if reasons else "")
    if unknown and not changed:
        return f"different, and nothing on file says why; not on file: {', '.join(unknown)}"
    if by_verdicts and not changed:
        return "different: same everything, on a device or an engine that promises no bytes"
    if not changed:
        return "different: same everything: not repeatable, or dvc.lock is of another run"
    if changed == {"machine"} and not by_verdicts and not unknown:
        return f"different: {reasons}, although its arithmetic promises the same bytes"
    return f"different: {reasons}"


def parsed(path: str, data: bytes) -> Any:
    """The JSON value of a file. Raises RecordError naming it."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: not JSON: {error}") from error


def parsed_lock(path: str, data: bytes) -> dict[str, Any]:
    """The stages of a dvc.lock. Raises RecordError where it has none."""
    try:
        stages = yaml.safe_load(data)["stages"]
        entries = [entry for stage in stages.values() for entry in (*stage.get("deps", []), *stage.get("outs", []))]
        if not all({"path", "md5"} <= entry.keys() for entry in entries):
            raise RecordError(f"{path}: an entry has no path or no digest")
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError, AttributeError) as error:
        raise RecordError(f"{path}: no dvc.lock: {' '.join(str(error).split())[:200]}") from error
    return stages


def _environment(run: Run, results: Path) -> dict[str, dict[str, Any]]:
    path = (results / ENVIRONMENT).as_posix()
    return parsed(path, run.results[path]) if path in run.results else {}


def _stages(lock: Mapping[str, Any], profile: str) -> Iterator[Mapping[str, Any]]:
    """Stages of the profile, and those that belong to none."""
    for stage in lock.values():
        folders = {entry["path"].split("/")[1] for entry in _entries(stage) if entry["path"].startswith("runs/")}
        if not folders or folders & {profile, f"{profile}_report"}:
            yield stage


def _entries(stage: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*stage.get("deps", []), *stage.get("outs", [])]


def _reads(lock: Mapping[str, Any], profile: str, kind: Callable[[str], bool]) -> dict[str, object]:
    entries = [entry for stage in _stages(lock, profile) for entry in stage.get("deps", [])]
    return {entry["path"]: entry["md5"] for entry in entries if kind(entry["path"])}


def _writes(lock: Mapping[str, Any], profile: str) -> dict[str, object]:
    return {entry["path"]: entry["md5"] for stage in _stages(lock, profile) for entry in stage.get("outs", [])}


def _settings(lock: Mapping[str, Any], profile: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for stage in _stages(lock, profile):
        for values in stage.get("params", {}).values():
            found |= _leaves(values)
    return found


def _is_code(path: str) -> bool:
    return path.startswith(("code/", "paper/", "benchmarks/"))


def _is_data(path: str) -> bool:
    return not _is_code(path) and not path.startswith(("runs/", "results", "figures"))


def _files(name: str, then: Mapping[str, object], now: Mapping[str, object]) -> Aspect:
    changed = tuple(path for path, _, _ in _differences(then, now))
    return Aspect(name, changed, len(then.keys() | now.keys()))


def _aspect(name: str, then: Mapping[str, object], now: Mapping[str, object]) -> Aspect:
    """Nothing is compared where one of the two is not on file."""
    if not (then and now):
        return Aspect(name, (), 0)
    before, after = _leaves(then), _leaves(now)
    changes = [str(Change(*change)) for change in _differences(before, after)]
    return Aspect(name, tuple(changes), len(before.keys() | after.keys()))


def _differences(then: Mapping[str, object], now: Mapping[str, object]) -> list[tuple[str, object, object]]:
    names = sorted(then.keys() | now.keys())
    pairs = [(name, then.get(name, GONE), now.get(name, GONE)) for name in names]
    return [(name, one, other) for name, one, other in pairs if one != other]


def _leaves(value: object, place: str = "") -> dict[str, object]:
    """Values that are neither object nor list, by their dotted place; an empty one is a value itself."""
    inner: Mapping[Any, object] = {}
    if isinstance(value, dict):
        inner = value
    elif isinstance(value, list):
        inner = dict(enumerate(value))
    if not inner:
        return {place: value if not isinstance(value, dict | list) else str(value)}
    found: dict[str, object] = {}
    for name, item in inner.items():
        found |= _leaves(item, f"{place}.{name}" if place else str(name))
    return found


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
