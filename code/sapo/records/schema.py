"""The frozen records that stages exchange.

They hold no behaviour beyond their own invariants; methods of the papers live in the folders below.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sapo.records.checksummed import RecordError

Verdict = Literal["right", "wrong", "unparsable", "grader_error"]


@dataclass(frozen=True, slots=True)
class Question:
    """One benchmark item, already under an evaluation protocol: `prompt` is exactly what the reasoner reads.

    Args:
        id: unique over all files of a run, `task/split/number[/variant]`.
        answer: gold final answer (maths) or gold program (code); never empty.
        solution: gold rationale in the words the reasoner should use; empty where it is withheld.
        group: cluster of the bootstrap (several prompts of one task share it); the id unless given.
        tests: assert statements (code tasks only).
        context: trusted source that the tests or the completion need (set-up code, a HumanEval prompt).
        entry_point: name of the function that the tests call (code tasks only).
    """

    id: str
    prompt: str
    answer: str
    solution: str = ""
    group: str = ""
    tests: tuple[str, ...] = ()
    context: str = ""
    entry_point: str = ""

    def __post_init__(self) -> None:
        if not self.id or not self.prompt:
            raise RecordError(f"question {self.id!r} has no {'prompt' if self.id else 'id'}")
        if not self.answer:
            raise RecordError(f"question {self.id} has no answer")
        if not self.group:
            object.__setattr__(self, "group", self.id)


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A reasoner's answer to one question: `steps` joined without separators is its exact text."""

    id: str
    question_id: str
    steps: tuple[str, ...]
    verdict: Verdict
    source: str

    def __post_init__(self) -> None:
        if not self.steps:
            raise RecordError(f"trajectory {self.id} of question {self.question_id} has no steps")

    @property
    def text(self) -> str:
        return "".join(self.steps)

    @property
    def right(self) -> bool:
        return self.verdict == "right"

    @property
    def sample_index(self) -> int:
        """Of a sample, which one of its question's it is, from 0: the last part of its id."""
        return int(self.id.rsplit("/", 1)[1])

    def prefix(self, length: int) -> str:
        """Text of the first `length` steps; 0 gives the empty text."""
        if not 0 <= length <= len(self.steps):
            raise RecordError(f"trajectory {self.id} has {len(self.steps)} steps, no prefix of {length}")
        return "".join(self.steps[:length])


def _check_per_step(name: str, values: Sequence[object], trajectory: Trajectory) -> None:
    if len(values) != len(trajectory.steps):
        raise RecordError(
            f"{name} has {len(values)} entries for the {len(trajectory.steps)} steps of trajectory {trajectory.id}"
        )


@dataclass(frozen=True, slots=True)
class StepScores:
    """Verifier scores in [0, 1], one a step: `scores[j - 1]` is c^_j of the papers."""

    trajectory_id: str
    scores: tuple[float, ...]

    def __post_init__(self) -> None:
        bad = [s for s in self.scores if not 0.0 <= s <= 1.0]
        if bad or not self.scores:
            raise RecordError(f"scores of trajectory {self.trajectory_id} must lie in [0, 1]: {bad or 'none given'}")

    def check(self, trajectory: Trajectory) -> None:
        _check_per_step("scores", self.scores, trajectory)

    @property
    def reward(self) -> float:
        """Trajectory reward r = mean_j c^_j (SAPO eq. 14)."""
        return sum(self.scores) / len(self.scores)


LabelCase = Literal["outcome", "known_correct", "every_step", "bisection", "a", "b", "c", "expansion"]


@dataclass(frozen=True, slots=True)
class StepLabels:
    """Step labels c_1…c_n in {0, 1} of one trajectory, and how they were found.

    Args:
        asked: positions j whose c_j was asked of rollouts, in the order of asking.
        case: which rule decided: the outcome alone, a right outcome as witness, every step,
            bisection, or SAPO's cases (a) detection right, (b) error later, (c) error earlier.
    """

    trajectory_id: str
    labels: tuple[int, ...]
    asked: tuple[int, ...]
    case: LabelCase

    def __post_init__(self) -> None:
        bad = [c for c in self.labels if c not in (0, 1)]
        if bad or not self.labels:
            raise RecordError(f"labels of trajectory {self.trajectory_id} must be 0 or 1: {bad or 'none given'}")

    def check(self, trajectory: Trajectory) -> None:
        _check_per_step("labels", self.labels, trajectory)


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """A chosen and a rejected completion of one prompt, with their rewards (SAPO eq. 15)."""

    question_id: str
    prompt: str
    chosen: str
    rejected: str
    chosen_reward: float
    rejected_reward: float

    def __post_init__(self) -> None:
        if not self.chosen or not self.rejected:
            raise RecordError(f"a pair of question {self.question_id} has an empty completion")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one checkpoint answered to one question of a benchmark."""

    question_id: str
    group: str
    completion: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Cost:
    """What a piece of work spent. Tokens and FLOPs are exact counts; seconds depend on the machine.

    Args:
        rollouts: completions drawn.
        prompt_tokens: tokens computed at once: prompts of completions, trajectories that a verifier scored.
        generated_tokens: tokens drawn one by one.
        trained_tokens: tokens of training rows, as often as they were trained on.
        programs: programs run by a judge.
    """

    rollouts: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    programs: int = 0
    trained_tokens: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))
