r"""Which text of a completion is the program: the one rule of MBPP and HumanEval (docs/judging.md has examples).

**Cut**, the official rule for base models: a completion goes on where its prompt ends, so the program is prompt +
completion up to the first stop (`\ndef`, `\nprint`, …) outside of string literals. It judges wherever that is Python
and holds the asked function.

**Extract**, for what chat models write, judges other completions. Thinking (`<think>…</think>`) is dropped. Of the
rest, the program is the first of these that is Python and defines the asked function: the whole text; the fenced
blocks, the last one first; the text outside of them; an indented text that continues the prompt's function. Each may
be a transcript of a session (`>>> `) or have prose before, between and after its statements. Prose is dropped, but
what begins like a definition or an import and is no Python is not prose: such a text has no program, unless the same
name is defined again. Asserts, prints and main guards at the top level are the author's own tests and do not run.

First of all, byte order marks and zero-width characters at the beginning go, and `\r\n` becomes `\n`.
"""

import ast
import builtins
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from sapo.tasks.program_grading.fences import split_blocks
from sapo.tasks.program_grading.judging import MAX_SOURCE, parses, syntax_tree
from sapo.tasks.program_grading.python_in_prose import DEFINITION, STATEMENT, bound_names, session, statements
from sapo.tasks.steps import LineScanner

ProgramRule = Literal["cut", "extract"]
MAX_NESTING = 3  # blocks in blocks

_INVISIBLE = "\ufeff\u200b\u2060"
_TAG = r"[<\[]{}(?:think|thinking|thought|thoughts|reasoning|reflection|scratchpad)[>\]]"
_THOUGHT = re.compile(f"{_TAG.format('')}.*?{_TAG.format('/')}", re.DOTALL | re.IGNORECASE)
_THOUGHT_CLOSE = re.compile(_TAG.format("/"), re.IGNORECASE)
_THOUGHT_END = re.compile(rf"^[ \t]*{_TAG.format('/')}|{_TAG.format('/')}[ \t]*$", re.MULTILINE | re.IGNORECASE)
_THOUGHT_BEGINS = re.compile(rf"^[ \t]*{_TAG.format('')}", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ProgramText:
    """A program to run behind its prompt's helpers, and the rule that found it; `none`: the cut text stands for it."""

    source: str
    found_by: Literal["cut", "extract", "none"]


def read_program(
    completion: str, name: str, stops: Sequence[str], prompt: str = "", rule: ProgramRule = "extract"
) -> ProgramText:
    """The program that a completion states.

    Args:
        name: the function that is asked for; empty for any.
        stops: what ends a continuation; each begins with a line break.
        prompt: Python that ends in the function's docstring, where completions continue one.
        rule: `cut` reads continuations alone; `extract` goes on to other layouts where they hold no program.
    """
    text = without_marks(completion)
    cut = prompt + cut_at(text, stops)
    if _continues(cut, prompt, name) if prompt else _defines(cut, name):
        return ProgramText(cut, "cut")
    if rule == "extract" and len(text) <= MAX_SOURCE and "\0" not in text:
        for candidate in _candidates(text):
            if _defines(candidate, name):
                return ProgramText(without_tests(candidate), "extract")
        for body in _bodies(text, stops) if prompt else ():
            if _continues(f"{prompt}\n{body}", prompt, name):
                return ProgramText(f"{prompt}\n{body}", "extract")
    return ProgramText(cut, "none")


def without_marks(text: str) -> str:
    r"""The text with `\n` line ends and without invisible characters at its beginning."""
    return text.lstrip(_INVISIBLE).replace("\r\n", "\n").replace("\r", "\n")


def cut_at(text: str, stops: Sequence[str]) -> str:
    r"""The text before the first of `stops` (`\n…`) outside of string literals."""
    positions = [position for stop in stops if (position := text.find(stop)) >= 0]
    if not positions:
        return text
    scanner = LineScanner()
    start, end = 0, text.find("\n")
    while end >= 0:
        scanner.statement_ends(text[start : end + 1])
        if not scanner.quote and text.startswith(tuple(stops), end):
            return text[:end]
        start, end = end + 1, text.find("\n", end + 1)
    scanner.statement_ends(text[start:])
    return text[: min(positions)] if scanner.quote else text  # a string that never closes hides no stop


def stopped(text: str, stops: Sequence[str]) -> int | None:
    """Where a stop ends the continuation that a text begins with, unless there is thinking or a fence in it."""
    end = len(cut_at(text, stops))
    return end if end < len(text) and not any(mark in text for mark in ("```", "~~~", "<think")) else None


def without_thinking(text: str) -> str:
    """The text behind a reasoning model's thinking; behind thinking that never ends there is none."""
    closed = max((found.end() for found in _THOUGHT_CLOSE.finditer(text)), default=0)
    text = _THOUGHT.sub("", text[:closed]) + text[closed:]
    ends = [found.end() for found in _THOUGHT_END.finditer(text)]
    text = text[ends[-1] :] if ends else text
    begins = _THOUGHT_BEGINS.search(text)
    return text[: begins.start()] if begins else text


def without_tests(source: str) -> str:
    """The program without asserts, prints and main guards of its top level, their lines left blank."""
    tree = syntax_tree(source)
    body = tree.body if tree else []
    lines = source.split("\n")
    for index, node in enumerate(body):
        first, last = node.lineno, node.end_lineno or node.lineno
        others = [other for other in body[max(0, index - 1) : index + 2] if other is not node]
        if _is_test(node) and not any(first <= line <= last for o in others for line in (o.lineno, o.end_lineno or 0)):
            lines[first - 1 : last] = [""] * (last - first + 1)
    return "\n".join(lines)


def _is_test(node: ast.stmt) -> bool:
    match node:
        case ast.Assert() | ast.Expr(ast.Call(ast.Name("print"))) | ast.If(ast.Compare(ast.Name("__name__"))):
            return True
    return False


def _defines(source: str, name: str) -> bool:
    """Whether the text is Python whose top level binds the name; any function where none is named.

    Words that nothing binds and that nothing is done with (`Answer`, `[BEGIN]`) are prose: such a text is no program.
    """
    tree = syntax_tree(source)
    if tree is None:
        return False
    names = bound_names(tree)
    idle = [node for node in tree.body if isinstance(node, ast.Expr) and not _calls(node)]
    words = {part.id for node in idle for part in ast.walk(node) if isinstance(part, ast.Name)}
    functions = any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in tree.body)
    return (name in names if name else functions) and words <= {*names, *dir(builtins)}


