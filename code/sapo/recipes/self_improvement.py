"""One loop for all methods of both papers (docs/method.md §7-8): sample, reward, update, again.

```
M_0 = SFT(M, D_org); D_0 = Sample(M_0) ∪ D_org; V_0 = fit(M_0, omega(subset of D_0)); M_1 = M_0
for i = 1 …:  S = Sample(M_i); D_i = S ∪ D_{i-1}; rewards by outcome or by V_i = fit(M_i, labels + expansion)
              M_{i+1} = update(pool, rewards)
```
Departure: M_1 is M_0, so round 1 takes D_0's samples for its own instead of drawing as many again; all methods
therefore start from the same samples. The subset that V_0 was trained on is not labelled again in round 1.

Each round is kept by what it was made from, so that methods share the rounds that they have in common.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sapo.labelling.trajectories import distinct, gold_trajectories
from sapo.recipes.experiment import Experiment, clocked, read_costs, write_costs
from sapo.recipes.inputs import Folder, Tools, Trajectories
from sapo.recipes.label_step import LabelInputs, LabelRecipe, choose_subset, copy_supervision, score, supervise
from sapo.recipes.round_state import RoundInputs, RoundRecipe, update
from sapo.recipes.sample_step import SampleInputs, sampled
from sapo.records import Cost, Trajectory, read_records, write_json, write_records
from sapo.runtime.cache import cached
from sapo.settings import SettingsError
from sapo.tasks.task import Task
from sapo.train.pairs import outcome_rewards


@dataclass(frozen=True, slots=True)
class State:
    """What a round takes over from the one before: reasoner, verifier, and the different trajectories so far."""

    reasoner: Path
    verifier: Path
    pool: tuple[Trajectory, ...]


def run(experiment: Experiment, done: Callable[[int, Path], None]) -> None:
    """All rounds of the method that the bench's settings describe; `done(i, folder)` is called after each.

    Raises:
        PairError, NothingLeft: a round has nothing to train on.
        TrainingDiverged: a round's training lost its way.
    """
    state = State(experiment.start / "sft", experiment.start / "verifier", ())
    for number in range(1, len(experiment.settings.loop.updates) + 1):
        inputs = round_inputs(experiment, number, state)
        folder = run_round(inputs, experiment.tools)
        own = read_records(folder / "sampled.jsonl", Trajectory)
        verifier = folder / "verifier" if (folder / "verifier").is_dir() else state.verifier
        state = State(folder / "model", verifier, tuple(_pool(inputs, own)))
        done(number, folder)


def round_inputs(experiment: Experiment, number: int, state: State) -> RoundInputs:
    """All that round `number` may read."""
    recipe, gold = RoundRecipe.of(experiment.settings, number), experiment.gold_questions()
    verified = recipe.labels is not None
    before = state.pool if number > 1 else gold_trajectories(experiment.task, gold.items)
    return RoundInputs(
        experiment.case,
        number,
        Folder.of(experiment.base),
        Folder.of(state.reasoner),
        Folder.of(state.verifier) if verified else None,
        experiment.sft(),
        Folder.of(experiment.start / "sampled.jsonl"),
        Folder.of(experiment.start / "labelled.jsonl") if verified else None,
        Trajectories.of(before if recipe.pool == "all" else ()),
        experiment.train_questions(),
        gold,
        experiment.draw,
        recipe,
    )


def run_round(inputs: RoundInputs, tools: Tools) -> Path:
    """The folder of one round: samples, labels and verifier where there are any, the new reasoner, costs."""
    return cached(tools.store, inputs, lambda folder: _make_round(inputs, tools, folder))


def _make_round(inputs: RoundInputs, tools: Tools, folder: Path) -> None:
    own, costs = draw(inputs, tools)
    pool = _pool(inputs, own)
    rewards = outcome_rewards(pool)
    if inputs.recipe.labels:
        rewards, spent = _verified(inputs, inputs.recipe.labels, tools, own, pool, folder)
        costs |= spent
    with clocked(costs, "update"):
        costs["update"] = update(inputs, tools, own, pool, rewards, folder)
    write_records(folder / "sampled.jsonl", own, Trajectory)
    _write_rewards(folder, pool, rewards)
    write_json(folder / "samples.json", sample_statistics(inputs.case.task, own, costs["sampling"]))
    write_costs(folder, costs)


def sample_statistics(task: Task, own: Sequence[Trajectory], cost: Cost) -> dict[str, float]:
    """How many of a round's samples are right and how many are different, and how long they are.

    `left_out` were empty or could not be encoded step by step.
    """
    drawn = max(len(own), 1)
    return {
        "trajectories": len(own),
        "left_out": cost.rollouts - len(own),
        "right": sum(t.right for t in own) / drawn,
        "different": len(distinct(task, own)) / drawn,
        "mean_steps": sum(len(t.steps) for t in own) / drawn,
        "mean_tokens": cost.generated_tokens / max(cost.rollouts, 1),
    }


def _verified(
    inputs: RoundInputs,
    recipe: LabelRecipe,
    tools: Tools,
    own: Sequence[Trajectory],
    pool: Sequence[Trajectory],
    folder: Path,
) -> tuple[list[float], dict[str, Cost]]:
    """Rewards by a verifier made anew from labels of the round's own samples; labels and verifier go to `folder`."""
    made = supervise(label_inputs(inputs, recipe, own), tools)
    copy_supervision(made, folder)
    verifier = tools.verifier(made / "verifier", inputs.draw.tuning)
    scores = score(verifier, inputs.questions.by_id, pool)
    return [s.reward for s in scores], read_costs(made) | {"scoring": verifier.cost}


