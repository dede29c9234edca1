"""The papers' claims, from `code/conf/claims.yaml` into checked records (its first lines say what a claim looks like).

What may be left out is filled in by `_DEFAULTS`; unknown keys, wrong types and unknown names are refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from sapo.records import BadInput
from sapo.report.claims.published import CONF, Row
from sapo.settings import SettingsError, build

CLAIMS = CONF / "claims.yaml"


class ClaimsError(BadInput):
    """The file of claims is not as it should be; the message names file, claim, key and value."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a paper says it; `place` is a table, a figure or a section."""

    paper: Literal["SAPO", "SIPF"]
    place: str


@dataclass(frozen=True, slots=True)
class Printed:
    """Printed numbers that a claim rests on: each of `more` is above each of `less`, for every model and benchmark.

    Args:
        models, benchmarks: all that the table has where none is named.
    """

    location: str
    more: tuple[str, ...]
    less: tuple[str, ...]
    models: tuple[str, ...]
    benchmarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Where:
    """What a claim speaks of: architectures of models (all if none) and benchmarks by their names."""

    architectures: tuple[str, ...]
    benchmarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AccuracyTest:
    """`left` answers more questions right than each of `right`, or than `most` of them: "sapo 3" is round 3, "rft" the
    last round."""

    left: str
    right: tuple[str, ...]
    quorum: Literal["all", "most"]


@dataclass(frozen=True, slots=True)
class TrendTest:
    """Accuracy rises from each of these checkpoints to the next."""

    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CostTest:
    """Labelling by `more` costs at least `times` what labelling by `less` costs, per labelled trajectory."""

    measure: Literal["flops", "seconds", "rollouts"]
    more: str
    less: str
    times: float


@dataclass(frozen=True, slots=True)
class ChangeTest:
    """A measure that training logged goes up or down from the first epoch to the last."""

    measure: str
    method: str
    direction: Literal["rises", "falls"]


@dataclass(frozen=True, slots=True)
class ProcessTest:
    """A metric (in %) of each of `more` is above that of each of `less`, or at most `allow` points below it."""

    metric: str
    more: tuple[str, ...]
    less: tuple[str, ...]
    allow: float


Test = AccuracyTest | TrendTest | CostTest | ChangeTest | ProcessTest

KINDS: dict[str, type[Test]] = {
    "accuracy": AccuracyTest,
    "rises": TrendTest,
    "cost": CostTest,
    "change": ChangeTest,
    "process": ProcessTest,
}
_DEFAULTS: dict[type, dict[str, Any]] = {
    AccuracyTest: {"quorum": "all"},
    ProcessTest: {"allow": 0.0},
    Printed: {"models": [], "benchmarks": []},
    Where: {"architectures": []},
}


@dataclass(frozen=True, slots=True)
class Claim:
    """One checkable claim.

    Args:
        words: the claim, in our words.
        printed: none where the paper draws it, or says it, without numbers.
        decidable: what must have been run.
    """

    id: str
    source: Source
    words: str
    printed: tuple[Printed, ...]
    where: Where
    test: Test
    decidable: str


def read_claims(path: Path = CLAIMS) -> list[Claim]:
    """All claims in order. Raises ClaimsError naming the claim and the key."""
    if not path.is_file():
        raise ClaimsError(f"{path}: no such file")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ClaimsError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, list) or not values:
        raise ClaimsError(f"{path}: expected a list of claims")
    claims = [_claim(value, f"{path}: claim {number}") for number, value in enumerate(values, start=1)]
    names = [claim.id for claim in claims]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ClaimsError(f"{path}: id {twice[0]!r} is there twice")
    return claims


def check_printed(claims: Sequence[Claim], rows: Sequence[Row]) -> None:
    """Every printed number that a claim names must be known. Raises ClaimsError naming claim and name."""
    for claim in claims:
        for printed in claim.printed:
            own = [row for row in rows if (row.source, row.location) == (claim.source.paper, printed.location)]
            for name, wanted, known in (
                ("location", (printed.location,), {row.location for row in own}),
                ("method", (*printed.more, *printed.less), {row.method for row in own}),
                ("model", printed.models, {row.model for row in own}),
                ("benchmark", printed.benchmarks, {row.benchmark for row in own}),
            ):
                for value in wanted:
                    if value not in known:
                        raise ClaimsError(f"claim {claim.id}: no number is published for {name} {value!r}")


def _claim(values: Any, where: str) -> Claim:
    if not isinstance(values, dict):
        raise ClaimsError(f"{where}: expected keys, found {values!r}")
    where = f"{where} ({values.get('id')})"
    kinds = values.get("test")
    if not isinstance(kinds, dict) or len(kinds) != 1 or next(iter(kinds)) not in KINDS:
        raise ClaimsError(f"{where}: test: expected one of {', '.join(KINDS)}, found {kinds!r}")
    kind, test = next(iter(kinds.items()))
    printed = values.get("printed")
    if not isinstance(printed, list):
        raise ClaimsError(f"{where}: printed: expected a list, found {printed!r}")
    made = {
        "printed": [_made(Printed, value, f"{where}: printed[{n}]") for n, value in enumerate(printed)],
        "where": _made(Where, values.get("where"), f"{where}: where"),
        "source": _made(Source, values.get("source"), f"{where}: source"),
        "test": _made(KINDS[kind], test, f"{where}: test: {kind}"),
    }
    words = _made(_Words, {key: value for key, value in values.items() if key not in made}, where)
    made["printed"] = tuple(made["printed"])
    return Claim(id=words.id, words=words.words, decidable=words.decidable, **made)


@dataclass(frozen=True, slots=True)
class _Words:
    """The parts of a claim that are plain text."""

    id: str
    words: str
    decidable: str


def _made(section: type[Any], values: Any, where: str) -> Any:
    """A section with its defaults filled in."""
    if isinstance(values, dict):
        values = _DEFAULTS.get(section, {}) | values
    try:
        return build(section, values, where)
    except SettingsError as error:
        raise ClaimsError(str(error)) from error
