"""TRL's trainers with this project's checkpoints: transformers' own are pickles, and order rows anew after some epochs.

`Resumable` goes before the trainer in the list of base classes. What it overrides are the places where
`transformers.Trainer` writes and reads its checkpoints; weights of adapters and in 4 bits are therefore kept the same
way as all others. An epoch's rows are ordered by what its sampler draws from when it begins, PyTorch's generator or one
of the sampler's own. Transformers keeps neither of these states; here they are part of the checkpoint.
"""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainerCallback
from transformers.trainer import TRAINER_STATE_NAME

from sapo.train.checkpoints import (
    Checkpoints,
    Found,
    other_random,
    random_tensors,
    restore_optimizer,
    restore_other_random,
    restore_random,
    restore_weights,
    trained,
)
from sapo.train.distributed import same_random, this_process
from sapo.train.fit import schedule

ORDER = "random.order"


class Resumable:
    """Mixin of a `transformers.Trainer`; train by `train_on` instead of `train`."""

    checkpoints: Checkpoints
    found: Found | None
    generator: torch.Generator
    order: torch.Tensor

    def train_on(self: Any, checkpoints: Checkpoints) -> None:
        """Train from the last checkpoint on, or from the start where there is none."""
        self.checkpoints, self.found = checkpoints, checkpoints.read()
        self.add_callback(_Keeper(self))
        if self.found is None:
            self.train()
            return
        folder = Path(self.args.output_dir) / "resumed"
        folder.mkdir()
        (folder / TRAINER_STATE_NAME).write_text(json.dumps(self.found.state["trainer"]), encoding="utf-8")
        self.train(resume_from_checkpoint=str(folder))

    def create_scheduler(self: Any, num_training_steps: int, optimizer: Any = None) -> Any:
        """The rates of `loop.fit`, step by step; transformers' own would spend the first step at rate 0."""
        if self.lr_scheduler is None:
            total, warmup = num_training_steps, self.args.lr_scheduler_kwargs["warmup"]
            rate = partial(_rate, total, warmup)
            self.lr_scheduler = LambdaLR(self.optimizer if optimizer is None else optimizer, rate)
        return self.lr_scheduler

    def _save_checkpoint(self: Any, model: Any, trial: Any) -> None:
        # At the end of an epoch the generator is already where the next one starts.
        order = self.generator.get_state() if float(self.state.epoch).is_integer() else self.order
        tensors = trained(self.model, self.optimizer) | random_tensors() | {ORDER: order}
        trainer, rates = asdict(self.state), self.lr_scheduler.state_dict()
        state = {"trainer": trainer, "scheduler": rates, "random": other_random()}
        self.checkpoints.write(self.state.global_step, tensors, state)

    def _load_from_checkpoint(self: Any, resume_from_checkpoint: str, model: Any = None) -> None:
        restore_weights(self.model, self.found.tensors)

    def _load_optimizer_and_scheduler(self: Any, checkpoint: str | None) -> None:
        if self.found is None:
            return
        restore_optimizer(self.optimizer, self.found.tensors)
        self.lr_scheduler.load_state_dict(self.found.state["scheduler"])
        for group, rate in zip(self.optimizer.param_groups, self.lr_scheduler.get_last_lr(), strict=True):
            group["lr"] = rate

    def _load_rng_state(self: Any, checkpoint: str | None) -> None:
        """Called last of all, after the batches before the checkpoint have been passed over."""
        if self.found is None:
            return
        restore_random(self.found.tensors)
        restore_other_random(self.found.state["random"])
        self.found = None


def _rate(total: int, warmup: float, done: int) -> float:
    """After so many steps of all; beyond the last one as at the last."""
    return schedule(min(done + 1, total), total, warmup)


class _Keeper(TrainerCallback):
    """Asks for a checkpoint when one is due, but not after the last step, which nothing could go on from."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        batches = kwargs["train_dataloader"].batch_sampler
        if this_process().number > 1:  # every process orders all rows and takes its share
            batches = batches.batch_sampler
            if batches.sampler.generator is None:
                same_random()
        self.trainer.generator = batches.sampler.generator or torch.default_generator
        if self.trainer.found is not None:
            self.trainer.generator.set_state(self.trainer.found.tensors[ORDER])
        self.trainer.order = self.trainer.generator.get_state()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_save = state.global_step < state.max_steps and self.trainer.checkpoints.due()
