"""Questions and a grader to a better reasoner by GRPO (DeepSeekMath, arXiv 2402.03300), through TRL's GRPOTrainer.

Every step draws `group` completions of each of its questions with the model as it is; the reward is 1 for a right
answer, else 0; the advantage is the reward less the group's mean, over its standard deviation; one update follows.

1. TRL's `loss_type="grpo"`, the paper's: mean over a completion's tokens, then over completions, KL estimated with
   the reference's probabilities. Not TRL's `"sapo"`, which is another method of that name (docs/method.md §10).
2. One update a batch, so that the ratio to the old policy is 1 and nothing is clipped, as in the paper.
3. The learning rate rises and falls as in every training here (`loop.schedule`): the paper prints no schedule.

Processes that train together (`launch.py`) draw and grade a share of every step's completions each. Questions, rewards,
advantages and the update are those of one process; only the random numbers of drawing are others.
"""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel, TrainerCallback

from sapo.models.encoding import Encoder
from sapo.models.fast_linear import use_fast_linears
from sapo.models.flops import TRAINING, generation_flops, prefill_flops
from sapo.models.loading import save_reasoner
from sapo.records import BadInput, Question
from sapo.settings import GrpoSettings
from sapo.tasks.math_grading.grading import check_grader_errors
from sapo.train.checkpoints import Checkpoints
from sapo.train.cost import Bill, Expected
from sapo.train.distributed import gathered, this_process
from sapo.train.fit import NO_CONTEXT, RunContext
from sapo.train.rl_task import RL_TASK, Judge, RlTask
from sapo.train.trainer import Memory, Trained, Trainer
from sapo.train.trl_checkpoints import Resumable
from sapo.train.trl_runs import run_trainer, trl_arguments, trl_run

MEASURES = {
    "reward": "reward",
    "flat_groups": "frac_reward_zero_std",
    "tokens": "completions/mean_length",
    "cut_off": "completions/clipped_ratio",
    "entropy": "entropy",
}


def train_grpo(
    model: PreTrainedModel,
    encoder: Encoder,
    rows: Sequence[RlTask],
    settings: GrpoSettings,
    seed: int,
    context: RunContext = NO_CONTEXT,
) -> Trained:
    """Train `model` in place.

    Args:
        rows: one. watch: one of several processes leaves no checkpoint.

    Questions come in an order that the seed decides, shuffled anew each round; those too few for a step end a round.

    `group * questions_per_step` rows are decoded and trained on at once: memory grows with it. Where the longest
    prompt leaves less room in the model's context than `max_new_tokens`, answers are cut off there.

    Returns:
        With a log a step, and what everything cost. Measures: `reward`, the share of right answers; `flat_groups`, the
        share whose rewards are all equal and teach nothing; `tokens` and `cut_off`, mean length and share without an
        end; `entropy` of a token; `kl` to the reference where beta is not 0. Log and cost are those of all processes
        together; seconds pass for all of them at once.

    Raises:
        BadInput: fewer questions than a step takes, a prompt that leaves no room for an answer, or completions that
            the processes cannot share evenly.
        GraderErrors: more answers than one in a thousand could not be judged.
        TrainingDiverged: see `trl_runs.run_trainer`.
    """
    started = time.perf_counter()
    (rl_task,) = rows
    judge, settings = Judge(rl_task, encoder), _matched(settings, encoder, rl_task, context.tokens)
    room = min(rl_task.max_new_tokens, _room(model.config, encoder, rl_task.questions, settings))
    # A process has its own random numbers, and knows its own completions.
    place = context.checkpoints if this_process().number == 1 else None
    checkpoints = Checkpoints(place, model, "grpo", settings, seed, room, rl_task.questions)
    with trl_run(model, encoder, context.checkpoints) as scratch:
        # TRL loads its reference from where the model's config says that it came from; where adapters are trained,
        # the frozen weights are still those.
        if settings.beta and all(weight.requires_grad for weight in model.parameters()):
            model.config._name_or_path = _saved(model, encoder, scratch / "reference")
        trainer = _trainer(model, judge, _arguments(model.device, settings, room, seed, scratch))
        trainer.add_callback(_Remembered(judge))
        log = run_trainer(trainer, checkpoints, MEASURES | ({"kl": "kl"} if settings.beta else {}))
    judge.gather()
    check_grader_errors(judge.verdicts)
    return Trained(model, log, judge.cost(model.config, bool(settings.beta), time.perf_counter() - started))


def _matched(settings: GrpoSettings, encoder: Encoder, rl_task: RlTask, tokens: float) -> GrpoSettings:
    """As many steps as train on about `tokens` tokens of prompts and completions; 0 leaves the settings as they are."""
    if not tokens:
        return settings
    mean = fmean(len(one.ids) for one in encoder.encode_many(rl_task.examples))
    return dataclasses.replace(settings, steps=max(1, round(tokens / (rows_of(settings) * mean))))


