r"""Keys of an answer in LaTeX: two answers are equal when they share one. Runs in the worker process.

The structure is ours, so that brackets mean what they say: `(1,2)` is a pair or an open interval, `[1,2]` a closed
one, `\{1,2\}` a set, a bare `1,2` a list whose order does not count (roots), `3:2` a ratio, `2112_6` a numeral of
base 6. `x = 5`, `(x,y) = (1,2)`, `x \in S` mean their right side, a chain `4^2 = 16` its last one; other equations are
equal up to a factor; `x > 3` is `(3,\infty)`, and so is `\{x | x > 3\}`. Matrices compare by entry, words without
regard to case. What is left, expressions, is read by math-verify's parser (latex2sympy) and compared by value.

Keys that begin with `label ` say what a labelled answer names (`f(4) = 11` and `AB = 4`: 11 and 4): they count against
an answer without a label only. `claim ` is the same for `a + b = 9`, whose label may also be an equation's left side:
it counts for completions, never for golds.
"""

import contextlib
import re
from fractions import Fraction

import sympy
from latex2sympy2_extended import latex2sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig

from sapo.tasks.math_grading.brackets import closes_at, deepest, sides_of, split_at
from sapo.tasks.math_grading.clean import ROW_END, without_units
from sapo.tasks.math_grading.intervals import REALS, conjunction_or_union, union, without
from sapo.tasks.math_grading.labels import is_assigned_name, is_calculation, is_claim, is_label, is_name, tuple_of_names
from sapo.tasks.math_grading.numbers import read_latex_number, read_number
from sapo.tasks.math_grading.values import Unreadable, equation_key, expression_key, number_key, real_key

MAX_DEPTH = 60
_CONVERSION = ConversionConfig(lowercase_symbols=False)
_TEXT = re.compile(r"\(?\\text\{([^{}]*)\}\)?")
_LETTERS = re.compile(r"\(?([A-Z])\)?")
_WORDS = re.compile(r"[A-Za-z]{2,}(?:[ '-][A-Za-z]+)*(?: [0-9]{1,2})?")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2}) [ap]m")
_BASE = re.compile(r"(-?)([0-9A-Z]+(?:\.[0-9A-Z]+)?)_(?:\{([0-9]{1,2})\}|([0-9]{1,2}))")
_MATRIX = re.compile(
    r"(\(|\[|\||\\\{)?\\begin\{([a-zA-Z]+)\*?\}(?:\{[lcr| ]*\}|\[[a-z]\])?((?:(?!\\begin|\\end).)*)\\end\{\2\*?\}(\)|\]|\|)?"
)
_BUILDER = re.compile(r"\\\{([a-z])(?:\\in ?\\mathbb\{R\})?[|:](.*)\\\}")
_TWO_NUMBERS = re.compile(r"[0-9.] +[0-9.\\]")
_DECIMAL = re.compile(r"(?<![0-9.])([0-9]*)\.([0-9]+)(?![0-9.])")
_DEGREES = re.compile(r"([0-9]+(?:\.[0-9]+)?|[A-Za-z]|\\[a-z]+)°")
_TRIGONOMETRY = re.compile(r"\\(?:arc)?(?:sin|cos|tan|cot|sec|csc)")
_TURNED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}


def answer_keys(text: str) -> frozenset[str]:
    """Keys of an answer as `clean` spells it.

    Raises:
        Unreadable: the text is no answer.
    """
    if deepest(text) > MAX_DEPTH:
        raise Unreadable(f"brackets nested deeper than {MAX_DEPTH}")
    key = _ruled(text)
    if key is None:
        tree = _tree(text)
        keys = {expression_key(tree), *real_key(tree)}
    else:
        keys = {key}
    parts = split_at(text, ",;")
    sides = sides_of(text)
    if len(parts) > 1:
        keys |= _list_keys(parts)
    elif len(sides) == 3:
        with contextlib.suppress(Unreadable):
            keys.add(_as_condition(*sides))
        keys |= _label_keys(*sides)
    if re.fullmatch(r"[a-z]{2,3}", text):
        keys.add("text " + text)
    if clock := _CLOCK.fullmatch(text):
        keys.add("label " + _key(f"{clock[1]}:{clock[2]}"))
        keys |= {"label " + _key(clock[1])} if clock[2] == "00" else set()
    return frozenset(keys)


def _list_keys(parts: list[str]) -> set[str]:
    keys: set[str] = set()
    if not any(re.match("0[0-9]", part) for part in parts):
        keys.add("sequence " + ";".join(_key(part) for part in parts))
    named = [sides_of(part) for part in parts]
    if all(len(sides) == 3 and sides[1] == "=" and re.fullmatch("[A-Za-z]", sides[0]) for sides in named):
        values = {sides[0]: _key(sides[2]) for sides in named}
        if len(values) == len(parts):  # x=7, y=9 is the point (7,9)
            keys.add(f"({','.join(values[name] for name in sorted(values))})")
    return keys


