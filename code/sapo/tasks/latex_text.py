r"""One spelling for answers in LaTeX or plain notation, before anything is parsed: pure text, linear patterns.

What goes: dollar signs, layout (`\left`, `\,`, `\dfrac`), a closing full stop, units in words (`5\text{ cm}^2`,
`5 inches`, `90^\circ`), `\text` around words. What is made explicit: `\frac12`, `\sqrt2`, `{,}` and `,\!` of
thousands, `sqrt(2)`, `pi`, `<=`, `and`. Units go because golds name them at will: `5`, `5 cm` and `5 ft` cannot all
be told apart and still leave equality transitive; the question fixes the unit.
"""

import re
from functools import lru_cache

from sapo.tasks.math_answers import Number, read_number

ROW_END = "¶"  # the two backslashes that end a row of a matrix

_UNICODE = {
    "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": "/", "≤": r"\le ", "≥": r"\ge ",
    "≠": r"\ne ", "∞": r"\infty ", "∪": r"\cup ", "∈": r"\in ", "π": r"\pi ", "±": r"\pm ", "°": r"^\circ ",
    "²": "^{2}", "³": "^{3}", "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "√": r"\sqrt",
    "\u00a0": " ", "\u2009": " ", "’": "'", "θ": r"\theta ", "∅": r"\emptyset ",
}  # fmt: skip
_TRANSLATE = str.maketrans(_UNICODE)

_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"))
_LAYOUT = re.compile(
    r"\\(?:left|right|bigl|bigr|Bigl|Bigr|biggl|biggr|big|Big|bigg|displaystyle|textstyle|limits|hfill)(?![A-Za-z])\.?"
)
_CURRENCY = re.compile("[$€£¥]")
_THOUSANDS = re.compile(r"(?<=[0-9]),\s*\\!\s*(?=[0-9]{3}(?![0-9]))|(?<=[0-9])\{,\}(?=[0-9]{3}(?![0-9]))")
_SPACES = re.compile(r"\\[,;:>/ ]|~|\\q?quad(?![A-Za-z])|\\(?:thin|med|thick)space(?![A-Za-z])|\s")
_TEXT = re.compile(r"\\(?:mbox|textrm|textbf|textit|textsf|texttt|mathrm|mathbf|mathit|mathsf|operatorname|bold)\s*\{")
_TEXT_SPACE = re.compile(r"\\text\s+\{")
_AND = re.compile(r"\\text\{\s*,?\s*(?:and|or)\s*\}|(?<![A-Za-z\\{])(?:and|or)(?![A-Za-z])")
_COMMAS = re.compile(r"\s*,(?:\s*,)+\s*")
_UNIT_TEXT = re.compile(r"(?<=[0-9A-Za-z})!]) *(?:\\text\{[^{}]*\}) *(?:\^ *(?:\{[0-9]\}|[0-9]))? *$")
_SCALE_TEXT = re.compile(
    r" *\\text\{ *(hundred|thousand|million|billion|trillion|percent|dozen|(?:and a )?half)\b([^{}]*)\}"
)
_UNITS = (
    "degrees?|radians?|dollars?|cents?|pounds?|euros?|inch(?:es)?|feet|foot|ft|yards?|miles?|mph|kph|"
    "mm|cm|km|meters?|metres?|kg|grams?|gm|lbs?|oz|ounces?|tons?|liters?|litres?|ml|gallons?|quarts?|pints?|cups?|"
    "seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?|months?|years?|units?|people|students?|ways?|points?|"
    "times|pieces?|integers?|numbers?|solutions?|digits?|edges?|sides?|faces?|games?|books?|apples?"
)
_UNIT_WORDS = re.compile(
    r"(?<=[0-9})!]) *(?:(?:square|cubic|sq\.?|cu\.?) +)?"
    rf"(?:{_UNITS})(?:\^(?:\{{[23]\}}|[23]))?(?:[ /]+[a-z]+){{0,3}}\.?$"
)
_WORDS_BEHIND = re.compile(r"-?[0-9.,/]+ [A-Za-z]{3}")
_DEGREE = re.compile(r"\^ *(?:\{ *\\circ *\}|\\circ(?![A-Za-z]))|\\degree(?![A-Za-z])")
_FRACTION = re.compile(r"\\[dtc]frac(?![A-Za-z])")
_OPERATORS = {
    "**": "^", "<=": r"\le ", ">=": r"\ge ", "!=": r"\ne ", "*": r"\cdot ", r"\geq": r"\ge ", r"\leq": r"\le ",
    r"\geqslant": r"\ge ", r"\leqslant": r"\le ", r"\neq": r"\ne ", r"\lt": "<", r"\gt": ">", r"\div": "/",
    r"\times": r"\cdot ", r"\ne": r"\ne ", r"\ge": r"\ge ", r"\le": r"\le ", r"\varnothing": r"\emptyset ",
    r"\langle": "⟨", r"\rangle": "⟩", r"\lbrace": r"\{", r"\rbrace": r"\}",
    r"\lvert": "|", r"\rvert": "|", r"\vert": "|", r"\mid": "|",
    r"\mathopen": "", r"\mathclose": "",
}  # fmt: skip
_OPERATOR = re.compile(r"\*\*|<=|>=|!=|\*|\\[A-Za-z]+")
_FUNCTION = re.compile(
    r"(?<![A-Za-z\\])(arcsin|arccos|arctan|sin|cos|tan|cot|sec|csc|log|ln|exp|pi|infinity|theta)(?![A-Za-z])"
)
_PLAIN_ROOT = re.compile(r"(?<![A-Za-z\\])sqrt|\\sqrt(?=\()")
_TIGHT = re.compile(r" +(?![A-Za-z0-9])|(?<![A-Za-z0-9]) +")


