"""Peak memory of every phase on its device, and what to change where it is too much. Bytes; estimates, not promises.

1. Weights that are trained: 4 bytes each, and as many for the gradient, 8 for Adam. Frozen ones: as `tuning.dtype`, in
   4 bits (and their scales) 0.52 a weight. Adapters have rank x (in + out) weights a layer.
2. Activations of a token: what the layers keep, or with checkpointing the input of every layer and one layer's own.
3. Logits: those of a portion at most in ORPO (`models/prefix_trees.py`), in the backward pass three times in float32;
   of one tile, in their dtype, where TRL trains (`trl/kernels/chunked_logprob.py`; on a CPU with copies in float32).
4. DPO and GRPO hold a reference, DPO's in 4 bits where the model is; a verifier is made beside the reasoner that it
   starts from.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PretrainedConfig

from sapo.models.prefix_trees import LOGITS
from sapo.models.verifier import BATCH_TOKENS
from sapo.plan.architecture import linear_layers, parameters
from sapo.plan.devices import BYTES, Device, state_numbers
from sapo.settings import AdapterSettings, Settings
from sapo.train.registry import trainer_of, used
from sapo.train.trainer import Trainer

GIB = 2**30
CONTEXT = 1.0  # GiB that CUDA itself and a fragmented allocator take
NF4 = 0.52
TILE = 4096, 32768  # places and tokens whose logits TRL computes together


@dataclass(frozen=True, slots=True)
class Shape:
    """A model as memory sees it."""

    config: PretrainedConfig
    weights: int
    linear: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, config: PretrainedConfig) -> "Shape":
        return cls(config, parameters(config), tuple(linear_layers(config)))


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of the longest prompt and completion that a batch may be full of."""

    prompt: int
    completion: int

    @property
    def row(self) -> int:
        return self.prompt + self.completion


def peaks(settings: Settings, shape: Shape, lengths: Lengths) -> dict[str, float]:
    """Bytes by phase: sampling, scoring, and the trainers that the settings' methods use."""
    found: dict[str, float] = {
        "sampling": _sampling(settings, shape, lengths),
        "scoring": shape.weights * _size(settings) + BATCH_TOKENS * _layer(settings, shape),
    }
    return found | {trainer.name: _of_trainer(trainer, settings, shape, lengths) for trainer in phases(settings)}


def phases(settings: Settings) -> list[Trainer]:
    """Trainers that are used, one for each way to train: STaR trains as SFT does."""
    return [*{trainer.train: trainer for trainer in reversed(used(settings))}.values()][::-1]


def _of_trainer(trainer: Trainer, settings: Settings, shape: Shape, lengths: Lengths) -> float:
    spec, count = trainer.memory, trainer.examples(getattr(settings, trainer.section))
    sizes = settings.tuning.verifier if trainer.verifier else settings.tuning.reasoner
    tokens = spec.prompts * lengths.prompt + spec.completions * lengths.completion
    logits = {"none": _nothing, "tile": _tile, "portion": _portion}[spec.logits]
    beside = {"nothing": 0.0, "reference": _frozen(settings, shape), "loaded": _loaded(settings, shape)}[spec.beside]
    whole = _weights(settings, shape, sizes) + count * tokens * _activations(settings, shape)
    return whole + logits(settings, shape, count * spec.completions * lengths.row) + beside


def _size(settings: Settings) -> int:
    return BYTES[settings.tuning.dtype]


def _sampling(settings: Settings, shape: Shape, lengths: Lengths) -> float:
    """Weights; keys and values, of one layer twice while the cache grows; probabilities and their sums in float64."""
    rows, config = settings.sampling.rows, shape.config
    states = rows * lengths.row * state_numbers(config) * _size(settings) * (1 + 2 / config.num_hidden_layers)
    return shape.weights * _size(settings) + states + rows * config.vocab_size * (_size(settings) + 4 + 4 + 8)


def _activations(settings: Settings, shape: Shape) -> float:
    """Bytes that all layers keep of one token for the backward pass."""
    layers, layer = shape.config.num_hidden_layers, _layer(settings, shape)
    if settings.tuning.gradient_checkpointing:
        return layers * shape.config.hidden_size * _size(settings) + layer
    return layers * layer


def _nothing(settings: Settings, shape: Shape, places: int) -> float:
    return 0.0


