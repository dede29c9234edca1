r"""HumanEval: 164 functions to complete from signature and docstring (OpenAI 2021, MIT). `test` only, no shots.

The program is prompt + completion. A completion continues the prompt's last line: it is cut at the stops of the
original evaluation (`\nclass`, `\ndef`, `\n#`, `\nif`, `\nprint`) and at a Markdown fence. One that states the
whole function again (its first ink is a top-level line: `def`, `from`, `import`, `@`, or a fence) is a program of
its own; it runs behind the prompt, whose imports and helpers it may use, and is cut only where its fence closes.
"""

import re
from collections.abc import Sequence

from sapo.records import Question, Verdict
from sapo.tasks import code_grading
from sapo.tasks.code_grading import unparsable_kind
from sapo.tasks.source import Origin, read_rows, refuse_split
from sapo.tasks.steps import split_code
from sapo.tasks.task import DataSource, Split

__all__ = ["NAME", "answered", "grade", "load", "normalise", "split", "unparsable_kind"]

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
_WHOLE = re.compile(r"\s*(?:```|^(?:def|from|import|@|async def|class)\b|^@)", re.MULTILINE)


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


def program_text(prompt: str, completion: str) -> str:
    """The program that a completion of `prompt` states."""
    if _WHOLE.match(completion):
        return f"{prompt}\n{code_grading.unfence(completion)}"
    return prompt + code_grading.cut_at(completion, STOPS)


def split(text: str) -> tuple[str, ...]:
    """Steps are lines that end a statement."""
    return split_code(text)


def grade(questions: Sequence[Question], completions: Sequence[str]) -> list[Verdict]:
    """Run the programs against the benchmark's `check` in the sandbox."""
    from sapo.tasks.sandbox import Program

    programs = [
        Program(program_text(q.prompt, c), q.tests, (q.entry_point,), q.context)
        for q, c in zip(questions, completions, strict=True)
    ]
    return code_grading.judge(programs)


def answered(text: str) -> int | None:
    """A program is complete where the text goes on with something else (`STOPS`)."""
    return None if _WHOLE.match(text) else code_grading.stopped(text, STOPS)


def normalise(text: str) -> str:
    """Layout does not distinguish two completions; a body has no program to compare without its prompt."""
    if _WHOLE.match(text):
        return code_grading.canonical(code_grading.unfence(text))
    body = code_grading.cut_at(text, STOPS)
    return code_grading.canonical(f"def f():\n{body}")
