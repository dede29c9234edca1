"""What a report speaks of, as plain records: answers, rounds, costs, and what stopped. `reading.py` fills them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sapo.records import Cost, Outcome
from sapo.train.pairs import PairReport
from sapo.train.sft import FilterReport
from sapo.train.star import StarReport


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A reasoner: what round `round` of a method made. The pretrained model and SFT are round 0 of `cot` and `sft`."""

    method: str
    round: int


COT, SFT = Checkpoint("cot", 0), Checkpoint("sft", 0)


@dataclass(frozen=True, slots=True)
class Answers:
    """What one checkpoint of one seed answered to a benchmark.

    Args:
        right_with_wrong_step: right answers that rest on a wrong step; None where the truth of steps is not known.
        unparsable: answers that could not be read, by kind; results of older versions do not say.
        conditions: how questions were asked (protocol) and programs judged (level of the sandbox).
    """

    outcomes: tuple[Outcome, ...]
    right_with_wrong_step: int | None
    generated_tokens: int
    flops: float
    conditions: dict[str, Any]
    unparsable: dict[str, int] = field(default_factory=dict)

    @property
    def right_Q(self) -> list[bool]:
        return [outcome.verdict == "right" for outcome in self.outcomes]


@dataclass(frozen=True, slots=True)
class BenchmarkResults:
    """Answers of every checkpoint, by seed, to the same questions in the same order."""

    name: str
    answers: dict[Checkpoint, dict[int, Answers]]

    @property
    def outcomes_Q(self) -> tuple[Outcome, ...]:
        """Any checkpoint's outcomes, for what all have in common."""
        return next(iter(next(iter(self.answers.values())).values())).outcomes

    @property
    def groups_Q(self) -> list[str]:
        """Cluster of every question."""
        return [outcome.group for outcome in self.outcomes_Q]

    def seeds(self, *checkpoints: Checkpoint) -> list[int]:
        """Seeds for which all these checkpoints are there, in order."""
        return sorted(set.intersection(*(set(self.answers.get(one, {})) for one in checkpoints)))

    def right_S_Q(self, checkpoint: Checkpoint, seeds: Sequence[int]) -> list[list[bool]]:
        return [self.answers[checkpoint][seed].right_Q for seed in seeds]


@dataclass(frozen=True, slots=True)
class Rewards:
    """Rewards of a round's pool (outcomes 0 and 1, or mean step scores, SAPO eq. 14), by the trajectories' outcome."""

    right: tuple[float, ...]
    wrong: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Samples:
    """A round's samples: how many, which shares of them are right and different, and their mean length.

    `left_out` more were drawn, but were empty or could not be encoded step by step.
    """

    trajectories: int
    left_out: int
    right: float
    different: float
    mean_steps: float
    mean_tokens: float


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """One optimiser step of an update: its loss and the other measures that its training logged."""

    step: int
    epoch: int
    loss: float
    lr: float
    gradient_norm: float
    measures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Trajectories that got step labels (expansions left aside), and how many of them ended wrong."""

    trajectories: int
    wrong: int


@dataclass(frozen=True, slots=True)
class RoundResults:
    """One round of one method and seed.

    Args:
        update: sft, orpo, dpo, grpo or star.
        selection: what the update trained on: pairs (orpo, dpo), a filter's report (sft), STaR's; None for grpo.
        costs: by part: sampling, update, and with a verifier labelling, verifier, scoring (saps: detection).
        labelled: None where outcomes are the rewards.
    """

    update: str
    selection: PairReport | FilterReport | StarReport | None
    rewards: Rewards
    samples: Samples
    log: tuple[TrainingStep, ...]
    costs: dict[str, Cost]
    labelled: Labelled | None

    @property
    def pairs(self) -> PairReport | None:
        return self.selection if isinstance(self.selection, PairReport) else None


@dataclass(frozen=True, slots=True)
class StartResults:
    """What all methods of one seed begin with; costs of sft, sampling, labelling (omega) and verifier."""

    costs: dict[str, Cost]
    labelled: Labelled


@dataclass(frozen=True, slots=True)
class Stopped:
    """A method could not finish `round`; the rounds before it are there."""

    round: int
    reason: str


@dataclass(frozen=True, slots=True)
class TaskResults:
    """One model trained on one task: its benchmarks (the task, then the out-of-domain one), rounds and starts.

    Args:
        rounds, stopped: by seed below the checkpoint or the method. A method that never stopped is not in `stopped`;
            one that stopped in its first round for all seeds has no checkpoint.
        last: number of rounds that each method of the settings' cells should have, in the order of the settings.
    """

    model: str
    task: str
    benchmarks: tuple[BenchmarkResults, ...]
    rounds: dict[Checkpoint, dict[int, RoundResults]]
    starts: dict[int, StartResults]
    stopped: dict[str, dict[int, Stopped]]
    last: dict[str, int]

    @property
    def conditions(self) -> dict[str, Any]:
        """How the questions were asked and judged; the same for all answers of a benchmark."""
        return next(iter(self.benchmarks[0].answers[COT].values())).conditions