def _tile(settings: Settings, shape: Shape, places: int) -> float:
    """Logits at so many places, of which a tile is in memory at most."""
    return float(min(places, TILE[0]) * min(shape.config.vocab_size, TILE[1]) * _size(settings))


def _portion(settings: Settings, shape: Shape, places: int) -> float:
    """As `_tile`: log-probabilities, their gradient twice, and of capped logits what the cap keeps."""
    most = max(LOGITS, shape.config.vocab_size)
    capped = getattr(shape.config, "final_logit_softcapping", None) is not None
    return min(places * shape.config.vocab_size, most) * (12.0 + _size(settings) * capped)


def _weights(settings: Settings, shape: Shape, sizes: AdapterSettings) -> float:
    if settings.tuning.kind == "full":
        return 16.0 * shape.weights
    adapters = sum(sizes.rank * (inside + outside) for inside, outside in shape.linear)
    return _frozen(settings, shape) + 16.0 * adapters


def _loaded(settings: Settings, shape: Shape) -> float:
    """A whole model as it was loaded, whose layers are not in 4 bits."""
    return float(shape.weights) * (4 if settings.tuning.kind == "full" else _size(settings))


def _frozen(settings: Settings, shape: Shape) -> float:
    """Weights that are only read."""
    if settings.tuning.kind == "full":
        return 4.0 * shape.weights
    if settings.tuning.kind == "lora":
        return shape.weights * float(_size(settings))
    linear = sum(inside * outside for inside, outside in shape.linear)
    return linear * NF4 + (shape.weights - linear) * _size(settings)


def _layer(settings: Settings, shape: Shape) -> float:
    """Bytes that one layer keeps of one token: inputs of its products, of norms and of the MLP's activation."""
    config = shape.config
    return (10.0 * config.hidden_size + 4.0 * config.intermediate_size) * _size(settings)


def too_large(settings: Settings, shape: Shape, lengths: Lengths, device: Device) -> dict[str, tuple[float, str]]:
    """Phases that do not fit on the device: their bytes, and the settings that would make them fit."""
    room = (device.memory - CONTEXT) * GIB
    found = {}
    for phase, value in peaks(settings, shape, lengths).items():
        if value > room:
            fitting = (
                said
                for said, changed in _smaller(settings, phase)
                if peaks(changed, shape, lengths).get(phase, 0.0) <= room
            )
            found[phase] = value, next(fitting, "no setting of this model: take a larger device")
    return found


def _smaller(settings: Settings, phase: str) -> Iterator[tuple[str, Settings]]:
    """Settings that need less and less, with the words that configure them."""
    if phase in ("sampling", "scoring"):
        rows = settings.sampling.rows // 2
        while phase == "sampling" and rows >= 1:
            yield f"sampling.rows={rows}", _with_path(settings, ["sampling", "rows"], rows)
            rows //= 2
        return
    said: list[str] = []
    for words, change in _steps(settings, phase):
        settings = change(settings)
        said = [one for one in said if one.split("=")[0] != words.split("=")[0]] + [words]
        yield " ".join(said), settings


def _steps(settings: Settings, phase: str) -> Iterator[tuple[str, Callable[[Settings], Settings]]]:
    """Changes that save memory, the cheapest first; each comes on top of those before."""
    if not settings.tuning.gradient_checkpointing:
        yield (
            "tuning.gradient_checkpointing=true",
            lambda old: _with_path(old, ["tuning", "gradient_checkpointing"], True),
        )
    trainer = trainer_of(phase)
    if trainer.examples(getattr(settings, trainer.section)) > 1:
        path = trainer.lower[0]
        yield f"{path}=1", lambda old: _with_path(old, path.split("."), 1)
    for kind in ("lora", "qlora")[0 if settings.tuning.kind == "full" else 1 :]:
        if settings.tuning.kind != "qlora":
            yield f"tuning.kind={kind}", lambda old, kind=kind: _with_path(old, ["tuning", "kind"], kind)


def _with_path(section: Any, path: Sequence[str], value: object) -> Any:
    """A dataclass with the value at the end of a path of its fields replaced."""
    name, *rest = path
    return dataclasses.replace(section, **{name: _with_path(getattr(section, name), rest, value) if rest else value})
