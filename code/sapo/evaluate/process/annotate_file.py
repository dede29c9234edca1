"""A file of trajectories or process items becomes one of items whose first wrong steps a language model voted on.

Items keep everything but their annotation, which is replaced and compared; trajectories are of our questions. Both
files begin with a header. Questions named TASK/SPLIT/NUMBER of a known task lend their reference answer and tests to
the prompt. Beside OUT lie OUT.answers.jsonl, every answer that was paid for, from which the same command goes on, and
OUT.report.json: costs, votes, what was dropped, and which answers were unusable.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sapo.evaluate.process import llm_annotator as llm
from sapo.evaluate.process.annotate import annotated
from sapo.evaluate.process.data_card import agreement
from sapo.evaluate.process.items import ProcessItem, check_ids, read_items, write_items
from sapo.evaluate.process.llm_prompt import FAULTS
from sapo.evaluate.process.select_pairs import gather
from sapo.records import BadInput, Question, RecordError, Trajectory, read_records, write_plain_json
from sapo.sampling.http.answer_cache import AnswerCache, read_answers
from sapo.sampling.http.endpoint import Endpoint
from sapo.sampling.http.paid_requests import PaidRequest
from sapo.sampling.http.replies import Reply, shown
from sapo.settings import load_settings
from sapo.settings.configure import PARAMS
from sapo.tasks.catalog import QuestionBank

TRAJECTORIES = b'{"schema": "Trajectory/'


@dataclass(frozen=True, slots=True)
class Annotation:
    """What is annotated, and how.

    Args:
        file, out: input and output. cache: answers that were paid for; None: OUT.answers.jsonl.
        price_prompt, price_answer: of a million tokens each; both or neither.
        no_reference: show the language model no reference answers and tests.

    Raises:
        BadInput: only one price, a price that is none, or one file that would overwrite another.
    """

    settings: llm.LlmSettings
    file: Path
    out: Path
    cache: Path | None = None
    price_prompt: float | None = None
    price_answer: float | None = None
    no_reference: bool = False

    def __post_init__(self) -> None:
        prices = {"--price-prompt": self.price_prompt, "--price-answer": self.price_answer}
        for name, price in prices.items():
            if {*prices.values()} != {None} and (price is None or not 0 <= price < float("inf")):
                raise BadInput(f"{name} is {price}: give both prices of a million tokens, 0 or more, or none")
        for path, count in Counter(p.resolve() for p in (self.file, self.out, self.answers, self.report)).items():
            if count > 1:
                raise BadInput(f"{path}: FILE, --out, its report and --cache must be different files")

    @property
    def answers(self) -> Path:
        return self.cache or self.out.with_suffix(".answers.jsonl")

    @property
    def report(self) -> Path:
        return self.out.with_suffix(".report.json")

    def lines(self, connect: Callable[[], Endpoint] | None) -> Iterator[str]:
        """Ask for the answers that are missing and write the outputs; yields what to tell, before and after.

        Args:
            connect: opens the endpoint, if there is anything to ask; None: only tell what would be asked.

        Raises:
            BadInput: the file or the key cannot be used, or the endpoint gave up (see its message).
        """
        items, questions = _read(self.file, not self.no_reference)
        asked = llm.calls(items, questions, self.settings)
        replies = read_answers(self.answers)
        missing = llm.pending(asked, replies)
        known = sum(item.question_id in questions for item in items)
        asking = f"{len(missing)} answers are still to be asked"
        yield f"{len(items)} trajectories, {known} with a reference answer; {asking}"
        yield from self._estimate(llm.estimate(missing, self.settings))
        if connect is None:
            return
        refused: dict[str, str] = {}
        sent: dict[str, Any] = {"sent": 0, "sent_again": 0, "seed_refused": False}
        if missing:
            endpoint = connect()
            with AnswerCache(self.answers) as cache:
                refused = llm.collect(endpoint, asked, cache)
                replies = dict(cache.answers)
            sent = {"sent": endpoint.sent, "sent_again": endpoint.retried, "seed_refused": endpoint.seedless}
        found = llm.decide(items, asked, replies, refused, self.settings.agree)
        write_items(self.out, found.items)
        report = _report(items, found) | sent | {"this_run": self._costs(missing, replies)}
        report |= {"in_all": self._costs(asked, replies), "prices_of_a_million": [self.price_prompt, self.price_answer]}
        write_plain_json(self.report, report | {"settings": asdict(self.settings)})
        yield from _summary(report)

    def _cost(self, tokens: llm.Tokens) -> float | None:
        if self.price_prompt is None or self.price_answer is None:
            return None
        return (tokens.prompt * self.price_prompt + tokens.answers * self.price_answer) / 1e6

    def _costs(self, calls: Sequence[PaidRequest], replies: Mapping[str, Reply]) -> dict[str, Any]:
        """What the endpoint counted for some calls, earlier answers included."""
        tokens = llm.used([replies[key] for key in {call.key for call in calls} if key in replies])
        return asdict(tokens) | {"cost": self._cost(tokens)}

    def _estimate(self, tokens: llm.Tokens) -> Iterator[str]:
        prompts = f"{tokens.prompt} tokens of prompts ({llm.CHARACTERS} characters a token, an assumption)"
        yield f"estimate: {prompts} and at most {tokens.answers} of answers"
        cost, prices = self._cost(tokens), "{:g} a million tokens of prompts and {:g} of answers"
        given = prices.format(self.price_prompt, self.price_answer) if cost is not None else ""
        yield f"cost: at most {cost:.4g}, at {given}" if given else "cost: no prices given"


def _read(path: Path, with_reference: bool) -> tuple[list[ProcessItem], dict[str, Question]]:
    """Items to vote on, and the questions of theirs that are known."""
    if not path.is_file():
        raise RecordError(f"{path}: no such file")
    with path.open("rb") as file:
        trajectories = file.read(len(TRAJECTORIES)) == TRAJECTORIES
    if not trajectories:
        items = read_items(path)
        return items, _questions([item.question_id for item in items]) if with_reference else {}
    samples = read_records(path, Trajectory)
    questions = _questions([t.question_id for t in samples])
    for trajectory in samples:
        if trajectory.question_id not in questions:
            raise RecordError(f"{path}: trajectory {trajectory.id}: no task has question {trajectory.question_id}")
    items = [annotated(c, None, "llm") for c in gather([*questions.values()], {path.stem: samples})]
    check_ids(path, items)
    return items, questions if with_reference else {}


def _questions(ids: Sequence[str]) -> dict[str, Question]:
    """Questions of known tasks by id; others are left out."""
    bank = QuestionBank(lambda: load_settings(PARAMS).data)
    return {name: question for name in ids if (question := bank.find(name))}


def _report(items: Sequence[ProcessItem], found: llm.LlmAnnotated) -> dict[str, Any]:
    """What was kept and dropped and why, and how far the votes agree with the annotation of the input."""
    unusable: dict[str, Any] = {}
    for item_id, answer in found.unusable:
        row = unusable.setdefault(answer.fault, {"answers": 0, "item": item_id, "ends": answer.text[-200:]})
        row["answers"] += 1
    truth = {item.id: item.first_error for item in items}
    others = sorted({item.annotator for item in items} - {"llm"})
    return {
        "trajectories": len(items),
        "kept": len(found.items),
        "dropped": [asdict(entry) for entry in found.dropped],
        "unusable": unusable,
        "compared_with": others,
        "agreement": agreement(found.items, truth) if others and found.items else None,
    }


def _summary(report: Mapping[str, Any]) -> Iterator[str]:
    yield f"{report['kept']} of {report['trajectories']} trajectories kept, {len(report['dropped'])} dropped"
    for entry in report["dropped"][:3]:
        yield f"dropped: {entry['id']}: {entry['reason']}"
    for fault, row in report["unusable"].items():
        ends = shown(row["ends"])
        yield f"no vote: {row['answers']} answers ({FAULTS[fault]}), such as on {row['item']}: {ends}"
    if report["agreement"]:
        same, whose = report["agreement"]["first_error"], " and ".join(report["compared_with"])
        yield f"same first error as {whose}: {100 * same:.4g} % of what was kept"
    if report["sent_again"]:
        yield f"{report['sent_again']} of {report['sent']} requests repeated one that failed"
    for name in ("this_run", "in_all"):
        row = report[name]
        cost = "" if row["cost"] is None else f", cost {row['cost']:.4g}"
        unknown = f"; {row['unknown']} answers came without usage and are not in the sums" if row["unknown"] else ""
        said = f"{row['requests']} answers, {row['prompt']} tokens of prompts, {row['answers']} of answers"
        yield f"{name.replace('_', ' ')}: {said}{cost}{unknown}"
