"""Metrics of a verifier by their definitions, as slowly as they are written down: what `judging` is held against."""

import itertools
from collections.abc import Sequence

from sapo.evaluate.process.metrics import Judged, reliability


def f1(judged: Sequence[Judged], first_errors: Sequence[bool]) -> float | None:
    """ProcessBench's F1: harmonic mean of first-error accuracy on trajectories with and without a wrong step."""
    wrong = [right for one, right in zip(judged, first_errors, strict=True) if 0 in one.labels]
    fine = [right for one, right in zip(judged, first_errors, strict=True) if 0 not in one.labels]
    if not wrong or not fine:
        return None
    of_wrong, of_fine = sum(wrong) / len(wrong), sum(fine) / len(fine)
    return 2 * of_wrong * of_fine / (of_wrong + of_fine) if of_wrong + of_fine else 0.0


def auc(judged: Sequence[Judged]) -> float | None:
    """Share of pairs of a right and a wrong step in which the right one scores higher, ties half."""
    steps = [both for one in judged for both in zip(one.labels, one.scores, strict=True)]
    right, wrong = [s for label, s in steps if label], [s for label, s in steps if not label]
    pairs = [1.0 if r > w else 0.5 if r == w else 0.0 for r, w in itertools.product(right, wrong)]
    return sum(pairs) / len(pairs) if pairs else None


def calibration_error(judged: Sequence[Judged]) -> float:
    """ECE: mean distance of score and share of right steps over the bins, weighed by their steps."""
    bins = reliability(judged)
    return sum(one.steps * abs(one.score - one.right) for one in bins) / max(sum(one.steps for one in bins), 1)