@lru_cache(maxsize=65536)
def clean(text: str) -> str:
    r"""The one spelling of an answer. Two answers with the same one are equal; the reverse is for `latex_keys`."""
    text = _unwrap(text.translate(_TRANSLATE).strip()).replace("\\\\", ROW_END)
    text = _LAYOUT.sub("", _THOUSANDS.sub(",", text)).replace(r"\!", "")
    text = text.replace(r"\%", "%").replace("\\$", "$")
    text = _CURRENCY.sub("", text)
    text = _TEXT_SPACE.sub(r"\\text{", _TEXT.sub(r"\\text{", _FRACTION.sub(r"\\frac", text)))
    text = _SPACES.sub(" ", text)
    if not text.startswith(r"\text{") or text.find("}") < len(text) - 1:
        text = _COMMAS.sub(", ", _AND.sub(",", text)).strip(" ,;")
    text = _SCALE_TEXT.sub(r" \1\2", text)
    text = _DEGREE.sub("°", text.rstrip(" .") if not text.endswith("!.") else text)
    text = _UNIT_WORDS.sub("", _UNIT_TEXT.sub("", text)).strip()
    text = _OPERATOR.sub(lambda found: _OPERATORS.get(found.group(), found.group()), text)
    text = re.sub(r"_([0-9]) (?=[0-9])", r"_{\1} ", _plain_notation(text))
    text = _explicit_arguments(text)
    return _TIGHT.sub("", re.sub(r" +", " ", text)).strip()


def plain_number(cleaned: str) -> Number | None:
    """The number that a cleaned answer states in decimal notation, words behind it allowed (`18 marbles`)."""
    value = read_number(cleaned.removesuffix("°"), units=False)
    return read_number(cleaned) if value is None and _WORDS_BEHIND.match(cleaned) else value


def _unwrap(text: str) -> str:
    for left, right in _DELIMITERS:
        if len(text) > len(left) + len(right) and text.startswith(left) and text.endswith(right):
            inner = text[len(left) : -len(right)]
            if left[0] not in "$*" or left[0] not in inner.replace(r"\$", ""):
                text = inner.strip()
    return text.rstrip(".").strip() if not text.endswith("..") else text


def _plain_notation(text: str) -> str:
    text = _FUNCTION.sub(lambda found: {"infinity": r"\infty "}.get(found[1], f"\\{found[1]} "), text)
    text = _PLAIN_ROOT.sub(r"\\sqrt", text)
    for opening in (r"\sqrt(", "^("):
        position = 0
        while (position := text.find(opening, position)) >= 0:
            start = position + len(opening)
            end = _closing(text, start, "()")
            if end is None:
                break
            text = f"{text[: start - 1]}{{{text[start:end]}}}{text[end + 1 :]}"
            position = start
    return text


def _closing(text: str, start: int, pair: str) -> int | None:
    """Place of the bracket that closes the one before `start`."""
    depth = 1
    for position in range(start, len(text)):
        depth += (text[position] == pair[0]) - (text[position] == pair[1])
        if depth == 0:
            return position
    return None


def _explicit_arguments(text: str) -> str:
    r"""Braces around the arguments of `\frac` and `\sqrt`: `\frac1{2x}` becomes `\frac{1}{2x}`."""
    out, position = [], 0
    for found in re.finditer(r"\\(frac|sqrt)(?![A-Za-z])", text):
        if found.start() < position:
            continue
        out.append(text[position : found.end()])
        position = found.end()
        if found[1] == "sqrt" and (root := re.compile(r" *\[[^][]*\]").match(text, position)):
            out.append(root.group().strip())
            position = root.end()
        for _ in range(2 if found[1] == "frac" else 1):
            argument, position = _argument(text, position)
            out.append(argument)
    return "".join([*out, text[position:]])


_TOKEN = re.compile(r" *(\\[A-Za-z]+|[0-9A-Za-z])")


def _argument(text: str, position: int) -> tuple[str, int]:
    opened = re.compile(r" *\{").match(text, position)
    if opened:
        end = _closing(text, opened.end(), "{}")
        if end is None:
            return "", position
        return "{" + _explicit_arguments(text[opened.end() : end]) + "}", end + 1
    token = _TOKEN.match(text, position)
    if token is None:
        return "", position
    if token[1] in (r"\frac", r"\sqrt"):
        return "", position
    return "{" + token[1] + "}", token.end()
