"""Gold or chosen rationales to a fine-tuned reasoner, through TRL's SFTTrainer (completion-only loss).

The trainer is given this project's own token ids and labels, so that it cannot tokenise in another way than
generation does; it computes the loss, shuffles by the seed, warms up and decays linearly as transformers do.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from sapo.models.encoding import Encoder
from sapo.models.hardware import CHECKPOINTING, enough_memory
from sapo.settings import FitSettings
from sapo.train.checkpoints import Checkpoints
from sapo.train.loop import StepLog
from sapo.train.losses import check_completions
from sapo.train.trl_checkpoints import Resumable
from sapo.train.trl_runs import IGNORED, fit_arguments, run_trainer, trl_run


def train_sft(
    model: PreTrainedModel,
    encoder: Encoder,
    texts: Sequence[tuple[str, str]],
    settings: FitSettings,
    seed: int,
    workdir: Path,
) -> list[StepLog]:
    """Train `model` in place on (prompt, completion) texts, an end token after each.

    Args:
        workdir: of this run alone. A long run leaves its last checkpoint there, for the same run to go on from.

    Returns:
        A log a step: the mean loss of its completion tokens, and the measure `token_accuracy`.

    Raises:
        ValueError: there are no texts, or one has an empty completion (names its number).
        TrainingDiverged: a loss became NaN or infinite.
    """
    rows = sft_rows(encoder, texts)
    checkpoints = Checkpoints(workdir, model, "sft", settings, seed, rows)
    with enough_memory("sft", "lower sft.micro_batch", CHECKPOINTING), trl_run(model, encoder, workdir) as scratch:
        trainer = _trainer(model, encoder, rows, fit_arguments(model.device, settings, seed, scratch))
        return run_trainer(trainer, checkpoints, {"token_accuracy": "mean_token_accuracy"})


def _trainer(
    model: PreTrainedModel, encoder: Encoder, rows: list[dict[str, list[int]]], arguments: dict[str, Any]
) -> Any:
    from datasets import Dataset  # seconds of imports, owed only by runs that train
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    config = SFTConfig(**arguments, dataset_kwargs={"skip_prepare_dataset": True}, max_length=None)

    class Trainer(Resumable, SFTTrainer):
        pass

    return Trainer(model, config, train_dataset=Dataset.from_list(rows), processing_class=encoder.tokenizer)


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
