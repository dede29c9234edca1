"""A number with its 95 % interval, and the percentile interval of resampled numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A number and the 95 % interval around it, in the unit of the values (a share: 0 to 1)."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0

    @property
    def better(self) -> bool:
        """The number is above 0, and chance does not explain it."""
        return self.low > 0

    @property
    def percent(self) -> "Interval":
        """A share, 0 to 1, in %; a difference of shares in points."""
        return Interval(100 * self.value, 100 * self.low, 100 * self.high)

    def below(self, other: "Interval") -> bool:
        """The whole interval lies below the other one."""
        return self.high < other.low


def percentile_interval(value: float | np.floating, draws_R: np.ndarray | Sequence[Any]) -> Interval:
    """A number with the percentile bootstrap interval of its values `draws_R` in resamples."""
    low, high = np.quantile(draws_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(value), float(low), float(high))
