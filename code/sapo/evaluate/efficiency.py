"""What process labels cost and how true they are (SAPO figure 6): every labeller on the same wrong trajectories.

1. Labels are compared on wrong trajectories: a right one is its own witness, all its labels are 1 in any arithmetic.
   What a right one costs is measured apart: nothing with `known_correct`; else shepherd asks at every step, saps at the
   detected one and the next. omega searches wrong trajectories only.
2. Costs are taken for trajectories of at least `LONG` steps and for shorter ones; the long ones are labelled first,
   the right ones, of the same length, last. What two trajectories share (`merge`, `reuse`, `cached_tokens`) is
   counted once, for the one that it was drawn or read for.
3. Truth is of prefixes, as labels are: 1 up to the first wrong step, 0 from there on. First errors count from 1.
4. Labellers draw independently of each other, or equal draws would pass for agreement. `shepherd_again` is what
   shepherd's labels agree with at best: themselves, drawn anew. The variants of `saps` share its draws, so that
   what differs between them comes from the one saving that their name says.
"""

import random
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import Literal

from sapo.labelling.labellers import Labelled, LabellerName
from sapo.labelling.rollouts import CACHED_TOKENS
from sapo.labelling.search import good_until
from sapo.records import RecordError, Trajectory
from sapo.settings import RolloutSettings

LONG = 6
HELD_OUT = 4  # one in so many training questions, the last ones, is kept from all labellers
THRESHOLD = 0.5  # a step that a verifier scores below it is called wrong

Length = Literal["long", "short"]
LENGTHS: tuple[Length, ...] = ("long", "short")
RIGHT = "right"  # the third kind of trajectories whose costs are taken


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """A labeller and the savings it has; none is the papers' arithmetic.

    Args:
        draws: names the stream of random numbers.
        trains: a verifier is trained on these labels.
    """

    labeller: LabellerName
    draws: str
    trains: bool = False
    known_correct: bool = False
    lazy: bool = False
    merge: bool = False
    reuse: bool = False
    cached: bool = False
    search: Literal["once", "until_located"] = "once"

    def rollouts(self, settings: RolloutSettings) -> RolloutSettings:
        """These settings with the savings of this arithmetic and no others."""
        tokens = CACHED_TOKENS if self.cached else 0
        return replace(settings, lazy=self.lazy, merge=self.merge, reuse=self.reuse, cached_tokens=tokens)


SAVINGS = ("known_correct", "lazy", "merge", "reuse", "cached")
LABELLERS: dict[str, Arithmetic] = {
    "shepherd": Arithmetic("shepherd", "shepherd", trains=True),
    "shepherd_again": Arithmetic("shepherd", "shepherd_again"),
    "omega": Arithmetic("omega", "omega", trains=True),
    "saps": Arithmetic("saps", "saps", trains=True),
    "saps_known_correct": Arithmetic("saps", "saps", known_correct=True),
    "saps_merge": Arithmetic("saps", "saps", merge=True),
    "saps_reuse": Arithmetic("saps", "saps", reuse=True),
    "saps_lazy": Arithmetic("saps", "saps", lazy=True),
    "saps_cached": Arithmetic("saps", "saps", cached=True),
    "saps_until_located": Arithmetic("saps", "saps", search="until_located"),
    "ours": Arithmetic("saps", "ours", trains=True, search="until_located", **dict.fromkeys(SAVINGS, True)),
}


@dataclass(frozen=True, slots=True)
class LabelRow:
    """What one labeller said of one trajectory.

    Args:
        group: the question's cluster, for intervals.
        asked: positions whose label was asked of rollouts, in the order of asking.
        rollouts: drawn for this trajectory; what another one drew and this one shares is not counted again.
    """

    trajectory_id: str
    group: str
    labels: tuple[int, ...]
    asked: tuple[int, ...]
    rollouts: int


