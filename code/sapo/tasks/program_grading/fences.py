"""The Markdown code blocks of a text, and the text around them.

A block is opened by three or more backticks or tildes, and closed by a line of at least as many. Beyond CommonMark,
what language models write is read too: an opening fence behind prose (`Here it is: ```python`), code on the fence's
own line, a closing fence glued to the last line of code, a new opening fence that ends a block nobody closed, blocks
in lists and quotations. Fences inside Python's triple-quoted strings are text.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from sapo.tasks.program_grading.python_in_prose import DEFINITION
from sapo.tasks.steps import LineScanner

_OPENING = re.compile(r"(?P<before>[^`]*?)(?P<fence>`{3,}|~{3,})(?P<info>[^`]*)")
_ONE_LINE = re.compile(r"(?P<before>[^`]*?)(`{3,})\s*(?:(?:python3?|py)\s+)?(?P<code>[^`]*[^`\s])\s*\2\s*")
_LANGUAGE = re.compile(r"\s*(?:python3?|py)\b:?[ \t]*", re.IGNORECASE)
_MARKER = re.compile(r"[ \t>]*(?:[-*+]|\d+[.)])?[ \t]*")  # of a list or a quotation
_GLUED_TRIES = 50  # closing fences at ends of lines that are tried in one text; each is one parse


@dataclass(slots=True)
class _Block:
    """A block that is being read: its fence, how far it is indented, its lines so far."""

    fence: str
    indent: int
    quoted: bool
    lines: list[str] = field(default_factory=list)
    scanner: LineScanner = field(default_factory=LineScanner)

    def inner(self, line: str) -> str:
        """The line without the quotation mark or the indentation that the opening fence had too."""
        if self.quoted:
            return re.sub(r"^\s*> ?", "", line)
        return line[min(self.indent, len(line) - len(line.lstrip())) :]

    def add(self, line: str) -> None:
        self.lines.append(line)
        self.scanner.statement_ends(line + "\n")

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def split_blocks(text: str, parses: Callable[[str], bool], strings: bool = True) -> tuple[list[str], str]:
    """The contents of all blocks in order, one that never closes included, and the text outside of them.

    Args:
        parses: whether a text is Python, which tells a closing fence at the end of a line of code from other uses.
        strings: take fences inside triple-quoted strings for text.
    """
    found: list[str] = []
    outside: list[str] = []
    block: _Block | None = None
    tries = _GLUED_TRIES
    for line in text.split("\n"):
        if block is None:
            block = _opened(line, found, outside)
            continue
        inner = block.inner(line)
        char, length = block.fence[0], len(block.fence)
        end = len(inner.rstrip()) - len(inner.rstrip().rstrip(char))
        if strings and block.scanner.quote in ("'''", '"""'):
            block.add(inner)
        elif end >= length and inner.strip() == char * end:
            found.append(block.text)
            block = None
        elif end >= length and tries > 0 and parses("\n".join([*block.lines, inner.rstrip()[:-end]])):
            found.append("\n".join([*block.lines, inner.rstrip()[:-end]]))
            block = None
        elif (again := _OPENING.fullmatch(inner)) and not again["before"].strip() and again["fence"] == block.fence:
            found.append(block.text)
            block = _opened(line, found, outside)
        else:
            tries -= end >= length
            block.add(inner)
    return found + ([block.text] if block else []), "\n".join(outside)


def _opened(line: str, found: list[str], outside: list[str]) -> _Block | None:
    """What a line outside of blocks begins: a block, or none; a block on this one line is found at once."""
    if whole := _ONE_LINE.fullmatch(line):
        found.append(whole["code"])
        outside.append(whole["before"])
        return None
    opening = _OPENING.fullmatch(line)
    if opening is None or (opening["fence"][0] == "~" and not _MARKER.fullmatch(opening["before"])):
        outside.append(line)
        return None
    before = opening["before"]
    marked = _MARKER.fullmatch(before) is not None
    outside.append("" if marked else before)
    block = _Block(opening["fence"], len(before) if marked else 0, marked and ">" in before)
    code = _LANGUAGE.sub("", opening["info"], count=1)
    if DEFINITION.match(code):
        block.add(code)
    return block
