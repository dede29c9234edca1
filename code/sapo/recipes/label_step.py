"""Labels to a verifier: the half of a round that process supervision adds (docs/method.md §2-5).

Labels, their expansion and the verifier trained on them are kept, so that methods that differ only in what they do
with rewards (eta, beta, the update) share them.
"""

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sapo.labelling.expansion import expand
from sapo.labelling.labellers import LabelItem, Labelled, LabellerName, Rules, label
from sapo.labelling.rollouts import Rollouts
from sapo.models.encoding import Encoded, Encoder
from sapo.models.loading import load_reasoner
from sapo.models.verifier import Verifier
from sapo.recipes.experiment import clocked, write_costs
from sapo.recipes.inputs import Case, DrawSettings, Folder, Questions, Tools, Trajectories
from sapo.records import Cost, Question, StepLabels, StepScores, Trajectory, write_json, write_records
from sapo.runtime.cache import cached, training
from sapo.settings import (
    DetectSettings,
    ExpansionSettings,
    LabelSettings,
    RolloutSettings,
    SapsSettings,
    Settings,
    TuningSettings,
    VerifierSettings,
)
from sapo.train.fit import RunContext, StepProgress, write_log
from sapo.train.launch import Job, run
from sapo.train.verifier import VerifierExample

LEFT_OUT = "left_out.json"  # how many trajectories could not be encoded step by step, by what they were for
OUTPUTS = ("labelled.jsonl", "labels.jsonl", "verifier_log.json", LEFT_OUT)  # of `supervise`, besides the verifier


@dataclass(frozen=True, slots=True)
class LabelRecipe:
    """Sections of the settings that labels and the verifier trained on them depend on."""

    rollouts: RolloutSettings
    labels: LabelSettings
    detect: DetectSettings
    saps: SapsSettings
    expansion: ExpansionSettings
    verifier: VerifierSettings
    tuning: TuningSettings

    @classmethod
    def of(cls, settings: Settings, labeller: LabellerName) -> "LabelRecipe":
        """How to detect and search is owed to `saps` alone."""
        s, own = settings, labeller == "saps"
        search = (s.detect, s.saps) if own else (DetectSettings("scores", "drop", True), SapsSettings("once"))
        return cls(s.rollouts, s.labels, *search, s.expansion, s.verifier, s.tuning)


@dataclass(frozen=True, slots=True)
class LabelInputs:
    """Of the labels and the verifier of round `number`.

    Args:
        reasoner: completes prefixes. scorer: a verifier that says where to look (saps); None: nobody says.
        initial: the reasoner whose backbone the verifier starts from.
        subset: trajectories to label.
        known: samples of the same reasoner: the right ones prove their prefixes where `rollouts.reuse` is on.
        questions: of the training split.
    """

    case: Case
    number: int
    labeller: LabellerName
    reasoner: Folder
    scorer: Folder | None
    initial: Folder
    subset: Trajectories
    known: Trajectories
    questions: Questions
    draw: DrawSettings
    recipe: LabelRecipe


