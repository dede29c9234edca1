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
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sapo.evaluate.process.items import ProcessItem, read_items
from sapo.evaluate.process.label_truth import label_truth, reward_truth
from sapo.evaluate.process.self_verification import as_trajectory, self_verify
from sapo.evaluate.rerank import Beam, beam_search
from sapo.labelling.labellers import LabelItem, Rules, label
from sapo.labelling.rollouts import CACHED_TOKENS, Rollouts
from sapo.labelling.trajectories import distinct, sample
from sapo.models.encoding import Encoded
from sapo.models.loading import load_encoder
from sapo.models.verifier import Verifier
from sapo.recipes.experiment import Bench
from sapo.recipes.experiments import benches_of
from sapo.recipes.inputs import Case, DrawSettings, Folder, Questions, Tools, inference
from sapo.recipes.label_step import scorable, score
from sapo.recipes.stage_cache import hand_over
from sapo.records import (
    Question,
    RecordError,
    StepLabels,
    StepScores,
    Trajectory,
    read_records,
    write_json,
    write_records,
)
from sapo.runtime.cache import NOT_KEY, kept
from sapo.runtime.process_pool import Work, share
from sapo.runtime.workspace import StageArguments, Workspace, digest, stage_directory
from sapo.settings import (
    DetectSettings,
    LabelSettings,
    RolloutSettings,
    SamplingSettings,
    SapsSettings,
    Settings,
    TuningSettings,
    method_settings,
)
from sapo.tasks.catalog import EMBEDDED
from sapo.tasks.task import Task

