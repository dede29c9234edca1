"""Stage `efficiency`: what labels cost and how true they are, by labeller (figure 6), on the first samples of M_0.

Writes for every task and labeller `TASK/NAME/labels.jsonl` (what it said and drew), and where the task knows the truth
and the labeller trains a verifier, `scores.jsonl` of the held-out samples beside it; for every task, the trajectories,
the truth, the costs by length, and `summary.json` with the means. The verifier that detects is V_0; the seed is the
first of the model and task. Seconds differ from run to run: `benchmarks/labelling.py` measures them.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sapo.evaluate import efficiency
from sapo.evaluate.efficiency import LABELLERS, LENGTHS, RIGHT, Chosen, LabelRow, TruthRow
from sapo.labelling.expansion import expand
from sapo.labelling.labellers import LabelItem, Labelled, Rules, label
from sapo.labelling.rollouts import Rollouts
from sapo.labelling.trajectories import distinct
from sapo.models.loading import load_reasoner
from sapo.recipes.experiment import Experiment, read_costs, write_costs
from sapo.recipes.experiments import first_experiment
from sapo.recipes.inputs import Case, DrawSettings, Folder, Questions, Tools
from sapo.recipes.label_step import LabelRecipe, scorable, score
from sapo.recipes.stage_cache import hand_over
from sapo.records import Cost, Question, StepScores, Trajectory, read_records, write_json, write_records
from sapo.runtime.cache import SECONDS, cached
from sapo.runtime.process_pool import Work, run_all
from sapo.runtime.workspace import StageArguments, Workspace, stage_directory
from sapo.settings import Settings
from sapo.tasks.catalog import EMBEDDED
from sapo.train.verifier import VerifierExample, train_verifier

PARTS = 4  # labellers that share one preparation: every so many-th of them


@dataclass(frozen=True, slots=True)
class EfficiencyInputs:
    """Of one labeller's answer: what stage `start` made, and how labels come about.

    Args:
        labeller: one of `LABELLERS`, or "" for what all of them share.
        labelled: what V_0, the verifier, was trained on.
        trajectories: how many to label.
    """

    labeller: str
    case: Case
    sft: Folder
    verifier: Folder
    sampled: Folder
    labelled: Folder
    questions: Questions
    draw: DrawSettings
    recipe: LabelRecipe
    trajectories: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that the labellers are given: the same reasoner and trajectories, and V_0's scores with their cost."""

    inputs: EfficiencyInputs
    tools: Tools
    questions: dict[str, Question]
    chosen: Chosen
    items: dict[str, list[LabelItem]]
    detection: dict[str, Cost]


@dataclass(frozen=True, slots=True)
class Answer:
    """Labels of the wrong trajectories, long ones first, and of the right ones; costs by length, and of the right."""

    wrong: list[Labelled]
    right: list[Labelled]
    costs: dict[str, Cost]


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    with stage_directory(workspace.efficiencies(place.model)) as folder:
        works: list[Work] = []
        experiments = [first_experiment(settings, workspace, place.model, task) for task in settings.tasks]
        for experiment in experiments:
            title = f"efficiency {experiment.model} {experiment.task_name}"
            given, own = efficiency_inputs(experiment), folder / experiment.task_name
            parts = [tuple(LABELLERS)[first::PARTS] for first in range(PARTS)]
            works += [
                Work(f"{title}: {', '.join(part)}", measure, (given, experiment.tools, part, own)) for part in parts
            ]
        run_all(works, settings.workers)
        for experiment in experiments:
            summarise(prepare(efficiency_inputs(experiment), experiment.tools), folder / experiment.task_name)


def efficiency_inputs(experiment: Experiment) -> EfficiencyInputs:
    """Of what all labellers share."""
    names = ("sft", "verifier", "sampled.jsonl", "labelled.jsonl")
    sft, verifier, sampled, labelled = (Folder.of(experiment.start / name) for name in names)
    made = sft, verifier, sampled, labelled
    count, recipe = experiment.settings.efficiency.trajectories, LabelRecipe.of(experiment.settings, "saps")
    return EfficiencyInputs("", experiment.case, *made, experiment.train_questions(), experiment.draw, recipe, count)


