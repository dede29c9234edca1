"""What the explorer shows of a run: rounds, trajectories, their labelling and their rollouts, as frozen records.

First errors count from 1; 0 says that there is none, None that nobody knows.
"""

from dataclasses import dataclass
from typing import Literal

from sapo.records import Question

# A labeller's first error beside the true one; `beyond`: the first errors are the same and later labels are not.
Agreement = Literal["agrees", "early", "late", "alarm", "missed", "beyond"]


@dataclass(frozen=True, slots=True)
class Step:
    """The j-th step of a text: its score c^_j and its label c_j, None where it has none."""

    text: str
    score: float | None
    label: int | None


@dataclass(frozen=True, slots=True)
class Rollout:
    """A completion of the first `position` steps of a trajectory; `steps` are those behind them.

    Args:
        first_error: of the whole text.
    """

    position: int
    number: int
    verdict: str
    steps: tuple[Step, ...]
    first_error: int | None


@dataclass(frozen=True, slots=True)
class Labelling:
    """How a trajectory was labelled.

    Args:
        asked: positions whose labels were asked of rollouts, in that order.
        detected: t^ in 0…n-1, the last step believed good; None where the labeller detected nothing.
        suspicion: the scores by V_{i-1} that t^ was found with; empty where it was not found with scores.
        agreement: the labels beside the truth; None where that is not known.
    """

    case: str
    asked: tuple[int, ...]
    detected: int | None
    suspicion: tuple[float, ...]
    agreement: Agreement | None
    rollouts: tuple[Rollout, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """A trajectory of a round, called `name` below its question, and how often it was drawn (gold: 0 times)."""

    question_id: str
    name: str
    verdict: str
    times: int
    steps: tuple[Step, ...]
    first_error: int | None
    labelling: Labelling | None


@dataclass(frozen=True, slots=True)
class Round:
    """A round of a method.

    Args:
        labeller: empty where outcomes alone gave the rewards: there is no verifier.
        suspects: how t^ was found, with `scores` of V_{i-1} or at `random`; empty: not at all.
        different: trajectories that the round has; those `shown` may be fewer.
    """

    number: int
    labeller: str
    suspects: str
    different: int
    shown: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class Explored:
    """All that the page shows; `rollouts` is T, the completions drawn at a position."""

    profile: str
    model: str
    task: str
    method: str
    seed: int
    rollouts: int
    questions: tuple[Question, ...]
    rounds: tuple[Round, ...]