@dataclass(frozen=True, slots=True)
class TruthRow:
    """The true labels of one trajectory's prefixes."""

    trajectory_id: str
    group: str
    labels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The trajectories of one comparison.

    Args:
        wrong: those that every labeller labels, by length.
        right: right samples of the same questions: witnesses (`reuse`) and training data of the verifiers.
        costed: some of `right`, as long as the wrong ones whose costs count: one for every two of those, if there are.
        held_out: all samples of the questions that no labeller sees.
        seen: how many of the wrong ones the detecting verifier was trained on.
    """

    wrong: dict[Length, list[Trajectory]]
    right: list[Trajectory]
    costed: list[Trajectory]
    held_out: list[Trajectory]
    seen: int


def choose(
    samples: Sequence[Trajectory], questions: Sequence[str], seen: Set[tuple[str, str]], count: int, seed: int
) -> Chosen:
    """`count` wrong trajectories of at least two steps at random, or all; those that are not in `seen` come first.

    Args:
        samples: different ones; questions: all their questions' ids.
        seen: (question id, text) of what the detecting verifier was trained on.

    Raises:
        RecordError: no sample of the questions that are not held out is wrong and has two steps.
    """
    held_out = set(questions[len(questions) - len(questions) // HELD_OUT :])
    usable = [t for t in samples if not t.right and len(t.steps) > 1 and t.question_id not in held_out]
    order = random.Random(seed).sample(usable, len(usable))
    order.sort(key=lambda t: (t.question_id, t.text) in seen)
    wrong = order[:count]
    if not wrong:
        raise RecordError(f"none of {len(samples)} samples is wrong with two steps or more: there is nothing to label")
    asked = {t.question_id for t in wrong}
    long, short = [t for t in wrong if len(t.steps) >= LONG], [t for t in wrong if len(t.steps) < LONG]
    right = [t for t in samples if t.right and t.question_id in asked]
    costed = [t for t in right if len(t.steps) > 1 and (len(t.steps) >= LONG or not long)]
    return Chosen(
        {"long": long, "short": short},
        right,
        random.Random(seed).sample(costed, min(len(costed), -(-len(long or short) // 2))),
        [t for t in samples if t.question_id in held_out],
        sum((t.question_id, t.text) in seen for t in wrong),
    )


def label_rows(labelled: Sequence[Labelled]) -> list[LabelRow]:
    return [
        LabelRow(e.labels.trajectory_id, e.item.question.group, e.labels.labels, e.labels.asked, _drawn(e))
        for e in labelled
    ]


def _drawn(entry: Labelled) -> int:
    """Completions that bear this trajectory's name; `Rollouts` names each for the trajectory that it was drawn for."""
    name = entry.item.trajectory.id
    return sum(c.id.startswith(f"{name}/after{j}/") for j, e in entry.evidence.items() for c in e.completions)


def prefix_truth(step_truth: Sequence[bool]) -> tuple[int, ...]:
    """Labels of prefixes from the truth of single steps: what follows a wrong step cannot mend it.

    >>> prefix_truth([True, False, True])
    (1, 0, 0)
    """
    error = first_error([int(good) for good in step_truth])
    return good_until(error - 1 if error else len(step_truth), len(step_truth))


def first_error(labels: Sequence[int]) -> int | None:
    """The first step labelled 0, counted from 1; None where there is none."""
    return next((j for j, label in enumerate(labels, start=1) if not label), None)


def called(scores: Sequence[float]) -> tuple[int, ...]:
    """A verifier's scores as labels."""
    return tuple(int(score >= THRESHOLD) for score in scores)


def same_steps(labels_N_S: Sequence[Sequence[int]], others_N_S: Sequence[Sequence[int]]) -> list[list[bool]]:
    """Whether both say the same of each step, by trajectory. Raises ValueError where numbers of steps differ."""
    return [
        [ours == theirs for ours, theirs in zip(labels, others, strict=True)]
        for labels, others in zip(labels_N_S, others_N_S, strict=True)
    ]


def same_first_error(labels_N_S: Sequence[Sequence[int]], others_N_S: Sequence[Sequence[int]]) -> list[bool]:
    """Whether both say the same first error, or both none, of each trajectory."""
    return [first_error(labels) == first_error(others) for labels, others in zip(labels_N_S, others_N_S, strict=True)]


def shares(labels_N_S: Sequence[Sequence[int]], others_N_S: Sequence[Sequence[int]]) -> dict[str, float]:
    """Share of steps and of trajectories on which two labellers agree, 0 to 1."""
    steps = [same for row in same_steps(labels_N_S, others_N_S) for same in row]
    errors = same_first_error(labels_N_S, others_N_S)
    return {"steps": sum(steps) / len(steps), "first_error": sum(errors) / len(errors)}
