"""Preference pairs to a better reasoner by DPO, or by RPO (DPO + NLL; docs/method.md §8), through TRL's DPOTrainer.

    L = -log sigmoid(beta * ((log P(tau_w) - log P_ref(tau_w)) - (log P(tau_l) - log P_ref(tau_l)))) + nll * NLL

Sums of log-probabilities in the first term, as in the DPO paper; P_ref is the model as the run finds it. The trainer
is given this project's own token ids. Departure from RPO's paper: TRL's `sft` term averages over all chosen tokens of
a batch, where the paper averages within each completion first; long completions weigh more.
"""

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel, TrainerCallback

from sapo.models.encoding import Encoder
from sapo.models.flops import TRAINING
from sapo.records import Cost, PreferencePair
from sapo.settings import DpoSettings
from sapo.train.checkpoints import Checkpoints
from sapo.train.cost import Bill, Expected, matched, training_cost
from sapo.train.distributed import summed, this_process
from sapo.train.fit import NO_CONTEXT, RunContext
from sapo.train.losses import check_completions
from sapo.train.pairs import PAIRS
from sapo.train.trainer import Memory, Trained, Trainer
from sapo.train.trl_checkpoints import Resumable
from sapo.train.trl_runs import IGNORED, fit_arguments, run_trainer, trl_run

MEANS = ("chosen_logp", "rejected_logp")  # a token
MEASURES = {**{name: name for name in MEANS}, "margin": "rewards/margins", "accuracy": "rewards/accuracies"}


def train_dpo(
    model: PreTrainedModel,
    encoder: Encoder,
    pairs: Sequence[PreferencePair],
    settings: DpoSettings,
    seed: int,
    context: RunContext = NO_CONTEXT,
) -> Trained:
    """Train `model` in place on preference pairs, an end token after each.

    Returns:
        With a log a step; its measures, all before that step's update, are `chosen_logp` and `rejected_logp`, means a
        token and then over the batch, as ORPO's are (`orpo.train_orpo`); `margin`, the mean of beta times the
        difference of the log-ratios in L; `accuracy`, the share of pairs where it is positive.

    Raises:
        ValueError: there are no pairs, or a prompt or a completion has no tokens (names the question).
        TrainingDiverged: see `trl_runs.run_trainer`.
    """
    rows, reference = dpo_rows(encoder, pairs), copy.deepcopy(model)
    lengths = [len(row["prompt_ids"]) + len(row[side]) for row in rows for side in ("chosen_ids", "rejected_ids")]
    settings = dataclasses.replace(settings, fit=matched(settings.fit, lengths, context.tokens))
    checkpoints = Checkpoints(context.checkpoints, model, "dpo", settings, seed, rows)
    with trl_run(model, encoder, context.checkpoints) as scratch, _mean_log_probabilities(model) as means:
        arguments = fit_arguments(model.device, settings.fit, seed, scratch) | {
            "beta": settings.beta,
            "loss_type": ["sigmoid", "sft"] if settings.nll else ["sigmoid"],
            "loss_weights": [1.0, settings.nll] if settings.nll else [1.0],
        }
        trainer = _trainer(model, reference, encoder, rows, arguments)
        trainer.add_callback(_MeanOfStep(means))
        log = run_trainer(trainer, checkpoints, MEASURES)
    spent = training_cost(model.config, lengths, settings.fit.epochs)
    return Trained(model, log, spent + Cost(flops=spent.flops / TRAINING))  # the reference reads every row as often


def _trainer(
    model: PreTrainedModel,
    reference: PreTrainedModel,
    encoder: Encoder,
    rows: list[dict[str, Any]],
    arguments: dict[str, Any],
) -> Any:
    from datasets import Dataset  # seconds of imports, owed only by runs that train
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    class OwnTrainer(Resumable, DPOTrainer):
        def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:  # pyright: ignore[reportIncompatibleMethodOverride]
            return dataset  # the ids are there already; TRL would tokenise prompt and completion together

    config = DPOConfig(
        **arguments,
        disable_dropout=False,  # it would stay disabled
        max_length=None,
        remove_unused_columns=False,  # the sampler wants `length`
    )
    dataset = Dataset.from_list(rows)
    return OwnTrainer(model, reference, config, train_dataset=dataset, processing_class=encoder.tokenizer)


def dpo_rows(encoder: Encoder, pairs: Sequence[PreferencePair]) -> list[dict[str, Any]]:
    """Token ids of the prompt, the chosen and the rejected completion of every pair, and the longer row's length."""
    if not pairs:
        raise ValueError("there is nothing to train on: no pairs")
    rows: list[dict[str, Any]] = [{"length": 0} for _ in pairs]
    for side in ("chosen", "rejected"):
        encoded = encoder.encode_many([(pair.prompt, getattr(pair, side)) for pair in pairs])
        check_completions(
            [pair.question_id for pair in pairs], [len(one.ids) - one.completion_start - 1 for one in encoded]
        )
        for pair, row, one in zip(pairs, rows, encoded, strict=True):
            if one.completion_start < 1:
                raise ValueError(
                    f"question {pair.question_id} has a prompt without tokens: nothing predicts the first answer token"
                )
            row["prompt_ids"] = list(one.ids[: one.completion_start])
            row[f"{side}_ids"] = list(one.ids[one.completion_start :])
            row["length"] = max(row["length"], len(one.ids))
    return rows


class _MeanOfStep(TrainerCallback):
    """Adds to a step's log what its forward passes left in `means`: their mean."""

    def __init__(self, means: list[dict[str, float]]) -> None:
        self.means = means

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if "loss" in kwargs["logs"]:  # the summary at the end has none
            means = {name: sum(one[name] for one in self.means) / len(self.means) for name in MEANS}
            if (number := this_process().number) > 1:
                means = {name: total / number for name, total in summed(0.0, means)[1].items()}
            state.log_history[-1].update(means)
            self.means.clear()


@contextmanager
def _mean_log_probabilities(model: PreTrainedModel) -> Iterator[list[dict[str, float]]]:
    """Collect `chosen_logp` and `rejected_logp` of every forward pass: TRL logs sums, whose lengths differ by row."""
    means: list[dict[str, float]] = []

    def collect(_module: Any, _args: Any, kwargs: dict[str, Any], output: Any) -> None:
        lengths: Tensor = (kwargs["labels"][:, 1:] != IGNORED).sum(1)
        chosen, rejected = (output.log_probs.detach().sum(1) / lengths).chunk(2)
        means.append(dict(zip(MEANS, (chosen.mean().item(), rejected.mean().item()), strict=True)))

    handle = model.register_forward_hook(collect, with_kwargs=True)
    try:
        yield means
    finally:
        handle.remove()


def _expected(e: Expected) -> Bill:
    bill = e.training(2 * e.pairs * e.row, e.settings.dpo.fit)
    return dataclasses.replace(bill, flops=bill.flops * (TRAINING + 1) / TRAINING)  # and the reference's reading


DPO = Trainer(
    name="dpo",
    section="dpo",
    data=PAIRS,
    train=train_dpo,
    expected=_expected,
    examples=lambda settings: settings.fit.micro_batch_size,
    memory=Memory(prompts=2, completions=2, beside="reference"),
    lower=("dpo.fit.micro_batch",),
    from_reasoner=True,
)
