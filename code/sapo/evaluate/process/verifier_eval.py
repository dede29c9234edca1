"""A verifier on a process benchmark: step and first-error accuracy, ProcessBench's F1, ROC-AUC and ECE with intervals.

1. The threshold comes from the development half; numbers and intervals are of the other half. What intervals show is
   chance in the questions, at that threshold.
2. Resamples draw question groups with replacement, the same ones for every verifier of the same items. Column 0 of
   `draws_M_R` is no resample but the sample itself, by the same arithmetic.
3. F1 is the harmonic mean of first-error accuracy on trajectories with and without a wrong step, 0 where one of the two
   is 0. A resample in which a number is undefined (no wrong step, no trajectory of one kind) is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sapo.evaluate.interval import Interval, percentile_interval
from sapo.evaluate.process.items import ProcessItem
from sapo.evaluate.process.metrics import Bin, Judged, best_threshold, halves, in_bins, pair_up, reliability, verdicts
from sapo.records import RecordError, StepLabels, StepScores

METRICS = ("step_accuracy", "first_error_accuracy", "f1", "auc", "calibration_error")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a verifier is worth on the reported half of a benchmark.

    Args:
        threshold: of the development half; scores below it call a step wrong.
        trajectories, steps: in the reported half.
        metrics: each of `METRICS`, 0 to 1; None where it is undefined.
        bins: of the reliability plot; `rights` has the share of right steps of each with its interval.
        draws_M_R: numbers of `METRICS` in the sample (column 0) and in every resample, NaN where undefined.
        drawn_from: groups, in order, and seed that the resamples were drawn with.
    """

    threshold: float
    trajectories: int
    steps: int
    metrics: dict[str, Interval | None]
    bins: tuple[Bin, ...]
    rights: tuple[Interval, ...]
    draws_M_R: np.ndarray = field(repr=False, compare=False)
    drawn_from: tuple[tuple[str, ...], int] = field(repr=False)


def judge(items: Sequence[ProcessItem], scores: Sequence[StepScores], seed: int, resamples: int) -> Judgement:
    """Judge a verifier by its scores of all items, in step.

    Raises:
        RecordError: scores and items do not fit each other, or no item is in the reported half.
    """
    development, reported = halves(pair_up(items, scores))
    if not reported:
        raise RecordError(f"none of {len(items)} process items is in the half that is reported: they are too few")
    threshold = best_threshold(development)
    groups_G, group_N = np.unique([one.group for one in reported], return_inverse=True)
    times_R_G = np.random.default_rng(seed).multinomial(len(groups_G), [1 / len(groups_G)] * len(groups_G), resamples)
    times_R_G = np.vstack([np.ones(len(groups_G)), times_R_G])
    draws_M_R = np.array(
        [
            *_shares(reported, threshold, group_N, times_R_G),
            _aucs(reported, group_N, times_R_G),
            _calibration_errors(reported, group_N, times_R_G),
        ]
    )
    return Judgement(
        threshold,
        len(reported),
        sum(len(one.labels) for one in reported),
        _estimates(draws_M_R),
        tuple(reliability(reported)),
        tuple(_rights(reported, group_N, times_R_G)),
        draws_M_R,
        (tuple(groups_G.tolist()), seed),
    )


def across(judgements_S: Sequence[Judgement], seed: int) -> dict[str, Interval | None]:
    """Mean numbers over the verifiers of several seeds, judged on the same items; seeds are drawn with replacement too.

    Raises:
        ValueError: there are none, or they were resampled differently.
    """
    kinds = {(one.drawn_from, one.draws_M_R.shape) for one in judgements_S}
    if len(kinds) != 1:
        raise ValueError(f"{len(judgements_S)} judgements of {len(kinds)} kinds of items or resamples, expected one")
    draws_S_M_R = np.array([one.draws_M_R for one in judgements_S])
    count, columns = len(judgements_S), draws_S_M_R.shape[2]
    chosen_S_R = np.random.default_rng(seed).integers(count, size=(count, columns))
    chosen_S_R[:, 0] = np.arange(count)
    return _estimates(np.take_along_axis(draws_S_M_R, chosen_S_R[:, None, :], axis=0).mean(axis=0))


def as_scores(labels: StepLabels) -> StepScores:
    """Labels judged as scores: what a labeller says without a verifier (MCE)."""
    return StepScores(labels.trajectory_id, tuple(float(label) for label in labels.labels))


def _estimates(draws_M_R: np.ndarray) -> dict[str, Interval | None]:
    return {name: _estimate(draws_R) for name, draws_R in zip(METRICS, draws_M_R, strict=True)}