def measure(inputs: EfficiencyInputs, tools: Tools, names: Sequence[str], folder: Path) -> None:
    """What some labellers say of the trajectories, what that costs, and what verifiers learn from it."""
    comparison = functools.cache(lambda: prepare(inputs, tools))  # once for all of them, and not where all are known
    for name in names:

        def make(made: Path, name: str = name) -> None:
            measure_one(comparison(), name, made)

        hand_over(cached(tools.store, replace(inputs, labeller=name), make), folder / name)


def measure_one(comparison: Comparison, name: str, folder: Path) -> None:
    """The same for one labeller."""
    answer = answer_of(comparison, name)
    write_records(folder / "labels.jsonl", efficiency.label_rows(answer.wrong), LabelRow)
    write_costs(folder, {f"{name}/{length}": cost for length, cost in answer.costs.items()})
    if LABELLERS[name].trains and comparison.inputs.case.task_name in EMBEDDED:
        scores = _trained_scores(comparison, [*answer.wrong, *answer.right])
        write_records(folder / "scores.jsonl", scores, StepScores)


def summarise(comparison: Comparison, folder: Path) -> None:
    """What is common to all labellers, their costs in one file, and the means."""
    chosen = comparison.chosen
    measured = [t for length in LENGTHS for t in chosen.wrong[length]]
    truth, held_out = _truth(comparison, measured), _truth(comparison, chosen.held_out)
    write_records(folder / "measured.jsonl", measured, Trajectory)
    write_records(folder / "truth.jsonl", truth, TruthRow)
    write_records(folder / "held_out.jsonl", chosen.held_out, Trajectory)
    write_records(folder / "held_out_truth.jsonl", held_out, TruthRow)
    costs = {f"detection/{length}": cost for length, cost in comparison.detection.items()}
    rows: dict[str, list[LabelRow]] = {}
    scores: dict[str, list[StepScores]] = {}
    for name in LABELLERS:
        rows[name] = read_records(folder / name / "labels.jsonl", LabelRow)
        if (path := folder / name / "scores.jsonl").is_file():
            scores[name] = read_records(path, StepScores)
        costs |= read_costs(folder / name)
        (folder / name / "costs.json").unlink()  # now in one file
    write_costs(folder, costs)
    (folder / SECONDS).unlink()
    write_json(folder / "summary.json", _summary(chosen, truth, held_out, rows, scores))


def prepare(inputs: EfficiencyInputs, tools: Tools) -> Comparison:
    """Choose the trajectories from the first samples, and score those to be labelled with V_0."""
    samples = distinct(inputs.case.task, read_records(inputs.sampled.path, Trajectory))
    seen = {(t.question_id, t.text) for t in read_records(inputs.labelled.path, Trajectory)}
    questions, count = inputs.questions.by_id, inputs.trajectories
    chosen = efficiency.choose(samples, list(questions), seen, count, inputs.case.derive("efficiency"))
    items: dict[str, list[LabelItem]] = {}
    detection: dict[str, Cost] = {}
    scorer = tools.verifier(inputs.verifier.path, inputs.draw.tuning)
    for kind, trajectories in {**chosen.wrong, RIGHT: chosen.costed}.items():
        scorer.cost = Cost()
        scores = score(scorer, questions, trajectories)
        items[kind] = [LabelItem(questions[t.question_id], t, s) for t, s in zip(trajectories, scores, strict=True)]
        detection[kind] = scorer.cost
    return Comparison(inputs, tools, questions, chosen, items, detection)


