"""GSM8K: grade-school word problems with one number as answer (OpenAI 2021, MIT).

`test` has 1,319 questions; `train` is the file without its last 500 lines, which are `dev`. Gold rationales lose
their `<<…>>` annotations and thousands separators of the answer. Graded as exact numbers by `math_grading`.
"""

import re
from collections.abc import Sequence

from sapo.records import Question, RecordError, Verdict
from sapo.tasks.benchmarks.few_shot import maths_prompt
from sapo.tasks.benchmarks.protocols import GSM8K_DEV_ROWS
from sapo.tasks.benchmarks.source import Origin, Row, read_rows, refuse_split
from sapo.tasks.math_grading.final_answer import answered, unparsable_kind
from sapo.tasks.math_grading.grading import grade_number
from sapo.tasks.math_grading.numbers import read_number
from sapo.tasks.steps import one_line as normalise
from sapo.tasks.steps import split_lines as split
from sapo.tasks.task import DataSource, Split

__all__ = ["NAME", "answered", "grade", "load", "normalise", "split", "unparsable_kind"]

NAME = "gsm8k"

_HUB = ("openai/gsm8k", "main", "e53f048856ff4f594e959d75785d2c2d37b678ee")
_FIELDS = {"question": str, "answer": str}
TRAIN = Origin(
    path="gsm8k/train.jsonl",
    sha256="17f347dc51477c50d4efb83959dbb7c56297aba886e5544ee2aaed3024813465",
    fields=_FIELDS,
    rows_sha256="445ae9daaf42483c9f6d2951c66713cd0deef31e22bded6804f589ee53090daa",
    hub=_HUB,
    hub_splits=("train",),
)
TEST = Origin(
    path="gsm8k/test.jsonl",
    sha256="3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14",
    fields=_FIELDS,
    rows_sha256="5eaa3806dee1e867f82deba850d0394aa3506eeb3bf0a1c13725f0f13b26f344",
    hub=_HUB,
    hub_splits=("test",),
)

_ANNOTATION = re.compile(r"<<[^<>]*>>")


def load(split: Split, source: DataSource) -> list[Question]:
    """Questions of a split in file order; ids count the file's lines, so `dev` goes on where `train` ends.

    Raises:
        RecordError: unknown split, unreadable file or row.
    """
    if split not in ("train", "dev", "test"):
        raise refuse_split(NAME, split, ("train", "dev", "test"))
    rows = list(enumerate(read_rows(TEST if split == "test" else TRAIN, source)))
    if split == "train":
        rows = rows[:-GSM8K_DEV_ROWS]
    elif split == "dev":
        rows = rows[-GSM8K_DEV_ROWS:]
    home = "test" if split == "test" else "train"
    return [_question(f"{NAME}/{home}/{number}", row, source) for number, row in rows]


def _question(name: str, row: Row, source: DataSource) -> Question:
    rationale, mark, answer = row["answer"].rpartition("\n#### ")
    answer = answer.strip().replace(",", "")
    if not mark or read_number(answer, units=False) is None:
        raise RecordError(f"{row.where}: answer has no final line '#### number': {row['answer'][-60:]!r}")
    solution = f"{_ANNOTATION.sub('', rationale)}\n#### {answer}"
    return Question(name, maths_prompt(row["question"], source.shots), answer, solution)


def grade(questions: Sequence[Question], completions: Sequence[str]) -> list[Verdict]:
    """Exact numbers; the answer is found by `math_grading.final_answer`."""
    return [grade_number(q.answer, c) for q, c in zip(questions, completions, strict=True)]
