"""Stage `verifiers`: every verifier of a model and task on the process benchmark, round by round (figures 1, 4, 5).

Writes `SEED/METHOD/ROUND/` with `scores.jsonl`, the items' scores by V_i, and in the laboratory `labels.json` and
`rewards.json`, how true the labels are that V_i learned from and what it rewards. For the methods of `MCE`, on the
first seed, `mce.jsonl` has the labels of the items by rollouts of M_i, the reasoner that V_i was made from: the upper
bound. Methods with more rounds (`LATER`) add their later ones to those of the method that they continue.
`self_verification.json` is table 2, from these scores and labels. `rerank.json` has many samples of M_0 a question
with the rewards that the last verifier of each of `RERANKERS` gives them, and what beam search finds with the
verifiers of `MCE`.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sapo.evaluate.process.items import ProcessItem, read_items
from sapo.evaluate.process.label_truth import label_truth, reward_truth
from sapo.evaluate.process.self_verification import as_trajectory, self_verify
from sapo.evaluate.rerank_step import rerank
from sapo.labelling.labellers import LabelItem, Rules, label
from sapo.labelling.rollouts import CACHED_TOKENS, Rollouts
from sapo.labelling.trajectories import distinct
from sapo.models.encoding import Encoded
from sapo.models.loading import load_encoder
from sapo.models.verifier import Verifier
from sapo.recipes.experiment import Experiment
from sapo.recipes.experiments import experiments_of
from sapo.recipes.inputs import Case, DrawSettings, Folder, Questions, Tools, inference
from sapo.recipes.label_step import score
from sapo.recipes.stage_cache import hand_over
from sapo.records import (
    RecordError,
    StepLabels,
    StepScores,
    Trajectory,
    read_records,
    write_json,
    write_records,
)
from sapo.runtime.cache import NOT_KEY, cached
from sapo.runtime.process_pool import Work, run_all
from sapo.runtime.workspace import StageArguments, Workspace, digest, stage_directory
from sapo.settings import (
    DetectSettings,
    LabelSettings,
    RolloutSettings,
    SapsSettings,
    Settings,
    TuningSettings,
    method_settings,
)
from sapo.tasks.catalog import EMBEDDED

RECORDS = ("labelled.jsonl", "labels.jsonl", "sampled.jsonl")  # of a round, besides its verifier
MCE = ("sapo", "sapo_without_pf")  # with and without process supervision (figure 1)
LATER = "_six_rounds"  # ends the names of methods whose first rounds are the other method's own, not made twice
RERANKERS = ("start", "sapo_without_pf", "sapo_omega", "sapo_shepherd", "sapo", "sipf", "sapo_ours")
REWARDED = 200  # samples a round whose rewards are compared with the truth
ROUNDS = {"V1-R1": (1, 1), "V1-R3": (1, 3), "V3-R3": (3, 3)}  # table 2: verifier and reasoner of these rounds
# Every step is asked, and a later success proves the steps before it.
EVERY_STEP = Rules(
    LabelSettings(
        "shepherd", "reasoner", known_correct=True, monotone=True, bootstrap_trajectories=0, round_trajectories=0
    ),
    DetectSettings("scores", "drop", virtual_start=True),
    SapsSettings("once"),
)
SAVING = {"lazy": True, "merge": True, "reuse": True, "cached_tokens": CACHED_TOKENS}  # labels stay what they are


@dataclass(frozen=True, slots=True)
class Made:
    """A round of a method that trained a verifier: where it is, and the reasoner that the verifier was made from."""

    name: str  # SEED/METHOD/ROUND
    folder: Path
    reasoner: Path

    @property
    def method(self) -> str:
        return self.name.split("/")[1]


@dataclass(frozen=True, slots=True)
class Items:
    """The process benchmark as far as the model's verifiers can score it, and the SHA-256 of the whole file."""

    items: tuple[ProcessItem, ...] = field(metadata=NOT_KEY, compare=False)
    digest: str