def _label_keys(left: str, sign: str, right: str) -> set[str]:
    if sign == r"\approx":
        return {_key(left)} if not is_label(left) and re.search("[0-9]", left) else set()
    if sign != "=" or is_name(left) or tuple_of_names(left):
        return set()
    if is_label(left):
        return {"label " + _key(right)}
    return {"claim " + _key(right)} if is_claim(left) and not is_claim(right) else set()


def _as_condition(left: str, sign: str, right: str) -> str:
    """Key of an equation or inequality that does not ask what stands alone on a side."""
    if sign in ("=", r"\approx"):
        return "equation " + equation_key(_tree(f"{left}-({right})"), signed=False)
    if sign in (">", r"\ge"):
        left, right, sign = right, left, _TURNED[sign]
    if sign == r"\ne":
        raise Unreadable("no order")
    return f"positive {sign} " + equation_key(_tree(f"{right}-({left})"), signed=True)


def _key(text: str) -> str:
    return _ruled(text) or expression_key(_tree(text))


def _ruled(text: str) -> str | None:
    """Key of everything but a plain expression."""
    if not text:
        raise Unreadable("nothing")
    if text[0] == "{" and closes_at(text) == len(text) - 1:
        return _key(text[1:-1])
    for rule in (_number, _words, _special, _union, _matrix, _list, _member, _relation, _bracketed, _ratio):
        found = rule(text)
        if found is not None:
            return found
    return None


def _number(text: str) -> str | None:
    value = read_latex_number(text)
    return None if value is None else number_key(Fraction(value))


def _words(text: str) -> str | None:
    if _CLOCK.fullmatch(text):
        return f"text {text}"
    if found := _TEXT.fullmatch(text):
        inner = found[1].strip(" .()")
        if (number := read_number(inner, units=False)) is not None:
            return number_key(Fraction(number))
        parts = [part.strip() for part in re.split(",|;| and ", inner) if part.strip()]
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
    if text in (r"\mathbb{R}", r"\R", r"\Bbb{R}", r"\mathbb R"):
        return REALS
    if text in (r"\emptyset", r"\{\}"):
        return "{}"
    if text in (r"\infty", r"+\infty", r"-\infty"):
        return "-oo" if text[0] == "-" else "oo"
    if found := _BASE.fullmatch(text):
        return f"base {found[3] or found[4]} {found[1]}{found[2].lstrip('0') or '0'}"
    return None


def _union(text: str) -> str | None:
    whole, *left_out = split_at(text, r"\setminus")
    if not left_out and _starts_with_reals(text):
        whole, *left_out = split_at(text, "-")
    if left_out:
        points = [key for part in left_out for key in _points(part)]
        return _without(_key(whole), points)
    parts = split_at(text, r"\cup")
    return union([_key(part.removeprefix("p ")) for part in parts]) if len(parts) > 1 else None


def _starts_with_reals(text: str) -> bool:
    return text.startswith(r"\mathbb{R}-\{")


def _points(text: str) -> list[str]:
    inner = text[2:-2] if text.startswith(r"\{") and text.endswith(r"\}") else text
    return [key for part in split_at(inner, ",;") for key in _elements(part)]


def _without(key: str, points: list[str]) -> str:
    return without(key, points) or f"{key} without {_set(points)}"


def _list(text: str) -> str | None:
    parts = split_at(text, ",;")
    if len(parts) == 1 and r"\pm" not in text and r"\mp" not in text:
        return None
    if len(parts) == 1 and text.startswith(r"\{") and closes_at(text) == len(text) - 1:
        return None
    if parts[-1] in (r"x\in\mathbb{R}", r"x\in \mathbb{R}") and len(parts) == 2:
        return _key(parts[0])
    named = [sides_of(part) for part in parts]
    names = [sides[0] for sides in named if len(sides) == 3 and sides[1] == "=" and is_name(sides[0])]
    if len(names) == len(parts) and len(set(names)) == len(names) > 1 and not is_assigned_name(names):
        return "assign " + ";".join(sorted(f"{sides[0]}={_key(sides[2])}" for sides in named))
    if len(parts) > 1 and all(len(sides) > 1 and "=" not in sides for sides in named):
        return _conditions(named, parts)
    return _set([key for part in parts for key in _elements(without_units(part))])


