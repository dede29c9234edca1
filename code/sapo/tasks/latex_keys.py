r"""Keys of an answer in LaTeX: two answers are equal when they share one. Runs in the worker process.

The structure is ours, so that brackets mean what they say: `(1,2)` is a pair or an open interval, `[1,2]` a closed
one, `\{1,2\}` a set, a bare `1,2` a list whose order does not count (roots), `3:2` a ratio, `2112_6` a numeral of
base 6, `50\%` is 1/2. `x = 5`, `x \in S` mean their right side; other equations are equal up to a factor;
`x > 3` is `(3,\infty)`. Matrices compare by entry, words without regard to case. What is left, expressions, is read
by math-verify's parser (latex2sympy) and compared by value (`latex_values`).
"""

import contextlib
import re
from fractions import Fraction

import sympy
from latex2sympy2_extended import latex2sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig

from sapo.tasks.latex_brackets import closes_at, deepest, sides_of, split_at
from sapo.tasks.latex_text import ROW_END, plain_number
from sapo.tasks.latex_values import Unreadable, equation_key, expression_key, number_key
from sapo.tasks.math_answers import read_number

MAX_DEPTH = 60
_CONVERSION = ConversionConfig(lowercase_symbols=False)
_SYMBOL = re.compile(r"(?:[A-Za-z]|\\(?!infty|pi(?![a-z])|frac|sqrt)[a-z]+)(?:_(?:[0-9A-Za-z]|\{[0-9A-Za-z]+\}))?'?")
_FUNCTION_OF = re.compile(r"[A-Za-z]+(?:\^\{?-1\}?)?\([a-z](?:,[a-z])*\)")
_TEXT = re.compile(r"\(?\\text\{([^{}]*)\}\)?")
_LETTERS = re.compile(r"\(?([A-Z])\)?")
_WORDS = re.compile(r"[A-Za-z]{2,}(?:[ '-][A-Za-z]+)*(?: [0-9]{1,2})?")
_CLOCK = re.compile(r"([0-9]{1,2}:[0-9]{2}) ?([AaPp])\.? ?[Mm]\.?")
_BASE = re.compile(r"(-?)([0-9A-Z]+(?:\.[0-9A-Z]+)?)_(?:\{([0-9]{1,2})\}|([0-9]{1,2}))")
_MIXED = re.compile(r"(-?)([0-9]+) ?\\frac\{([0-9]+)\}\{([0-9]+)\}")
_FRACTION = re.compile(r"(-?)\\frac\{(-?)([0-9,]+)\}\{([0-9,]+)\}")
_REPEATING = re.compile(r"(-?)([0-9]{0,9})\.([0-9]{0,40})\\(?:overline|bar)\{([0-9]{1,40})\}")
_MATRIX = re.compile(r"\\begin\{([pb]?matrix)\}((?:(?!\\begin|\\end).)*)\\end\{\1\}")
_TWO_NUMBERS = re.compile(r"[0-9.] +[0-9.\\]")
_DECIMAL = re.compile(r"(?<![0-9.])([0-9]*)\.([0-9]+)(?![0-9.])")
_DEGREES = re.compile(r"([0-9]+(?:\.[0-9]+)?|[A-Za-z]|\\[a-z]+)°")
_TRIGONOMETRY = re.compile(r"\\(?:arc)?(?:sin|cos|tan|cot|sec|csc)")
_TURNED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}
_REALS = "(-oo,oo)"


def answer_keys(text: str) -> frozenset[str]:
    """Keys of an answer as `latex_text.clean` spells it.

    Raises:
        Unreadable: the text is no answer.
    """
    if deepest(text) > MAX_DEPTH:
        raise Unreadable(f"brackets nested deeper than {MAX_DEPTH}")
    keys = {_key(text)}
    parts = split_at(text, ",;")
    if len(parts) > 1 and not any(re.match("0[0-9]", part) for part in parts):
        keys.add("sequence " + ";".join(_key(part) for part in parts))
    sides = sides_of(text)
    if len(parts) == 1 and len(sides) == 3:
        with contextlib.suppress(Unreadable):
            keys.add(_as_condition(*sides))
    if re.fullmatch(r"[a-z]{2,3}", text):
        keys.add("text " + text)
    return frozenset(keys)


def _as_condition(left: str, sign: str, right: str) -> str:
    """Key of an equation or inequality that does not ask what stands alone on a side."""
    if sign == "=":
        return "equation " + equation_key(_tree(f"{left}-({right})"), signed=False)
    if sign in (">", r"\ge"):
        left, right, sign = right, left, _TURNED[sign]
    if sign == r"\ne":
        raise Unreadable("no order")
    return f"positive {sign} " + equation_key(_tree(f"{right}-({left})"), signed=True)


