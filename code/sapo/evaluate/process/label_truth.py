"""Step labels and rewards compared with the true step labels, for tasks that know them.

First errors count from 1. A labelled trajectory is *located* where its labelled first error is the true one.
"""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sapo.evaluate.efficiency import first_error, prefix_truth
from sapo.records import Question, StepLabels, StepScores, Trajectory
from sapo.tasks.task import EmbeddedTask

FURTHEST = 3  # offsets beyond this many steps are counted with it


@dataclass(frozen=True, slots=True)
class LabelTruth:
    """Counts over the labelled trajectories of one round.

    Args:
        steps, right_steps: labels, and those that are true.
        named: trajectories whose labels name a first error; real: that have one; located: both, at the same step.
        offsets: labelled minus true first error where there are both, cut at ±`FURTHEST`; by its text.
    """

    trajectories: int
    steps: int
    right_steps: int
    named: int
    real: int
    located: int
    offsets: dict[str, int]

    @property
    def precision(self) -> float | None:
        return self.located / self.named if self.named else None

    @property
    def recall(self) -> float | None:
        return self.located / self.real if self.real else None


def label_truth(
    task: EmbeddedTask, questions: dict[str, Question], trajectories: Sequence[Trajectory], labels: Sequence[StepLabels]
) -> LabelTruth:
    """Labels beside the truth of the same prefixes, in step."""
    steps = right = named = real = located = 0
    offsets: Counter[str] = Counter()
    for trajectory, own in zip(trajectories, labels, strict=True):
        truth = prefix_truth(task.step_truth(questions[trajectory.question_id], trajectory.steps))
        steps += len(truth)
        right += sum(c == t for c, t in zip(own.labels, truth, strict=True))
        said, true = first_error(own.labels), first_error(truth)
        named += said is not None
        real += true is not None
        if said is not None and true is not None:
            located += said == true
            offsets[f"{max(-FURTHEST, min(FURTHEST, said - true)):+d}"] += 1
    return LabelTruth(len(trajectories), steps, right, named, real, located, dict(sorted(offsets.items())))


@dataclass(frozen=True, slots=True)
class RewardTruth:
    """Means over the samples of one round: what the verifier gives, and what is true (0 to 1).

    `each` has the question of every sample, its reward and the share of its prefixes that are true.
    """

    samples: int
    reward: float
    true_steps: float
    all_true: float
    right: float
    each: tuple[tuple[str, float, float], ...]


def reward_truth(
    task: EmbeddedTask, questions: dict[str, Question], samples: Sequence[Trajectory], scores: Sequence[StepScores]
) -> RewardTruth:
    """Rewards (eq. 14) beside the share of prefixes that are true: rewards that rise while it falls are hacked."""
    truths = [prefix_truth(task.step_truth(questions[t.question_id], t.steps)) for t in samples]
    rewards, shares = [s.reward for s in scores], [statistics.fmean(truth) for truth in truths]
    return RewardTruth(
        len(samples),
        statistics.fmean(rewards),
        statistics.fmean(shares),
        statistics.fmean(all(truth) for truth in truths),
        statistics.fmean(t.right for t in samples),
        tuple((t.question_id, reward, share) for t, reward, share in zip(samples, rewards, shares, strict=True)),
    )
