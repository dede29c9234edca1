"""Sections that a method may change: its loop, sampling, labels, verifier, pairs and training."""

from dataclasses import dataclass
from typing import Literal

UPDATES = ("sft", "star", "orpo", "dpo", "grpo")  # trainers of reasoners (train/registry.py)


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """The loop that every method of both papers is an instance of (docs/method.md §7-8).

    Args:
        updates: what trains the reasoner, one of `UPDATES` a round.
        reward: of a trajectory: its outcome (1 or 0), or the mean step score of the round's verifier (SAPO eq. 14).
        start: where SFT and ORPO start: the pretrained model, as printed, or the round's own reasoner. DPO and GRPO
            always go on from the round's reasoner, which is their reference.
        pool: the trajectories that are rewarded: of all rounds so far, or of the round alone.
    """

    updates: tuple[str, ...]
    reward: Literal["outcome", "verifier"]
    start: Literal["base", "previous"]
    pool: Literal["all", "new"]


@dataclass(frozen=True, slots=True)
class FitSettings:
    """One training run: AdamW with linear warm-up and decay, shuffled each epoch by the run's seed.

    A part of an epoch trains on the first of its batches. `micro_batch` examples of a batch go through the model at a
    time (memory grows with it, gradients are added up); 0: all of them.
    """

    lr: float
    epochs: float
    batch_size: int
    warmup: float
    micro_batch: int = 0

    @property
    def micro_batch_size(self) -> int:
        """Examples that go through the model together."""
        return min(self.micro_batch or self.batch_size, self.batch_size)


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """Trajectories drawn a question; `rows` sequences are decoded together (no effect on what is drawn)."""

    per_question: int
    temperature: float
    rows: int


@dataclass(frozen=True, slots=True)
class RolloutSettings:
    """Rollouts that decide a step label (SAPO eq. 3): at most `per_position`.

    Args:
        lazy: draw in growing waves and stop at the first success.
        merge: draw equal prefixes of one question once.
        reuse: a text known to end right, drawn or sampled, proves every prefix of it.
        cached_tokens: of prefixes whose keys and values are kept for those that begin alike; 0 keeps none.
    """

    per_position: int
    temperature: float
    lazy: bool
    merge: bool
    reuse: bool
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """How rollouts become labels, and how many trajectories get them.

    Args:
        by: the labeller of every round (the first verifier's labels come from omega).
        simulator: who completes prefixes: the round's own reasoner, or always the SFT model (SIPF leaves it open).
        known_correct: a right trajectory's own end labels all its steps 1.
        monotone: a step that a later success proves gets label 1 (shepherd).
        bootstrap_trajectories: labelled by omega for V_0.
        round_trajectories: labelled in each round.
    """

    by: Literal["outcome", "shepherd", "omega", "saps"]
    simulator: Literal["reasoner", "sft"]
    known_correct: bool
    monotone: bool
    bootstrap_trajectories: int
    round_trajectories: int


@dataclass(frozen=True, slots=True)
class DetectSettings:
    """Detection of the first error (SAPO eq. 8-10); `drop` and the virtual start c^_0 = 1 are the sound reading.

    `by: random` verifies a random step instead of the detected one (the paper's ablation "w/o DV").
    """

    by: Literal["scores", "random"]
    sign: Literal["drop", "rise"]
    virtual_start: bool


@dataclass(frozen=True, slots=True)
class SapsSettings:
    """`once` verifies two positions (the paper); `until_located` goes on until the first error is bracketed."""

    search: Literal["once", "until_located"]


@dataclass(frozen=True, slots=True)
class ExpansionSettings:
    """Rollouts kept as training trajectories of the verifier (SAPO "Expansion"); 0 switches it off."""

    max_per_trajectory: int


@dataclass(frozen=True, slots=True)
class VerifierSettings:
    """Loss and training of the step verifier (SAPO eq. 6: mse; SIPF: bce)."""

    loss: Literal["mse", "bce"]
    fit: FitSettings


@dataclass(frozen=True, slots=True)
class PairSettings:
    """Preference pairs (SAPO eq. 15): reward gap at least `eta`; `chosen: right` demands a right chosen one."""

    eta: float
    per_question: int
    per_trajectory: int
    chosen: Literal["any", "right"]


@dataclass(frozen=True, slots=True)
class OrpoSettings:
    """ORPO (SAPO eq. 16-17): weight of the odds term and the text that the NLL covers."""

    beta: float
    nll: Literal["completion", "full"]
    fit: FitSettings


@dataclass(frozen=True, slots=True)
class DpoSettings:
    """DPO with its inverse temperature beta; `nll` weighs the chosen completion's NLL (0: DPO, 1: RPO)."""

    beta: float
    nll: float
    fit: FitSettings


@dataclass(frozen=True, slots=True)
class GrpoSettings:
    """GRPO: `steps` updates on `questions_per_step` questions with `group` completions each, KL weight beta."""

    beta: float
    group: int
    temperature: float
    steps: int
    questions_per_step: int
    lr: float
    warmup: float = 0.1


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """`own`: every method trains for the epochs it names. `matched`: every method trains on `training_tokens`."""

    kind: Literal["own", "matched"]
    training_tokens: int


@dataclass(frozen=True, slots=True)
class FilterSettings:
    """Trajectories that SFT learns from (RFT, pRFT, SIPF without odds ratio): right ones of at least this reward."""

    min_reward: float
