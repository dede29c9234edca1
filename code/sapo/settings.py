"""Typed settings that mirror `params.yaml`; unknown keys and wrong types are refused before a model loads.

A key that is a Python keyword (`align.from`) is the field of that name with a trailing underscore.
Every value is used somewhere: a setting that only gets recorded is a lie.
"""

import dataclasses
import math
import re
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml


class SettingsError(ValueError):
    """A setting is unknown, missing or of the wrong type; the message names file, key and value."""


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
    """Rollouts that decide a step label (SAPO eq. 3): at most `per_position`, in growing waves if `lazy`."""

    per_position: int
    temperature: float
    lazy: bool


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """Which trajectories get labels. `witness`: a right trajectory's own end labels all its steps 1.

    Args:
        bootstrap_trajectories: labelled by omega for V_0.
        round_trajectories: labelled by saps in each round.
        mc_trajectories: labelled by shepherd for the MC-supervision baseline.
    """

    witness: bool
    bootstrap_trajectories: int
    round_trajectories: int
    mc_trajectories: int


@dataclass(frozen=True, slots=True)
class DetectSettings:
    """Detection of the first error (SAPO eq. 8-10); `drop` and the virtual start c^_0 = 1 are the sound reading."""

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
class AlignSettings:
    """Where each round's alignment starts: the pretrained model as printed, or the previous round's."""

    from_: Literal["base", "previous"]


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """Bootstrap resamples of every interval."""

    resamples: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a run depends on besides code and data."""

    profile: str
    seed: int
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
    align: AlignSettings
    report: ReportSettings


Section = TypeVar("Section")


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


def build(section: type[Section], values: Any, where: str) -> Section:
    """Make a settings dataclass from plain values. Raises SettingsError naming the key and the value."""
    if not isinstance(values, dict):
        raise SettingsError(f"{where}: expected keys, found {values!r}")
    hints = {name.rstrip("_"): (name, hint) for name, hint in typing.get_type_hints(section).items()}
    for key in values.keys() - hints.keys():
        raise SettingsError(f"{where}: unknown setting {key!r} (value {values[key]!r}); known: {', '.join(hints)}")
    for key in hints.keys() - values.keys():
        raise SettingsError(f"{where}: setting {key!r} is missing")
    return section(**{name: _convert(hint, values[key], f"{where}: {key}") for key, (name, hint) in hints.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where)  # pyright: ignore[reportArgumentType]
    if origin is Literal:
        if value not in arguments:
            raise SettingsError(f"{where}: {value!r} is not one of {', '.join(map(repr, arguments))}")
        return value
    if origin is dict and isinstance(value, dict):
        return {key: _convert(arguments[1], item, f"{where}: {key}") for key, item in value.items()}
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if hint is float and type(value) is int:
        value = float(value)
    if origin is not None or type(value) is not hint:
        wanted = hint if isinstance(hint, types.GenericAlias) else hint.__name__
        raise SettingsError(f"{where}: {value!r} is {type(value).__name__}, expected {wanted}")
    if hint in (int, float):
        _check_number(value, where)
    return value


# No number of a run is negative; these must also be more than nothing.
POSITIVE = {"lr", "batch_size", "epochs", "rows", "per_position", "max_new_tokens", "resamples", "train_questions"}
POSITIVE |= {"test_questions", "ood_questions", "vocabulary", "hidden", "layers", "heads", "context"}


def _check_number(value: float, where: str) -> None:
    """Refuse negative and infinite numbers, and 0 where the key (the last word of `where`) cannot be 0."""
    key = where.rsplit(" ", 1)[-1]
    if not math.isfinite(value) or value < 0 or (key in POSITIVE and value == 0):
        raise SettingsError(f"{where}: {value!r} is no {'positive' if key in POSITIVE else 'non-negative'} number")
