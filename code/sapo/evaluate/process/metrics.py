"""Step scores of a verifier beside true labels: thresholds, verdicts and reliability bins (docs/method.md §8).

1. A step is called wrong where its score is below the threshold. Labels are of prefixes: 1 up to the first wrong step.
2. Step accuracy is the papers'. First-error accuracy asks for the very step, or for none.
3. The threshold is chosen on the development half of the questions and used on the other half. Halves are of question
   groups, by a hash of their names: the same for every verifier, model and seed.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sapo.evaluate.efficiency import first_error
from sapo.evaluate.process.items import ProcessItem, good
from sapo.records import RecordError, StepScores

BINS = 10  # of the reliability plot, over 0 to 1


@dataclass(frozen=True, slots=True)
class Judged:
    """One trajectory: true labels of its prefixes and a verifier's scores, in step; the question's group."""

    group: str
    labels: tuple[int, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What a threshold makes of trajectories: per step and per trajectory, whether it is right."""

    steps: tuple[tuple[bool, ...], ...]
    first_error: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Bin:
    """Steps whose scores lie in one tenth: how many, their mean score, and the share that is right."""

    steps: int
    score: float
    right: float


def pair_up(items: Sequence[ProcessItem], scores: Sequence[StepScores]) -> list[Judged]:
    """Items with their scores. Raises RecordError where these are of other items, in another order or number."""
    if [item.id for item in items] != [own.trajectory_id for own in scores]:
        raise RecordError(f"scores of {len(scores)} trajectories are not those of the {len(items)} process items")
    found = []
    for item, own in zip(items, scores, strict=True):
        if len(own.scores) != len(item.steps):
            raise RecordError(f"process item {item.id} has {len(item.steps)} steps and {len(own.scores)} scores")
        found.append(Judged(item.group, good(item), own.scores))
    return found


def in_development(group: str) -> bool:
    """Whether a question group belongs to the half that thresholds are chosen on."""
    return hashlib.sha256(group.encode()).digest()[0] % 2 == 0


def halves(judged: Sequence[Judged]) -> tuple[list[Judged], list[Judged]]:
    """The development half and the half that is reported."""
    development = [one for one in judged if in_development(one.group)]
    return development, [one for one in judged if not in_development(one.group)]


def verdicts(judged: Sequence[Judged], threshold: float) -> Verdicts:
    """Each step and each first error called by a threshold, beside the truth."""
    called = [tuple(int(score >= threshold) for score in one.scores) for one in judged]
    steps = [
        tuple(c == t for c, t in zip(own, one.labels, strict=True)) for own, one in zip(called, judged, strict=True)
    ]
    errors = [first_error(own) == first_error(one.labels) for own, one in zip(called, judged, strict=True)]
    return Verdicts(tuple(steps), tuple(errors))


def best_threshold(development: Sequence[Judged]) -> float:
    """The threshold with the highest step accuracy, of those the one nearest to 0.5; 0.5 without trajectories.

    Scores .9 (right), .6 (right) and .4 (wrong) are told apart by anything above .4 up to .6: 0.5.
    """
    scores, labels = _flat(development)
    if not len(scores):
        return 0.5
    order = np.argsort(scores, kind="stable")
    scores, labels = scores[order], labels[order]
    # right[k]: steps judged right where the k lowest scores are called wrong.
    right = np.concatenate([[0], np.cumsum(labels == 0)]) + labels.sum() - np.concatenate([[0], np.cumsum(labels)])
    splits = np.concatenate([[True], scores[1:] > scores[:-1], [True]])  # equal scores cannot be told apart
    lowest = np.concatenate([[0.0], np.nextafter(scores, 2.0)])  # of thresholds that call so many wrong, and highest
    highest = np.concatenate([scores, [2.0]])
    best = right[splits].max()
    found = [min(max(0.5, lowest[k]), highest[k]) for k in np.flatnonzero(splits & (right == best))]
    return float(min(found, key=lambda threshold: (abs(threshold - 0.5), threshold)))


def reliability(judged: Sequence[Judged]) -> list[Bin]:
    """The bins of `in_bins`; empty ones are left out."""
    scores, labels = _flat(judged)
    return [
        Bin(int(own.sum()), float(scores[own].mean()), float(labels[own].mean()))
        for own in in_bins(scores)
        if own.any()
    ]


def in_bins(scores: np.ndarray) -> np.ndarray:
    """Whether each score (S,) lies in each of ten bins of equal width, the last with 1 in it: (10, S)."""
    return np.minimum((scores * BINS).astype(int), BINS - 1) == np.arange(BINS)[:, None]


def _flat(judged: Sequence[Judged]) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels of all steps."""
    scores = np.array([score for one in judged for score in one.scores], float)
    return scores, np.array([label for one in judged for label in one.labels], int)
