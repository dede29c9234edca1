"""From comparisons to a verdict: *holds*, *contradicted*, *not decided*, *not run*. Pure; nothing is read here.

1. A comparison says by how much a claim is right (points, or times of a cost): `value`, `low`, `high` against
   `least`. It is met where the whole interval lies above `least`, broken where it lies below, else open. A count that
   repeats exactly (FLOPs, seconds on file) is its own interval.
2. A cell is a model and a benchmark. A claim about *all* its comparisons holds where each is met and is contradicted
   where one is broken; a claim about *most* holds where more than half are met and is contradicted where half or more
   are broken. A comparison that was not run keeps a claim from holding, never from being contradicted; where it alone
   keeps a claim about all from holding, the cell is not run.
3. Overall, cells must agree: the claim holds if at least one cell holds and none contradicts it; it is contradicted if
   at least one contradicts it and none holds. Cells that disagree decide nothing.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sapo.evaluate.interval import Interval

Verdict = Literal["holds", "contradicted", "not decided", "not run"]
VERDICTS: tuple[Verdict, ...] = ("holds", "contradicted", "not decided", "not run")
Quorum = Literal["all", "most"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measured difference or ratio, turned so that more is better for the claim.

    Args:
        what: in words, `SAPO-iter 3 minus RFT`.
        interval: in `unit`; None where it was not run, and `missing` says why.
        seeds: how many both sides have; 0 where seeds play no part.
    """

    what: str
    unit: Literal["points", "times", "nats"]
    interval: Interval | None
    least: float = 0.0
    seeds: int = 0
    missing: str = ""

    @property
    def met(self) -> bool:
        found = self.interval
        return found is not None and (found.low > self.least or (exact(found) and found.value >= self.least > 0))

    @property
    def margin(self) -> float:
        """How far the number is above what the claim needs; 0 where it was not run."""
        return self.interval.value - self.least if self.interval else 0.0

    @property
    def broken(self) -> bool:
        return self.interval is not None and self.interval.high < self.least


@dataclass(frozen=True, slots=True)
class Cell:
    """A claim on one model and benchmark (trained on `task`)."""

    model: str
    task: str
    benchmark: str
    comparisons: tuple[Comparison, ...]
    quorum: Quorum = "all"

    @property
    def verdict(self) -> Verdict:
        return cell_verdict(self.comparisons, self.quorum)

    @property
    def met(self) -> int:
        return sum(one.met for one in self.comparisons)

    @property
    def broken(self) -> int:
        return sum(one.broken for one in self.comparisons)

    @property
    def deciding(self) -> Comparison | None:
        """The comparison that speaks most against the claim; None where nothing was run."""
        return min((one for one in self.comparisons if one.interval), key=lambda one: one.margin, default=None)


def exact(interval: Interval) -> bool:
    """A count, without uncertainty."""
    return interval.low == interval.value == interval.high


def cell_verdict(comparisons: Sequence[Comparison], quorum: Quorum = "all") -> Verdict:
    """Rule 2."""
    met, broken = sum(one.met for one in comparisons), sum(one.broken for one in comparisons)
    if not any(one.interval for one in comparisons):
        return "not run"
    if broken if quorum == "all" else 2 * broken >= len(comparisons):
        return "contradicted"
    if met == len(comparisons) if quorum == "all" else 2 * met > len(comparisons):
        return "holds"
    only_missing = all(one.met or not one.interval for one in comparisons)
    return "not run" if quorum == "all" and only_missing else "not decided"


def overall(verdicts: Sequence[Verdict]) -> Verdict:
    """Rule 3."""
    count = Counter(verdicts)
    if count["holds"] and not count["contradicted"]:
        return "holds"
    if count["contradicted"] and not count["holds"]:
        return "contradicted"
    return "not decided" if count["holds"] or count["not decided"] else "not run"
