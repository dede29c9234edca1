"""95 % intervals of means by bootstrap over clusters (method.md §9).

Questions of one cluster (six prompts of one MBPP task) are drawn together, because they succeed and fail together.
A difference between two methods is the mean of the paired differences over the same questions. "Better" is said
only where the interval of the difference excludes 0; nothing is adjusted for the number of comparisons.

The interval is the percentile one: it never leaves [0, 1], and where every answer is right it is [1, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the 95 % interval around it, in the unit of the values (a share: 0 to 1)."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0

    @property
    def better(self) -> bool:
        """The mean is above 0, and chance does not explain it."""
        return self.low > 0


def mean_interval(values_Q: Sequence[float], groups_Q: Sequence[str], resamples: int, seed: int) -> Interval:
    """Mean over questions, with an interval that draws whole groups with replacement.

    The mean of a resample weighs questions equally, not groups. Neither the order of the questions nor the names of
    the groups' members matter; the same seed gives the same interval.

    Raises:
        ValueError: there are no values, or not one group for each; names both counts.
    """
    if len(values_Q) != len(groups_Q) or not len(values_Q):
        raise ValueError(f"an interval needs values with a group each, got {len(values_Q)} and {len(groups_Q)}")
    groups_G, group_Q = np.unique(np.asarray(groups_Q), return_inverse=True)
    sum_G = np.bincount(group_Q, weights=np.asarray(values_Q, dtype=float))
    size_G = np.bincount(group_Q)
    drawn_R_G = np.random.default_rng(seed).integers(len(groups_G), size=(resamples, len(groups_G)))
    mean_R = sum_G[drawn_R_G].sum(axis=1) / size_G[drawn_R_G].sum(axis=1)
    low, high = np.quantile(mean_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(sum_G.sum() / size_G.sum()), float(low), float(high))


def accuracy_interval(right_Q: Sequence[bool], groups_Q: Sequence[str], resamples: int, seed: int) -> Interval:
    """Share of right answers, 0 to 1."""
    return mean_interval([float(right) for right in right_Q], groups_Q, resamples, seed)


def difference_interval(
    right_Q: Sequence[bool], other_Q: Sequence[bool], groups_Q: Sequence[str], resamples: int, seed: int
) -> Interval:
    """Share of right answers minus that of another method on the same questions in the same order, -1 to 1.

    Raises:
        ValueError: the two methods have different numbers of answers.
    """
    paired_Q = [float(right) - float(other) for right, other in zip(right_Q, other_Q, strict=True)]
    return mean_interval(paired_Q, groups_Q, resamples, seed)
