"""MMLU_Math: 354 MMLU questions turned into open ones with a number as answer, SIPF's out-of-domain set. `test` only.

The file has no copy on the hub and no worked solutions. Graded like MATH, since one gold is a list (`2,2,4`).
"""

from collections.abc import Sequence

from sapo.records import Question, RecordError, Verdict
from sapo.tasks.benchmarks.few_shot import maths_prompt
from sapo.tasks.benchmarks.source import Origin, read_rows, refuse_split
from sapo.tasks.math_grading.final_answer import answered, unparsable_kind
from sapo.tasks.math_grading.grading import grade_latex
from sapo.tasks.steps import one_line as normalise
from sapo.tasks.steps import split_lines as split
from sapo.tasks.task import DataSource, Split

__all__ = ["NAME", "answered", "grade", "load", "normalise", "split", "unparsable_kind"]

NAME = "mmlu_math"

ORIGIN = Origin(
    path="mmlu_math/test.jsonl",
    sha256="d180b2574e8656ff5037c88232443cc58c1152bb1663a27716ee69eef26b095a",
    fields={"idx": int, "question": str, "answer": str},
    rows_sha256="679ac2087296029c67106e06819a67caf21d5e3170d6da7400cc3ccbaf5dd2ff",
)


def load(split: Split, source: DataSource) -> list[Question]:
    """Questions in file order, the same under both protocols.

    Raises:
        RecordError: another split than `test`, a source on the hub, unreadable file or row.
    """
    if split != "test":
        raise refuse_split(NAME, split, ("test",))
    questions = []
    for row in read_rows(ORIGIN, source):
        answer = row["answer"].strip()
        if not any(character.isdigit() for character in answer):
            raise RecordError(f"{row.where}: answer is {answer!r:.60}, not a number")
        prompt = maths_prompt(row["question"], source.shots)
        questions.append(Question(f"{NAME}/test/{row['idx']}", prompt, answer, f"#### {answer}"))
    return questions


def grade(questions: Sequence[Question], completions: Sequence[str]) -> list[Verdict]:
    """Equality of answers; the answer is found by `math_grading.final_answer`."""
    return grade_latex([question.answer for question in questions], completions)