def _key(text: str) -> str:
    if not text:
        raise Unreadable("nothing")
    if text[0] == "{" and closes_at(text) == len(text) - 1:
        return _key(text[1:-1])
    for rule in (_number, _words, _special, _union, _list, _member, _relation, _bracketed, _matrix, _ratio):
        found = rule(text)
        if found is not None:
            return found
    return expression_key(_tree(text))


def _number(text: str) -> str | None:
    text = text[:-1] if text.endswith("°") else text
    percent = text.endswith("%")
    if (value := plain_number(text)) is None:
        stem = text[:-1] if percent else text
        if found := _MIXED.fullmatch(stem):
            value = int(found[2]) + _fraction(found[3], found[4])
        elif found := _FRACTION.fullmatch(stem):
            value = _fraction(found[3], found[4]) * (-1 if found[2] else 1)
        elif found := _REPEATING.fullmatch(stem):
            value = _fraction(f"{int('0' + found[2] + found[3] + found[4]) - int('0' + found[2] + found[3])}", "1")
            value /= (10 ** len(found[4]) - 1) * 10 ** len(found[3])
        else:
            return None
        value = (-value if found[1] else value) * (Fraction(1, 100) if percent else 1)
    return number_key(Fraction(value))


def _fraction(over: str, under: str) -> Fraction:
    top, bottom = read_number(over, units=False), read_number(under, units=False)
    if top is None or not bottom:
        raise Unreadable(f"no fraction: {over}/{under}")
    return Fraction(top) / bottom


def _words(text: str) -> str | None:
    if found := _CLOCK.fullmatch(_TEXT.sub(r"\1", text)):
        return f"text {found[1]}{found[2].lower()}m"
    if found := _TEXT.fullmatch(text):
        inner = found[1].strip(" .()")
        if read_number(inner, units=False) is not None:
            return _number(inner)
        parts = [part.strip() for part in inner.split(",")]
        return _set([f"text {_folded(part)}" for part in parts]) if len(parts) > 1 else f"text {_folded(inner)}"
    if found := _LETTERS.fullmatch(text):
        return f"text {found[1]}"
    if _WORDS.fullmatch(text) and not re.fullmatch(r"[a-z]{2,3}", text):
        return f"text {_folded(text)}"
    return None


def _folded(text: str) -> str:
    text = " ".join(text.replace(".", "").split()).strip("()")
    return text if len(text) == 1 else text.casefold()


def _special(text: str) -> str | None:
    if text in (r"\mathbb{R}", r"\R", r"\Bbb{R}"):
        return _REALS
    if text in (r"\emptyset", r"\{\}"):
        return "{}"
    if text in (r"\infty", r"+\infty", r"-\infty"):
        return "-oo" if text[0] == "-" else "oo"
    if found := _BASE.fullmatch(text):
        return f"base {found[3] or found[4]} {found[1]}{found[2].lstrip('0') or '0'}"
    return None


def _union(text: str) -> str | None:
    parts = split_at(text, r"\cup")
    return _unite([_key(part) for part in parts]) if len(parts) > 1 else None


def _unite(keys: list[str]) -> str:
    return " U ".join(sorted(set(keys)))


def _list(text: str) -> str | None:
    parts = split_at(text, ",;")
    if len(parts) == 1 and r"\pm" not in text and r"\mp" not in text:
        return None
    if len(parts) == 1 and text.startswith((r"\{", "(", "[")) and closes_at(text) == len(text) - 1:
        return None
    named = [sides_of(part) for part in parts]
    names = [sides[0] for sides in named if len(sides) == 3 and sides[1] == "=" and _is_name(sides[0])]
    if len(names) == len(parts) and len(set(names)) == len(names) > 1:
        return "assign " + ";".join(sorted(f"{sides[0]}={_key(sides[2])}" for sides in named))
    keys = [key for part in parts for key in _elements(part)]
    if all(key[0] in "([" and "oo" in key for key in keys) and any(len(sides) > 1 for sides in named):
        return _unite(keys)
    return _set(keys)


def _elements(text: str) -> list[str]:
    if r"\pm" in text or r"\mp" in text:
        upper = text.replace(r"\pm", "+").replace(r"\mp", "-")
        lower = text.replace(r"\pm", "-").replace(r"\mp", "+")
        return [_key(upper.lstrip("+")), _key(lower)]
    return [_key(text)]


def _set(keys: list[str]) -> str:
    return "{" + ";".join(sorted(keys)) + "}"


def _member(text: str) -> str | None:
    name, found, rest = text.partition(r"\in ")
    name, found, rest = (name, found, rest) if found else text.partition(r"\in")
    return _key(rest) if found and _is_name(name) and not rest[:1].isalpha() else None


