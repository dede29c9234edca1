r"""MATH: competition problems with worked solutions and `\boxed` answers in LaTeX (Hendrycks 2021, MIT). `test` only.

The task's name is `math`; the module is not called so, because it would hide Python's own. The answer is the last
`\boxed{…}` of the worked solution; protocol `paper` keeps the 3,342 items of `protocols.is_plain_number`. Ids come
from the question's text, since mirrors number their rows differently. Graded by `math_grading`.
"""

import hashlib
from collections.abc import Sequence

from sapo.records import Question, RecordError, Verdict
from sapo.tasks.benchmarks.few_shot import maths_prompt
from sapo.tasks.benchmarks.protocols import PROTOCOLS, is_plain_number
from sapo.tasks.benchmarks.source import Origin, Row, read_rows, refuse_split
from sapo.tasks.math_grading.final_answer import answered, last_boxed, unparsable_kind
from sapo.tasks.math_grading.grading import grade_latex
from sapo.tasks.steps import one_line as normalise
from sapo.tasks.steps import split_lines as split
from sapo.tasks.task import DataSource, Split

__all__ = ["NAME", "answered", "grade", "load", "normalise", "split", "unparsable_kind"]

NAME = "math"

ORIGIN = Origin(
    path="math/test.jsonl",
    sha256="9f498cfae760f977c582e5e325eca3d39e6f1fe9472cef8b5b62d9358f5d8915",
    fields={"question": str, "answer": str},
    rows_sha256="342204d31e5b8026b40a1d6fbc198d3a853327f81eaf4d09cc097b7c659ba8cc",
    hub=("DigitalLearningGmbH/MATH-lighteval", "default", "0530c78699ea5e8eb5530600900e1f328b48acad"),
    hub_splits=("test",),
    hub_names={"question": "problem", "answer": "solution"},
)


def load(split: Split, source: DataSource) -> list[Question]:
    """Questions in file order.

    Raises:
        RecordError: another split than `test`, unreadable file or row, a solution without an answer.
    """
    if split != "test":
        raise refuse_split(NAME, split, ("test",))
    questions = [_question(row, source.shots) for row in read_rows(ORIGIN, source)]
    if PROTOCOLS[source.protocol].math_numbers_only:
        return [question for question in questions if is_plain_number(question.answer)]
    return questions


def _question(row: Row, shots: int) -> Question:
    answer = last_boxed(row["answer"])
    if not answer or not answer.strip():
        raise RecordError(f"{row.where}: answer has no \\boxed{{…}}: {row['answer'][-60:]!r}")
    name = f"{NAME}/test/{hashlib.sha256(row['question'].encode()).hexdigest()[:12]}"
    return Question(name, maths_prompt(row["question"], shots), answer.strip(), row["answer"])


def grade(questions: Sequence[Question], completions: Sequence[str]) -> list[Verdict]:
    """Equality of answers in LaTeX; the answer is found by `math_grading.final_answer`."""
    return grade_latex([question.answer for question in questions], completions)