@dataclass(frozen=True, slots=True)
class JudgeInputs:
    """Of one verifier's scores, and of how true are the labels that it learned from and what it rewards."""

    task_name: str
    items: Items
    verifier: Folder
    labelled: Folder
    labels: Folder
    sampled: Folder
    questions: Questions
    tuning: TuningSettings


@dataclass(frozen=True, slots=True)
class EstimateInputs:
    """Of the items' labels by a reasoner's rollouts."""

    case: Case
    items: Items
    questions: Questions
    reasoner: Folder
    draw: DrawSettings
    rollouts: RolloutSettings


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    path = workspace.process(place.task) / "items.jsonl"
    experiments = experiments_of(settings, workspace, place.model, place.task)
    items = Items(scorable_items(next(iter(experiments.values())), read_items(path)), digest(path))
    with stage_directory(workspace.verifiers(place.model, place.task)) as folder:
        title, works, first = f"verifiers {place.model} {place.task}", [], next(iter(experiments))
        for seed, experiment in experiments.items():
            found = list(rounds(settings, experiment))
            if seed == first:
                last = {made.method: made.folder / "verifier" for made in found if made.method in RERANKERS}
                works += [Work(f"{title}: re-ranking", rerank, (experiment, last, MCE, folder))]
                for reasoner, own in by_reasoner(made for made in found if made.method in MCE).items():
                    paths = [folder / made.name for made in own]
                    works += [Work(f"{title}: MCE {own[0].name}", estimate, (experiment, items, reasoner, paths))]
            works += [Work(f"{title}: {m.name}", judge, (experiment, items, m, folder / m.name)) for m in found]
        run_all(works, settings.workers)
        verify(items.items, folder / str(first) / "sapo", folder / "self_verification.json")


def scorable_items(experiment: Experiment, items: Sequence[ProcessItem]) -> tuple[ProcessItem, ...]:
    """Those that this model's verifiers can score; the report counts the others."""
    rows = load_encoder(experiment.start / "sft").attempt_steps([(item.prompt, item.steps) for item in items])
    usable = tuple(item for item, row in zip(items, rows, strict=True) if isinstance(row, Encoded))
    if not usable:
        raise RecordError(
            f"{experiment.model}, {experiment.task_name}: none of {len(items)} items can be scored: {rows[0]}"
        )
    return usable


def rounds(settings: Settings, experiment: Experiment) -> Iterator[Made]:
    """Every round of the seed's methods that trained a verifier, in the order of the settings; V_0 first."""
    seed = experiment.settings.seed
    methods = experiment.workspace.methods(experiment.model, experiment.task_name)
    yield Made(f"{seed}/start/0", experiment.start, experiment.start / "sft")
    for cell in settings.cells.values():
        if (cell.model, cell.task) != (experiment.model, experiment.task_name):
            continue
        for method in settings.groups[cell.group].methods:
            shown = method.removesuffix(LATER)
            known = len(method_settings(settings, shown, seed).loop.updates)
            for path in sorted((methods / str(seed) / method).glob("*/verifier")):
                number = int(path.parent.name)
                if shown != method and number <= known:
                    continue
                before = methods / str(seed) / method / str(number - 1) / "model"
                yield Made(f"{seed}/{shown}/{number}", path.parent, before if number > 1 else experiment.start / "sft")


def by_reasoner(found: Iterable[Made]) -> dict[Path, list[Made]]:
    """Rounds made from equal reasoners, as first rounds are, under the path of one of these."""
    own: dict[str, list[Made]] = {}
    for made in found:
        own.setdefault(digest(made.reasoner), []).append(made)
    return {equal[0].reasoner: equal for equal in own.values()}


