"""What every TRL trainer shares here: its arguments, a model left as it was but for its weights, its logs.

TRL computes the loss, shuffles by the seed and steps. It writes nothing that stays but the last checkpoint of a long
run, prints nothing, reports to no service and sends no usage statistics; a loss that is not finite stops it at once.
"""

import copy
import math
import random
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import constants
from transformers import PreTrainedModel, PrinterCallback, TrainerCallback
from transformers.utils import logging

from sapo.models.encoding import Encoder
from sapo.settings import FitSettings
from sapo.train.checkpoints import Checkpoints
from sapo.train.distributed import splits, this_process
from sapo.train.fit import StepLog, TrainingDiverged
from sapo.train.sharded import WholeWeights

IGNORED = -100  # label of a token that the loss leaves out


def trl_arguments(device: torch.device, lr: float, rows: int, seed: int, scratch: Path) -> dict[str, Any]:
    """Arguments that all trainers take.

    Args:
        device: of the model. The precision is the caller's (`hardware.arithmetic`): the trainers' own casts would
            keep the first step's weights within it.
        rows: computed at once.
        scratch: the folder that `trl_run` lends.
    """
    # Left alone, transformers looks at the devices anew, and lets CPUs have the whole model.
    joined = {"accelerator_config": {"use_configured_state": True}} if splits() else {}
    return joined | {
        "output_dir": str(scratch),
        "learning_rate": lr,
        "per_device_train_batch_size": rows,
        "weight_decay": 0.0,
        "seed": seed % 2**32,  # numpy takes no more bits
        "data_seed": seed % 2**32,
        "bf16": False,
        "use_cpu": device.type == "cpu",
        "activation_checkpointing": False,
        "dataloader_pin_memory": False,
        "save_strategy": "no",
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": [],
        "disable_tqdm": True,
    }


def fit_arguments(device: torch.device, settings: FitSettings, seed: int, scratch: Path) -> dict[str, Any]:
    """`trl_arguments` of a run over rows of given texts: epochs, warm-up, batches of similar length.

    Where `micro_batch` does not divide `batch_size`, batches are the next multiple of it.
    """
    return trl_arguments(device, settings.lr, _rows(settings), seed, scratch) | {
        "gradient_accumulation_steps": accumulated(settings),
        "num_train_epochs": settings.epochs,
        "lr_scheduler_kwargs": {"warmup": settings.warmup},
        "train_sampling_strategy": "group_by_length",
        "ddp_find_unused_parameters": False,
    }


def accumulated(settings: FitSettings) -> int:
    """Forward passes of each process whose gradients are added up for one step."""
    return math.ceil(settings.batch_size / (_rows(settings) * this_process().number))


def _rows(settings: FitSettings) -> int:
    """Rows that go through the model together, in each process."""
    return min(settings.micro_batch_size, math.ceil(settings.batch_size / this_process().number))


@contextmanager
def trl_run(model: PreTrainedModel, encoder: Encoder, workdir: Path | None) -> Iterator[Path]:
    """Lend a scratch folder for one run, in `workdir` if given; afterwards only the weights of `model` have changed."""
    if workdir:
        workdir.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="trl-", dir=workdir))
    devices = [model.device] if model.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices), _same_chance(), _quiet(), _unchanged_but_for_weights(model, encoder):
            yield scratch
    finally:
        shutil.rmtree(scratch)


def run_trainer(trainer: Any, checkpoints: Checkpoints, measures: Mapping[str, str]) -> list[StepLog]:
    """Train, and return a log a step whose measures are TRL's under the names given: {ours: TRL's}.

    Args:
        trainer: of TRL, and `Resumable`.

    Raises:
        TrainingDiverged: a loss or a gradient norm became NaN or infinite; the weights are those after that step.
    """
    trainer.remove_callback(PrinterCallback)  # prints every step where tqdm is off
    trainer.add_callback(_StopWhenDiverged())
    whole = WholeWeights(trainer.model) if splits() else None
    trainer.train_on(checkpoints)
    if whole:
        whole.restore(trainer.accelerator, trainer.model_wrapped, "")
    return [
        StepLog(
            int(entry["step"]),
            math.ceil(entry["epoch"] - 1e-6),
            entry["loss"],
            entry["learning_rate"],
            entry["grad_norm"],
            {ours: entry[theirs] for ours, theirs in measures.items()},
        )
        for entry in trainer.state.log_history
        if "loss" in entry  # the summary at the end has none
    ]


class _StopWhenDiverged(TrainerCallback):
    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        logs = kwargs["logs"]
        if "loss" in logs and not math.isfinite(logs["loss"] + logs["grad_norm"]):
            raise TrainingDiverged(
                f"loss is {logs['loss']}, gradient norm {logs['grad_norm']} at step {state.global_step}"
                f" of {state.max_steps}"
            )


@contextmanager
def _unchanged_but_for_weights(model: PreTrainedModel, encoder: Encoder) -> Iterator[None]:
    """Undo what a trainer does to a model besides training: a patched forward, tags, special ids, no cache."""
    attributes = set(vars(model))
    configs = model.config, model.generation_config
    model.config, model.generation_config = copy.deepcopy(configs)
    for config in (model.config, model.generation_config):
        for name in ("pad_token_id", "bos_token_id", "eos_token_id"):  # as the trainer will, but without its warning
            setattr(config, name, getattr(encoder.tokenizer, name))
    try:
        yield
    finally:
        for name in set(vars(model)) - attributes:
            delattr(model, name)
        model.config, model.generation_config = configs
        model.eval()


@contextmanager
def _same_chance() -> Iterator[None]:
    """Trainers seed Python's and numpy's random numbers too; the caller's own streams stay what they were."""
    states = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars for loading and saving, no message to the hub about which trainer runs on what, no stale warning."""
    shown, silent = logging.is_progress_bar_enabled(), constants.HF_HUB_DISABLE_TELEMETRY
    logging.disable_progress_bar()
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        with warnings.catch_warnings():
            # TRL asks transformers by names that the next major version drops.
            warnings.filterwarnings("ignore", r"`(is_)?gradient_checkpointing\w*` is deprecated", FutureWarning)
            yield
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = silent
        if shown:
            logging.enable_progress_bar()
