"""Gold and chosen rationales to a fine-tuned reasoner, through TRL's SFTTrainer (completion-only loss).

Rejection sampling fine-tuning (Yuan 2023) learns from the gold rationales and from the trajectories that pass a filter:
those that end right and whose reward reaches `filter.min_reward`. With outcome rewards that is RFT, and round after
round from the current reasoner's samples, online RFT; with a verifier's rewards it is pRFT.

The trainer is given this project's own token ids and labels, so that it cannot tokenise in another way than
generation does; it computes the loss and shuffles by the seed.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from transformers import PreTrainedModel

from sapo.models.encoding import Encoder
from sapo.records import Trajectory
from sapo.settings import FitSettings
from sapo.train.checkpoints import Checkpoints
from sapo.train.cost import matched, training_cost
from sapo.train.fit import NO_CONTEXT, RunContext
from sapo.train.losses import check_completions
from sapo.train.trainer import Chosen, Memory, NothingLeft, RandomTexts, Round, Trained, Trainer, TrainingData
from sapo.train.trl_checkpoints import Resumable
from sapo.train.trl_runs import IGNORED, fit_arguments, run_trainer, trl_run


@dataclass(frozen=True, slots=True)
class FilterReport:
    """How many questions kept a trajectory, and why the others lost theirs (each for the first reason that holds).

    Args:
        questions: questions asked about; `kept` and the reasons add up to it.
        trajectories: trajectories kept, gold ones left aside.
        none_right: no trajectory ends right.
        low_reward: no right trajectory reaches the reward.
    """

    questions: int
    kept: int
    trajectories: int
    none_right: int
    low_reward: int


def passing(
    pool: Sequence[Trajectory], rewards: Sequence[float], questions: Sequence[str], least: float
) -> tuple[list[Trajectory], FilterReport]:
    """Right trajectories of at least the reward `least`, in order, gold ones left aside.

    Raises:
        NothingLeft: no trajectory passes.
    """
    fates = dict.fromkeys(questions, "none_right")
    kept = []
    for trajectory, reward in zip(pool, rewards, strict=True):
        if trajectory.source == "gold" or trajectory.question_id not in fates or not trajectory.right:
            continue
        if reward >= least:
            kept.append(trajectory)
            fates[trajectory.question_id] = "kept"
        elif fates[trajectory.question_id] == "none_right":
            fates[trajectory.question_id] = "low_reward"
    counts = Counter(fates.values())
    report = FilterReport(len(fates), counts["kept"], len(kept), counts["none_right"], counts["low_reward"])
    if not kept:
        raise NothingLeft(f"no trajectory of {len(pool)} ends right with a reward of {least} or more: {asdict(report)}")
    return kept, report


def train_sft(
    model: PreTrainedModel,
    encoder: Encoder,
    texts: Sequence[tuple[str, str]],
    settings: FitSettings,
    seed: int,
    context: RunContext = NO_CONTEXT,
) -> Trained:
    """Train `model` in place on (prompt, completion) texts, an end token after each.

    Returns:
        With a log a step: the mean loss of its completion tokens, and the measure `token_accuracy`.

    Raises:
        ValueError: there are no texts, or one has an empty completion (names its number).
        TrainingDiverged: a loss became NaN or infinite.
    """
    rows = sft_rows(encoder, texts)
    lengths = [len(row["input_ids"]) for row in rows]
    settings = matched(settings, lengths, context.tokens)
    checkpoints = Checkpoints(context.checkpoints, model, "sft", settings, seed, rows)
    with trl_run(model, encoder, context.checkpoints) as scratch:
        trainer = _trainer(model, encoder, rows, fit_arguments(model.device, settings, seed, scratch))
        log = run_trainer(trainer, checkpoints, {"token_accuracy": "mean_token_accuracy"})
    return Trained(model, log, training_cost(model.config, lengths, settings.epochs))


def _trainer(
    model: PreTrainedModel, encoder: Encoder, rows: list[dict[str, list[int]]], arguments: dict[str, Any]
) -> Any:
    from datasets import Dataset  # seconds of imports, owed only by runs that train
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    config = SFTConfig(**arguments, dataset_kwargs={"skip_prepare_dataset": True}, max_length=None)

    class OwnTrainer(Resumable, SFTTrainer):
        pass

    return OwnTrainer(model, config, train_dataset=Dataset.from_list(rows), processing_class=encoder.tokenizer)


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


def _filtered(this: Round) -> Chosen:
    kept, report = passing(this.pool, this.rewards, list(this.prompts), this.filter.min_reward)
    return Chosen(this.texts([*this.gold, *kept]), report)


def _stand_in(texts: RandomTexts, count: int) -> list[tuple[str, str]]:
    return [(texts.prompt(), "".join(texts.steps())) for _ in range(count)]


SFT = Trainer(
    name="sft",
    section="sft",
    data=TrainingData(list, tuple, _stand_in, _filtered, ("filter.json", FilterReport)),
    train=train_sft,
    expected=lambda e: e.training(e.kept * e.row + e.gold_tokens, e.settings.sft),
    examples=lambda settings: settings.micro_batch_size,
    memory=Memory(),
    lower=("sft.micro_batch",),
)
