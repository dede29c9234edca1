"""Where a long training run was, found again after a kill: a run that goes on ends with the bytes of one that did not.

A checkpoint is a folder named by its step: `tensors.safetensors` (weights that are trained, the optimiser's state,
states of random numbers), `state.json` (whose run it is, its log), and the SHA-256 of both. It appears whole or not at
all, and the one before it goes. Nothing is pickled. Weights that are not trained are those of the model as it was.
"""

import hashlib
import os
import random
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sapo.models.loading import SEAL, UNREADABLE, LoadingError, check_seal, seal
from sapo.records import BadInput, read_json, write_json
from sapo.train.distributed import splits, this_process

INTERVAL = 60.0  # seconds between checkpoints, and between the first and the start: short runs write none
REST = 20  # times the seconds that writing one took, until the next: writing takes a twentieth of the time at most
SAMPLED = 32  # entries of every weight that tell one model from another
TENSORS = "tensors.safetensors"


class Found(NamedTuple):
    """What `Checkpoints.write` was given."""

    step: int
    tensors: dict[str, Tensor]
    state: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run in `place`; without a place there are none, and none of a model in parts.

    Args:
        model: before it is trained.
        made_from: everything else that decides the run, with a `repr` that tells it from others.
    """

    def __init__(self, place: Path | None, model: nn.Module, *made_from: object) -> None:
        place = None if splits() else place
        self._place = place
        self._made_from = made_from
        self._start = _sample(model) if place else b""
        self._writes = place is not None and this_process().rank == 0
        self._after = time.monotonic() + INTERVAL

    def due(self) -> bool:
        """Whether it is time for another one."""
        return self._writes and time.monotonic() >= self._after

    def write(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Keep this instead of the checkpoint before.

        Args:
            state: what JSON can hold.
        """
        if self._place is None:
            return
        started = time.monotonic()
        final, new = self._place / f"{step:08d}", self._place / f".{os.getpid()}.tmp"
        for leftover in self._place.glob(".*.tmp"):
            shutil.rmtree(leftover)
        new.mkdir(parents=True)
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, new / TENSORS)
        write_json(new / "state.json", {"run": self._run(), **state})
        seal(new)
        shutil.rmtree(final, ignore_errors=True)
        os.replace(new, final)
        for older in self._folders():
            if older != final:
                shutil.rmtree(older)
        self._after = time.monotonic() + max(INTERVAL, REST * (time.monotonic() - started))

    def read(self) -> Found | None:
        """The newest checkpoint; one that is damaged or another run's is passed over, and a line on stderr says so."""
        for folder in reversed(self._folders()):
            try:
                if not (folder / SEAL).is_file():
                    raise LoadingError(f"{folder}: {SEAL} is missing")
                check_seal(folder)
                state = read_json(folder / "state.json")
                if state["run"] != self._run():
                    raise LoadingError(f"{folder}: the checkpoint of another run")
                found = Found(int(folder.name), load_file(folder / TENSORS), state)
            except (BadInput, *UNREADABLE) as error:
                _say(f"checkpoint not used: {' '.join(str(error).split())[:300]}")
            else:
                _say(f"training goes on from step {found.step}: {folder}")
                return found
        return None

    def _folders(self) -> list[Path]:
        return sorted(self._place.glob("[0-9]" * 8)) if self._place else []

    def _run(self) -> str:
        return hashlib.sha256(repr(self._made_from).encode() + self._start).hexdigest()


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@torch.no_grad()
def _sample(model: nn.Module) -> bytes:
    """A few entries of every weight, as bytes."""
    picked = [weight.flatten()[:: max(1, weight.numel() // SAMPLED)] for weight in model.parameters()]
    return torch.cat([part.float() for part in picked]).cpu().numpy().tobytes()


def trained(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The weights that are trained and what the optimiser remembers of them, by flat names."""
    weights = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    tensors: dict[str, Tensor] = {f"weight.{name}": weight for name, weight in weights}
    for number, memory in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": value for name, value in memory.items()}
    return tensors


@torch.no_grad()
def restore_weights(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give `model` the weights that `trained` read."""
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            weight.copy_(tensors[f"weight.{name}"])


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give `optimizer` the state that `trained` read; its learning rates stay as they are."""
    memory: dict[int, dict[str, Tensor]] = {}
    for flat, value in tensors.items():
        if flat.startswith("optimizer."):
            _, number, name = flat.split(".")
            memory.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": memory, "param_groups": optimizer.state_dict()["param_groups"]})


def random_tensors() -> dict[str, Tensor]:
    """States of PyTorch's generators."""
    states = {"random.cpu": torch.random.get_rng_state()}
    if torch.cuda.is_available():
        states["random.cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random(tensors: Mapping[str, Tensor]) -> None:
    """Set PyTorch's generators to what `random_tensors` read."""
    torch.random.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])


def other_random() -> list[Any]:
    """States of Python's and numpy's generators, for JSON."""
    kind, words, *rest = np.random.get_state()
    return [random.getstate(), [kind, [int(word) for word in words], *rest]]


def restore_other_random(states: Sequence[Any]) -> None:
    """Set Python's and numpy's generators to what `other_random` read."""
    (version, words, gauss), (kind, other_words, *rest) = states
    random.setstate((version, tuple(words), gauss))
    np.random.set_state((kind, np.array(other_words, dtype=np.uint32), *rest))
