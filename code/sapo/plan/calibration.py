"""Lengths and shares of a task's texts as a finished run has them: `plan/texts.py` measured anew.

Each is what the plan's own formulas (`plan/methods.py`) need to give the run's costs. Of the first seed: stage `start`,
the first rounds of `sapo` and of `orpo_outcome`; means over the models. Seconds to judge a program are not measured
here; they stay as they were.
"""

import dataclasses
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from transformers import AutoConfig

from sapo.labelling.trajectories import distinct, gold_trajectories
from sapo.models.loading import load_encoder
from sapo.plan.methods import Place, labelling
from sapo.plan.texts import Texts, texts_of
from sapo.recipes.experiment import Experiment, read_costs
from sapo.records import BadInput, Cost, Trajectory, read_json, read_plain_json, read_records, write_plain_json
from sapo.runtime.workspace import Workspace
from sapo.settings import Settings, method_settings, seeds_of

SAPO, OUTCOME = "sapo", "orpo_outcome"


class NotMeasured(BadInput):
    """A run lacks what a plan is calibrated by; the message names it."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One round of `sapo`: costs, different samples, those that no earlier round drew, labelled ones, pairs."""

    costs: dict[str, Cost]
    different: int
    unseen: int
    labelled: list[Trajectory]
    pairs: int


def store_texts(settings: Settings, workspace: Workspace, file: Path) -> dict[str, str]:
    """Put what a finished run says of its tasks' texts into `file`, beside what that knows of other tasks.

    Returns:
        Where each task's texts are from.

    Raises:
        NotMeasured: the run is not finished.
    """
    source = f"measured: {settings.profile}, {' and '.join(settings.models)}, one seed, {datetime.date.today()}"
    found = {task: measured_texts(settings, workspace, task, source) for task in settings.tasks}
    known = read_plain_json(file) if file.is_file() else {}
    write_plain_json(file, known | {task: dataclasses.asdict(texts) for task, texts in found.items()})
    return dict.fromkeys(found, source)


def measured_texts(settings: Settings, workspace: Workspace, task: str, source: str) -> Texts:
    """Means over the models of the settings, rounded to three digits.

    Raises:
        NotMeasured: a model has no finished run of `sapo` and `orpo_outcome` on the task. RecordError: damaged files.
        UnknownTexts: nothing is known of the task, so not how long judging takes.
    """
    found = [_of_model(settings, workspace, model, task) for model in settings.models]
    means = {}
    for field in dataclasses.fields(Texts):
        values = [getattr(texts, field.name) for texts in found]
        if isinstance(values[0], tuple):
            means[field.name] = tuple(_rounded(fmean(column)) for column in zip(*values, strict=True))
        elif field.name != "source":
            means[field.name] = _rounded(fmean(values))
    return Texts(**means, source=source)


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def _of_model(settings: Settings, workspace: Workspace, model: str, task: str) -> Texts:
    seed = seeds_of(settings, model, task)[0]
    experiment = Experiment(method_settings(settings, SAPO, seed), workspace, model, task)
    made = workspace.methods(model, task) / str(seed)
    for path in (experiment.start, made / SAPO / "1", made / OUTCOME / "1"):
        if not (path / "costs.json").is_file():
            raise NotMeasured(f"{path}: no finished run there; `dvc repro` makes it")
    own = [_round(experiment, made / SAPO, number) for number in range(1, len(experiment.settings.loop.updates) + 1)]
    texts = _samples(experiment, own)
    texts = _pairs(experiment, made, own, texts)
    return _labels(experiment, own, texts)


def _round(experiment: Experiment, method: Path, number: int) -> Drawn:
    folder, task = method / str(number), experiment.task
    drawn = [read_records(method / str(i) / "sampled.jsonl", Trajectory) for i in range(1, number + 1)]
    before = [trajectory for one in drawn[:-1] for trajectory in one]
    different = distinct(task, drawn[-1])
    unseen = len(distinct(task, [*before, *different])) - len(distinct(task, before))
    labelled = subset(folder)
    return Drawn(read_costs(folder), len(different), unseen, labelled, read_json(folder / "pairs.json")["pairs"])


