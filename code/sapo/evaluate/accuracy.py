"""Accuracy of a checkpoint on a benchmark: one greedy completion a question, judged."""

from collections import Counter
from collections.abc import Sequence

from sapo.records import Cost, Outcome, Question
from sapo.sampling.protocol import Request, Sampler
from sapo.tasks.catalog import grade_by_protocol
from sapo.tasks.math_grading.grading import check_grader_errors
from sapo.tasks.task import EmbeddedTask, ProtocolName, Task


def solve(
    task: Task,
    sampler: Sampler,
    questions: Sequence[Question],
    max_new_tokens: int,
    protocol: ProtocolName = "standard",
) -> tuple[list[Outcome], Cost]:
    """Greedy answers and their verdicts, in the order of the questions.

    Raises:
        GraderErrors: more answers than one in a thousand could not be judged.
    """
    requests = [Request(question.prompt, "", 0) for question in questions]
    completions, cost = sampler.complete(requests, 0.0, max_new_tokens, task.answered)
    texts = [completion.text for completion in completions]
    verdicts = grade_by_protocol(task, questions, texts, protocol)
    check_grader_errors(verdicts)
    outcomes = [
        Outcome(question.id, question.group, text, verdict)
        for question, text, verdict in zip(questions, texts, verdicts, strict=True)
    ]
    return outcomes, cost


def unparsable_kinds(task: Task, outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Why answers could not be read: outcomes by kind, the most frequent first."""
    kinds = Counter(task.unparsable_kind(outcome.completion) for outcome in outcomes if outcome.verdict == "unparsable")
    return dict(kinds.most_common())


def flawed(task: EmbeddedTask, questions: Sequence[Question], outcomes: Sequence[Outcome]) -> int:
    """How many right answers rest on a wrong step: false positives of reasoning, which outcomes cannot show."""
    right = [(q, o) for q, o in zip(questions, outcomes, strict=True) if o.verdict == "right"]
    return sum(not all(task.step_truth(q, task.split(o.completion))) for q, o in right)
