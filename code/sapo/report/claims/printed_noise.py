"""How many orderings that the papers claim of their printed numbers are outside noise, given the number of items.

1. A printed share of n items gives back its count; its 95 % interval is Wilson's, that of a difference Newcombe's (as
   if of different items). Answers by item are not printed, so a paired test could be tighter or wider.
2. The pairing most favourable to a claim: the better method got every item right that the worse one did. Then McNemar's
   exact test of the d items of the difference gives p = 2 * 0.5 ** d, below 5 % from d = 6 on.
3. MBPP's 2,994 prompts are 499 tasks asked six ways. Rule 1 counts prompts, which favours the papers; `by_task` counts
   tasks.
4. This is about which items were asked; noise between training runs comes on top.
5. An ordering that several claims rest on counts once; one of a claim about *most* methods does not count.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sapo.evaluate.interval import Interval
from sapo.report.claims.catalog import AccuracyTest, Claim, Printed
from sapo.report.claims.published import Row
from sapo.report.claims.verifier_metrics import mover

Z = 1.959964  # 97.5 % quantile of the normal distribution
DECISIVE = 6  # least items of a one-sided difference that an exact McNemar test calls different from none, at 5 %
PROMPTS_PER_TASK = {"MBPP": 6}

NO_COUNT = "items not printed"
STANDINGS = (
    "outside noise",
    "only if paired",
    "noise however paired",
    "other way round",
    "other way round, outside noise",
    NO_COUNT,
    f"other way round, {NO_COUNT}",
)


@dataclass(frozen=True, slots=True)
class Ordering:
    """`more` is claimed to be above `less`; the difference in points, unpaired, with its interval.

    Args:
        interval, by_task: None where the number of items is not printed; by_task also where every item is a task.
        items: whole items that the difference is.
    """

    more: Row
    less: Row
    interval: Interval | None
    by_task: Interval | None
    items: int | None

    @property
    def points(self) -> float:
        return self.more.percent - self.less.percent

    @property
    def standing(self) -> str:
        """One of STANDINGS: what the printed numbers say of the claim. The other way round includes equal numbers."""
        if self.interval is None or self.items is None:
            return NO_COUNT if self.points > 0 else f"other way round, {NO_COUNT}"
        if self.interval.low > 0:
            return "outside noise"
        if self.interval.high < 0:
            return "other way round, outside noise"
        if self.points <= 0:
            return "other way round"
        return "only if paired" if self.items >= DECISIVE else "noise however paired"

    @property
    def outside_by_task(self) -> bool:
        """Outside noise, even where tasks, not prompts, are counted."""
        return self.standing == "outside noise" and (self.by_task is None or self.by_task.low > 0)


def orderings(claim: Claim, rows: Sequence[Row]) -> list[Ordering]:
    """What the claim says of the printed numbers, pair by pair."""
    return [ordering(*pair) for printed in claim.printed for pair in _pairs(claim, printed, rows)]


def ordering(more: Row, less: Row) -> Ordering:
    if more.items is None or less.items is None:
        return Ordering(more, less, None, None, None)
    prompts = PROMPTS_PER_TASK.get(more.benchmark, 1)
    by_task = newcombe(more, less, prompts) if prompts > 1 else None
    return Ordering(more, less, newcombe(more, less), by_task, count(more) - count(less))


def count(row: Row) -> int:
    """Items behind a printed share: 41.62 % of 1,319 are 549."""
    return round(row.percent * (row.items or 0) / 100)


def newcombe(more: Row, less: Row, prompts: int = 1) -> Interval:
    """Newcombe's interval of the difference of two shares, in points; `prompts` items count as one."""
    return mover(*(wilson(row.percent / 100, (row.items or 0) / prompts) for row in (more, less))).percent


def wilson(share: float, items: float) -> Interval:
    """Wilson's interval of a share of `items`, 0 to 1."""
    centre = share + Z**2 / (2 * items)
    reach = Z * math.sqrt(share * (1 - share) / items + Z**2 / (4 * items**2))
    return Interval(share, (centre - reach) / (1 + Z**2 / items), (centre + reach) / (1 + Z**2 / items))


def claimed(claims: Sequence[Claim], found: Mapping[str, Sequence[Ordering]]) -> list[Ordering]:
    """Rule 5: each ordering that is claimed, once.

    Args:
        found: orderings by claim.
    """
    definite = [c for c in claims if not (isinstance(c.test, AccuracyTest) and c.test.quorum == "most")]
    return list({(one.more, one.less): one for claim in definite for one in found[claim.id]}.values())


def _pairs(claim: Claim, printed: Printed, rows: Sequence[Row]) -> Iterator[tuple[Row, Row]]:
    """Rows of the same model and benchmark; only what the paper printed for both sides."""
    own = {
        (row.model, row.benchmark, row.method): row
        for row in rows
        if (row.source, row.location) == (claim.source.paper, printed.location)
    }
    places = dict.fromkeys((model, benchmark) for model, benchmark, _ in own)
    for model, benchmark in places:
        if (printed.models and model not in printed.models) or (
            printed.benchmarks and benchmark not in printed.benchmarks
        ):
            continue
        for more in printed.more:
            for less in printed.less:
                sides = own.get((model, benchmark, more)), own.get((model, benchmark, less))
                if sides[0] and sides[1]:
                    yield sides[0], sides[1]
