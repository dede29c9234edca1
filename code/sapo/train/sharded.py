"""Training of a model that accelerate splits over the processes, as its configuration file says (DeepSpeed, FSDP).

`Split` makes the steps of `loop.fit` for such a model, `Whole` has the trained weights in one piece afterwards; TRL's
trainers split by accelerate themselves. Every process loads the whole model and keeps a copy of it in main memory; its
device has all weights when the training begins, and from then on a part of what is split.

1. No checkpoints: a killed run starts anew. 2. Splitting wants all processes in step: one for which no part of a batch
is left computes the first part again, which counts for nothing.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from sapo.records import BadInput
from sapo.train.distributed import summed

# DeepSpeed's own counts; the loop has its own.
COUNTS = {"train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 1}


class WholeWeights:
    """`model` as it is now, kept in main memory until `restore`."""

    def __init__(self, model: nn.Module) -> None:
        self._model, self._copy = model, copy.deepcopy(model).cpu()

    def restore(self, accelerator: Any, prepared: nn.Module, prefix: str) -> None:
        """Make an unsplit model of `model` again: trained in the first process, what it was before in the others.

        Args:
            prepared: what accelerate made of it, whose weights have names that begin with `prefix`.
        """
        weights: dict[str, Tensor] = accelerator.get_state_dict(prepared)
        if accelerator.is_main_process:
            self._copy.load_state_dict({name.removeprefix(prefix): value for name, value in weights.items()})
        self._model.__class__ = type(self._copy)  # FSDP changes it
        vars(self._model).clear()
        vars(self._model).update(vars(self._copy))


class Objective(nn.Module):
    """Model and loss as one module: a split model gathers its weights when the whole is called."""

    def __init__(self, model: nn.Module, batch_loss: Callable[[Sequence[int]], Any]) -> None:
        super().__init__()
        self.model = model
        self.batch_loss = batch_loss
        backbone = next(module for module in model.modules() if isinstance(module, PreTrainedModel))
        self.config = backbone.config  # DeepSpeed sizes its buffers by it
        self._no_split_modules = backbone._no_split_modules  # FSDP gathers one of these layers at a time
        self._device = backbone.device.type
        asked = torch.is_autocast_enabled(self._device)
        self._dtype = torch.get_autocast_dtype(self._device) if asked else None

    def forward(self, part: Sequence[int]) -> tuple[Tensor, dict[str, Tensor]]:
        # DeepSpeed ends the caller's precision before it calls.
        with torch.autocast(self._device, self._dtype, self._dtype is not None, cache_enabled=False):
            return self.batch_loss(part)


class ShardedStepper:
    """A model and its optimiser, split until `end`.

    Args:
        max_norm: gradients are clipped to it.

    Raises:
        BadInput: the configuration file splits nothing.
    """

    def __init__(
        self,
        model: nn.Module,
        batch_loss: Callable[[Sequence[int]], Any],
        optimizer: torch.optim.Optimizer,
        max_norm: float,
    ) -> None:
        from accelerate import Accelerator

        self._whole, self._max_norm = WholeWeights(model), max_norm
        self._accelerator: Any = Accelerator()
        if plugin := self._accelerator.state.deepspeed_plugin:
            if plugin.zero_stage == 0:
                raise BadInput("tuning: accelerate: DeepSpeed's zero_stage 0 splits nothing; use a MULTI_GPU file")
            plugin.deepspeed_config |= {**COUNTS, "gradient_clipping": max_norm}
        self._objective, self._optimizer = self._accelerator.prepare(Objective(model, batch_loss), optimizer)

    def step(
        self, parts: Sequence[Sequence[int]], examples: Sequence[int], lr: float
    ) -> tuple[float, dict[str, float], float]:
        """Loss, measures and gradient norm before clipping of one step on a batch, in parts of so many examples."""
        accelerator = self._accelerator
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        value, means = 0.0, dict[str, float]()
        for first in range(0, len(parts), accelerator.num_processes):
            turn = first + accelerator.process_index
            number, share = (turn, examples[turn] / sum(examples)) if turn < len(parts) else (0, 0.0)
            loss, measures = self._objective(parts[number])
            value += share * loss.item()
            for name, measure in measures.items():
                means[name] = means.get(name, 0.0) + share * measure.item()
            accelerator.sync_gradients = first + accelerator.num_processes >= len(parts)
            accelerator.backward(share * accelerator.num_processes * loss)  # gradients are the processes' mean
        norm = accelerator.clip_grad_norm_(self._objective.parameters(), self._max_norm)
        self._optimizer.step()  # nothing where DeepSpeed took its step in the last backward pass
        self._optimizer.zero_grad()
        return (*summed(value, means), float(norm))

    def end(self) -> None:
        """The model is in one piece again."""
        self._whole.restore(self._accelerator, self._objective, "model.")