def _estimate(draws_R: np.ndarray) -> Interval | None:
    """Of the sample (first) and its resamples; NaN where a number is undefined."""
    known = draws_R[1:][~np.isnan(draws_R[1:])]
    return None if np.isnan(draws_R[0]) or not len(known) else percentile_interval(draws_R[0], known)


def _shares(judged: Sequence[Judged], threshold: float, group_N: np.ndarray, times_R_G: np.ndarray) -> list[np.ndarray]:
    """Step accuracy, first-error accuracy and F1 of every resample."""
    called = verdicts(judged, threshold)
    found_N = np.array(called.first_error, float)
    wrong_N = np.array([0 in one.labels for one in judged], float)
    columns = [
        [sum(own) for own in called.steps],
        [len(own) for own in called.steps],
        found_N * wrong_N,
        wrong_N,
        found_N * (1 - wrong_N),
        1 - wrong_N,
    ]
    right, steps, found_wrong, wrong, found_fine, fine = _drawn(np.array(columns, float), group_N, times_R_G)
    with np.errstate(invalid="ignore"):  # 0 / 0 is undefined
        of_wrong, of_fine = found_wrong / wrong, found_fine / fine
        both = of_wrong + of_fine
        f1 = np.where(both == 0, 0.0, 2 * of_wrong * of_fine / both)
    return [right / steps, (found_wrong + found_fine) / (wrong + fine), f1]


def _rights(judged: Sequence[Judged], group_N: np.ndarray, times_R_G: np.ndarray) -> list[Interval]:
    """The share of right steps of every bin of `reliability`."""
    scores, labels, group_S = _steps(judged, group_N)
    found = []
    for own in in_bins(scores):
        if own.any():
            right_R, steps_R = _drawn(np.array([own * labels, own.astype(float)]), group_S, times_R_G)
            with np.errstate(invalid="ignore"):  # a resample may have no step of the bin
                found.append(_estimate(right_R / steps_R))
    return [share for share in found if share]


def _calibration_errors(judged: Sequence[Judged], group_N: np.ndarray, times_R_G: np.ndarray) -> np.ndarray:
    """Expected calibration error of every resample: |sum of scores - right steps| over the bins, a step."""
    scores, labels, group_S = _steps(judged, group_N)
    gap_B_R = _drawn(in_bins(scores) * (scores - labels), group_S, times_R_G)
    (steps_R,) = _drawn(np.ones((1, len(scores))), group_S, times_R_G)
    return np.abs(gap_B_R).sum(axis=0) / steps_R


def _aucs(judged: Sequence[Judged], group_N: np.ndarray, times_R_G: np.ndarray) -> np.ndarray:
    """ROC-AUC of every resample, ties half; NaN without steps of both kinds.

    Pairs in order are counted once, between every two groups; a resample weighs them by how often it drew both.
    """
    scores, labels, group_S = _steps(judged, group_N)
    values, place_S = np.unique(scores, return_inverse=True)
    # Counts and their halves stay exact in 32 bits, below 2^23 pairs of two groups.
    right_G_V, wrong_G_V = np.zeros((2, times_R_G.shape[1], len(values)), np.float32)
    np.add.at(right_G_V, (group_S, place_S), labels)
    np.add.at(wrong_G_V, (group_S, place_S), 1 - labels)
    below_G_V = wrong_G_V.cumsum(axis=1) - wrong_G_V / 2  # wrong steps with a lower score, ties half
    pairs_G_G = (right_G_V @ below_G_V.T).astype(float)
    all_R = (times_R_G @ right_G_V.sum(axis=1)) * (times_R_G @ wrong_G_V.sum(axis=1))
    with np.errstate(invalid="ignore"):
        return ((times_R_G @ pairs_G_G) * times_R_G).sum(axis=1) / all_R


def _steps(judged: Sequence[Judged], group_N: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, labels and group of every step."""
    scores = np.array([score for one in judged for score in one.scores], float)
    labels = np.array([label for one in judged for label in one.labels], float)
    return scores, labels, np.repeat(group_N, [len(one.labels) for one in judged])


def _drawn(values_C_N: np.ndarray, group_N: np.ndarray, times_R_G: np.ndarray) -> np.ndarray:
    """Sums (C, R) of values over every resample."""
    sums_C_G = np.array(
        [np.bincount(group_N, weights=values_N, minlength=times_R_G.shape[1]) for values_N in values_C_N]
    )
    return sums_C_G @ times_R_G.T
