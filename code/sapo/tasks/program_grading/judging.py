"""What the code tasks share: Python's reading of a text, and verdicts of the sandbox."""

import ast
import contextlib
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sapo.records import BadInput, Verdict

if TYPE_CHECKING:
    from strict_sandbox import Program

MAX_SOURCE = 100_000  # characters; no solution of these benchmarks comes near, and parsing time grows with it


class CodeJudgeError(BadInput):
    """The sandbox or a benchmark's tests failed, not a program; the message says how to mend it."""


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
        CodeJudgeError: the sandbox itself failed; that is never counted against a program.
    """
    from strict_sandbox import SandboxError, shared_sandbox  # starts processes: only when code is judged

    readable = [index for index, program in enumerate(programs) if parses(program.source)]
    try:
        statuses = shared_sandbox().judge([programs[index] for index in readable])
    except SandboxError as error:
        raise CodeJudgeError(str(error)) from None
    verdicts: list[Verdict] = ["unparsable"] * len(programs)
    for index, status in zip(readable, statuses, strict=True):
        verdicts[index] = "right" if status == "PASS" else "wrong"
    return verdicts
