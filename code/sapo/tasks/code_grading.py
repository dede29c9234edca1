"""What MBPP and HumanEval share: reading programs out of completions, and judging them in the sandbox."""

import ast
import contextlib
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sapo.records import Verdict

if TYPE_CHECKING:
    from sapo.tasks.sandbox import Program

MAX_SOURCE = 100_000  # characters; no solution of these benchmarks comes near, and parsing time grows with it


def syntax_tree(source: str) -> ast.Module | None:
    """Python's reading of a text of at most `MAX_SOURCE` characters, or None; warnings about its style are dropped."""
    if len(source) > MAX_SOURCE:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, MemoryError, RecursionError, OverflowError):
        return None


def parses(source: str) -> bool:
    """Whether `syntax_tree` can read a text."""
    return syntax_tree(source) is not None


def unfence(text: str) -> str:
    """The program in a Markdown answer: the text before the first fence where that is a program, else the first block.

    A text without a fence is returned as it is; a block that never closes goes to the end of the text.
    """
    before, mark, behind = text.partition("```")
    if not mark or (before.strip() and parses(before)):
        return before
    first_line, _, block = behind.partition("\n")
    return (block if first_line.strip().isalnum() or not first_line.strip() else behind).partition("```")[0]


def cut_at(text: str, stops: Sequence[str]) -> str:
    """The text before the first of `stops`."""
    ends = [position for stop in stops if (position := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text


def stopped(text: str, stops: Sequence[str]) -> int | None:
    """Where the first of `stops` is, if there is one and no Markdown fence makes the layout another."""
    end = len(cut_at(text, stops))
    return end if end < len(text) and "```" not in text else None


def canonical(source: str) -> str:
    """The program without comments and layout where it parses, else its text without blanks at line ends."""
    tree = syntax_tree(source)
    if tree is not None:
        with contextlib.suppress(RecursionError, MemoryError, ValueError):
            return ast.unparse(tree)
    return "\n".join(line.rstrip() for line in source.strip().splitlines())


def unparsable_kind(completion: str) -> str:
    """All that a program can lack before it is run."""
    return "no program that parses"


def judge(programs: Sequence["Program"]) -> list[Verdict]:
    """Verdicts of the shared sandbox: PASS is right, a source that does not parse unparsable, all else wrong.

    Raises:
        SandboxError: the sandbox itself failed; that is never counted against a program.
    """
    from sapo.tasks.sandbox import shared_sandbox  # starts processes: only when code is judged

    readable = [index for index, program in enumerate(programs) if parses(program.source)]
    statuses = shared_sandbox().judge([programs[index] for index in readable])
    verdicts: list[Verdict] = ["unparsable"] * len(programs)
    for index, status in zip(readable, statuses, strict=True):
        verdicts[index] = "right" if status == "PASS" else "wrong"
    return verdicts
