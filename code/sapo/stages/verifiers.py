"""Stage `verifiers`: every verifier of a model and task on the process benchmark, round by round (figures 1, 4, 5).

Writes `SEED/METHOD/ROUND/` with `scores.jsonl`, the items' scores by V_i, and in the laboratory `labels.json` and
`rewards.json`, how true the labels are that V_i learned from and what it rewards. For the methods of `MCE`, on the
first seed, `mce.jsonl` has the labels of the items by rollouts of M_i, the reasoner that V_i was made from: the upper
bound. Methods of `CONTINUED` add their later rounds to those of the method that they continue.
`self_verification.json` is table 2. `rerank.json` has many samples of M_0 a question with the rewards that the
last verifier of each of `RERANKERS` gives them, and what beam search finds with the verifiers of `MCE`.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sapo.evaluate.process.items import ProcessItem, read_items
from sapo.evaluate.process.label_truth import label_truth, reward_truth
from sapo.evaluate.process.self_verification import as_trajectory, self_verify
from sapo.evaluate.rerank import Beam, beam_search
from sapo.methods.bench import Bench
from sapo.methods.supervision import score
from sapo.models.verifier import Verifier
from sapo.records import Question, StepLabels, StepScores, Trajectory, read_records, write_json, write_records
from sapo.settings import Settings, method_settings, seeds_of
from sapo.stages.workers import Work, share
from sapo.supervise.labellers import LabelItem, Rules, label
from sapo.supervise.rollouts import CACHED_TOKENS, Rollouts
from sapo.supervise.sampling import distinct, sample
from sapo.tasks.catalog import EMBEDDED
from sapo.workspace import StageArguments, Workspace, digest, stage_directory

MCE = ("sapo", "sapo_without_pf")  # with and without process supervision (figure 1)
# The first rounds of these are the other method's own, found again and not made twice.
CONTINUED = {"sapo_six_rounds": "sapo", "sapo_without_pf_six_rounds": "sapo_without_pf"}
RERANKERS = ("start", "sapo_without_pf", "sapo_omega", "sapo_shepherd", "sapo", "sipf", "sapo_ours")
REWARDED = 400  # samples a round whose rewards are compared with the truth
BEAM = Beam(width=4, expand=4, steps=24, temperature=1.0, limit=40)
ROUNDS = {"V1-R1": (1, 1), "V1-R3": (1, 3), "V3-R3": (3, 3)}  # table 2: verifier and reasoner of these rounds
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


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    items = read_items(workspace.process(place.task) / "items.jsonl")
    seeds = seeds_of(settings, place.model, place.task)
    benches = {
        seed: Bench(dataclasses.replace(settings, seed=seed), workspace, place.model, place.task) for seed in seeds
    }
    with stage_directory(workspace.verifiers(place.model, place.task)) as folder:
        title, works = f"verifiers {place.model} {place.task}", []
        for seed, bench in benches.items():
            found = list(rounds(settings, bench))
            if seed == seeds[0]:
                works += [Work(f"{title}: re-ranking", rerank, (bench, found, folder / "rerank.json"))]
                works += [Work(f"{title}: self-verification", verify, (bench, items, found, folder))]
                for reasoner, own in by_reasoner(made for made in found if made.method in MCE).items():
                    paths = [folder / made.name for made in own]
                    works += [Work(f"{title}: MCE {own[0].name}", estimate, (bench, items, reasoner, paths))]
            works += [Work(f"{title}: {m.name}", judge, (bench, items, m, folder / m.name)) for m in found]
        share(works, settings.workers)


def rounds(settings: Settings, bench: Bench) -> Iterator[Made]:
    """Every round of the seed's methods that trained a verifier, in the order of the settings; V_0 first."""
    seed = bench.settings.seed
    methods = bench.workspace.methods(bench.model, bench.task_name)
    yield Made(f"{seed}/start/0", bench.start, bench.start / "sft")
    for cell in settings.cells.values():
        if (cell.model, cell.task) != (bench.model, bench.task_name):
            continue
        for method in settings.groups[cell.group].methods:
            shown = CONTINUED.get(method, method)
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


def judge(bench: Bench, items: Sequence[ProcessItem], made: Made, folder: Path) -> None:
    """Scores of the items; and in the laboratory, how true its labels and its rewards are."""
    verifier = Verifier.load(made.folder / "verifier")
    write_records(folder / "scores.jsonl", scores_of(verifier, items), StepScores)
    task = EMBEDDED.get(bench.task_name)
    if task is None:
        return
    questions = {question.id: question for question in bench.train_questions()}
    labelled = read_records(made.folder / "labelled.jsonl", Trajectory)
    labels = read_records(made.folder / "labels.jsonl", StepLabels)
    write_json(folder / "labels.json", asdict(label_truth(task, questions, labelled, labels)))
    samples = distinct(bench.task, read_records(made.folder / "sampled.jsonl", Trajectory))[:REWARDED]
    rewarded = reward_truth(task, questions, samples, score(verifier, questions, samples))
    write_json(folder / "rewards.json", asdict(rewarded))