def subset(folder: Path) -> list[Trajectory]:
    """What was labelled, without what its expansion made of it."""
    return [t for t in read_records(folder / "labelled.jsonl", Trajectory) if t.source != "rollout"]


def _samples(experiment: Experiment, rounds: Sequence[Drawn]) -> Texts:
    """Lengths, and shares of the first samples; the rest is as it was."""
    encoder, gold = load_encoder(experiment.start / "sft"), experiment.gold_questions().items
    samples, cost = (
        read_records(experiment.start / "sampled.jsonl", Trajectory),
        read_costs(experiment.start)["sampling"],
    )
    different, wrong = distinct(experiment.task, samples), [t for t in samples if not t.right]
    return dataclasses.replace(
        texts_of(experiment.task_name),
        prompt=fmean(len(encoder.prompt_ids(question.prompt)) for question in experiment.train_questions().items),
        gold=fmean(len(encoder.completion_ids(question.solution)) + 1 for question in gold),
        completion=cost.generated_tokens / cost.rollouts,
        steps=fmean(len(t.steps) for t in wrong),
        right=1 - len(wrong) / len(samples),
        different=len(different) / len(samples),
        different_right=fmean(t.right for t in different),
        unseen=fmean(one.unseen / rounds[0].different for one in rounds[1:]) if rounds[1:] else 1.0,
    )


def _pairs(experiment: Experiment, made: Path, rounds: Sequence[Drawn], texts: Texts) -> Texts:
    """Pairs of those that are possible, and what trees save: of a pool, of what a round adds to it, of a subset."""
    row, possible = texts.row, experiment.limits.train_questions * experiment.settings.pairs.per_question
    pool = rounds[0].different + len(gold_trajectories(experiment.task, experiment.gold_questions().items))
    read = [one.costs["scoring"].prompt_tokens for one in rounds]
    added = [(b - a) / (one.unseen * row) for a, b, one in zip(read, read[1:], rounds[1:], strict=False)]
    outcome = read_json(made / OUTCOME / "1" / "pairs.json")["pairs"]
    trained = [one.costs["update"].trained_tokens / (2 * one.pairs * row) for one in rounds if one.pairs]
    apart = (
        read[0] / (pool * row),
        fmean(added) if added else read[0] / (pool * row),
        fmean(one.costs["detection"].prompt_tokens / (len(one.labelled) * row) for one in rounds if one.labelled),
        fmean(trained) / experiment.settings.orpo.fit.epochs,
    )
    return dataclasses.replace(
        texts, apart=apart, paired=(outcome / possible, fmean(one.pairs for one in rounds) / possible)
    )


def _labels(experiment: Experiment, rounds: Sequence[Drawn], texts: Texts) -> Texts:
    """Rollouts by those that the simulation expects, examples for the verifier by the most that there could be."""
    settings, config = experiment.settings, AutoConfig.from_pretrained(experiment.base)
    place = Place(settings, experiment.model, experiment.task_name, config, texts)
    first = read_costs(experiment.start), subset(experiment.start)
    own = [(*first, "omega"), *((one.costs, one.labelled, settings.saps.search) for one in rounds)]
    expected = drawn = examples = most = 0.0
    for costs, labelled, name in own:
        wrong = sum(not t.right for t in labelled)
        expected += wrong * labelling(place, name).rollouts
        drawn += costs["labelling"].rollouts
        examples += costs["verifier"].trained_tokens / settings.verifier.fit.epochs / texts.row - len(labelled)
        most += wrong * settings.expansion.max_per_trajectory
    return dataclasses.replace(texts, merged=drawn / expected, expanded=examples / most if most else texts.expanded)
