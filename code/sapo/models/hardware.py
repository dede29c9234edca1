"""Where models compute, and in which precision (`tuning.device`, `tuning.dtype`).

Inference casts the weights. Training in bfloat16 keeps what is trained in float32 and casts as it computes
(`arithmetic`), because an update is smaller than what bfloat16 can tell apart.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

import torch
from torch import nn
from transformers import PreTrainedModel

from sapo.models.verifier import Verifier
from sapo.records import BadInput
from sapo.settings import TuningSettings

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

# A remedy that every training run has.
CHECKPOINTING = "set tuning.gradient_checkpointing=true"

Module = TypeVar("Module", bound=nn.Module)


class NoDevice(BadInput):
    """The settings want hardware that is not here; the message says which setting does without."""


class OutOfMemory(BadInput):
    """The device's memory is too small for the settings; the message says which to lower."""


@contextmanager
def enough_memory(what: str, *remedies: str) -> Iterator[None]:
    """Where the block needs more memory than the device has, say what would make it need less.

    Raises:
        OutOfMemory: instead of PyTorch's own error, which `raise … from` keeps.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(
            f"{what}: the device has too little memory ({' '.join(str(error).split())[:160]}); "
            f"{' or '.join(remedies)}; what is finished is kept, and the same command goes on from there"
        ) from error


def check_device(tuning: TuningSettings) -> None:
    """Refuse `device: cuda` where PyTorch sees no GPU. Raises NoDevice."""
    if tuning.device == "cuda" and not torch.cuda.is_available():
        build = (
            "it was built without CUDA" if torch.version.cuda is None else f"it was built for CUDA {torch.version.cuda}"
        )
        raise NoDevice(
            f"tuning: device is cuda, but PyTorch {torch.__version__} sees no GPU ({build}); install a CUDA build of "
            "it on a machine with a GPU, or configure with tuning.device=cpu tuning.kind=full"
        )


def on_device(model: Module, tuning: TuningSettings) -> Module:
    """The model itself, moved to where the settings want it. Raises NoDevice."""
    check_device(tuning)
    return model.to(tuning.device)


def cast(model: nn.Module, tuning: TuningSettings) -> None:
    """Cast weights, and no buffers: the frequencies of rotary positions need float32 whatever the weights are in."""
    for weight in model.parameters():
        weight.data = weight.data.to(DTYPES[tuning.dtype])


def for_inference(model: PreTrainedModel, tuning: TuningSettings) -> PreTrainedModel:
    """The model itself, moved and cast. Raises NoDevice."""
    cast(on_device(model, tuning), tuning)
    return model


def verifier_for_inference(verifier: Verifier, tuning: TuningSettings) -> Verifier:
    """The verifier itself, moved, and its backbone cast; the head stays in float32. Raises NoDevice."""
    cast(on_device(verifier, tuning).backbone, tuning)
    return verifier


def arithmetic(tuning: TuningSettings) -> AbstractContextManager[object]:
    """The precision of a training run: matrix products in `tuning.dtype`, sums and losses in float32."""
    if tuning.dtype == "float32":
        return nullcontext()
    # Without the cache: it would keep the first step's cast weights for all steps of the block.
    return torch.autocast(tuning.device, DTYPES[tuning.dtype], cache_enabled=False)
