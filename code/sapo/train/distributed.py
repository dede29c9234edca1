"""What a process of several that train one model together shares with the others; alone it shares nothing.

Every process has the whole model and takes its turn at the parts of each batch; gradients are added up by accelerate,
so that all of them make the same step. Where accelerate splits the model itself, `split.py` trains it.
"""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn

Item = TypeVar("Item")


class Process(NamedTuple):
    """This one of `number` processes, counted from 0."""

    rank: int
    number: int


def this_process() -> Process:
    """Process 0 of 1, unless `accelerate launch` started more (`train/jobs.py`)."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return Process(0, 1)
    return Process(torch.distributed.get_rank(), torch.distributed.get_world_size())


def splits() -> bool:
    """Whether accelerate splits the model over several processes, by the configuration file that launched them."""
    ways = ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP")
    return this_process().number > 1 and any(os.environ.get(way) == "true" for way in ways)


def join(device: str) -> Any:
    """Join the processes that `accelerate launch` started; its state of them, `PartialState`.

    What the configuration file says of the training itself gives way to the run's settings; split weights are gathered
    whole in the end, and every process loads them whole.
    """
    from accelerate import PartialState

    for ours in ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "ACCELERATE_GRADIENT_CLIPPING"):
        os.environ.pop(ours, None)
    os.environ |= {"ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL": "true", "FSDP_CPU_RAM_EFFICIENT_LOADING": "false"}
    if device == "cpu" and os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
        return PartialState(cpu=False, backend="gloo")  # told that it is on a CPU, accelerate leaves DeepSpeed out
    return PartialState(cpu=device == "cpu")


def summed(value: float, measures: dict[str, float]) -> tuple[float, dict[str, float]]:
    """A loss and measures, each the sum over all processes."""
    from accelerate.utils import gather_object  # half a second of imports, owed only by runs on several devices

    found: list[tuple[float, dict[str, float]]] = gather_object([(value, measures)])
    names = dict.fromkeys(name for _, own in found for name in own)
    return sum(one for one, _ in found), {name: sum(own.get(name, 0.0) for _, own in found) for name in names}


def sum_gradients(weights: Sequence[nn.Parameter]) -> None:
    """Give every process the sum of all processes' gradients; one that had no part of the batch has none of its own."""
    from accelerate.utils import reduce

    for weight in weights:
        own = torch.zeros_like(weight) if weight.grad is None else weight.grad
        weight.grad = reduce(own, "sum")  # pyright: ignore[reportAttributeAccessIssue]


def gathered(values: Sequence[Item]) -> list[Item]:
    """The values of all processes: the first one's, then the second's, and so on."""
    if this_process().number == 1:
        return list(values)
    from accelerate.utils import gather_object

    found: list[Item] = gather_object(list(values))
    return found


def same_random() -> None:
    """Give every process the first one's state of PyTorch's generator."""
    from accelerate.utils import synchronize_rng_states

    synchronize_rng_states(["torch"])
