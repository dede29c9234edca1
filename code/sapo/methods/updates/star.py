"""STaR (Zelikman 2022): one rationale a question; where it fails, one more with the answer as a hint.

Right rationales, hinted or not, are learned from under the plain prompt, together with the gold ones, from the
round's start. The hint is a line before the question, because every task's prompt ends where the answer begins.
"""

from collections.abc import Sequence
from pathlib import Path

from sapo.methods.bench import Bench
from sapo.methods.rounds import NothingLeft, Round
from sapo.methods.updates.sft import learn
from sapo.models.encoding import Encoded
from sapo.models.loading import load_encoder
from sapo.models.sampling import Request
from sapo.records import Cost, Question, Trajectory, write_json
from sapo.supervise.sampling import gold_trajectories


def hinted_prompt(question: Question) -> str:
    """What the reasoner reads when it rationalises: the answer, then the question."""
    return f"answer {question.answer}\n{question.prompt}"


def rationalise(
    bench: Bench, reasoner: Path, failed: Sequence[Question], number: int
) -> tuple[list[tuple[Question, str]], Cost]:
    """Completions of hinted prompts that end right, by question, and what drawing them cost."""
    if not failed:
        return [], Cost()
    sampler = bench.sampler(reasoner, f"rationalisation of round {number}")
    requests = [Request(hinted_prompt(q), "", bench.seed("rationalise", number, q.id)) for q in failed]
    settings = bench.settings.sampling
    limit, answered = bench.limits.max_new_tokens, bench.task.answered
    completions, cost = sampler.complete(requests, settings.temperature, limit, answered)
    drawn = [(q, c.text) for q, c in zip(failed, completions, strict=True) if c.text]
    rows = load_encoder(reasoner).attempt_steps([(q.prompt, bench.task.split(text)) for q, text in drawn])
    drawn = [entry for entry, row in zip(drawn, rows, strict=True) if isinstance(row, Encoded)]
    verdicts = bench.task.grade([q for q, _ in drawn], [text for _, text in drawn])
    right = [entry for entry, verdict in zip(drawn, verdicts, strict=True) if verdict == "right"]
    return right, cost + Cost(programs=sum(bool(q.tests) for q, _ in drawn))


def first_of_each(own: Sequence[Trajectory]) -> dict[str, Trajectory]:
    """The first sample of every question, by question."""
    first: dict[str, Trajectory] = {}
    for trajectory in own:
        first.setdefault(trajectory.question_id, trajectory)
    return first


def update(bench: Bench, this: Round, rounds: int, folder: Path) -> Cost:
    questions = bench.train_questions()
    first = first_of_each(this.own)
    right = {name: t.text for name, t in first.items() if t.right}
    hinted, cost = rationalise(bench, this.reasoner, [q for q in questions if q.id not in right], this.number)
    report = {"questions": len(questions), "unaided": len(right), "rationalised": len(hinted)}
    if not right and not hinted:
        raise NothingLeft(f"no rationale ends right, with or without the answer as a hint: {report}")
    write_json(folder / "star.json", report)
    gold = gold_trajectories(bench.task, bench.gold_questions())
    prompts = {question.id: question.prompt for question in questions}
    texts = [(prompts[t.question_id], t.text) for t in gold]
    texts += [(prompts[name], text) for name, text in right.items()]
    texts += [(question.prompt, text) for question, text in hinted]
    return cost + learn(bench, this, rounds, texts, folder)
