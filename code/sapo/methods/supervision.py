"""Labels to a verifier: the half of a round that process supervision adds (method.md §2-5).

Labels, their expansion and the verifier trained on them are kept, so that methods that differ only in what they do
with rewards (eta, beta, the update) share them.
"""

import hashlib
import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sapo.methods.bench import Bench, clocked, write_costs
from sapo.methods.kept import kept, parts, training
from sapo.models.encoding import Encoded, Encoder
from sapo.models.journal import Journal
from sapo.models.loading import load_reasoner
from sapo.models.verifier import Verifier
from sapo.records import Cost, Question, StepLabels, StepScores, Trajectory, write_json, write_records
from sapo.supervise.expansion import expand
from sapo.supervise.labellers import LabelItem, Labelled, LabellerName, Rules, label
from sapo.supervise.rollouts import Rollouts
from sapo.train.launch import Job, run
from sapo.train.loop import StepProgress, Watch, write_log
from sapo.train.verifier import VerifierExample
from sapo.workspace import digest

LEFT_OUT = "left_out.json"  # how many trajectories could not be encoded step by step, by what they were for
OUTPUTS = ("labelled.jsonl", "labels.jsonl", "verifier_log.json", LEFT_OUT)  # of `supervise`, besides the verifier
BATCHES = 32  # of `sampling.rows` requests are kept together: the last of them, half empty, costs a hundredth
SECTIONS = ("tuning", "rollouts", "labels", "detect", "saps", "expansion", "verifier")


@dataclass(frozen=True, slots=True)
class Simulation:
    """Who labels: `reasoner` completes prefixes, `scorer` (saps) says where to look; `number` is the round.

    `known` are samples of the same reasoner: the right ones prove their prefixes where `rollouts.reuse` is on.
    """

    number: int
    labeller: LabellerName
    reasoner: Path
    scorer: Path | None
    known: tuple[Trajectory, ...] = ()