def _conditions(named: list[list[str]], parts: list[str]) -> str:
    excluded = [sides for sides in named if len(sides) == 3 and sides[1] == r"\ne" and is_name(sides[0])]
    others = [part for part, sides in zip(parts, named, strict=True) if sides not in excluded]
    whole = conjunction_or_union([_key(part) for part in others]) if others else REALS
    return _without(whole, [key for sides in excluded for key in _points(sides[2])])


def _elements(text: str) -> list[str]:
    if r"\pm" in text or r"\mp" in text:
        upper = text.replace(r"\pm", "+").replace(r"\mp", "-")
        lower = text.replace(r"\pm", "-").replace(r"\mp", "+")
        return [_key(re.sub(r"(^|[(\[,;=])\+", r"\1", upper)), _key(lower)]
    return [_key(text)]


def _set(keys: list[str]) -> str:
    return "{" + ";".join(sorted(keys)) + "}"


def _member(text: str) -> str | None:
    name, found, rest = text.partition(r"\in ")
    name, found, rest = (name, found, rest) if found else text.partition(r"\in")
    return _key(rest) if found and is_name(name) and not rest[:1].isalpha() else None


def _relation(text: str) -> str | None:
    sides = sides_of(text)
    if len(sides) == 1:
        return None
    signs = set(sides[1::2])
    if signs <= {"=", r"\approx"}:
        return _equation(sides)
    if signs & {"=", r"\ne", r"\approx"}:
        if len(sides) == 3 and is_name(sides[0]) and sides[1] == r"\ne":
            return _without(REALS, _points(sides[2]))
        raise Unreadable(f"mixed relation {text!r:.60}")
    if signs <= {">", r"\ge"}:
        sides = [_TURNED.get(side, side) for side in reversed(sides)]
    elif not signs <= {"<", r"\le"}:
        raise Unreadable(f"mixed relation {text!r:.60}")
    return _ascending(sides)


def _equation(sides: list[str]) -> str:
    left, right = sides[0], sides[-1]
    if names := tuple_of_names(left):
        values = split_at(right[1:-1], ",;") if closes_at(right) == len(right) - 1 else []
        if len(values) == len(names) and all(len(name) == 1 for name in names):
            return f"{right[0]}{','.join(_key(values[names.index(name)]) for name in sorted(names))}{right[-1]}"
        return _key(right)
    if is_name(left) or len(sides) > 3:
        return _key(right)
    if is_name(right):
        return _key(left)
    if is_label(left):
        return f"{left}={_key(right)}"
    try:
        return _as_condition(left, sides[1], right)
    except Unreadable:
        if not is_calculation(left):
            raise
        return _key(right)


def _ascending(sides: list[str]) -> str:
    """Key of `a < b` or `a <= b < c`; an interval where a single name lies between, below or above."""
    closed = [sign == r"\le" for sign in sides[1::2]]
    if len(sides) == 5 and is_name(sides[2]):
        return f"{'(['[closed[0]]}{_key(sides[0])},{_key(sides[4])}{')]'[closed[1]]}"
    if len(sides) == 3 and is_name(sides[2]):
        return f"{'(['[closed[0]]}{_key(sides[0])},oo)"
    if len(sides) == 3 and is_name(sides[0]):
        return f"(-oo,{_key(sides[2])}{')]'[closed[0]]}"
    if len(sides) == 3:
        return _as_condition(*sides)
    return "chain " + " ".join(_key(side) if n % 2 == 0 else side for n, side in enumerate(sides))


def _bracketed(text: str) -> str | None:
    if found := _BUILDER.fullmatch(text):
        return _key(found[2])
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
    rows = [row for row in found[3].split(ROW_END) if row.strip()]
    if found[1] == r"\{" or found[2] in ("cases", "aligned", "align", "gathered"):
        if all("=" in row or "<" in row or ">" in row for row in rows) and not re.search(r"[^&]&[^&=]", found[3]):
            return _key(";".join(row.replace("&", "").strip() for row in rows))
    kind = "determinant" if "|" in (found[1], found[4]) or found[2] in ("vmatrix", "cases") else "matrix"
    cells = [[_key(cell.strip()) for cell in row.split("&")] for row in rows]
    return f"{kind} " + "/".join(",".join(row) for row in cells)


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
    text = text.removesuffix("%").replace(";", ",")
    if text.endswith("°") and not _TRIGONOMETRY.search(text):
        text = text[:-1]
    if "%" in text or "°" in text and not _TRIGONOMETRY.search(text):
        raise Unreadable(f"a percentage or an angle inside an expression: {text!r:.60}")
    text = re.sub(r"\^([a-z])", r"^{\1}", text)
    text = re.sub(r"([A-Za-z])('+)", lambda found: f"{found[1]}_{{{'p' * len(found[2])}}}", text)
    text = _DEGREES.sub(r"(\\frac{\1\\pi}{180})", text)
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
