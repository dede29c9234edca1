r"""One spelling for answers in LaTeX or plain notation, before anything is parsed: pure text, linear patterns.

What goes: dollar signs, layout (`\left`, `\,`, `\dfrac`), a closing full stop, units in words (`5\text{ cm}^2`,
`5 inches`, `90^\circ`), remarks (`180 (days)`), `\text` around words. What is made explicit: `\frac12`, `\sqrt2`,
`{a \over b}`, `{,}`, `,\!` and `\,` of thousands, `1.\dot3`, bases in words, `sqrt(2)`, `pi`, `<=`, `and`. A comma
with a space behind it becomes `;`, so that the list `31, 347` is not the number `31,347`. Units go because golds name
them at will: `5`, `5 cm` and `5 ft` cannot all be told apart and still leave equality transitive; the question fixes
the unit. Times of day keep their half: `\text{3:45 PM}` becomes `3:45 pm`.
"""

import re
from functools import lru_cache

from sapo.tasks.math_grading.brackets import ROW_END, closing
from sapo.tasks.math_grading.numbers import CHANGING_WORDS, NUMBER_WORDS

_UNICODE = {
    "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": "/", "≤": r"\le ", "≥": r"\ge ",
    "≠": r"\ne ", "∞": r"\infty ", "∪": r"\cup ", "∈": r"\in ", "π": r"\pi ", "±": r"\pm ", "°": r"^\circ ",
    "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}",
    "√": r"\sqrt", "\u00a0": " ", "\u2009": " ", "\u202f": " ", "’": "'", "′": "'", "θ": r"\theta ", "∅": r"\emptyset ",
    "ℝ": r"\mathbb{R}", "∖": r"\setminus ", "∠": r"\angle ", "≈": r"\approx ", "…": r"\ldots ",
    **{digit: f"^{{{n}}}" for n, digit in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    **{digit: f"_{{{n}}}" for n, digit in enumerate("₀₁₂₃₄₅₆₇₈₉")},
}  # fmt: skip
_TRANSLATE = str.maketrans(_UNICODE)

_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"))
_LAYOUT = re.compile(
    r"\\(?:left|right|middle|bigl|bigr|Bigl|Bigr|biggl|biggr|big|Big|bigg|displaystyle|textstyle|limits|hfill|hline)"
    r"(?![A-Za-z])\.?|\\phantom\{[^{}]*\}"
)
_CURRENCY = re.compile("[$€£¥]")
_SEPARATOR = r"(?:,\s*\\!\s*|\{,\}|\\[,:>]\s*)"
_THOUSANDS = re.compile(rf"(?<![0-9.])(?<![0-9],)[0-9]{{1,3}}(?:{_SEPARATOR}[0-9]{{3}})+(?![0-9])")
_SPACES = re.compile(r"\\[,;:>/ ]|~|\\q?quad(?![A-Za-z])|\\(?:thin|med|thick)space(?![A-Za-z])|\s")
_ONE = re.compile(
    r"\\(?:math(?:rm|bf|it|sf)|bold(?:symbol)?|bm|operatorname|text(?:bf|it|rm)?)\{([eij]|(?<=bf\{)[A-Za-z]|"
    r"(?<=symbol\{)[A-Za-z]|(?<=bm\{)[A-Za-z]|(?<=it\{)[a-z]|\\pi|[-+0-9.,/%]+)\}"
)
_REALS = re.compile(
    r"\\(?:mathbb|mathbf|Bbb) ?\{?R\}?(?![A-Za-z])|^(?:\\text\{)?all reals?(?: numbers?)?\}?$", re.IGNORECASE
)
_EXCEPT = re.compile(
    r"^(?:\\text\{ *)?all reals?(?: numbers?)?(?: x)? (?:except|but|other than)(?: for)? *\}? *(?:x *= *)?"
)
_QUOTIENT_UNIT = re.compile(r"\\frac\{(\\text\{[^{}]*\})\}\{(\\text\{[^{}]*\})(\^ *\{?[0-9]\}?)?\}")
_NAMED = re.compile(
    r"\\(?:operatorname\*?|mathrm|text|mbox)\{\s*((?:arc)?(?:sin|cos|tan|cot|sec|csc)h?|ln|log|exp|gcd|lcm|max|min)\s*\}",
    re.IGNORECASE,
)
_TEXT = re.compile(
    r"\\(?:mbox|textrm|textbf|textit|textsf|texttt|textnormal|math(?:rm|bf|it|sf)|operatorname|bold)\s*\{"
)
_TEXT_SPACE = re.compile(r"\\text\s+\{")
_NO_WORDS = re.compile(r"\\text\{([^A-Za-z{}]*)\}|^\\text\{ *([-+]?[.0-9][^{}]*)\}$")
_LABEL_TEXT = re.compile(r"^\\text\{[^{}]*(?:[:=]| is| are) *\}(?=.)")
_APPROXIMATELY = re.compile(
    r"^(?:\\approx(?![A-Za-z])|\\sim(?![A-Za-z])|(?:\\text\{ *)?(?:about|approximately)\b *\}?) *"
)
_AND = re.compile(
    r"\\text\{\s*,?\s*(?:and|or)\s*,?\s*\}|(?<![A-Za-z\\{])(?:and|or)(?![A-Za-z])|\\(?:lor|vee)(?![A-Za-z])"
)
_COMMAS = re.compile(r"\s*,(?:\s*,)+\s*")
_REMARK = re.compile(r"(?<=[0-9A-Za-z}%°!]) *(?:\\text\{ *)?\(([A-Za-z][A-Za-z .'-]+)\)\}?(?= |$)")
_CLOCK = re.compile(
    r"(?:\\text\{ *)?0?([0-9]{1,2})(?:(?:\}|\\text\{)?:(?:\}|\\text\{)?([0-9]{2}))? *"
    r"(?:\\text\{ *)?\(?([AaPp])\.? ?[Mm]\.?\)? *\}?"
)
_TEXT_BLOCK = r"\\text\{(?:[^{}]|\{[^{}]*\})*\}"
_UNIT_TEXT = re.compile(
    rf"(?<=[0-9A-Za-z}})!°%]) *({_TEXT_BLOCK})(?: *(?:{_TEXT_BLOCK}|/|\\cdot|\^ *(?:\{{-?[0-9]\}}|-?[0-9])))* *$"
)
_SCALE_TEXT = re.compile(
    r" *\\text\{ *(hundred|thousand|million|billion|trillion|percent|dozen|(?:and a )?half)\b([^{}]*)\}"
)
_UNITS = (
    "degrees?|radians?|dollars?|cents?|pounds?|euros?|inch(?:es)?|feet|foot|ft|yards?|miles?|mph|kph|"
    "mm|cm|km|meters?|metres?|centimeters?|kilometers?|kg|grams?|gm|lbs?|oz|ounces?|tons?|liters?|litres?|ml|gallons?|"
    "quarts?|pints?|cups?|seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?|months?|years?|units?|people|students?|"
    "ways?|points?|times|pieces?|integers?|numbers?|solutions?|digits?|edges?|sides?|faces?|games?|books?|apples?|(?:k?m|cm|ft|mi|k?g)/(?:s|h|hr|min|sec)|in(?=\\^)"
)
_UNIT_WORDS = re.compile(
    r"(?:(?<=[0-9})!°]) *|(?<=\\pi) +)(?:(?:square|cubic|sq\.?|cu\.?) +)?"
    rf"(?:{_UNITS}|\\Omega)(?:\^(?:\{{[23]\}}|[23]))?(?:[ /]+[a-z]+){{0,3}}\.?$"
)
_DEGREE = re.compile(r"\^ *(?:\{ *\\circ *\}|\\circ(?![A-Za-z]))|\\degree(?![A-Za-z])")
_TEMPERATURE = re.compile(r"° *(?:\\text\{ *)?[CF]\}?$")
_FRACTION = re.compile(r"\\[dtc]frac(?![A-Za-z])")
_BASES = {word: n for n, word in enumerate(NUMBER_WORDS[:17]) if n > 1}
_BASE = re.compile(
    rf"(?<=[0-9A-F)}}])( *_)?((?:[{{( ]|\\text *\{{)*)(base *[}})]*[ {{]*)?({'|'.join(_BASES)}|[0-9]{{1,2}})[)}} ]*$"
)
_NUMERAL = re.compile(r"[({] *(-?[0-9A-F.]+) *[)}](?=_)")
_GROUPED = re.compile(r"(?<![A-Za-z}\]_^\\])\{([A-Za-z0-9]|\\[A-Za-z]+)\}(?=[_^])")
_DOTS = re.compile(r"(?<=\.)([0-9]*)\\dot ?\{?([0-9])\}?(?:([0-9]*)\\dot ?\{?([0-9])\}?)?(?![0-9])")
_AGAIN = re.compile(r"(?<=\.)([0-9]*?)(?:\(([0-9]+)\)|([0-9])\3{2,} ?\\[lc]?dots)$")
_OVER = re.compile(r"\\over(?![A-Za-z])")
_OPERATORS = {
    "**": "^", "<=": r"\le ", ">=": r"\ge ", "!=": r"\ne ", "*": r"\cdot ", r"\geq": r"\ge ", r"\leq": r"\le ",
    r"\geqslant": r"\ge ", r"\leqslant": r"\le ", r"\neq": r"\ne ", r"\lt": "<", r"\gt": ">", r"\div": "/",
    r"\times": r"\cdot ", r"\ne": r"\ne ", r"\ge": r"\ge ", r"\le": r"\le ", r"\varnothing": r"\emptyset ",
    r"\langle": "⟨", r"\rangle": "⟩", r"\lbrace": r"\{", r"\rbrace": r"\}", r"\backslash": r"\setminus ",
    r"\lvert": "|", r"\rvert": "|", r"\vert": "|", r"\mid": "|", r"\bigcup": r"\cup ", r"\colon": ":",
    r"\mathopen": "", r"\mathclose": "", r"\reals": r"\mathbb{R}", r"\Reals": r"\mathbb{R}",
}  # fmt: skip
_OPERATOR = re.compile(r"\*\*|<=|>=|(?<![0-9])(?<![0-9] )!=|\*|\\[A-Za-z]+")
_FUNCTION = re.compile(
    r"(?<![A-Za-z\\])(arcsin|arccos|arctan|sin|cos|tan|cot|sec|csc|log|ln|exp|pi|infinity|theta)(?![A-Za-z])"
)
_UNION = re.compile(r"(?<=[)\]}]) *U *(?=\(|\[|\\\{)")
_PLAIN_ROOT = re.compile(r"(?<![A-Za-z\\])sqrt|\\sqrt(?=\()")
_TIGHT = re.compile(r" +(?![A-Za-z0-9])|(?<![A-Za-z0-9]) +")


@lru_cache(maxsize=65536)
def clean(text: str) -> str:
    r"""The one spelling of an answer. Two answers with the same one are equal; the reverse is for `answer_keys`."""
    text = text.translate(_TRANSLATE).strip().replace("...", r"\ldots ")
    text = re.sub(r"(?<=[0-9])\{([:/])\}", r"\1", _unwrap(text)).replace("\\\\", ROW_END)
    text = re.sub(r"\\cr(?![A-Za-z])", ROW_END, text)
    text = re.sub(ROW_END + r" *\[[0-9.]+ *[a-z]{2}\]", ROW_END, text).strip(ROW_END + " ")
    text = _THOUSANDS.sub(lambda found: re.sub(_SEPARATOR, ",", found.group()), text)
    text = _LAYOUT.sub("", text).replace(r"\!", "")
    text = text.replace(r"\%", "%").replace("\\$", "$")
    text = _CURRENCY.sub("", text)
    text = _NAMED.sub(lambda found: f"\\{found[1].lower()} ", _ONE.sub(r"\1", _REALS.sub(r"\\mathbb{R}", text)))
    text = _TEXT_SPACE.sub(r"\\text{", _TEXT.sub(r"\\text{", _FRACTION.sub(r"\\frac", text)))
    text = _SPACES.sub(" ", text).strip()
    if clock := _CLOCK.fullmatch(text):
        return f"{clock[1]}:{clock[2] or '00'} {clock[3].lower()}m"
    text = _QUOTIENT_UNIT.sub(r"\1/\2", _EXCEPT.sub(r"x\\ne ", text))
    text = _APPROXIMATELY.sub("", _LABEL_TEXT.sub("", _NO_WORDS.sub(r"\1\2", text)))
    if not text.startswith(r"\text{") or text.find("}") < len(text) - 1:
        text = re.sub(r", +", ";", _COMMAS.sub(", ", _AND.sub(", ", text))).strip(" ,;")
    text = _DEGREE.sub("°", text.rstrip(" .") if not text.endswith("!.") else text)
    text = without_units(_BASE.sub(_base, text))
    text = _OPERATOR.sub(lambda found: _OPERATORS.get(found.group(), found.group()), text)
    text = _UNION.sub(r"\\cup ", _GROUPED.sub(r"\1", _NUMERAL.sub(r"\1", text)))
    text = _AGAIN.sub(lambda found: f"{found[1]}\\overline{{{found[2] or found[3]}}}", _DOTS.sub(_repeating, text))
    text = re.sub(r"_([0-9]) (?=[0-9])", r"_{\1} ", _plain_notation(_over(text)))
    text = _explicit_arguments(text)
    return _TIGHT.sub("", re.sub(r" +", " ", text)).strip()


def without_units(text: str) -> str:
    r"""An answer, or an element of a list, without the unit and the remark at its end; `\text{ million}` stays."""
    text = _SCALE_TEXT.sub(r" \1\2", _REMARK.sub(_remark, text))
    text = _TEMPERATURE.sub("°", text)
    found = _UNIT_TEXT.search(text)
    if found and not re.match(rf"\\text\{{ *(?:{'|'.join(CHANGING_WORDS)})\b", found[1]):
        text = text[: found.start()]
    return _UNIT_WORDS.sub("", text).strip()


def _remark(found: re.Match[str]) -> str:
    words = re.findall("[a-z]+", found[1].lower())
    turning = len(words) > 1 and not CHANGING_WORDS.isdisjoint(words) and not set(NUMBER_WORDS).issuperset(words)
    return found.group() if turning or words[0] in _KEPT_REMARKS else ""


_KEPT = "mod sin cos tan cot sec csc log ln exp sqrt pi theta half am pm base x y n k a b c xy ab"
_KEPT_REMARKS = frozenset(_KEPT.split()) | {"hundred", "thousand", "million", "billion", "trillion", "percent", "dozen"}


def _base(found: re.Match[str]) -> str:
    base = found[4]
    if not found[3] and not (found[1] and (base in _BASES or "(" in found[2] or "text" in found[2])):
        return found.group()
    return f"_{{{_BASES.get(base, base)}}}"


def _repeating(found: re.Match[str]) -> str:
    return f"{found[1]}\\overline{{{found[2]}{found[3] or ''}{found[4] or ''}}}"


def _over(text: str) -> str:
    r"""`{a \over b}`, or the whole text `a \over b`, as `\frac`."""
    for _ in range(text.count(r"\over")):
        found = _OVER.search(text)
        if found is None:
            break
        start = found.start()
        depth = 0
        while start > 0 and (depth := depth + (text[start - 1] == "{") - (text[start - 1] == "}")) <= 0:
            start -= 1
        end = closing(text, found.end(), "{}")
        end = len(text) if end is None else end
        left, right = max(start - 1, 0), min(end + 1, len(text))
        text = f"{text[:left]}\\frac{{{text[start : found.start()]}}}{{{text[found.end() : end]}}}{text[right:]}"
    return text


def _unwrap(text: str) -> str:
    for left, right in _DELIMITERS:
        if len(text) > len(left) + len(right) and text.startswith(left) and text.endswith(right):
            inner = text[len(left) : -len(right)]
            if left[0] not in "$*" or left[0] not in inner.replace(r"\$", ""):
                text = inner.strip()
    return text.rstrip(".").strip()


def _plain_notation(text: str) -> str:
    text = _FUNCTION.sub(lambda found: {"infinity": r"\infty "}.get(found[1], f"\\{found[1]} "), text)
    text = _PLAIN_ROOT.sub(r"\\sqrt", text)
    for opening in (r"\sqrt(", "^("):
        position = 0
        while (position := text.find(opening, position)) >= 0:
            start = position + len(opening)
            end = closing(text, start, "()")
            if end is None:
                break
            text = f"{text[: start - 1]}{{{text[start:end]}}}{text[end + 1 :]}"
            position = start
    return text


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
        end = closing(text, opened.end(), "{}")
        if end is None:
            return "", position
        return "{" + _explicit_arguments(text[opened.end() : end]) + "}", end + 1
    token = _TOKEN.match(text, position)
    if token is None:
        return "", position
    if token[1] in (r"\frac", r"\sqrt"):
        return "", position
    return "{" + token[1] + "}", token.end()
