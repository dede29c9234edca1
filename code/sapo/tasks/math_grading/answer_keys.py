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

from sapo.tasks.math_grading.brackets import both_signs, closes_at, deepest, matrix_rows, sides_of, split_at, system
from sapo.tasks.math_grading.clean import without_units
from sapo.tasks.math_grading.intervals import REALS, conjunction_or_union, union, without
from sapo.tasks.math_grading.labels import is_assigned_name, is_calculation, is_claim, is_label, is_name, tuple_of_names
from sapo.tasks.math_grading.numbers import read_latex_number, read_number
from sapo.tasks.math_grading.parse import parse
from sapo.tasks.math_grading.values import Unreadable, equation_key, expression_key, number_key, real_key

MAX_DEPTH = 60
_TEXT = re.compile(r"\(?\\text\{([^{}]*)\}\)?")
_LETTERS = re.compile(r"\(?([A-Z])\)?")
_WORDS = re.compile(r"[A-Za-z]{2,}(?:[ '-][A-Za-z]+)*(?: [0-9]{1,2})?")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2}) [ap]m")
_BASE = re.compile(r"(-?)([0-9A-Z]+(?:\.[0-9A-Z]+)?)_(?:\{([0-9]{1,2})\}|([0-9]{1,2}))")
_BUILDER = re.compile(r"\\\{([a-z])(?:\\in ?\\mathbb\{R\})?[|:](.*)\\\}")
_CONGRUENT = re.compile(r"(?:[A-Za-z]\\equiv ?)?(.*)\\?\(?\\p?mod ?\{?([0-9]+)\}?\)?")
_EXCEPT = re.compile(r"[A-Za-z]\\ne ?([^<>=a-z]*(?:\\(?:pm|mp|frac|sqrt|pi)[^<>=a-z]*)*)")
_TURNED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}


def answer_keys(text: str) -> frozenset[str]:
    """Keys of an answer as `clean` spells it.

    Raises:
        Unreadable: the text is no answer.
    """
    if deepest(text) > MAX_DEPTH:
        raise Unreadable(f"brackets nested deeper than {MAX_DEPTH}")
    text = system(text) or text
    key = _ruled(text)
    keys = {key} if key is not None else {expression_key(tree := parse(text)), *real_key(tree)}
    parts = [without_units(part) for part in split_at(text, ",;")]
    sides = sides_of(text)
    if len(parts) > 1:
        with contextlib.suppress(Unreadable):
            keys |= _list_keys(parts)
    elif len(sides) == 3:
        with contextlib.suppress(Unreadable):
            keys.add(_as_condition(*sides))
        keys |= _label_keys(*sides)
    if re.fullmatch(r"[a-z]{2,3}", text):
        keys.add("text " + text)
    if found := _CONGRUENT.fullmatch(text):
        keys.add("label " + _key(found[1]))
    if text.startswith(r"\{(") and len(_points(text)) == 1:  # the only solution of a system
        keys.add("label " + _points(text)[0])
    if clock := _CLOCK.fullmatch(text):
        keys.add("label " + _key(f"{clock[1]}:{clock[2]}"))
        keys |= {"label " + _key(clock[1])} if clock[2] == "00" else set()
    return frozenset(keys)


def _list_keys(parts: list[str]) -> set[str]:
    numeral = any(re.match("0[0-9]", part) for part in parts)  # 1,000 is no list
    keys = set() if numeral else {"sequence " + ";".join(_key(part) for part in parts)}
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
        return "equation " + equation_key(parse(f"{left}-({right})"), signed=False)
    if sign in (">", r"\ge"):
        left, right, sign = right, left, _TURNED[sign]
    if sign == r"\ne":
        raise Unreadable("no order")
    return f"positive {sign} " + equation_key(parse(f"{right}-({left})"), signed=True)


def _key(text: str) -> str:
    return _ruled(text) or expression_key(parse(text))


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
    if found := _CONGRUENT.fullmatch(text):
        return f"mod {found[2]} {_key(found[1])}"
    if found := _EXCEPT.fullmatch(text):
        return _without(REALS, _points(found[1]))
    if found := _BASE.fullmatch(text):
        return f"base {found[3] or found[4]} {found[1]}{found[2].lstrip('0') or '0'}"
    return None


def _union(text: str) -> str | None:
    whole, *left_out = split_at(text, r"\setminus")
    if not left_out and text.startswith(r"\mathbb{R}-\{"):
        whole, *left_out = split_at(text, "-")
    if left_out:
        points = [key for part in left_out for key in _points(part)]
        return _without(_key(whole), points)
    parts = split_at(text, r"\cup")
    return union([_key(part.removeprefix("p ")) for part in parts]) if len(parts) > 1 else None


def _points(text: str) -> list[str]:
    inner = text[2:-2] if text.startswith(r"\{") and text.endswith(r"\}") else text
    return [key for part in split_at(inner, ",;") for key in _elements(part)]


def _without(key: str, points: list[str]) -> str:
    return without(key, points) or f"{key} without {_set(points)}"


def _list(text: str) -> str | None:
    parts = [without_units(part) for part in split_at(text, ",;")]
    if len(parts) == 1 and r"\pm" not in text and r"\mp" not in text:
        return None
    if len(parts) == 1 and text.startswith(r"\{") and closes_at(text) == len(text) - 1:
        return None
    rest = [part for part in parts if not re.fullmatch(r"[a-z]\\in ?\\mathbb\{[RZNQ]\}", part)]
    if 0 < len(rest) < len(parts):
        return _key(";".join(rest))
    named = [sides_of(part) for part in parts]
    names = [sides[0] for sides in named if len(sides) == 3 and sides[1] == "=" and is_name(sides[0])]
    if len(names) == len(parts) and len(set(names)) == len(names) > 1 and not is_assigned_name(names):
        return "assign " + ";".join(sorted(f"{sides[0]}={_key(sides[2])}" for sides in named))
    if len(parts) > 1 and all(len(sides) > 1 and "=" not in sides for sides in named):
        return _conditions(named, parts)
    keys = [key for part in parts for key in _elements(part)]
    return union(keys) if all(key[0] in "([" and "oo" in key for key in keys) else _set(keys)


def _conditions(named: list[list[str]], parts: list[str]) -> str:
    excluded = [sides for sides in named if len(sides) == 3 and sides[1] == r"\ne" and is_name(sides[0])]
    others = [part for part, sides in zip(parts, named, strict=True) if sides not in excluded]
    whole = conjunction_or_union([_key(part) for part in others]) if others else REALS
    return _without(whole, [key for sides in excluded for key in _points(sides[2])])


def _elements(text: str) -> list[str]:
    return [_key(one) for one in both_signs(text)]


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
    return _key(right) if is_calculation(left) else _as_condition(left, sides[1], right)


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
    kind, rows = matrix_rows(text)
    return f"{kind} " + "/".join(",".join(map(_key, row)) for row in rows) if rows else None


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
