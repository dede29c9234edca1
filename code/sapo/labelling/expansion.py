"""Rollouts become training trajectories of the verifier (SAPO "Expansion").

At a verified position j: if c_j = 1, every completion that ends right becomes a trajectory with all labels 1; if
c_j = 0, every completion becomes one whose steps from j on are 0 and whose earlier steps keep their labels.
Verified positions take turns, those nearest to the first error first (the last good one, then the first bad one), so
that a cap does not keep successes from early steps alone, whichever order a labeller asks in.
c_j is the final label: where a later success has overruled failed rollouts at j, those prove nothing. Where another
text has proven c_j = 1 (`rollouts.reuse`), nothing or only failures were drawn at j and nothing is expanded there:
the text that proves it is the trajectory of whoever drew it.
"""

import itertools
from collections.abc import Sequence

from sapo.labelling.labellers import Labelled
from sapo.labelling.rollouts import PrefixEstimate
from sapo.records import StepLabels, Trajectory


def expand(labelled: Sequence[Labelled], most: int) -> list[tuple[Trajectory, StepLabels]]:
    """New trajectories with labels: at most `most` from each labelled one, none that is there already.

    Two trajectories are the same where question and text are; the first one found stays.
    """
    seen = {(entry.item.question.id, entry.item.trajectory.text) for entry in labelled}
    expanded = []
    for entry in labelled:
        by_position = [_candidates(entry.labels, j, entry.evidence[j]) for j in _by_turn(entry)]
        found = (c for turn in itertools.zip_longest(*by_position) for c in turn if c is not None)
        # Lazy: what the cap leaves out may still come from another trajectory.
        expanded += itertools.islice((c for c in found if _add(seen, c[0])), most)
    return expanded


def _by_turn(entry: Labelled) -> list[int]:
    """Verified positions by their distance from the first error: the last good step, the first bad one, and so on."""
    labels = entry.labels.labels
    bad = labels.index(0) + 1 if 0 in labels else len(labels) + 1
    return sorted(entry.evidence, key=lambda j: (j - bad, 1) if j >= bad else (bad - 1 - j, 0))


def _add(seen: set[tuple[str, str]], trajectory: Trajectory) -> bool:
    key = (trajectory.question_id, trajectory.text)
    if key in seen:
        return False
    seen.add(key)
    return True


def _candidates(labels: StepLabels, position: int, evidence: PrefixEstimate) -> list[tuple[Trajectory, StepLabels]]:
    if labels.labels[position - 1]:
        return [(c, _labels(c, (1,) * len(c.steps))) for c in evidence.completions if c.right]
    kept = labels.labels[: position - 1]
    return [(c, _labels(c, kept + (0,) * (len(c.steps) - len(kept)))) for c in evidence.completions]


def _labels(trajectory: Trajectory, labels: tuple[int, ...]) -> StepLabels:
    return StepLabels(trajectory.id, labels, (), "expansion")