def judge(experiment: Experiment, items: Items, made: Made, folder: Path) -> None:
    """Scores of the items; and in the laboratory, how true its labels and its rewards are."""
    verifier, labelled, labels, sampled = (Folder.of(made.folder / name) for name in ("verifier", *RECORDS))
    of = verifier, labelled, labels, sampled, experiment.train_questions(), inference(experiment.settings.tuning)
    inputs, tools = JudgeInputs(experiment.task_name, items, *of), experiment.tools
    hand_over(cached(tools.store, inputs, lambda made: _judge(inputs, tools, made)), folder)


def _judge(inputs: JudgeInputs, tools: Tools, folder: Path) -> None:
    verifier = tools.verifier(inputs.verifier.path, inputs.tuning)
    write_records(folder / "scores.jsonl", scores_of(verifier, inputs.items.items), StepScores)
    known = EMBEDDED.get(inputs.task_name)
    if known is None:
        return
    questions = inputs.questions.by_id
    trajectories, own = read_records(inputs.labelled.path, Trajectory), read_records(inputs.labels.path, StepLabels)
    write_json(folder / "labels.json", asdict(label_truth(known, questions, trajectories, own)))
    samples = distinct(known, read_records(inputs.sampled.path, Trajectory))[:REWARDED]
    rewarded = reward_truth(known, questions, samples, score(verifier, questions, samples))
    write_json(folder / "rewards.json", asdict(rewarded))


def scores_of(verifier: Verifier, items: Sequence[ProcessItem]) -> list[StepScores]:
    """c^_1…c^_n of every item, in order."""
    found = verifier.score([(item.prompt, item.steps) for item in items])
    return [StepScores(item.id, own) for item, own in zip(items, found, strict=True)]


def estimate(experiment: Experiment, items: Items, reasoner: Path, folders: Sequence[Path]) -> None:
    """MCE: the items' labels by rollouts of a reasoner at every step, for every round that was made from it."""
    rollouts = dataclasses.replace(experiment.settings.rollouts, **SAVING)
    questions = asked_by(experiment, items.items)
    inputs, tools = (
        EstimateInputs(experiment.case, items, questions, Folder.of(reasoner), experiment.draw, rollouts),
        experiment.tools,
    )
    made = cached(tools.store, inputs, lambda cached: _estimate(inputs, tools, cached))
    for folder in folders:
        hand_over(made, folder)


def _estimate(inputs: EstimateInputs, tools: Tools, folder: Path) -> None:
    case, questions, settings = inputs.case, inputs.questions.by_id, inputs.rollouts
    given = [LabelItem(questions[item.question_id], as_trajectory(item)) for item in inputs.items.items]
    sampler = tools.journal(inputs.reasoner.path, inputs.draw, "MCE", folder, settings.cached_tokens)
    rollouts = Rollouts(case.task, sampler, settings, inputs.draw.max_new_tokens, case.derive("MCE"))
    found = label("shepherd", given, rollouts, EVERY_STEP)
    write_records(folder / "mce.jsonl", [entry.labels for entry in found], StepLabels)


def verify(items: Sequence[ProcessItem], folder: Path, path: Path) -> None:
    """Table 2, where SAPO has the rounds for it, from what was found in `folder` of every round."""
    said = {}
    for name, (of_verifier, of_reasoner) in ROUNDS.items():
        scores, labels = folder / str(of_verifier) / "scores.jsonl", folder / str(of_reasoner) / "mce.jsonl"
        if scores.is_file() and labels.is_file():
            by_verifier = [own.scores for own in read_records(scores, StepScores)]
            by_reasoner = [own.labels for own in read_records(labels, StepLabels)]
            said[name] = asdict(self_verify(items, by_verifier, by_reasoner))
    write_json(path, said)


def asked_by(experiment: Experiment, items: Sequence[ProcessItem]) -> Questions:
    """The items' questions."""
    asked = {item.question_id for item in items}
    found = experiment.questions(experiment.task_name, "test", experiment.settings.process.questions).items
    return Questions.of([question for question in found if question.id in asked])
