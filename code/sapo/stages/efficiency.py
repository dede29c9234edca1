"""Stage `efficiency`: what labels cost and how true they are, by labeller (figure 6), on the first samples of M_0.

Writes for every task and labeller `TASK/NAME/labels.jsonl` (what it said and drew), and where the task knows the truth
and the labeller trains a verifier, `scores.jsonl` of the held-out samples beside it; for every task, the trajectories,
the truth, the costs by length, and `summary.json` with the means. The verifier that detects is V_0; the seed is the
first of the model and task. Seconds differ from run to run: `benchmarks/labelling.py` measures them.
"""

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sapo.evaluate import efficiency
from sapo.evaluate.efficiency import LABELLERS, LENGTHS, RIGHT, Chosen, LabelRow, TruthRow
from sapo.methods.bench import Bench, read_costs, write_costs
from sapo.methods.kept import SECONDS
from sapo.methods.supervision import scorable, score
from sapo.models.loading import load_reasoner
from sapo.records import Cost, Question, StepScores, Trajectory, read_records, write_json, write_records
from sapo.settings import Settings
from sapo.stages.benches import first_bench
from sapo.stages.keeping import hand_over, keep
from sapo.stages.workers import Work, share
from sapo.supervise.expansion import expand
from sapo.supervise.labellers import LabelItem, Labelled, Rules, label
from sapo.supervise.rollouts import Rollouts
from sapo.supervise.sampling import distinct
from sapo.tasks.catalog import EMBEDDED
from sapo.train.verifier import VerifierExample, train_verifier
from sapo.workspace import StageArguments, Workspace, digest, stage_directory

CODE = ("evaluate/efficiency.py", "stages/efficiency.py")
PARTS = 4  # labellers that share one preparation: every so many-th of them
SECTIONS = ("tuning", "rollouts", "labels", "detect", "saps", "expansion", "verifier", "efficiency")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that the labellers are given: the same reasoner and trajectories, and V_0's scores with their cost."""

    bench: Bench
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
        benches = [first_bench(settings, workspace, place.model, task) for task in settings.tasks]
        for bench in benches:
            title = f"efficiency {bench.model} {bench.task_name}"
            made_from, own = made_from_of(bench), folder / bench.task_name
            parts = [tuple(LABELLERS)[first::PARTS] for first in range(PARTS)]
            works += [Work(f"{title}: {', '.join(part)}", measure, (bench, made_from, part, own)) for part in parts]
        share(works, settings.workers)
        for bench in benches:
            summarise(prepare(bench), folder / bench.task_name)


def made_from_of(bench: Bench) -> dict[str, object]:
    """What every labeller's answer is made from, besides its own arithmetic."""
    parts = ("sft", "verifier", "sampled.jsonl", "labelled.jsonl")
    return {
        "place": [bench.model, bench.task_name, bench.settings.seed],
        "start": {name: digest(bench.start / name) for name in parts},
        **{name: getattr(bench.settings, name) for name in SECTIONS},
    }


def measure(bench: Bench, made_from: Mapping[str, object], names: Sequence[str], folder: Path) -> None:
    """What some labellers say of the trajectories, what that costs, and what verifiers learn from it."""
    comparison = functools.cache(lambda: prepare(bench))  # once for all of them, and not where all are known
    for name in names:

        def make(kept: Path, name: str = name) -> None:
            measure_one(comparison(), name, kept)

        hand_over(keep(bench, "efficiency", CODE, {**made_from, "labeller": name}, make), folder / name)


def measure_one(comparison: Comparison, name: str, folder: Path) -> None:
    """The same for one labeller."""
    answer = answer_of(comparison, name)
    write_records(folder / "labels.jsonl", efficiency.label_rows(answer.wrong), LabelRow)
    write_costs(folder, {f"{name}/{length}": cost for length, cost in answer.costs.items()})
    if LABELLERS[name].trains and comparison.bench.task_name in EMBEDDED:
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


def prepare(bench: Bench) -> Comparison:
    """Choose the trajectories from the first samples, and score those to be labelled with V_0."""
    samples = distinct(bench.task, read_records(bench.start / "sampled.jsonl", Trajectory))
    seen = {(t.question_id, t.text) for t in read_records(bench.start / "labelled.jsonl", Trajectory)}
    questions = {question.id: question for question in bench.train_questions()}
    count = bench.settings.efficiency.trajectories
    chosen = efficiency.choose(samples, list(questions), seen, count, bench.seed("efficiency"))
    items: dict[str, list[LabelItem]] = {}
    detection: dict[str, Cost] = {}
    scorer = bench.verifier(bench.start / "verifier")
    for kind, trajectories in {**chosen.wrong, RIGHT: chosen.costed}.items():
        scorer.cost = Cost()
        scores = score(scorer, questions, trajectories)
        items[kind] = [LabelItem(questions[t.question_id], t, s) for t, s in zip(trajectories, scores, strict=True)]
        detection[kind] = scorer.cost
    return Comparison(bench, questions, chosen, items, detection)


def answer_of(comparison: Comparison, name: str) -> Answer:
    """Label everything with one of `LABELLERS`."""
    bench, arithmetic = comparison.bench, LABELLERS[name]
    settings = bench.settings
    rules = Rules(
        replace(settings.labels, witness=True),
        replace(settings.detect, by="scores"),
        replace(settings.saps, search=arithmetic.search),
    )
    seed = bench.seed("efficiency", arithmetic.draws)
    drawing = arithmetic.rollouts(settings.rollouts)
    sampler = bench.sampler(bench.start / "sft", f"rollouts of {name}", drawing.cached_tokens)
    rollouts = Rollouts(bench.task, sampler, drawing, bench.limits.max_new_tokens, seed)
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
    own = replace(rules, labels=replace(rules.labels, witness=arithmetic.witness))
    label(arithmetic.labeller, comparison.items[RIGHT], rollouts, own)
    costs[RIGHT] = rollouts.cost
    return Answer(wrong, labelled_right, costs)


def _truth(comparison: Comparison, trajectories: Sequence[Trajectory]) -> list[TruthRow]:
    """The oracle's labels; none where the task knows no truth."""
    task = EMBEDDED.get(comparison.bench.task_name)
    if task is None:
        return []
    questions = [comparison.questions[t.question_id] for t in trajectories]
    return [
        TruthRow(t.id, question.group, efficiency.prefix_truth(task.step_truth(question, t.steps)))
        for question, t in zip(questions, trajectories, strict=True)
    ]


def _trained_scores(comparison: Comparison, labelled: Sequence[Labelled]) -> list[StepScores]:
    """The held-out samples' scores by a verifier that learned from these labels and their expansion."""
    bench, questions = comparison.bench, comparison.questions
    seen = [(entry.item.trajectory, entry.labels) for entry in labelled]
    seen += expand(labelled, bench.settings.expansion.max_per_trajectory)
    model, encoder = load_reasoner(bench.start / "sft")
    usable = scorable(encoder, questions.values(), [trajectory for trajectory, _ in seen])
    seen = itertools.compress(seen, usable)
    examples = [VerifierExample(t.id, questions[t.question_id].prompt, t.steps, c.labels) for t, c in seen]
    made = train_verifier(model, encoder, examples, bench.settings.verifier, bench.seed("efficiency verifier")).made
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