def choose_subset(trajectories: Sequence[Trajectory], count: int, seed: int) -> list[Trajectory]:
    """`count` trajectories to label, half of them wrong where there are enough of both kinds.

    The papers label "a subset" without saying which. Wrong ones carry the information, right ones cost nothing.
    """
    order = random.Random(seed).sample(trajectories, len(trajectories))
    right, wrong = [t for t in order if t.right], [t for t in order if not t.right]
    most_wrong = max(count - len(right), min(len(wrong), count // 2))
    return [*wrong[:most_wrong], *right[: count - min(most_wrong, len(wrong))]]


def supervise(bench: Bench, who: Simulation, initial: Path, subset: Sequence[Trajectory]) -> Path:
    """The folder with labels of `subset`, the verifier trained on them, and the costs of both.

    Args:
        initial: the reasoner whose backbone the verifier starts from.
    """
    made_from = {
        "phase": "supervise",
        "place": [bench.model, bench.task_name, bench.settings.seed, who.number],
        "labeller": who.labeller,
        "reasoner": digest(who.reasoner),
        "scorer": digest(who.scorer) if who.scorer else "",
        "initial": digest(initial),
        "subset": _digest(subset),
        "known": _digest(who.known) if bench.settings.rollouts.reuse else "",
        "limits": bench.training,
        "data": bench.settings.data,
        **{name: getattr(bench.settings, name) for name in SECTIONS},
    }

    def make(folder: Path) -> None:
        labelled, costs = label_subset(bench, who, subset, folder)
        with clocked(costs, "verifier"):
            costs["verifier"] = fit_verifier(bench, who.number, initial, labelled, folder)
        write_costs(folder, costs)

    return kept(bench.store, made_from, make)


def journal(bench: Bench, reasoner: Path, what: str, folder: Path, cached_tokens: int = 0) -> Journal:
    """`bench.sampler` for the one work that makes `folder`, which `kept` gave it; what it draws survives a kill."""
    at_once = BATCHES * bench.settings.sampling.rows
    return Journal(parts(folder), at_once, lambda: bench.sampler(reasoner, what, cached_tokens))


def _digest(trajectories: Sequence[Trajectory]) -> str:
    return hashlib.sha256("\0".join(f"{t.id}\0{t.text}" for t in trajectories).encode()).hexdigest()


def label_subset(
    bench: Bench, who: Simulation, subset: Sequence[Trajectory], folder: Path | None = None
) -> tuple[list[Labelled], dict[str, Cost]]:
    """Labels of a subset of trajectories, and the costs of rollouts (`labelling`) and of finding suspects.

    Args:
        folder: that this work makes, where its rollouts are to survive a kill.
    """
    questions = {question.id: question for question in bench.train_questions()}
    scores: list[StepScores | None] = [None] * len(subset)
    costs: dict[str, Cost] = {}
    if who.scorer:
        scorer = bench.verifier(who.scorer)
        scores = list(score(scorer, questions, subset))
        costs["detection"] = scorer.cost
    items = [LabelItem(questions[t.question_id], t, s) for t, s in zip(subset, scores, strict=True)]
    settings, seed = bench.settings, bench.seed("rollouts", who.number)
    what = who.reasoner, f"rollouts of round {who.number}"
    cached = settings.rollouts.cached_tokens
    sampler = journal(bench, *what, folder, cached) if folder else bench.sampler(*what, cached)
    rollouts = Rollouts(bench.task, sampler, settings.rollouts, bench.limits.max_new_tokens, seed)
    rollouts.witness(who.known)
    rules = Rules(settings.labels, settings.detect, settings.saps, bench.seed("random step", who.number))
    with clocked(costs, "labelling"):
        labelled = label(who.labeller, items, rollouts, rules)
        costs["labelling"] = rollouts.cost
    return labelled, costs


def score(verifier: Verifier, questions: dict[str, Question], trajectories: Sequence[Trajectory]) -> list[StepScores]:
    """The verifier's scores of every trajectory, in order."""
    found = verifier.score([(questions[t.question_id].prompt, t.steps) for t in trajectories])
    return [StepScores(t.id, s) for t, s in zip(trajectories, found, strict=True)]


def fit_verifier(bench: Bench, number: int, initial: Path, labelled: Sequence[Labelled], folder: Path) -> Cost:
    """Train a verifier on labels and their expansion; everything it saw and itself are written to `folder`."""
    questions = {question.id: question for question in bench.train_questions()}
    seen: list[tuple[Trajectory, StepLabels]] = [(entry.item.trajectory, entry.labels) for entry in labelled]
    seen += expand(labelled, bench.settings.expansion.max_per_trajectory)
    model, encoder = load_reasoner(initial)
    usable = scorable(encoder, questions.values(), [trajectory for trajectory, _ in seen])
    write_json(folder / LEFT_OUT, {"labelled": usable.count(False)})
    seen = list(itertools.compress(seen, usable))
    examples = [VerifierExample(t.id, questions[t.question_id].prompt, t.steps, c.labels) for t, c in seen]
    watch = Watch(StepProgress(bench.shown(f"verifier of round {number}")), training(folder))
    seeds = bench.seed("verifier", number), bench.seed("adapters", "verifier", number)
    job = Job("verifier", initial, examples, bench.settings.verifier, *seeds)
    verifier, log, cost = run(job, (model, encoder), bench.settings.tuning, watch)
    verifier.save(folder / "verifier")
    write_records(folder / "labelled.jsonl", [trajectory for trajectory, _ in seen], Trajectory)
    write_records(folder / "labels.jsonl", [labels for _, labels in seen], StepLabels)
    write_log(folder / "verifier_log.json", log)
    return cost


def scorable(encoder: Encoder, questions: Iterable[Question], trajectories: Sequence[Trajectory]) -> list[bool]:
    """Whether each trajectory can be encoded step by step, scored and trained on (`Encoder.attempt_steps`)."""
    prompts = {question.id: question.prompt for question in questions}
    rows = encoder.attempt_steps([(prompts[t.question_id], t.steps) for t in trajectories])
    return [isinstance(row, Encoded) for row in rows]