RECORDS = ("labelled.jsonl", "labels.jsonl", "sampled.jsonl")  # of a round, besides its verifier
MCE = ("sapo", "sapo_without_pf")  # with and without process supervision (figure 1)
LATER = "_six_rounds"  # ends the names of methods whose first rounds are the other method's own, not made twice
RERANKERS = ("start", "sapo_without_pf", "sapo_omega", "sapo_shepherd", "sapo", "sipf", "sapo_ours")
REWARDED = 200  # samples a round whose rewards are compared with the truth
BEAM = Beam(width=4, expand=4, steps=24, temperature=1.0, limit=40)
ROUNDS = {"V1-R1": (1, 1), "V1-R3": (1, 3), "V3-R3": (3, 3)}  # table 2: verifier and reasoner of these rounds
# Every step is asked, and a later success proves the steps before it.
EVERY_STEP = Rules(
    LabelSettings("shepherd", "reasoner", witness=True, monotone=True, bootstrap_trajectories=0, round_trajectories=0),
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


@dataclass(frozen=True, slots=True)
class RerankInputs:
    """Of best-of-N: the reasoner that draws, and the verifiers that choose, by method."""

    case: Case
    reasoner: Folder
    verifiers: Mapping[str, Folder]
    questions: Questions
    draw: DrawSettings
    sampling: SamplingSettings


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    path = workspace.process(place.task) / "items.jsonl"
    benches = benches_of(settings, workspace, place.model, place.task)
    items = Items(scorable_items(next(iter(benches.values())), read_items(path)), digest(path))
    with stage_directory(workspace.verifiers(place.model, place.task)) as folder:
        title, works, first = f"verifiers {place.model} {place.task}", [], next(iter(benches))
        for seed, bench in benches.items():
            found = list(rounds(settings, bench))
            if seed == first:
                works += [Work(f"{title}: re-ranking", rerank, (bench, found, folder))]
                for reasoner, own in by_reasoner(made for made in found if made.method in MCE).items():
                    paths = [folder / made.name for made in own]
                    works += [Work(f"{title}: MCE {own[0].name}", estimate, (bench, items, reasoner, paths))]
            works += [Work(f"{title}: {m.name}", judge, (bench, items, m, folder / m.name)) for m in found]
        share(works, settings.workers)
        verify(items.items, folder / str(first) / "sapo", folder / "self_verification.json")


def scorable_items(bench: Bench, items: Sequence[ProcessItem]) -> tuple[ProcessItem, ...]:
    """Those that this model's verifiers can score; the report counts the others."""
    rows = load_encoder(bench.start / "sft").attempt_steps([(item.prompt, item.steps) for item in items])
    usable = tuple(item for item, row in zip(items, rows, strict=True) if isinstance(row, Encoded))
    if not usable:
        raise RecordError(f"{bench.model}, {bench.task_name}: none of {len(items)} items can be scored: {rows[0]}")
    return usable


def rounds(settings: Settings, bench: Bench) -> Iterator[Made]:
    """Every round of the seed's methods that trained a verifier, in the order of the settings; V_0 first."""
    seed = bench.settings.seed
    methods = bench.workspace.methods(bench.model, bench.task_name)
    yield Made(f"{seed}/start/0", bench.start, bench.start / "sft")
    for cell in settings.cells.values():
        if (cell.model, cell.task) != (bench.model, bench.task_name):
            continue
        for method in settings.groups[cell.group].methods:
            shown = method.removesuffix(LATER)
            known = len(method_settings(settings, shown, seed).loop.updates)
            for path in sorted((methods / str(seed) / method).glob("*/verifier")):
                number = int(path.parent.name)
                if shown != method and number <= known:
                    continue
                before = methods / str(seed) / method / str(number - 1) / "model"
                yield Made(f"{seed}/{shown}/{number}", path.parent, before if number > 1 else bench.start / "sft")


def by_reasoner(found: Iterable[Made]) -> dict[Path, list[Made]]:
    """Rounds made from equal reasoners, as first rounds are, under the path of one of these."""
    own: dict[str, list[Made]] = {}
    for made in found:
        own.setdefault(digest(made.reasoner), []).append(made)
    return {equal[0].reasoner: equal for equal in own.values()}


def judge(bench: Bench, items: Items, made: Made, folder: Path) -> None:
    """Scores of the items; and in the laboratory, how true its labels and its rewards are."""
    verifier, labelled, labels, sampled = (Folder.of(made.folder / name) for name in ("verifier", *RECORDS))
    of = verifier, labelled, labels, sampled, bench.train_questions(), inference(bench.settings.tuning)
    inputs, tools = JudgeInputs(bench.task_name, items, *of), bench.tools
    hand_over(kept(tools.store, inputs, lambda made: _judge(inputs, tools, made)), folder)


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


def estimate(bench: Bench, items: Items, reasoner: Path, folders: Sequence[Path]) -> None:
    """MCE: the items' labels by rollouts of a reasoner at every step, for every round that was made from it."""
    rollouts = dataclasses.replace(bench.settings.rollouts, **SAVING)
    questions = asked_by(bench, items.items)
    inputs, tools = EstimateInputs(bench.case, items, questions, Folder.of(reasoner), bench.draw, rollouts), bench.tools
    made = kept(tools.store, inputs, lambda kept: _estimate(inputs, tools, kept))
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


def asked_by(bench: Bench, items: Sequence[ProcessItem]) -> Questions:
    """The items' questions."""
    asked = {item.question_id for item in items}
    found = bench.questions(bench.task_name, "test", bench.settings.process.questions).items
    return Questions.of([question for question in found if question.id in asked])


def rerank(bench: Bench, found: Sequence[Made], folder: Path) -> None:
    """Samples of M_0 for best-of-N, with the reward of every sample by each verifier; answers of beam search."""
    process = bench.settings.process
    last = {made.method: Folder.of(made.folder / "verifier") for made in found if made.method in RERANKERS}
    questions = bench.questions(bench.task_name, "test", process.rerank_questions)
    sampling = dataclasses.replace(bench.settings.sampling, per_question=process.rerank_samples)
    inputs, tools = RerankInputs(bench.case, bench.sft(), last, questions, bench.draw, sampling), bench.tools
    hand_over(kept(tools.store, inputs, lambda kept: _rerank(inputs, tools, kept / "rerank.json")), folder)


def _rerank(inputs: RerankInputs, tools: Tools, path: Path) -> None:
    case, task, questions, count = inputs.case, inputs.case.task, inputs.questions.items, inputs.sampling.per_question
    sampler = tools.sampler(inputs.reasoner.path, inputs.draw, "samples to choose from")
    limit = inputs.draw.max_new_tokens
    drawn, _ = sample(task, sampler, questions, inputs.sampling, limit, case.derive("rerank"))
    usable = scorable(load_encoder(inputs.reasoner.path), inputs.questions.by_id, drawn)
    drawn = list(itertools.compress(drawn, usable))
    own = {question.id: [t for t in drawn if t.question_id == question.id] for question in questions}
    missing = {q.id: count - len(own[q.id]) for q in questions}  # empty or not scorable: wrong ones
    different = list({(t.question_id, t.text): t for t in drawn}.values())  # equal texts have equal rewards
    rewards, beams = {}, {}
    for method, folder in inputs.verifiers.items():
        verifier = tools.verifier(folder.path, inputs.draw.tuning)
        scored = zip(different, score(verifier, inputs.questions.by_id, different), strict=True)
        reward = {(t.question_id, t.text): round(s.reward, 6) for t, s in scored}
        rewards[method] = [
            [*(reward[t.question_id, t.text] for t in own[q.id]), *[0.0] * missing[q.id]] for q in questions
        ]
        if method in MCE:
            texts, _ = beam_search(task, sampler, verifier.score, questions, BEAM, case.derive("beam"))
            beams[method] = [verdict == "right" for verdict in task.grade(questions, texts)]
    said = [
        {
            "id": question.id,
            "group": question.group,
            "right": [*(t.right for t in own[question.id]), *[False] * missing[question.id]],
            "answers": [*_answers(task, question, own[question.id]), *[-1] * missing[question.id]],
        }
        for question in questions
    ]
    write_json(path, {"questions": said, "rewards": rewards, "beams": beams})


def _answers(task: Task, question: Question, samples: Sequence[Trajectory]) -> list[int]:
    """Equal numbers for equal answers: what the last step says, or for a program all of it."""
    texts = [task.normalise(t.text if question.tests else t.steps[-1]) for t in samples]
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    return [numbers[text] for text in texts]
