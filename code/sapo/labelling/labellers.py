"""One interface for all labellers: trajectories and rollouts in, labels with their evidence out.

The strategies of many trajectories run in step, so that one batch of rollouts answers all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from sapo.labelling import search
from sapo.labelling.detection import detect, random_position
from sapo.labelling.rollouts import Prefix, PrefixEstimate, Rollouts, collector_paused
from sapo.labelling.search import SearchResult, Strategy
from sapo.records import Question, RecordError, StepLabels, StepScores, Trajectory
from sapo.runtime.workspace import derive_seed
from sapo.settings import DetectSettings, LabelSettings, SapsSettings
from sapo.tasks.math_grading.grading import check_grader_errors

LabellerName = Literal["outcome", "shepherd", "omega", "saps"]


@dataclass(frozen=True, slots=True)
class LabelItem:
    """A trajectory to label; `scores` are owed to `saps` only, and not where it verifies random steps."""

    question: Question
    trajectory: Trajectory
    scores: StepScores | None = None


@dataclass(frozen=True, slots=True)
class Labelled:
    """A labelled trajectory and, by position, the evidence that its labels rest on."""

    item: LabelItem
    labels: StepLabels
    evidence: dict[int, PrefixEstimate]


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that labellers follow.

    Args:
        seed: of the steps that `detect.by: random` verifies; each depends on seed and trajectory id alone.
    """

    labels: LabelSettings
    detect: DetectSettings
    saps: SapsSettings
    seed: int = 0


def label(name: LabellerName, items: Sequence[LabelItem], rollouts: Rollouts, rules: Rules) -> list[Labelled]:
    """Labels of every item, in order; what they cost is added to `rollouts.cost`.

    Where `labels.known_correct` allows it, the right trajectories among the items are witnesses of the wrong ones too
    (`rollouts.reuse`).

    Raises:
        RecordError: scores are missing, another trajectory's, or do not match the steps of a trajectory; or the
            question of an item is another one than its trajectory's.
        GraderErrors: more rollouts than one in a thousand could not be judged.
    """
    choose: dict[LabellerName, Callable[[LabelItem, Rules], Strategy]] = {
        "outcome": _outcome,
        "shepherd": _shepherd,
        "omega": _omega,
        "saps": _saps,
    }
    for item in items:
        if item.question.id != item.trajectory.question_id:
            raise RecordError(
                f"trajectory {item.trajectory.id} answers question {item.trajectory.question_id}, "
                f"question {item.question.id} is given"
            )
    with collector_paused():
        if rules.labels.known_correct and name != "outcome":
            rollouts.known_correct(item.trajectory for item in items)
        running = [_Run(item, choose[name](item, rules)) for item in items]
        for run in running:
            run.resume(None)
    while waiting := [run for run in running if run.wanted]:
        with collector_paused():
            prefixes = [Prefix(run.item.question, run.item.trajectory, j) for run in waiting for j in run.wanted]
        answers = iter(rollouts.ask(prefixes))
        with collector_paused():
            for run in waiting:
                run.resume({j: next(answers) for j in run.wanted})
    check_grader_errors(rollouts.verdicts.elements())
    return [run.labelled() for run in running]


class _Run:
    """One strategy on its way: what it wants to know next, what it was told, what it found."""

    __slots__ = ("_evidence", "_finding", "_strategy", "item", "wanted")

    def __init__(self, item: LabelItem, strategy: Strategy) -> None:
        self.item = item
        self.wanted: tuple[int, ...] = ()
        self._strategy = strategy
        self._evidence: dict[int, PrefixEstimate] = {}
        self._finding: SearchResult | None = None

    def resume(self, answers: dict[int, PrefixEstimate] | None) -> None:
        """Start the strategy (None) or give it the answers to `wanted`."""
        try:
            if answers is None:
                self.wanted = next(self._strategy)
            else:
                self._evidence |= answers
                self.wanted = self._strategy.send({j: evidence.label for j, evidence in answers.items()})
        except StopIteration as end:
            self.wanted, self._finding = (), end.value

    def labelled(self) -> Labelled:
        if self._finding is None:
            raise AssertionError(f"the labeller of trajectory {self.item.trajectory.id} asked for nothing and stopped")
        found = self._finding
        labels = StepLabels(self.item.trajectory.id, found.labels, tuple(self._evidence), found.case)
        labels.check(self.item.trajectory)
        return Labelled(self.item, labels, self._evidence)


def _outcome(item: LabelItem, _: Rules) -> Strategy:
    return search.outcome(len(item.trajectory.steps), item.trajectory.right)


def _shepherd(item: LabelItem, rules: Rules) -> Strategy:
    steps, right = len(item.trajectory.steps), item.trajectory.right
    if (right and rules.labels.known_correct) or steps == 1:
        return search.known_correct(steps) if right else search.outcome(steps, right)
    return search.shepherd(steps, right, rules.labels.monotone)


def _omega(item: LabelItem, _: Rules) -> Strategy:
    steps = len(item.trajectory.steps)
    return search.known_correct(steps) if item.trajectory.right else search.omega(steps)


def _saps(item: LabelItem, rules: Rules) -> Strategy:
    steps, right = len(item.trajectory.steps), item.trajectory.right
    if right and rules.labels.known_correct:
        return search.known_correct(steps)
    if rules.detect.by == "random":
        detected, scores = random_position(steps, derive_seed(rules.seed, "detect", item.trajectory.id)), None
    else:
        scores = _scores(item)
        detected = detect(scores, rules.detect.sign, rules.detect.virtual_start)
    if right:
        return search.verified_known_correct(steps, detected)
    if rules.saps.search == "once":
        return search.saps(steps, detected)
    return search.saps_until_located(steps, detected, scores)


def _scores(item: LabelItem) -> tuple[float, ...]:
    """c^_1…c^_n of an item. Raises RecordError where they are missing or do not fit."""
    if item.scores is None:
        raise RecordError(f"saps needs the verifier's scores of trajectory {item.trajectory.id}, none are given")
    if item.scores.trajectory_id != item.trajectory.id:
        raise RecordError(f"scores of trajectory {item.scores.trajectory_id} are given for {item.trajectory.id}")
    item.scores.check(item.trajectory)
    return item.scores.scores
