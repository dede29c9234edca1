"""STaR (Zelikman 2022): one rationale a question; where it fails, one more with the answer as a hint.

Right rationales, hinted or not, are learned from by SFT under the plain prompt, together with the gold ones, from the
round's start. The hint is a line before the question, because every task's prompt ends where the answer begins.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from sapo.records import Cost, Question, Trajectory
from sapo.sampling.protocol import Request
from sapo.train.cost import Bill, Expected, drawing
from sapo.train.sft import SFT
from sapo.train.trainer import Chosen, NothingLeft, Round


@dataclass(frozen=True, slots=True)
class StarReport:
    """Of so many questions, those whose own rationale ends right, and those where one with the hint does."""

    questions: int
    unaided: int
    rationalised: int


def hinted_prompt(question: Question) -> str:
    """What the reasoner reads when it rationalises: the answer, then the question."""
    return f"answer {question.answer}\n{question.prompt}"


def rationalise(this: Round, failed: Sequence[Question]) -> tuple[list[tuple[Question, str]], Cost]:
    """Completions of hinted prompts that end right, by question, and what drawing them cost."""
    if not failed:
        return [], Cost()
    sampler = this.sampler(f"rationalisation of round {this.number}")
    requests = [Request(hinted_prompt(q), "", this.seed("rationalise", this.number, q.id)) for q in failed]
    temperature, limit = this.sampling.temperature, this.max_new_tokens
    completions, cost = sampler.complete(requests, temperature, limit, this.task.answered)
    drawn = [(q, c.text) for q, c in zip(failed, completions, strict=True) if c.text]
    verdicts = this.task.grade([q for q, _ in drawn], [text for _, text in drawn])
    right = [entry for entry, verdict in zip(drawn, verdicts, strict=True) if verdict == "right"]
    return right, cost + Cost(programs=sum(bool(q.tests) for q, _ in drawn))


def first_of_each(own: Sequence[Trajectory]) -> dict[str, Trajectory]:
    """The first sample of every question, by question."""
    first: dict[str, Trajectory] = {}
    for trajectory in own:
        first.setdefault(trajectory.question_id, trajectory)
    return first


def choose(this: Round) -> Chosen:
    """(prompt, completion) texts of gold, right and rationalised answers. Raises NothingLeft."""
    right = {name: t for name, t in first_of_each(this.own).items() if t.right}
    hinted, cost = rationalise(this, [q for q in this.questions if q.id not in right])
    report = StarReport(len(this.questions), len(right), len(hinted))
    if not right and not hinted:
        said = dataclasses.asdict(report)
        raise NothingLeft(f"no rationale ends right, with or without the answer as a hint: {said}")
    texts = this.texts([*this.gold, *right.values()])
    return Chosen([*texts, *((question.prompt, text) for question, text in hinted)], report, cost)


def _expected(e: Expected) -> Bill:
    """One rationale more for every question whose first sample is wrong; half of these end right with the hint."""
    failed = e.questions * (1 - e.right)
    drawn = drawing(e.config, failed, failed * (e.prompt + 4), e.prompt, e.completion)
    return drawn + e.training((e.questions - failed / 2) * e.row + e.gold_tokens, e.settings.sft)


STAR = dataclasses.replace(
    SFT,
    name="star",
    data=dataclasses.replace(SFT.data, choose=choose, report=("star.json", StarReport)),
    expected=_expected,
)
