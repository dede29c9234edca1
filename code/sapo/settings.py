"""Typed settings that mirror `params.yaml`; unknown keys and wrong types are refused before a model loads.

A key that is a Python keyword (`align.from`) is the field of that name with a trailing underscore.
Every value is used somewhere: a setting that only gets recorded is a lie.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from sapo.typed_values import SettingsError as SettingsError  # both are part of this module for its readers
from sapo.typed_values import build as build


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
class RoundSettings:
    """One SAPO round: `i` reads the verifier and reasoner of `prev` (templates cannot subtract)."""

    i: int
    prev: int


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
    """One training run: AdamW with linear warm-up and decay, shuffled each epoch by the run's seed."""

    lr: float
    epochs: int
    batch_size: int
    warmup: float


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
    """

    per_position: int
    temperature: float
    lazy: bool
    merge: bool
    reuse: bool


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """How rollouts become labels, and how many trajectories get them.

    Args:
        witness: a right trajectory's own end labels all its steps 1.
        monotone: a step that a later success proves gets label 1 (shepherd).
        bootstrap_trajectories: labelled by omega for V_0.
        round_trajectories: labelled by saps in each round.
        mc_trajectories: labelled by shepherd for the MC-supervision baseline.
    """

    witness: bool
    monotone: bool
    bootstrap_trajectories: int
    round_trajectories: int
    mc_trajectories: int


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
class EfficiencySettings:
    """Wrong trajectories that every labeller labels, to compare what labels cost and how true they are (figure 6)."""

    trajectories: int


@dataclass(frozen=True, slots=True)
class AlignSettings:
    """Where each round's alignment starts: the pretrained model as printed, or the previous round's."""

    from_: Literal["base", "previous"]


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


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a run depends on besides code and data."""

    profile: str
    seed: int
    threads: int
    data: DataSettings
    models: dict[str, ModelSettings]
    tasks: dict[str, TaskSettings]
    rounds: tuple[RoundSettings, ...]
    scratch: ScratchSettings
    sampling: SamplingSettings
    rollouts: RolloutSettings
    labels: LabelSettings
    detect: DetectSettings
    saps: SapsSettings
    expansion: ExpansionSettings
    sft: FitSettings
    verifier: VerifierSettings
    pairs: PairSettings
    orpo: OrpoSettings
    dpo: DpoSettings
    grpo: GrpoSettings
    align: AlignSettings
    efficiency: EfficiencySettings
    report: ReportSettings


def load_settings(path: Path, where: str = "") -> Settings:
    """Read and check `params.yaml`; errors speak of `where` instead of the path if given.

    Raises:
        SettingsError: the file is missing or not YAML, or a key is unknown, missing, of the wrong type or out of range.
    """
    where = where or str(path)
    if not path.is_file():
        raise SettingsError(f"{where}: no such file; write it with `python -m sapo configure profile=nano`")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{where}: not YAML: {' '.join(str(error).split())}") from error
    settings = build(Settings, values, where)
    _check_graph(settings, where)
    return settings


def _check_graph(settings: Settings, where: str) -> None:
    """Names become folders and stage names; rounds become a chain. Raises SettingsError."""
    for section, names in (("models", settings.models), ("tasks", settings.tasks)):
        if not names:
            raise SettingsError(f"{where}: {section}: {names!r} names none")
        for name in names:
            if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
                raise SettingsError(f"{where}: {section}: name {name!r} is not lower-case letters, digits and _")
    chain = [(r.i, r.prev) for r in settings.rounds]
    if not chain or chain != [(i, i - 1) for i in range(1, len(chain) + 1)]:
        raise SettingsError(f"{where}: rounds: (i, prev) is {chain}, expected (1, 0), (2, 1), …")