def choose_subset(trajectories: Sequence[Trajectory], count: int, seed: int) -> list[Trajectory]:
    """`count` trajectories to label, half of them wrong where there are enough of both kinds.

    The papers label "a subset" without saying which. Wrong ones carry the information, right ones cost nothing.
    """
    order = random.Random(seed).sample(trajectories, len(trajectories))
    right, wrong = [t for t in order if t.right], [t for t in order if not t.right]
    most_wrong = max(count - len(right), min(len(wrong), count // 2))
    return [*wrong[:most_wrong], *right[: count - min(most_wrong, len(wrong))]]


def supervise(inputs: LabelInputs, tools: Tools) -> Path:
    """The folder with labels of the subset, the verifier trained on them, and the costs of both."""

    def make(folder: Path) -> None:
        labelled, costs = label_subset(inputs, tools, folder)
        with clocked(costs, "verifier"):
            costs["verifier"] = fit_verifier(inputs, tools, labelled, folder)
        write_costs(folder, costs)

    return cached(tools.store, inputs, make)


def copy_supervision(made: Path, folder: Path) -> None:
    """Labels, verifier and its log to the folder of a step that they are a part of."""
    for name in OUTPUTS:
        (folder / name).write_bytes((made / name).read_bytes())
    Verifier.load(made / "verifier").save(folder / "verifier")


def label_subset(
    inputs: LabelInputs, tools: Tools, folder: Path | None = None
) -> tuple[list[Labelled], dict[str, Cost]]:
    """Labels of a subset of trajectories, and the costs of rollouts (`labelling`) and of finding suspects.

    Args:
        folder: that this work makes, where its rollouts are to survive a kill.
    """
    case, recipe, subset, questions = inputs.case, inputs.recipe, inputs.subset.items, inputs.questions.by_id
    scores: list[StepScores | None] = [None] * len(subset)
    costs: dict[str, Cost] = {}
    if inputs.scorer:
        scorer = tools.verifier(inputs.scorer.path, inputs.draw.tuning)
        scores = list(score(scorer, questions, subset))
        costs["detection"] = scorer.cost
    items = [LabelItem(questions[t.question_id], t, s) for t, s in zip(subset, scores, strict=True)]
    how = inputs.reasoner.path, inputs.draw, f"rollouts of round {inputs.number}"
    cached = recipe.rollouts.cached_tokens
    sampler = tools.journal(*how, folder, cached) if folder else tools.sampler(*how, cached)
    seed = case.derive("rollouts", inputs.number)
    rollouts = Rollouts(case.task, sampler, recipe.rollouts, inputs.draw.max_new_tokens, seed)
    rollouts.known_correct(inputs.known.items)
    rules = Rules(recipe.labels, recipe.detect, recipe.saps, case.derive("random step", inputs.number))
    with clocked(costs, "labelling"):
        labelled = label(inputs.labeller, items, rollouts, rules)
        costs["labelling"] = rollouts.cost
    return labelled, costs


def score(
    verifier: Verifier, questions: Mapping[str, Question], trajectories: Sequence[Trajectory]
) -> list[StepScores]:
    """The verifier's scores of every trajectory, in order."""
    found = verifier.score([(questions[t.question_id].prompt, t.steps) for t in trajectories])
    return [StepScores(t.id, s) for t, s in zip(trajectories, found, strict=True)]


def fit_verifier(inputs: LabelInputs, tools: Tools, labelled: Sequence[Labelled], folder: Path) -> Cost:
    """Train a verifier on labels and their expansion; everything it saw and itself are written to `folder`."""
    questions, number, recipe = inputs.questions.by_id, inputs.number, inputs.recipe
    seen: list[tuple[Trajectory, StepLabels]] = [(entry.item.trajectory, entry.labels) for entry in labelled]
    seen += expand(labelled, recipe.expansion.max_per_trajectory)
    model, encoder = load_reasoner(inputs.initial.path)
    usable = scorable(encoder, questions, [trajectory for trajectory, _ in seen])
    write_json(folder / LEFT_OUT, {"labelled": usable.count(False)})
    seen = list(itertools.compress(seen, usable))
    examples = [VerifierExample(t.id, questions[t.question_id].prompt, t.steps, c.labels) for t, c in seen]
    context = RunContext(StepProgress(tools.shown(f"verifier of round {number}")), training(folder))
    seeds = inputs.case.derive("verifier", number), inputs.case.derive("adapters", "verifier", number)
    job = Job("verifier", inputs.initial.path, examples, recipe.verifier, *seeds)
    verifier, log, cost = run(job, (model, encoder), recipe.tuning, context)
    verifier.save(folder / "verifier")
    write_records(folder / "labelled.jsonl", [trajectory for trajectory, _ in seen], Trajectory)
    write_records(folder / "labels.jsonl", [labels for _, labels in seen], StepLabels)
    write_log(folder / "verifier_log.json", log)
    return cost


def scorable(encoder: Encoder, questions: Mapping[str, Question], trajectories: Sequence[Trajectory]) -> list[bool]:
    """Whether each trajectory can be encoded step by step, scored and trained on (`Encoder.attempt_steps`)."""
    rows = encoder.attempt_steps([(questions[t.question_id].prompt, t.steps) for t in trajectories])
    return [isinstance(row, Encoded) for row in rows]
