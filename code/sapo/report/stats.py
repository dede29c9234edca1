"""95 % bootstrap intervals of means over seeds and clusters of questions (docs/method.md §9).

A resample draws seeds and, for all of them alike, clusters of questions with replacement (the six prompts of one MBPP
task are one cluster). A difference of two methods is the mean of the paired differences over the seeds and questions
that both have; "better" means that its interval excludes 0, without adjustment for the number of comparisons.

With one seed only questions are drawn. S seeds drawn with replacement show only (S - 1) / S of their variance. The
percentile interval never leaves [0, 1], and where every answer is right it is [1, 1].
"""

from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache

import numpy as np

from sapo.evaluate.interval import Interval, percentile_interval


def mean_interval(
    values_S_Q: Sequence[Sequence[float]], groups_Q: Sequence[str], resamples: int, seed: int
) -> Interval:
    """Mean over seeds and questions, with an interval that draws seeds and whole groups with replacement.

    The mean of a resample weighs questions equally, not groups. Neither the order of the questions nor the names of
    the groups' members matter; the same seed gives the same interval.

    Raises:
        ValueError: there are no values, or not one group for each question of each seed; names the counts.
    """
    counts = [len(values_Q) for values_Q in values_S_Q]
    if not counts or not counts[0] or any(count != len(groups_Q) for count in counts):
        raise ValueError(f"an interval needs values with a group each, got {counts} and {len(groups_Q)}")
    groups_G, group_Q = np.unique(np.asarray(groups_Q), return_inverse=True)
    sum_S_G = np.array([np.bincount(group_Q, weights=np.asarray(values_Q, float)) for values_Q in values_S_Q])
    size_G = np.bincount(group_Q)
    times_R_S, times_R_G = _drawn(len(counts), len(groups_G), resamples, seed)
    mean_R = ((times_R_S @ sum_S_G) * times_R_G).sum(axis=1) / (len(counts) * (times_R_G @ size_G))
    return percentile_interval(sum_S_G.sum() / (len(counts) * size_G.sum()), mean_R)


@lru_cache(maxsize=8)  # all methods of a benchmark are resampled alike
def _drawn(seeds: int, groups: int, resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each resample drew each seed and each group."""
    chance = np.random.default_rng(seed)
    drawn_R_G = chance.integers(groups, size=(resamples, groups))
    drawn_R_S = chance.integers(seeds, size=(resamples, seeds))
    return _times(drawn_R_S, seeds), _times(drawn_R_G, groups)


def _times(drawn_R_N: np.ndarray, count: int) -> np.ndarray:
    """From what each resample drew, in order, to how often it drew each of `count` things."""
    rows = count * np.arange(len(drawn_R_N))[:, None]
    return np.bincount((drawn_R_N + rows).ravel(), minlength=count * len(drawn_R_N)).reshape(-1, count).astype(float)


def accuracy_interval(
    right_S_Q: Sequence[Sequence[bool]], groups_Q: Sequence[str], resamples: int, seed: int
) -> Interval:
    """Share of right answers, 0 to 1."""
    return mean_interval(right_S_Q, groups_Q, resamples, seed)


def difference_interval(
    right_S_Q: Sequence[Sequence[bool]],
    other_S_Q: Sequence[Sequence[bool]],
    groups_Q: Sequence[str],
    resamples: int,
    seed: int,
) -> Interval:
    """Share of right answers minus that of another method, on the same seeds and questions in order; -1 to 1.

    Raises:
        ValueError: the two methods have different numbers of seeds or answers.
    """
    paired_S_Q = [
        [float(right) - float(other) for right, other in zip(right_Q, other_Q, strict=True)]
        for right_Q, other_Q in zip(right_S_Q, other_S_Q, strict=True)
    ]
    return mean_interval(paired_S_Q, groups_Q, resamples, seed)


def share_interval(part_S: Sequence[int], whole_S: Sequence[int], resamples: int, seed: int) -> Interval:
    """Share `part` of `whole` over all seeds, where only counts are known: draws seeds, then the part of each one.

    Drawing `whole` things with replacement, `part` of which count, is a binomial draw; clusters are not known here.

    Raises:
        ValueError: the whole is nothing, or a part exceeds its whole; names them.
    """
    part, whole = np.asarray(part_S), np.asarray(whole_S)
    if part.shape != whole.shape or whole.sum() == 0 or (part > whole).any():
        raise ValueError(f"a share needs parts of something, got {list(part_S)} of {list(whole_S)}")
    chance = np.random.default_rng(seed)
    drawn_R_S = chance.integers(len(part), size=(resamples, len(part)))
    parts_R_S = chance.binomial(whole[drawn_R_S], part[drawn_R_S] / np.maximum(whole[drawn_R_S], 1))
    wholes_R = whole[drawn_R_S].sum(axis=1)
    shares = parts_R_S.sum(axis=1)[wholes_R > 0] / wholes_R[wholes_R > 0]
    return percentile_interval(part.sum() / whole.sum(), shares)


def percent_numbers(share: Interval | None) -> dict[str, float | None]:
    """A share in % as plain numbers for `metrics.json`; nulls where it is undefined."""
    if share is None:
        return dict.fromkeys(("value", "low", "high"))
    return {name: round(value, 2) + 0.0 for name, value in asdict(share.percent).items()}
