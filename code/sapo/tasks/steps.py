r"""Cutting completions into steps: a step of maths is a line, a step of code a line that ends a statement.

Cuts lie only behind the last line break of a run of white space: blank lines belong to the step before them
(leading ones to the first step), so `"".join(split(text)) == text` and no step is blank unless the whole text is.
A byte-level tokenizer whose pre-tokens end with their line breaks (`\s*[\r\n]+`: Qwen 2.5, Llama 3; Gemma's are
runs of breaks) never has a token on both sides of a cut. GPT-2's older pattern glues a break to the indentation
behind it, and may.
"""

import itertools
import re

_SPACE = re.compile(r"\s+")
_TOKEN = re.compile(r"""#[^\n]*|'{3}|"{3}|'|"|\\(?:\r?\n|.)?|[][(){}]|\n|[^]\s#'"\\[(){}]+|[^\S\n]+""", re.DOTALL)
_STRING_END = {
    quote: re.compile(rf"\\(?:\r\n|.)|{quote}" + ("" if len(quote) == 3 else r"|\n"), re.DOTALL)
    for quote in ("'", '"', "'''", '"""')
}


def one_line(text: str) -> str:
    """A text with its white space folded, which does not distinguish two rationales."""
    return " ".join(text.split())


def split_lines(text: str) -> tuple[str, ...]:
    """Steps of a maths text: its lines, with blank lines attached. The empty text has no steps."""
    cuts = [0]
    for space in _SPACE.finditer(text):
        run = space.group()
        if "\n" in run and space.start() > 0 and space.end() < len(text):
            cuts.append(space.start() + max(run.rfind("\n"), run.rfind("\r")) + 1)
    cuts.append(len(text))
    return tuple(text[a:b] for a, b in itertools.pairwise(cuts) if b > a)


def split_code(text: str) -> tuple[str, ...]:
    """Steps of a Python text: its logical lines; a comment belongs to the statement below it.

    A cut never lies inside brackets, inside a string or behind a backslash, so every prefix of steps holds whole
    statements. Works on any text: a bracket or string that never closes makes the rest one step.
    """
    steps: list[str] = []
    held: list[str] = []
    state = LineScanner()
    for line in split_lines(text):
        held.append(line)
        if state.statement_ends(line):
            steps.append("".join(held))
            held = []
    if held and steps and state.between_statements:
        steps[-1] += "".join(held)  # comments behind the last statement
    elif held:
        steps.append("".join(held))
    return tuple(steps)


class LineScanner:
    """Reads Python line by line: open brackets (`depth`), the open string (`quote`), whether a statement has begun."""

    def __init__(self) -> None:
        self.depth = 0
        self.quote = ""
        self.ink = False

    @property
    def between_statements(self) -> bool:
        """Nothing but comments and blanks since the last statement."""
        return not (self.ink or self.quote or self.depth)

    def statement_ends(self, line: str) -> bool:
        """Read one line (with its blank lines); whether a statement ended in it."""
        ended, position = False, 0
        while position < len(line):
            if self.quote:
                position = self._read_string(line, position)
                continue
            found = _TOKEN.match(line, position)
            if found is None:
                raise AssertionError(f"no token at {line[position:][:20]!r}")
            position = found.end()
            ended = self._read(found.group()) or ended
        return ended and self.between_statements

    def _read(self, token: str) -> bool:
        if token == "\n":
            ended = self.ink and self.depth == 0
            self.ink = self.ink and not ended
            return ended
        if token in _STRING_END:
            self.quote = token
        elif token in "([{":
            self.depth += 1
        elif token in ")]}":
            self.depth = max(0, self.depth - 1)
        self.ink = self.ink or not (token[0] == "#" or token.isspace())
        return False

    def _read_string(self, line: str, start: int) -> int:
        """Position behind the end of the open string, or of the line; a plain string also ends with its line."""
        for found in _STRING_END[self.quote].finditer(line, start):
            if found.group()[0] != "\\":
                self.quote = ""
                return found.end() - (found.group() == "\n")
        return len(line)
