"""One round of a method: what it may read, and what it does with rewarded trajectories (choose, train, save)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from sapo.labelling.trajectories import gold_trajectories
from sapo.models.loading import load_reasoner, save_reasoner
from sapo.recipes.inputs import Case, DrawSettings, Folder, Questions, Tools, Trajectories
from sapo.recipes.label_step import LabelRecipe
from sapo.records import BadInput, Cost, Trajectory, write_json
from sapo.runtime.cache import training
from sapo.settings import FilterSettings, PairSettings, SamplingSettings, Settings, TuningSettings
from sapo.train.fit import RunContext, StepProgress, write_log
from sapo.train.launch import Job, run
from sapo.train.registry import trainer_of
from sapo.train.trainer import Round


@dataclass(frozen=True, slots=True)
class RoundRecipe:
    """What of the settings a round depends on.

    Args:
        update: name of the trainer. section: its own one of the settings.
        reward, start, pool: see `LoopSettings`.
        tokens: to train on under `budget: matched`; 0: as the section says.
        labels: where rewards are a verifier's.
    """

    update: str
    section: Any
    reward: Literal["outcome", "verifier"]
    start: Literal["base", "previous"]
    pool: Literal["all", "new"]
    tokens: float
    sampling: SamplingSettings
    pairs: PairSettings
    filter: FilterSettings
    tuning: TuningSettings
    labels: LabelRecipe | None

    @classmethod
    def of(cls, settings: Settings, number: int) -> "RoundRecipe":
        """Of round `number`, 1 to the last. Raises BadInput: there is no such trainer."""
        loop, budget = settings.loop, settings.budget
        update = loop.updates[number - 1]
        return cls(
            update,
            getattr(settings, trainer_of(update).section),
            loop.reward,
            loop.start,
            loop.pool,
            budget.training_tokens / len(loop.updates) if budget.kind == "matched" else 0.0,
            settings.sampling,
            settings.pairs,
            settings.filter,
            settings.tuning,
            LabelRecipe.of(settings, settings.labels.by) if loop.reward == "verifier" else None,
        )


@dataclass(frozen=True, slots=True)
class RoundInputs:
    """Of one round of a method.

    Args:
        reasoner: M_i. verifier: V_{i-1}, where rewards are a verifier's.
        sampled: D_0, its folder with the costs of drawing it. labelled: what V_0 was trained on.
        before: the pool of the rounds before; D_org in the first.
    """

    case: Case
    number: int
    base: Folder
    reasoner: Folder
    verifier: Folder | None
    sft: Folder
    sampled: Folder
    labelled: Folder | None
    before: Trajectories
    questions: Questions
    gold: Questions
    draw: DrawSettings
    recipe: RoundRecipe


def update(
    inputs: RoundInputs,
    tools: Tools,
    own: Sequence[Trajectory],
    pool: Sequence[Trajectory],
    rewards: Sequence[float],
    folder: Path,
) -> Cost:
    """Train by the recipe's trainer; `model/`, `log.json` and how its data was chosen go to `folder`.

    Raises:
        BadInput: no such trainer, or none of a reasoner. NothingLeft, PairError: nothing is left to train on.
    """
    recipe, case, number = inputs.recipe, inputs.case, inputs.number
    trainer = trainer_of(recipe.update)
    if trainer.data.choose is None:
        raise BadInput(f"loop: updates: {recipe.update!r} trains no reasoner")
    rows, report, drawn = trainer.data.choose(round_of(inputs, tools, own, pool, rewards))
    if trainer.data.report:
        write_json(folder / trainer.data.report[0], asdict(report))
    previous = trainer.from_reasoner or recipe.start == "previous"
    start = inputs.reasoner.path if previous else inputs.base.path
    model, encoder = load_reasoner(start)
    seeds = case.derive(trainer.section, number), case.derive("adapters", trainer.section, number)
    job = Job(recipe.update, start, rows, recipe.section, *seeds, tokens=recipe.tokens)
    context = RunContext(StepProgress(tools.shown(f"{recipe.update.upper()} of round {number}")), training(folder))
    made, log, cost = run(job, (model, encoder), recipe.tuning, context)
    save_reasoner(made, encoder, folder / "model")
    write_log(folder / "log.json", log)
    return drawn + cost


def round_of(
    inputs: RoundInputs,
    tools: Tools,
    own: Sequence[Trajectory],
    pool: Sequence[Trajectory],
    rewards: Sequence[float],
) -> Round:
    """What training data may be chosen from."""
    recipe = inputs.recipe
    return Round(
        inputs.number,
        inputs.case.task,
        inputs.questions.items,
        gold_trajectories(inputs.case.task, inputs.gold.items),
        own,
        pool,
        rewards,
        inputs.draw.max_new_tokens,
        recipe.sampling,
        recipe.pairs,
        recipe.filter,
        recipe.tokens,
        inputs.case.derive,
        lambda what: tools.sampler(inputs.reasoner.path, inputs.draw, what),
    )
