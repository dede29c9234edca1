"""Two `claims.json` side by side: how many verdicts agree, and whether the intervals behind the others overlap.

The comparison for runs that cannot have the same bytes (GPU, another architecture, `arithmetic: native`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Agreement:
    """Verdicts on the claims that both runs judge.

    Args:
        differing: each claim with different verdicts, in words.
        apart: how many of them have no interval in common, or one that does not overlap with the other run's.
        missing: claims that only one of the runs judges.
    """

    total: int
    differing: tuple[str, ...]
    apart: int
    missing: int

    @property
    def complete(self) -> bool:
        """Whether both runs judge the same claims, and alike."""
        return not (self.differing or self.missing)

    def __str__(self) -> str:
        differ = len(self.differing)
        said = f"{self.total - differ} of {self.total} verdicts agree"
        if differ == 1:
            said += f"; 1 differs, and its intervals {'do not overlap' if self.apart else 'overlap'}"
        elif differ:
            said += f"; {differ} differ, and the intervals of {differ - self.apart} of them overlap"
        return said + (f"; only one run has {self.missing} more" if self.missing else "")


def agreement(then: Mapping[str, Any], now: Mapping[str, Any]) -> Agreement:
    """Compare two `claims.json`.

    Raises:
        KeyError, TypeError, ValueError: one is of another shape.
    """
    before, after = then["claims"], now["claims"]
    shared = [name for name in before if name in after]
    differing = [name for name in shared if before[name]["verdict"] != after[name]["verdict"]]
    words = [f"{name}: {before[name]['verdict']} → {after[name]['verdict']}" for name in differing]
    apart = sum(not _overlap(before[name], after[name]) for name in differing)
    return Agreement(len(shared), tuple(words), apart, len(before.keys() ^ after.keys()))


def _intervals(claim: Mapping[str, Any]) -> dict[tuple[str, ...], tuple[float, float]]:
    """Lower and upper end of everything that was measured for a claim, by model, task, benchmark and comparison."""
    return {
        (cell["model"], cell["task"], cell["benchmark"], measured["what"]): (measured["low"], measured["high"])
        for cell in claim["cells"]
        for measured in cell["comparisons"]
        if "low" in measured
    }


def _overlap(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether both have intervals of the same things, and all of them overlap."""
    before, after = _intervals(one), _intervals(other)
    shared = before.keys() & after.keys()
    return bool(shared) and all(before[key][0] <= after[key][1] and after[key][0] <= before[key][1] for key in shared)
