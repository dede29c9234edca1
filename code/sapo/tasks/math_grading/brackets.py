"""Cutting answers in LaTeX at what lies outside brackets, and matrices into their cells."""

import re

OPEN, CLOSE = "([{⟨", ")]}⟩"
_RELATION = re.compile(r"\\(?:le|ge|ne|approx)(?![A-Za-z])|[<>]|(?<![<>])=")
ROW_END = "¶"  # the two backslashes that end a row of a matrix
_MATRIX = re.compile(
    r"(\(|\[|\||\\\{)?\\begin\{([a-zA-Z]+)\*?\}(?:\{[lcr| ]*\}|\[[a-z]\])?"
    r"((?:(?!\\begin|\\end).)*)\\end\{\2\*?\}(\)|\]|\|)?"
)
_SYSTEMS = ("cases", "aligned", "align", "gathered")


def split_at(text: str, marks: str) -> list[str]:
    r"""Parts between the marks (single characters, or one command) that lie outside brackets."""
    parts, depth, start, position = [], 0, 0, 0
    command = marks.startswith("\\")
    while position < len(text):
        if text[position] == "\\" and not (command and text.startswith(marks, position) and depth == 0):
            depth += (text[position + 1 : position + 2] == "{") - (text[position + 1 : position + 2] == "}")
            position += 2
            continue
        depth += (text[position] in OPEN) - (text[position] in CLOSE)
        if depth == 0 and (text.startswith(marks, position) if command else text[position] in marks):
            parts.append(text[start:position].strip())
            start = position + (len(marks) if command else 1)
        position += 1
    return [*parts, text[start:].strip()]


def sides_of(text: str) -> list[str]:
    """`[left, sign, right, …]` for the relations outside brackets; one side where there is none."""
    found = list(_RELATION.finditer(text))
    if not found:
        return [text]
    sides, start = [], 0
    for sign in found:
        if _depth(text[: sign.start()]) == 0:
            sides += [text[start : sign.start()].strip(), sign.group()]
            start = sign.end()
    return [*sides, text[start:].strip()]


def _depth(text: str) -> int:
    return sum((c in OPEN) - (c in CLOSE) for c in text)


def deepest(text: str) -> int:
    """How deep brackets nest; those that never close count."""
    depth = most = 0
    for character in text:
        depth += (character in OPEN) - (character in CLOSE)
        most = max(most, depth)
    return most


def closes_at(text: str) -> int | None:
    """Place of the bracket that closes the one at the beginning; any closing kind, for half-open intervals."""
    depth = 0
    for position, character in enumerate(text):
        depth += (character in OPEN) - (character in CLOSE)
        if depth == 0 and character in CLOSE:
            return position
    return None


def closing(text: str, start: int, pair: str) -> int | None:
    """Place of the bracket (the second of the pair) that closes the one before `start`."""
    depth = 1
    for position in range(start, len(text)):
        depth += (text[position] == pair[0]) - (text[position] == pair[1])
        if depth == 0:
            return position
    return None


def both_signs(text: str) -> list[str]:
    r"""`2 \pm 3` as `2+3` and `2-3`, with `\mp` the other way round; else the text alone."""
    if r"\pm" not in text and r"\mp" not in text:
        return [text]
    chosen = [text.replace(r"\pm", one).replace(r"\mp", other) for one, other in ("+-", "-+")]
    return [re.sub(r"(^|[(\[,;=])\+ ?", r"\1", text) for text in chosen]


def matrix_rows(text: str) -> tuple[str, list[list[str]]]:
    """What kind of matrix a text is (`matrix`, whatever its brackets, or `determinant`) and its cells, if any."""
    found = _MATRIX.fullmatch(text)
    if found is None:
        return "", []
    kind = "determinant" if "|" in (found[1], found[4]) or found[2] in ("vmatrix", "cases") else "matrix"
    rows = [row for row in found[3].split(ROW_END) if row.strip()]
    return kind, [[cell.strip() for cell in row.split("&")] for row in rows]


def system(text: str) -> str | None:
    """The equations of `cases`, or of an array behind a brace, as a list; None for what else is in pieces."""
    found = _MATRIX.fullmatch(text)
    if found is None or (found[1] != r"\{" and found[2] not in _SYSTEMS):
        return None
    rows = [row.replace("&", "").strip() for row in found[3].split(ROW_END) if row.strip()]
    pieces = re.search(r"[^&]&[^&=]", found[3])  # a function in pieces, `value & condition`
    return ";".join(rows) if not pieces and all(re.search("[=<>]", row) for row in rows) else None