def _calls(node: ast.AST) -> bool:
    return any(isinstance(part, ast.Call) for part in ast.walk(node))


def _continues(source: str, prompt: str, name: str) -> bool:
    """Whether the text is Python in which the prompt's function goes on below the prompt's last line."""
    tree, last = syntax_tree(source), len(prompt.rstrip().split("\n"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)] if tree else []
    return any(node.name == name and node.lineno <= last < (node.end_lineno or 0) for node in functions)


def _candidates(text: str, nesting: int = 0) -> Iterator[str]:
    """Texts that may be the program, best first (see the module's rule)."""
    yield from _layouts(text)
    answer = without_thinking(text)
    for blocks, outside in _readings(answer) if nesting < MAX_NESTING else ():
        for block in reversed(blocks):
            yield from _candidates(without_marks(block), nesting + 1)
        yield from _layouts(outside)
        yield statements(outside)
        yield statements(session(outside))


def _readings(text: str) -> Iterator[tuple[list[str], str]]:
    """The blocks of a text and what is outside; again with fences inside strings for fences, if that may differ."""
    yield split_blocks(text, parses)
    if ("```" in text or "~~~" in text) and ('"""' in text or "'''" in text):
        yield split_blocks(text, parses, strings=False)


def _layouts(text: str) -> Iterator[str]:
    """The text, then without common indentation, then with spaces for the tabs that lines begin with."""
    yield text
    yield textwrap.dedent(text)
    if "\t" in text:
        yield _spaces(text)


def _spaces(text: str) -> str:
    return re.sub(r"^[ \t]+", lambda blank: blank.group().replace("\t", "    "), text, flags=re.MULTILINE)


def _bodies(text: str, stops: Sequence[str]) -> Iterator[str]:
    """Texts that may continue the prompt's function, best first."""
    answer = without_thinking(text)
    for blocks, outside in _readings(answer):
        for part in (answer, *reversed(blocks), outside):
            for body in (cut_at(part, stops), _indented(part)):
                yield body
                if "\t" in body:
                    yield _spaces(body)


def _indented(text: str) -> str:
    """The first indented lines of a text, up to the next line that is not; empty where a statement comes before."""
    lines = text.split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip() and line[0].isspace()), len(lines))
    if any(DEFINITION.match(line) or STATEMENT.match(line) for line in lines[:first]):
        return ""
    scanner = LineScanner()
    for number in range(first, len(lines)):
        line = lines[number]
        if line.strip() and not line[0].isspace() and scanner.between_statements:
            return "\n".join(lines[first:number])
        scanner.statement_ends(line + "\n")
    return "\n".join(lines[first:])
