"""The sections of the settings, one frozen dataclass each; `settings.py` puts them together and checks them.

Every value is used somewhere: a setting that only gets recorded is a lie.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class DataSettings:
    """Where questions come from. `root` holds the files of real benchmarks; embedded ones live in `data/`."""

    root: str
    hub: bool
    protocol: Literal["paper", "standard"]


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """A pretrained reasoner: `nano` ships in `data/models`, `scratch` is made from training text, `hub` is fetched."""

    kind: Literal["nano", "scratch", "hub"]
    architecture: Literal["qwen2", "gemma2", "llama"]
    hub_id: str
    revision: str


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """An in-domain task with its out-of-domain partner; counts take the first questions of a split.

    Args:
        ood: task that is only evaluated on.
        sft_questions: training questions whose gold rationale SFT sees.
        train_questions: training questions to sample from.
        test_questions, ood_questions: questions to evaluate on.
        max_new_tokens: limit of one completion.
    """

    ood: str
    sft_questions: int
    train_questions: int
    test_questions: int
    ood_questions: int
    max_new_tokens: int


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """Methods that one stage runs side by side, each of them for every seed."""

    methods: tuple[str, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CellSettings:
    """One instance of stage `methods`: a group of methods on one model and task."""

    model: str
    task: str
    group: str


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """The loop that every method of both papers is an instance of (method.md §7-8).

    Args:
        updates: what trains the reasoner, one entry a round.
        reward: of a trajectory: its outcome (1 or 0), or the mean step score of the round's verifier (SAPO eq. 14).
        start: where SFT and ORPO start: the pretrained model, as printed, or the round's own reasoner. DPO and GRPO
            always go on from the round's reasoner, which is their reference.
        pool: the trajectories that are rewarded: of all rounds so far, or of the round alone.
    """

    updates: tuple[Literal["sft", "orpo", "dpo", "grpo", "star"], ...]
    reward: Literal["outcome", "verifier"]
    start: Literal["base", "previous"]
    pool: Literal["all", "new"]


@dataclass(frozen=True, slots=True)
class ScratchSettings:
    """A small base model trained on the training text of the tasks (`kind: scratch`)."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    context: int
    epochs: int
    lr: float
    batch_size: int


@dataclass(frozen=True, slots=True)
class FitSettings:
    """One training run: AdamW with linear warm-up and decay, shuffled each epoch by the run's seed.

    A part of an epoch trains on the first of its batches.
    """

    lr: float
    epochs: float
    batch_size: int
    warmup: float


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """Trajectories drawn a question; `rows` sequences are decoded together (no effect on what is drawn)."""

    per_question: int
    temperature: float
    rows: int


@dataclass(frozen=True, slots=True)
class ProcessBenchmarkSettings:
    """One process benchmark: who writes its trajectories and who finds their first wrong step.

    Args:
        first, second: models whose SFT reasoners write one trajectory a question each.
        annotator: the oracle (embedded tasks) or rollouts.
        judge: the model whose SFT reasoner draws the annotator's rollouts; "" with the oracle.
    """

    first: str
    second: str
    annotator: Literal["oracle", "rollout"]
    judge: str


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """Sizes of the process benchmarks and of best-of-N, N up to `rerank_samples`.

    `samples` are drawn from each reasoner for each of the first test `questions`, one is taken; of `votes` annotations
    by rollouts `agree` must say the same.
    """

    questions: int
    samples: int
    votes: int
    agree: int
    rerank_questions: int
    rerank_samples: int


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
        witness: a right trajectory's own end labels all its steps 1.
        monotone: a step that a later success proves gets label 1 (shepherd).
        bootstrap_trajectories: labelled by omega for V_0.
        round_trajectories: labelled in each round.
    """

    by: Literal["outcome", "shepherd", "omega", "saps"]
    simulator: Literal["reasoner", "sft"]
    witness: bool
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


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """`own`: every method trains for the epochs it names. `matched`: every method trains on `training_tokens`."""

    kind: Literal["own", "matched"]
    training_tokens: int


@dataclass(frozen=True, slots=True)
class EfficiencySettings:
    """Wrong trajectories that every labeller labels, to compare what labels cost and how true they are (figure 6)."""

    trajectories: int


@dataclass(frozen=True, slots=True)
class FilterSettings:
    """Trajectories that SFT learns from (RFT, pRFT, SIPF without odds ratio): right ones of at least this reward."""

    min_reward: float


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """Bootstrap resamples of every interval, and where the report goes.

    Args:
        results, figures: folders below the repository's root; two profiles must not share them.
        readme: also rewrite the README's results.
    """

    resamples: int
    results: str
    figures: str
    readme: bool