def _relation(text: str) -> str | None:
    sides = sides_of(text)
    if len(sides) == 1:
        return None
    signs = set(sides[1::2])
    if signs == {"="}:
        if _is_name(sides[0]) or len(sides) > 3:
            return _key(sides[-1])
        if _is_name(sides[-1]):
            return _key(sides[0])
        return _as_condition(*sides)
    if signs & {"=", r"\ne"}:
        if len(sides) == 3 and _is_name(sides[0]) and sides[1] == r"\ne":
            key = _key(sides[2])
            return _unite([f"(-oo,{key})", f"({key},oo)"])
        raise Unreadable(f"mixed relation {text!r:.60}")
    if signs <= {">", r"\ge"}:
        sides = [_TURNED.get(side, side) for side in reversed(sides)]
    elif not signs <= {"<", r"\le"}:
        raise Unreadable(f"mixed relation {text!r:.60}")
    return _ascending(sides)


def _ascending(sides: list[str]) -> str:
    """Key of `a < b` or `a <= b < c`; an interval where a single name lies between, below or above."""
    closed = [sign == r"\le" for sign in sides[1::2]]
    if len(sides) == 5 and _is_name(sides[2]):
        return f"{'(['[closed[0]]}{_key(sides[0])},{_key(sides[4])}{')]'[closed[1]]}"
    if len(sides) == 3 and _is_name(sides[2]):
        return f"{'(['[closed[0]]}{_key(sides[0])},oo)"
    if len(sides) == 3 and _is_name(sides[0]):
        return f"(-oo,{_key(sides[2])}{')]'[closed[0]]}"
    if len(sides) == 3:
        return _as_condition(*sides)
    return "chain " + " ".join(_key(side) if n % 2 == 0 else side for n, side in enumerate(sides))


def _is_name(text: str) -> bool:
    return bool(_SYMBOL.fullmatch(text) or _FUNCTION_OF.fullmatch(text))


def _bracketed(text: str) -> str | None:
    for left, right in ((r"\{", r"\}"), ("⟨", "⟩"), ("(", ")"), ("[", "]"), ("(", "]"), ("[", ")")):
        if not (text.startswith(left) and text.endswith(right)) or closes_at(text) != len(text) - 1:
            continue
        inner = text[len(left) : len(text) - len(right)].strip()
        parts = split_at(inner, ",;")
        if left == r"\{":
            return _set(sorted({key for part in parts for key in _elements(part)}))
        if len(parts) > 1:
            return f"{left[-1]}{','.join(_key(part) for part in parts)}{right[-1]}"
        return _key(inner) if (left, right) in (("(", ")"), ("[", "]")) else None
    return None


def _matrix(text: str) -> str | None:
    found = _MATRIX.fullmatch(text)
    if found is None:
        return None
    rows = [row for row in found[2].split(ROW_END) if row.strip()]
    return "matrix " + "/".join(",".join(_key(cell.strip()) for cell in row.split("&")) for row in rows)


def _ratio(text: str) -> str | None:
    parts = split_at(text, ":")
    if len(parts) == 1:
        return None
    values = [read_number(part, units=False) for part in parts]
    if any(value is None or value <= 0 for value in values) or any(part[0] == "0" for part in parts):
        return "ratio " + ":".join(_key(part) for part in parts)
    return "ratio " + ":".join(
        number_key(Fraction(value) / Fraction(values[0])) for value in values if value and values[0]
    )


def _tree(text: str) -> sympy.Basic:
    if _TWO_NUMBERS.search(text) or re.search(r"[^A-Za-z']'", text) or "\\text" in text or ROW_END in text:
        raise Unreadable(f"no expression: {text!r:.60}")
    if text.endswith("°") and not _TRIGONOMETRY.search(text):
        text = text[:-1]
    text = re.sub(r"\^([a-z])", r"^{\1}", text)
    text = re.sub(r"([A-Za-z])('+)", lambda found: f"{found[1]}_{{{'p' * len(found[2])}}}", text)
    text = _DEGREES.sub(r"(\\frac{\1\\pi}{180})", text)
    text = re.sub(r"(\([^()]*\)|[0-9.]+|\})%", r"\1\\cdot\\frac{1}{100}", text)
    text = _DECIMAL.sub(lambda found: f"(\\frac{{{int(found[1] + found[2])}}}{{{10 ** len(found[2])}}})", text)
    text = re.sub(r"([0-9]),([0-9]{3})(?![0-9])", r"\1\2", text)
    if len(text) > 1 and re.search(r"(?<![0-9A-Za-z\\{])[0-9]+[eE][-+]?[0-9]+(?![0-9A-Za-z])", text):
        raise Unreadable(f"scientific notation inside an expression: {text!r:.60}")
    try:
        tree = latex2sympy(
            text, is_real=False, convert_degrees=False, normalization_config=None, conversion_config=_CONVERSION
        )
    except Exception as error:  # the parser has no class of its own for bad input
        raise Unreadable(f"{text!r:.60}: {type(error).__name__}") from error
    if not isinstance(tree, sympy.Expr) or isinstance(tree, sympy.MatrixBase):
        raise Unreadable(f"{text!r:.60} is a {type(tree).__name__}")
    return tree