def scores_of(verifier: Verifier, items: Sequence[ProcessItem]) -> list[StepScores]:
    """c^_1…c^_n of every item, in order."""
    found = verifier.score([(item.prompt, item.steps) for item in items])
    return [StepScores(item.id, own) for item, own in zip(items, found, strict=True)]


def estimate(bench: Bench, items: Sequence[ProcessItem], reasoner: Path, folders: Sequence[Path]) -> None:
    """MCE: the items' labels by rollouts of a reasoner at every step, for every round that was made from it."""
    questions = questions_of(bench, items)
    given = [LabelItem(questions[item.question_id], as_trajectory(item)) for item in items]
    labels = dataclasses.replace(bench.settings.labels, witness=True, monotone=True)
    rules = Rules(labels, bench.settings.detect, bench.settings.saps)
    found = label("shepherd", given, rollouts_of(bench, reasoner, "MCE"), rules)
    for folder in folders:
        write_records(folder / "mce.jsonl", [entry.labels for entry in found], StepLabels)


def verify(bench: Bench, items: Sequence[ProcessItem], found: Sequence[Made], folder: Path) -> None:
    """Table 2, where SAPO has the rounds for it."""
    by_round = {int(made.name.split("/")[2]): made for made in found if made.method == "sapo"}
    questions, said = questions_of(bench, items), {}
    for name, (of_verifier, of_reasoner) in ROUNDS.items():
        if not {of_verifier, of_reasoner} <= by_round.keys():
            continue
        verifier = Verifier.load(by_round[of_verifier].folder / "verifier")
        scores = [own.scores for own in scores_of(verifier, items)]
        rollouts = rollouts_of(bench, by_round[of_reasoner].reasoner, "self-verification")
        said[name] = asdict(self_verify(items, questions, scores, rollouts))
    write_json(folder / "self_verification.json", said)


def questions_of(bench: Bench, items: Sequence[ProcessItem]) -> dict[str, Question]:
    """The items' questions, by id."""
    asked = {item.question_id for item in items}
    found = bench.questions(bench.task_name, "test", bench.settings.process.questions)
    return {question.id: question for question in found if question.id in asked}


def rollouts_of(bench: Bench, reasoner: Path, what: str) -> Rollouts:
    """Rollouts with every saving that leaves labels what they are."""
    settings = dataclasses.replace(bench.settings.rollouts, **SAVING)
    sampler = bench.sampler(reasoner, what, settings.cached_tokens)
    return Rollouts(bench.task, sampler, settings, bench.limits.max_new_tokens, bench.seed(what))


def rerank(bench: Bench, found: Sequence[Made], path: Path) -> None:
    """Samples of M_0 for best-of-N, with the reward of every sample by each verifier; answers of beam search."""
    process, task = bench.settings.process, bench.task
    questions = bench.questions(bench.task_name, "test", process.rerank_questions)
    settings = dataclasses.replace(bench.settings.sampling, per_question=process.rerank_samples)
    sampler = bench.sampler(bench.start / "sft", "samples to choose from")
    drawn, _ = sample(task, sampler, questions, settings, bench.limits.max_new_tokens, bench.seed("rerank"))
    own = {question.id: [t for t in drawn if t.question_id == question.id] for question in questions}
    missing = {q.id: process.rerank_samples - len(own[q.id]) for q in questions}  # empty completions are wrong ones
    by_id = {question.id: question for question in questions}
    last = {made.method: made for made in found if made.method in RERANKERS}
    different = list({(t.question_id, t.text): t for t in drawn}.values())  # equal texts have equal rewards
    rewards, beams = {}, {}
    for method, made in last.items():
        verifier = Verifier.load(made.folder / "verifier")
        scored = zip(different, score(verifier, by_id, different), strict=True)
        reward = {(t.question_id, t.text): round(s.reward, 6) for t, s in scored}
        rewards[method] = [
            [*(reward[t.question_id, t.text] for t in own[q.id]), *[0.0] * missing[q.id]] for q in questions
        ]
        if method in MCE:
            texts, _ = beam_search(task, sampler, verifier.score, questions, BEAM, bench.seed("beam"))
            beams[method] = [verdict == "right" for verdict in task.grade(questions, texts)]
    said = [
        {
            "id": question.id,
            "group": question.group,
            "right": [*(t.right for t in own[question.id]), *[False] * missing[question.id]],
            "answers": [*_answers(bench, question, own[question.id]), *[-1] * missing[question.id]],
        }
        for question in questions
    ]
    write_json(path, {"questions": said, "rewards": rewards, "beams": beams})


def _answers(bench: Bench, question: Question, samples: Sequence[Trajectory]) -> list[int]:
    """Equal numbers for equal answers: what the last step says, or for a program all of it."""
    texts = [bench.task.normalise(t.text if question.tests else t.steps[-1]) for t in samples]
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    return [numbers[text] for text in texts]
