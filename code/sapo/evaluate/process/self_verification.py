"""Table 2 of SAPO: how often a verifier's detection does not stand up to the reasoner that checks it.

On fixed trajectories, V_a detects and R_b verifies, for rounds (a, b) = (1, 1), (1, 3), (3, 3). A pre-label is right
iff (docs/method.md §8) the outcome is right and no step is called wrong; or the outcome is wrong and every step is
called wrong; or the outcome is wrong and the first error is located: R_b says c = 1 at t^ and c = 0 at t^+1. A step is
called wrong below 0.5. The laboratory can also ask the truth instead of R_b, which the paper could not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sapo.evaluate.efficiency import called
from sapo.evaluate.process.items import ProcessItem
from sapo.labelling.detection import detect
from sapo.records import Trajectory


@dataclass(frozen=True, slots=True)
class SelfVerification:
    """Whether each item's pre-label is right, as the reasoner says and as the annotation says."""

    by_reasoner: tuple[bool, ...]
    by_truth: tuple[bool, ...]


def as_trajectory(item: ProcessItem) -> Trajectory:
    return Trajectory(item.id, item.question_id, item.steps, item.outcome, "sample")


def self_verify(
    items: Sequence[ProcessItem], scores: Sequence[tuple[float, ...]], labels: Sequence[tuple[int, ...]]
) -> SelfVerification:
    """Check every detection with the reasoner's labels; positions 0 and n are known without it.

    Args:
        scores: c^_1…c^_n of each item by the verifier. labels: c_1…c_n of each item by rollouts of the reasoner.
    """
    by_reasoner, by_truth = [], []
    for item, own, found in zip(items, scores, labels, strict=True):
        if not item.right and any(called(own)):  # not every step is called wrong: the error is to be located
            t = detect(own)
            said = (1, *found[:-1], 0)
            by_reasoner.append(said[t] == 1 and said[t + 1] == 0)
            by_truth.append(item.first_error == t + 1)
        else:
            right = item.right == all(called(own))
            by_reasoner.append(right)
            by_truth.append(right)
    return SelfVerification(tuple(by_reasoner), tuple(by_truth))