def rows_of(settings: GrpoSettings) -> int:
    """Completions of a step."""
    return settings.group * settings.questions_per_step


class _Remembered(TrainerCallback):
    """Writes what a step's completions were to its log, and gives it back to the judge of a run that goes on."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for entry in state.log_history:
            self.judge.verdicts += entry["verdicts"]
            self.judge.lengths += [(prompt, new) for prompt, new in entry["lengths"]]
            self.judge.programs += entry["programs"]
        self.seen = len(self.judge.verdicts), self.judge.programs

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        verdicts, programs = self.seen
        fresh = {"verdicts": self.judge.verdicts[verdicts:], "lengths": self.judge.lengths[verdicts:]}
        state.log_history[-1].update(fresh, programs=self.judge.programs - programs)
        self.seen = len(self.judge.verdicts), self.judge.programs


def _saved(model: PreTrainedModel, encoder: Encoder, folder: Path) -> str:
    """Save the model, by the first process alone; the path of its folder in all of them."""
    if this_process().rank == 0:
        save_reasoner(model, encoder, folder)
    return gathered([str(folder)])[0]


def share_of(settings: GrpoSettings, devices: int) -> int:
    """Completions of a step that each of so many devices draws. Raises BadInput where that is no whole number."""
    rows = rows_of(settings)
    if rows % devices:
        raise BadInput(
            f"grpo: tuning.devices {devices} does not divide the {rows} completions of a step, which are"
            f" grpo.group {settings.group} times grpo.questions_per_step {settings.questions_per_step}"
        )
    return rows // devices


def _room(config: PretrainedConfig, encoder: Encoder, questions: Sequence[Question], settings: GrpoSettings) -> int:
    """Tokens that the context leaves after the longest prompt. Raises BadInput."""
    if len(questions) < settings.questions_per_step:
        raise BadInput(f"grpo: {len(questions)} questions are too few for {settings.questions_per_step} a step")
    longest = max(questions, key=lambda question: len(encoder.prompt_ids(question.prompt)))
    length = len(encoder.prompt_ids(longest.prompt))
    if length >= config.max_position_embeddings:
        raise BadInput(
            f"grpo: the prompt of question {longest.id} has {length} tokens and leaves no room for an answer"
            f" in the context of {config.max_position_embeddings}"
        )
    return config.max_position_embeddings - length


def _arguments(device: torch.device, settings: GrpoSettings, room: int, seed: int, scratch: Path) -> dict[str, Any]:
    rows = share_of(settings, this_process().number)
    return trl_arguments(device, settings.lr, rows, seed, scratch) | {
        "ddp_find_unused_parameters": False,
        "lr_scheduler_kwargs": {"warmup": settings.warmup},
        "max_steps": settings.steps,
        "steps_per_generation": 1,
        "num_iterations": 1,
        "num_generations": settings.group,
        "max_completion_length": room,
        "temperature": settings.temperature,
        "top_k": 0,
        "beta": settings.beta,
        "loss_type": "grpo",
        "scale_rewards": "group",
        "generation_kwargs": {"remove_invalid_values": True},  # NaN is drawn from without an error: the loss is NaN too
    }


def _trainer(model: PreTrainedModel, judge: Judge, arguments: dict[str, Any]) -> Any:
    from datasets import Dataset  # seconds of imports, owed only by runs that train
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer

    encoder = judge.encoder

    class OwnTrainer(Resumable, GRPOTrainer):
        def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
            return [list(encoder.prompt_ids(prompt)) for prompt in prompts], None, {}  # as generation elsewhere sees it

    questions = judge.rl_task.questions
    rows = Dataset.from_list([{"prompt": question.prompt, "row": row} for row, question in enumerate(questions)])
    config = GRPOConfig(**arguments)
    trainer = OwnTrainer(model, judge.reward, config, train_dataset=rows, processing_class=encoder.tokenizer)
    if isinstance(trainer.ref_model, PreTrainedModel):
        use_fast_linears(trainer.ref_model)
    return trainer


def _expected(e: Expected) -> Bill:
    """TRL reads a prompt for every completion of it; then a step on all, and the reference's pass."""
    grpo, prompt, row = e.settings.grpo, round(e.prompt), round(e.row)
    count = grpo.steps * rows_of(grpo)
    flops = generation_flops(e.config, prompt, row - prompt)
    flops += (TRAINING + bool(grpo.beta)) * prefill_flops(e.config, row, True)
    tokens = count * e.prompt, count * e.completion
    return Bill(count, *tokens, sum(tokens), float(count * flops), count if e.judged else 0.0)


GRPO = Trainer(
    name="grpo",
    section="grpo",
    data=RL_TASK,
    train=train_grpo,
    expected=_expected,
    examples=rows_of,
    memory=Memory(beside="loaded"),
    lower=("grpo.questions_per_step", "grpo.group"),
    from_reasoner=True,
    falls=False,
    length=3,
    check_devices=share_of,
)
