"""Rollouts become training trajectories of the verifier (SAPO "Expansion").

At a verified position j: if c_j = 1, every completion that ends right becomes a trajectory with all labels 1; if
c_j = 0, every completion becomes one whose steps from j on are 0 and whose earlier steps keep their labels.
c_j is the final label: where a later success has overruled failed rollouts at j, those prove nothing. Where another
text has proven c_j = 1 (`rollouts.reuse`), nothing or only failures were drawn at j and nothing is expanded there:
the text that proves it is the trajectory of whoever drew it.
"""

import itertools
from collections.abc import Sequence

from sapo.records import StepLabels, Trajectory
from sapo.supervise.labellers import Labelled
from sapo.supervise.rollouts import Evidence


def expand(labelled: Sequence[Labelled], most: int) -> list[tuple[Trajectory, StepLabels]]:
    """New trajectories with labels: at most `most` from each labelled one, none that is there already.

    Two trajectories are the same where question and text are; the first one found stays.
    """
    seen = {(entry.item.question.id, entry.item.trajectory.text) for entry in labelled}
    expanded = []
    for entry in labelled:
        found = (c for j, evidence in entry.evidence.items() for c in _candidates(entry.labels, j, evidence))
        # Lazy: what the cap leaves out may still come from another trajectory.
        expanded += itertools.islice((c for c in found if _add(seen, c[0])), most)
    return expanded


def _add(seen: set[tuple[str, str]], trajectory: Trajectory) -> bool:
    key = (trajectory.question_id, trajectory.text)
    if key in seen:
        return False
    seen.add(key)
    return True


def _candidates(labels: StepLabels, position: int, evidence: Evidence) -> list[tuple[Trajectory, StepLabels]]:
    if labels.labels[position - 1]:
        return [(c, _labels(c, (1,) * len(c.steps))) for c in evidence.completions if c.right]
    kept = labels.labels[: position - 1]
    return [(c, _labels(c, kept + (0,) * (len(c.steps) - len(kept)))) for c in evidence.completions]


def _labels(trajectory: Trajectory, labels: tuple[int, ...]) -> StepLabels:
    return StepLabels(trajectory.id, labels, (), "expansion")