def label_inputs(inputs: RoundInputs, recipe: LabelRecipe, own: Sequence[Trajectory]) -> LabelInputs:
    """Of the labels of a round's samples; those that V_0 was trained on are not labelled again."""
    labels, case, number = recipe.labels, inputs.case, inputs.number
    read = read_records(inputs.labelled.path, Trajectory) if inputs.labelled and number == 1 else []
    seen = {t.id for t in read}
    fresh = [t for t in distinct(case.task, own) if t.id not in seen]
    known = own if labels.simulator == "reasoner" and recipe.rollouts.reuse else ()
    return LabelInputs(
        case,
        number,
        labels.by,
        inputs.sft if labels.simulator == "sft" else inputs.reasoner,
        inputs.verifier if labels.by == "saps" and recipe.detect.by == "scores" else None,
        inputs.reasoner,
        Trajectories.of(choose_subset(fresh, labels.round_trajectories, case.derive("subset", number))),
        Trajectories.of(known),
        inputs.questions,
        inputs.draw,
        recipe,
    )


def draw(inputs: RoundInputs, tools: Tools) -> tuple[list[Trajectory], dict[str, Cost]]:
    """Samples of a round's reasoner, repetitions included, and what they cost; round 1 has those of stage `start`."""
    sampling, questions = inputs.recipe.sampling, inputs.questions
    if inputs.number > 1:
        given = SampleInputs(inputs.case, inputs.number, inputs.reasoner, questions, inputs.draw, sampling)
        folder = sampled(given, tools)
        return read_records(folder / "sampled.jsonl", Trajectory), read_costs(folder)
    drawn = read_records(inputs.sampled.path, Trajectory)
    most, count = read_costs(inputs.sampled.path.parent)["sampling"], sampling.per_question
    asked = most.rollouts // len(questions.items)
    if count > asked:
        raise SettingsError(f"sampling: per_question is {count}; stage start drew {asked} for every method")
    return [t for t in drawn if t.sample_index < count], {"sampling": _share(most, count / asked)}


def _share(cost: Cost, share: float) -> Cost:
    """The part of a cost that a method owes which uses only a share of the samples."""
    counts = (round(cost.rollouts * share), round(cost.prompt_tokens * share), round(cost.generated_tokens * share))
    return Cost(*counts, cost.flops * share, cost.seconds * share, round(cost.programs * share))


def _pool(inputs: RoundInputs, own: Sequence[Trajectory]) -> list[Trajectory]:
    """D_i: the round's different trajectories, then those of the rounds before, or D_org in the first."""
    return distinct(inputs.case.task, [*own, *inputs.before.items])


def _write_rewards(folder: Path, pool: Sequence[Trajectory], rewards: Sequence[float]) -> None:
    """Rewards by outcome, for the figure of their distribution."""
    kinds: dict[bool, list[float]] = {True: [], False: []}
    for trajectory, reward in zip(pool, rewards, strict=True):
        kinds[trajectory.right].append(round(reward, 4))
    write_json(folder / "rewards.json", {"right": kinds[True], "wrong": kinds[False]})
