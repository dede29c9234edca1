"""Gold or chosen rationales to a fine-tuned reasoner, through TRL's SFTTrainer (completion-only loss).

The trainer is given this project's own token ids and labels, so that it cannot tokenise in another way than
generation does; it computes the loss, shuffles by the seed, warms up and decays linearly as transformers do.
"""

import copy
import math
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from sapo.models.encoding import Encoder
from sapo.settings import FitSettings
from sapo.train.loop import StepLog, TrainingDiverged
from sapo.train.losses import check_completions

IGNORED = -100  # label of a token that the loss leaves out


def train_sft(
    model: PreTrainedModel,
    encoder: Encoder,
    texts: Sequence[tuple[str, str]],
    settings: FitSettings,
    seed: int,
    workdir: Path,
) -> list[StepLog]:
    """Train `model` in place on (prompt, completion) texts, an end token after each; nothing is left in `workdir`.

    Returns:
        A log a step: the mean loss of its completion tokens, and the measure `token_accuracy`.

    Raises:
        ValueError: there are no texts, or one has an empty completion (names its number).
        TrainingDiverged: a loss became NaN or infinite.
    """
    rows = sft_rows(encoder, texts)
    workdir.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="sft-", dir=workdir))
    devices = [model.device] if model.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices), _unchanged_but_for_weights(model, encoder):
            history = _run(model, encoder, rows, _arguments(settings, seed, scratch))
    finally:
        shutil.rmtree(scratch)
    log = _log(history)
    for entry in log:
        if not math.isfinite(entry.loss + entry.gradient_norm):
            raise TrainingDiverged(f"loss is {entry.loss}, gradient norm {entry.gradient_norm} at step {entry.step}")
    return log


def sft_rows(encoder: Encoder, texts: Sequence[tuple[str, str]]) -> list[dict[str, list[int]]]:
    """Token ids and labels of every text; the prompt's labels are ignored, the end token's is not."""
    if not texts:
        raise ValueError("there is nothing to train on: no texts")
    encoded = encoder.encode_many(texts)
    names = [f"of text {number} ({prompt[:40]!r})" for number, (prompt, _) in enumerate(texts)]
    check_completions(names, [len(one.ids) - one.completion_start - 1 for one in encoded])
    return [
        {"input_ids": list(one.ids), "labels": [IGNORED] * one.completion_start + list(one.ids[one.completion_start :])}
        for one in encoded
    ]


def _arguments(settings: FitSettings, seed: int, scratch: Path) -> Any:
    from trl.trainer.sft_config import SFTConfig  # seconds of imports, owed only by runs that train

    return SFTConfig(
        output_dir=str(scratch),
        learning_rate=settings.lr,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        warmup_steps=settings.warmup,  # below 1 it is a share of all steps
        lr_scheduler_type="linear",
        weight_decay=0.0,
        seed=seed % 2**32,  # numpy takes no more bits
        data_seed=seed % 2**32,
        train_sampling_strategy="group_by_length",
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        bf16=torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
        activation_checkpointing=False,
        dataloader_pin_memory=False,
        save_strategy="no",
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to=[],
        disable_tqdm=True,
    )


def _run(model: PreTrainedModel, encoder: Encoder, rows: list[dict[str, list[int]]], arguments: Any) -> list[Any]:
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl.trainer.sft_trainer import SFTTrainer

    trainer = SFTTrainer(model, arguments, train_dataset=Dataset.from_list(rows), processing_class=encoder.tokenizer)
    trainer.remove_callback(PrinterCallback)  # prints every step where tqdm is off
    trainer.train()
    return trainer.state.log_history


@contextmanager
def _unchanged_but_for_weights(model: PreTrainedModel, encoder: Encoder) -> Iterator[None]:
    """Undo what the trainer does to a model besides training: a patched forward, tags, special ids, no cache."""
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


def _log(history: list[dict[str, float]]) -> list[StepLog]:
    log = []
    for entry in history:
        if "loss" not in entry:  # the summary at the end
            continue
        measures = {"token_accuracy": entry["mean_token_accuracy"]}
        epoch = math.ceil(entry["epoch"] - 1e-6)
        log.append(
            StepLog(int(entry["step"]), epoch, entry["loss"], entry["learning_rate"], entry["grad_norm"], measures)
        )
    return log