def answer_of(comparison: Comparison, name: str) -> Answer:
    """Label everything with one of `LABELLERS`."""
    inputs, arithmetic = comparison.inputs, LABELLERS[name]
    case, settings = inputs.case, inputs.recipe
    rules = Rules(
        replace(settings.labels, known_correct=True),
        replace(settings.detect, by="scores"),
        replace(settings.saps, search=arithmetic.search),
    )
    seed = case.derive("efficiency", arithmetic.draws)
    drawing = arithmetic.rollouts(settings.rollouts)
    how = inputs.sft.path, inputs.draw, f"rollouts of {name}"
    sampler = comparison.tools.sampler(*how, drawing.cached_tokens)
    rollouts = Rollouts(case.task, sampler, drawing, inputs.draw.max_new_tokens, seed)
    # First, and free: they are witnesses of the wrong ones.
    right = [LabelItem(comparison.questions[t.question_id], t) for t in comparison.chosen.right]
    labelled_right = label(arithmetic.labeller, right, rollouts, rules)
    wrong: list[Labelled] = []
    costs: dict[str, Cost] = {}
    for length in LENGTHS:
        rollouts.cost = Cost()
        wrong += label(arithmetic.labeller, comparison.items[length], rollouts, rules)
        costs[length] = rollouts.cost
    rollouts.cost = Cost()
    own = replace(rules, labels=replace(rules.labels, known_correct=arithmetic.known_correct))
    label(arithmetic.labeller, comparison.items[RIGHT], rollouts, own)
    costs[RIGHT] = rollouts.cost
    return Answer(wrong, labelled_right, costs)


def _truth(comparison: Comparison, trajectories: Sequence[Trajectory]) -> list[TruthRow]:
    """The oracle's labels; none where the task knows no truth."""
    task = EMBEDDED.get(comparison.inputs.case.task_name)
    if task is None:
        return []
    questions = [comparison.questions[t.question_id] for t in trajectories]
    return [
        TruthRow(t.id, question.group, efficiency.prefix_truth(task.step_truth(question, t.steps)))
        for question, t in zip(questions, trajectories, strict=True)
    ]


def _trained_scores(comparison: Comparison, labelled: Sequence[Labelled]) -> list[StepScores]:
    """The held-out samples' scores by a verifier that learned from these labels and their expansion."""
    inputs, questions = comparison.inputs, comparison.questions
    seen = [(entry.item.trajectory, entry.labels) for entry in labelled]
    seen += expand(labelled, inputs.recipe.expansion.max_per_trajectory)
    model, encoder = load_reasoner(inputs.sft.path)
    usable = scorable(encoder, questions, [trajectory for trajectory, _ in seen])
    seen = itertools.compress(seen, usable)
    examples = [VerifierExample(t.id, questions[t.question_id].prompt, t.steps, c.labels) for t, c in seen]
    seed = inputs.case.derive("efficiency verifier")
    made = train_verifier(model, encoder, examples, inputs.recipe.verifier, seed).made
    return score(made, questions, comparison.chosen.held_out)


def _summary(
    chosen: Chosen,
    truth: Sequence[TruthRow],
    held_out: Sequence[TruthRow],
    rows: dict[str, list[LabelRow]],
    scores: dict[str, list[StepScores]],
) -> dict[str, object]:
    """Counts, and shares of agreement (0 to 1): with shepherd, with the truth, and of the trained verifiers with it."""
    labels = {name: [row.labels for row in own] for name, own in rows.items()}
    found: dict[str, dict[str, object]] = {}
    for name, own in labels.items():
        found[name] = {"shepherd": efficiency.shares(own, labels["shepherd"]), "truth": None, "verifier": None}
        if truth:
            found[name]["truth"] = efficiency.shares(own, [row.labels for row in truth])
        if name in scores:
            called = [efficiency.called(entry.scores) for entry in scores[name]]
            found[name]["verifier"] = efficiency.shares(called, [row.labels for row in held_out])
    wrong = {
        length: {"trajectories": len(own), "steps": sum(len(t.steps) for t in own)}
        for length, own in chosen.wrong.items()
    }
    counts = {"right": len(chosen.right), "costed_right": len(chosen.costed), "held_out": len(chosen.held_out)}
    counts["seen_by_detector"] = chosen.seen
    return {"wrong": wrong, **counts, "labellers": found}
