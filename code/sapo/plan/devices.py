"""What work takes in seconds on a device.

Reading and training are bound by arithmetic: FLOPs over a share of the device's peak. Drawing is bound by what every
step must read, all weights and the keys and values of the rows, or by the launch of its kernels, whichever is slower.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

from transformers import PretrainedConfig

from sapo.models.flops import TRAINING, decode_flops, head_dim, key_heads
from sapo.records import BadInput
from sapo.settings import Settings
from sapo.train.cost import Bill

BYTES = {"float32": 4, "bfloat16": 2}
OCCUPIED = 0.8  # of the sampler's rows, over a call: it refills when an eighth is left


@dataclass(frozen=True, slots=True)
class Part:
    """Planned work of one kind.

    Args:
        stage: of dvc.yaml. what: as in costs.json: sampling, labelling, verifier, …
        key: work of equal keys is done once.
    """

    stage: str
    model: str
    what: str
    kind: Literal["draw", "read", "train"]
    key: Hashable
    bill: Bill


class UnknownDevice(BadInput):
    """No such device is known; the message names those that are."""


@dataclass(frozen=True, slots=True)
class Device:
    """One accelerator, or one core.

    Args:
        memory: GiB.
        peak: FLOPs a second, dense, in the precision that models compute in there.
        bandwidth: bytes a second.
        busy: share of the peak that reading and training reach; share of it that drawing reaches at most.
        step: seconds that a step of drawing takes at least.
        price: US dollars an hour to rent one; 0: none.
        source: of the throughput.
    """

    memory: float
    peak: float
    bandwidth: float
    busy: tuple[float, float]
    step: float
    price: float
    source: str


ASSUMED = "assumed: 40 % of the printed peak, half of the printed bandwidth, 25 ms a step; prices of 2026 rounded"
DEVICES = {
    # Per core and process, in float32: FLOPs over seconds of all kept work of a run of nano with two workers.
    "cpu": Device(0.0, 45e9, 20e9, (1.0, 0.55), 0.0, 0.0, "measured: nano, an EPYC core a worker, 2026-11-21"),
    "rtx3090": Device(24, 71e12, 936e9, (0.4, 0.3), 0.025, 0.25, ASSUMED),
    "rtx4090": Device(24, 165e12, 1008e9, (0.4, 0.3), 0.025, 0.4, ASSUMED),
    "l4": Device(24, 121e12, 300e9, (0.4, 0.3), 0.025, 0.7, ASSUMED),
    "a100": Device(80, 312e12, 2039e9, (0.4, 0.3), 0.025, 1.5, ASSUMED),
    "h100": Device(80, 989e12, 3350e9, (0.4, 0.3), 0.025, 2.5, ASSUMED),
    "h200": Device(141, 989e12, 4800e9, (0.4, 0.3), 0.025, 3.5, ASSUMED),
}


def device_of(name: str) -> Device:
    """Raises UnknownDevice."""
    if name not in DEVICES:
        raise UnknownDevice(f"--gpu {name}: no such device; known: {', '.join(DEVICES)}")
    return DEVICES[name]


def seconds(part: Part, settings: Settings, config: PretrainedConfig, weights: int, device: Device) -> float:
    """Of one device that does nothing else; programs are judged by the settings' workers.

    Args:
        weights: of the model, in number.
    """
    bill = part.bill
    if part.kind == "train":
        return bill.flops / (device.peak * device.busy[0]) * _passes(settings) / TRAINING
    if part.kind == "read":
        return bill.flops / (device.peak * device.busy[0])
    if not device.step:  # a core has no launches to wait for, and its cache holds the models of the laboratory
        return bill.flops / (device.peak * device.busy[1])
    tokens = bill.generated_tokens / max(bill.rollouts, 1)
    start = bill.prompt_tokens / max(bill.rollouts, 1) + tokens / 2
    rows = max(1.0, min(settings.sampling.rows * OCCUPIED, bill.rollouts))
    size = BYTES[settings.tuning.dtype]
    read = size * (weights + rows * start * state_numbers(config))
    flops = rows * decode_flops(config, round(start), 1)
    step = device.step + max(read / (0.5 * device.bandwidth), flops / (device.peak * device.busy[1]))
    drawn = bill.generated_tokens / rows * step
    return drawn + max(bill.flops - flops * bill.generated_tokens / rows, 0.0) / (device.peak * device.busy[0])


def _passes(settings: Settings) -> int:
    """Forward passes that a training step takes: frozen weights need no gradients, checkpointing computes anew."""
    return (3 if settings.tuning.kind == "full" else 2) + settings.tuning.gradient_checkpointing


def state_numbers(config: PretrainedConfig) -> int:
    """Numbers in the keys and values of one token, all layers."""
    return 2 * config.num_hidden_layers * key_heads(config) * head_dim(config)
