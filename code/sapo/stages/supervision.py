"""The two halves of a round that stages share: labels to a verifier, rewards to a better reasoner (method.md §7)."""

import random
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from sapo.models.loading import load_reasoner, save_reasoner
from sapo.models.local import LocalSampler
from sapo.models.verifier import Verifier
from sapo.progress import Progress
from sapo.records import Cost, Question, StepLabels, StepScores, Trajectory, write_json, write_records
from sapo.stages.job import Job
from sapo.supervise.expansion import expand
from sapo.supervise.labellers import LabelItem, Labelled, LabellerName, Rules, label
from sapo.supervise.rollouts import Rollouts
from sapo.train.loop import StepLog
from sapo.train.orpo import train_orpo
from sapo.train.pairs import make_pairs
from sapo.train.verifier import VerifierExample, train_verifier


def choose_subset(trajectories: Sequence[Trajectory], count: int, seed: int) -> list[Trajectory]:
    """`count` trajectories to label, half of them wrong where there are enough of both kinds.

    The papers label "a subset" without saying which. Wrong ones carry the information, right ones cost nothing.
    """
    order = random.Random(seed).sample(trajectories, len(trajectories))
    right, wrong = [t for t in order if t.right], [t for t in order if not t.right]
    most_wrong = max(count - len(right), min(len(wrong), count // 2))
    return [*wrong[:most_wrong], *right[: count - min(most_wrong, len(wrong))]]


def label_subset(
    job: Job, labeller: LabellerName, sampler: LocalSampler, subset: Sequence[Trajectory], scorer: Verifier | None
) -> tuple[list[Labelled], Cost]:
    """Labels of a subset of trajectories by rollouts of `sampler`; `scorer` finds the suspects (saps)."""
    questions = {question.id: question for question in job.train_questions()}
    scores: list[StepScores | None] = [None] * len(subset)
    if scorer:
        scores = list(score(scorer, questions, subset))
    items = [LabelItem(questions[t.question_id], t, s) for t, s in zip(subset, scores, strict=True)]
    settings = job.settings
    rollouts = Rollouts(job.task, sampler, settings.rollouts, job.limits.max_new_tokens, job.seed("rollouts"))
    labelled = label(labeller, items, rollouts, Rules(settings.labels, settings.detect, settings.saps))
    return labelled, rollouts.cost


def score(verifier: Verifier, questions: dict[str, Question], trajectories: Sequence[Trajectory]) -> list[StepScores]:
    """The verifier's scores of every trajectory, in order."""
    found = verifier.score([(questions[t.question_id].prompt, t.steps) for t in trajectories])
    return [StepScores(t.id, s) for t, s in zip(trajectories, found, strict=True)]


def fit_verifier(job: Job, reasoner: Path, labelled: Sequence[Labelled], most: int, folder: Path) -> Verifier:
    """Train a verifier on labels and their expansion; everything it saw and itself are written to `folder`.

    Args:
        most: expanded trajectories kept of each labelled one (0: none).
    """
    questions = {question.id: question for question in job.train_questions()}
    seen: list[tuple[Trajectory, StepLabels]] = [(entry.item.trajectory, entry.labels) for entry in labelled]
    seen += expand(labelled, most)
    examples = [VerifierExample(t.id, questions[t.question_id].prompt, t.steps, c.labels) for t, c in seen]
    model, encoder = load_reasoner(reasoner)
    verifier, log = train_verifier(
        model, encoder, examples, job.settings.verifier, job.seed("verifier"), shown(f"{job.title}: verifier")
    )
    verifier.save(folder / "verifier")
    write_records(folder / "labelled.jsonl", [trajectory for trajectory, _ in seen], Trajectory)
    write_records(folder / "labels.jsonl", [labels for _, labels in seen], StepLabels)
    write_log(folder / "verifier_log.json", log)
    return verifier


def align(job: Job, start: Path, pool: Sequence[Trajectory], rewards: Sequence[float], folder: Path) -> None:
    """Train the reasoner in `start` by ORPO on the pairs of a rewarded pool; written to `folder`."""
    prompts = {question.id: question.prompt for question in job.train_questions()}
    pairs, report = make_pairs(pool, rewards, prompts, job.settings.pairs, job.seed("pairs"))
    model, encoder = load_reasoner(start)
    log = train_orpo(model, encoder, pairs, job.settings.orpo, job.seed("orpo"), shown(f"{job.title}: ORPO"))
    save_reasoner(model, encoder, folder / "model")
    write_json(folder / "pairs.json", asdict(report))
    write_log(folder / "orpo_log.json", log)


def shown(what: str):
    """A callback that shows the progress of a training run, by optimiser steps."""
    bar: list[Progress] = []

    def advance(entry: StepLog, total: int) -> None:
        if not bar:
            bar.append(Progress(what, total, "steps").__enter__())
        bar[0].advance()
        if entry.step == total:
            bar[0].__exit__(None, None, None)

    return advance


def write_log(path: Path, log: Sequence[StepLog]) -> None:
    """The training log as one JSON file."""
    write_json(path, [asdict(entry) for entry in log])
