r"""HumanEval: 164 functions to complete from signature and docstring (OpenAI 2021, MIT). `test` only, no shots.

The program is prompt + completion, cut at the stops of the original evaluation (`\nclass`, `\ndef`, `\n#`, `\nif`,
`\nprint`) and at a Markdown fence. Completions that are not of this kind (the whole function again, a chat model's
answer) are read by the rule of `program_text`.
"""

import re
from collections.abc import Sequence

from sapo.records import Question, Verdict
from sapo.tasks.benchmarks.source import Origin, read_rows, refuse_split
from sapo.tasks.program_grading import judging
from sapo.tasks.program_grading.judging import unparsable_kind
from sapo.tasks.program_grading.program_text import ProgramRule, ProgramText, cut_at, read_program, stopped
from sapo.tasks.steps import split_code
from sapo.tasks.task import DataSource, Split

__all__ = ["NAME", "answered", "grade", "load", "normalise", "read", "split", "unparsable_kind"]

NAME = "humaneval"

ORIGIN = Origin(
    path="humaneval/HumanEval.jsonl.gz",
    sha256="b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef",
    fields={"task_id": str, "prompt": str, "canonical_solution": str, "test": str, "entry_point": str},
    rows_sha256="a15aaeceb5815ba6b8190e8acffa32bce50fd4e2ca602ee9dc2100bbefe048e6",
    hub=("openai/openai_humaneval", "openai_humaneval", "7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544"),
    hub_splits=("test",),
)

STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint", "\n```")
_CONTINUATION = re.compile(r"(?:[ \t]*\n)*[ \t]+[^\s`~]")  # its first line with ink is indented


def load(split: Split, source: DataSource) -> list[Question]:
    """The 164 questions in file order, the same under both protocols.

    Raises:
        RecordError: another split than `test`, unreadable file or row.
    """
    if split != "test":
        raise refuse_split(NAME, split, ("test",))
    return [
        Question(
            id=f"{NAME}/test/{row['task_id'].rpartition('/')[2]}",
            prompt=row["prompt"],
            answer=row["canonical_solution"],
            solution=row["canonical_solution"],
            tests=(f"{row['test']}\ncheck({row['entry_point']})",),
            context=row["prompt"],
            entry_point=row["entry_point"],
        )
        for row in read_rows(ORIGIN, source)
    ]


def read(question: Question, completion: str, rule: ProgramRule = "extract") -> ProgramText:
    """The program that a completion states, and the rule that found it."""
    return read_program(completion, question.entry_point, STOPS, question.prompt, rule)


def split(text: str) -> tuple[str, ...]:
    """Steps are lines that end a statement."""
    return split_code(text)


def grade(questions: Sequence[Question], completions: Sequence[str], rule: ProgramRule = "extract") -> list[Verdict]:
    """Run the programs against the benchmark's `check` in the sandbox; imports and helpers of the prompt run first."""
    from strict_sandbox import Program

    pairs = zip(questions, completions, strict=True)
    return judging.judge([Program(read(q, c, rule).source, q.tests, (q.entry_point,), q.context) for q, c in pairs])


def answered(text: str) -> int | None:
    """A continuation is complete where the text goes on with something else (`STOPS`)."""
    return stopped(text, STOPS) if _CONTINUATION.match(text) else None


def normalise(text: str) -> str:
    """Layout does not distinguish two completions; a body has no program to compare without its prompt."""
    if _CONTINUATION.match(text):
        return judging.canonical(f"def f():\n{cut_at(text, STOPS)}")
    return judging.canonical(read_program(text, "", STOPS).source)
