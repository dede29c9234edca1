"""Exact or 60-digit values of sympy trees, and the text key that equal values share.

A tree is valued at fixed points: its symbols stand for rational numbers drawn from a hash of their names, all positive
(small, then large), all negative and mixed. Trees with the same values are the same expression but for chance of about
1e-12; `|x|` and `x` differ at the negative point. `real_key` compares where both are real, as variables mostly are:
`sqrt(x^3)` and `x sqrt(x)`, `ln(xy)` and `ln x + ln y`, but not `sqrt(x^2)` and `x`. Rational arithmetic is exact; the
rest runs at 60 digits, is compared at 30, and a value next to a fraction of small terms is that fraction, so that
`sqrt(8)/sqrt(2)` and 2 have one key.
Equality of keys is symmetric and transitive, which sympy's and math-verify's comparisons are not.
"""

import hashlib
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import sympy

POINTS = 5
_LARGE = 3  # the point of large positive numbers
_DIGITS = 60
_SHOWN = 30
_MAX_BITS = 40_000  # of exact powers and factorials
_MAX_EXPONENT = 10**5
_ZERO = mpmath.mpf(10) ** -40
_MAX_TERM = 10**6
_SIGNED = (sympy.Abs, sympy.sign, sympy.re, sympy.im, sympy.arg, sympy.conjugate)

Value = Any  # Fraction, or mpf or mpc of mpmath

_FUNCTIONS: dict[str, Callable[..., Value]] = {
    "sin": mpmath.sin, "cos": mpmath.cos, "tan": mpmath.tan, "cot": mpmath.cot, "sec": mpmath.sec, "csc": mpmath.csc,
    "asin": mpmath.asin, "acos": mpmath.acos, "atan": mpmath.atan, "acot": mpmath.acot, "asec": mpmath.asec,
    "acsc": mpmath.acsc, "sinh": mpmath.sinh, "cosh": mpmath.cosh, "tanh": mpmath.tanh, "exp": mpmath.exp,
    "Abs": abs, "floor": mpmath.floor, "ceiling": mpmath.ceil, "conjugate": mpmath.conj, "re": mpmath.re,
    "im": mpmath.im, "arg": mpmath.arg, "binomial": mpmath.binomial, "gamma": mpmath.gamma, "sign": mpmath.sign,
    "Max": max, "Min": min,
}  # fmt: skip


class Unreadable(ValueError):
    """A text or tree that has no value under the rules of this module."""


def number_key(value: Fraction) -> str:
    """Key of an exact number."""
    return f"{value.numerator:x}/{value.denominator:x}"


def expression_key(tree: sympy.Basic) -> str:
    """Key that equal expressions share; a constant has the key of its value. Raises Unreadable."""
    values = expression_values(tree)
    return "|".join(values) if len(set(values)) > 1 else values[0]


def expression_values(tree: sympy.Basic) -> list[str]:
    """Keys of an expression's values at the points; one only where it has no symbols. Raises Unreadable."""
    points = POINTS if _symbols(tree) else 1
    with mpmath.workdps(_DIGITS):
        return [_value_key(_value(tree, point)) for point in range(points)]


def equation_key(tree: sympy.Basic, signed: bool) -> str:
    """Key of `tree = 0` (of `tree > 0` where signed) that does not change with a (positive) constant factor."""
    if not _symbols(tree):
        raise Unreadable(f"no unknown in {tree!s:.60}")
    with mpmath.workdps(_DIGITS):
        values = [_value(tree, point) for point in range(POINTS)]
        first = abs(values[0]) if signed else values[0]
        if first == 0:
            raise Unreadable(f"{tree!s:.60} vanishes")
        return "|".join(_value_key(_divide(value, first)) for value in values)


def real_key(tree: sympy.Basic) -> frozenset[str]:
    """Keys that take odd roots of negative numbers as real: of a constant its value, else `real …|…` with `?` for each
    point where the expression, or a part of it, is not real. None for what is complex or has signs inside.
    """
    if tree.has(sympy.I, *_SIGNED) or {"i", "\\imath"} & {symbol.name for symbol in tree.atoms(sympy.Symbol)}:
        return frozenset()
    with mpmath.workdps(_DIGITS):
        values = [_real_or_none(tree, point) for point in range(POINTS if _symbols(tree) else 1)]
    if values[0] is None:
        return frozenset()
    return frozenset(["real " + "|".join(value or "?" for value in values) if len(values) > 1 else values[0]])


def _real_or_none(tree: sympy.Basic, point: int) -> str | None:
    try:
        value = _value(tree, point, real=True)
        return None if isinstance(value, mpmath.mpc) and abs(value.imag) > _ZERO else _value_key(value)
    except (Unreadable, ArithmeticError):
        return None


def _symbols(tree: sympy.Basic) -> bool:
    return any(
        (isinstance(node, sympy.Symbol) and node.name not in ("i", "\\imath"))
        or isinstance(node, sympy.core.function.AppliedUndef)
        for node in sympy.preorder_traversal(tree)
    )


def _value_key(value: Value) -> str:
    if isinstance(value, Fraction):
        return number_key(value)
    if isinstance(value, mpmath.mpc) and abs(value.imag) > _ZERO:
        return f"{_real_key(value.real)}+{_real_key(value.imag)}i"
    return _real_key(value.real)


def _real_key(value: Value) -> str:
    if mpmath.isnan(value):
        raise Unreadable("not a number")
    if mpmath.isinf(value):
        return "oo" if value > 0 else "-oo"
    if abs(value) < _ZERO:
        return number_key(Fraction(0))
    sign, mantissa, exponent, _ = value._mpf_
    if abs(exponent) < 1000:
        exact = Fraction(-mantissa if sign else mantissa) * Fraction(2) ** exponent
        near = exact.limit_denominator(_MAX_TERM)
        if abs(near - exact) < Fraction(1, 10**45) * max(1, abs(exact)):
            return number_key(near)
    return "~" + str(mpmath.nstr(value, _SHOWN, strip_zeros=False, min_fixed=0, max_fixed=0))


def _value(tree: sympy.Basic, point: int, real: bool = False) -> Value:
    if isinstance(tree, sympy.Rational):
        return Fraction(int(tree.p), int(tree.q))
    if isinstance(tree, sympy.Symbol):
        return mpmath.mpc(0, 1) if tree.name in ("i", "\\imath") else _drawn(tree.name.replace("{", ""), point)
    if tree in (sympy.oo, -sympy.oo):
        return mpmath.inf if tree == sympy.oo else -mpmath.inf
    if tree is sympy.I:
        return mpmath.mpc(0, 1)
    if isinstance(tree, sympy.NumberSymbol):
        return {"pi": +mpmath.pi, "E": +mpmath.e}.get(str(tree)) or _refuse(tree)
    arguments = [_value(argument, point, real) for argument in tree.args]
    if real and any(isinstance(value, mpmath.mpc) and abs(value.imag) > _ZERO for value in arguments):
        raise Unreadable("not real")
    if isinstance(tree, sympy.Add):
        return _fold(arguments, lambda a, b: a + b)
    if isinstance(tree, sympy.Mul):
        return _fold(arguments, lambda a, b: a * b)
    if isinstance(tree, sympy.Pow):
        if real and _is_odd_root(arguments[1]) and _negative(arguments[0]):
            return _power(-arguments[0], arguments[1]) * (-1 if arguments[1].numerator % 2 else 1)
        return _power(arguments[0], arguments[1])
    if isinstance(tree, sympy.core.function.AppliedUndef):
        shown = ",".join(_value_key(argument) for argument in arguments)
        return _drawn(f"{type(tree).__name__}({shown})", point)
    return _function(tree, arguments)


def _is_odd_root(value: Value) -> bool:
    return isinstance(value, Fraction) and value.denominator % 2 == 1 and value.denominator > 1


def _negative(value: Value) -> bool:
    return not isinstance(value, mpmath.mpc) and value < 0


def _function(tree: sympy.Basic, arguments: list[Value]) -> Value:
    name = type(tree).__name__
    if name == "UnevaluatedExpr":
        return arguments[0]
    if name == "factorial":
        return _factorial(arguments[0])
    if name == "log":
        whole = [_mp(argument) for argument in arguments]
        return _finite(mpmath.log(whole[0]) / mpmath.log(whole[1]) if len(whole) == 2 else mpmath.log(whole[0]))
    if name not in _FUNCTIONS:
        _refuse(tree)
    if name in ("floor", "ceiling", "Abs") and isinstance(arguments[0], Fraction):
        value = arguments[0]
        return abs(value) if name == "Abs" else Fraction(value // 1 if name == "floor" else -(-value // 1))
    return _finite(_FUNCTIONS[name](*(_mp(argument) for argument in arguments)))


def _refuse(tree: sympy.Basic) -> Value:
    raise Unreadable(f"no value for {type(tree).__name__}")


def _finite(value: Value) -> Value:
    if mpmath.isnan(value) or mpmath.isinf(value):
        raise Unreadable("no finite value")
    return value


def _fold(values: list[Value], operation: Callable[[Value, Value], Value]) -> Value:
    result = values[0]
    for value in values[1:]:
        mixed = isinstance(result, Fraction) != isinstance(value, Fraction)
        result = operation(_mp(result), _mp(value)) if mixed else operation(result, value)
    return result


def _mp(value: Value) -> Value:
    return mpmath.mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else value


def _divide(value: Value, by: Value) -> Value:
    return value / by if isinstance(value, Fraction) and isinstance(by, Fraction) else _mp(value) / _mp(by)


def _power(base: Value, exponent: Value) -> Value:
    if isinstance(exponent, Fraction):
        if abs(exponent) > _MAX_EXPONENT:
            raise Unreadable(f"exponent of {len(str(abs(exponent.numerator))):d} digits")
        if isinstance(base, Fraction):
            if base == 0 and exponent < 0:
                raise Unreadable("division by zero")
            bits = max(base.numerator.bit_length(), base.denominator.bit_length())
            if exponent.denominator == 1 and bits * abs(exponent) <= _MAX_BITS:
                return base**exponent.numerator
    elif abs(exponent) > _MAX_EXPONENT:
        raise Unreadable("huge exponent")
    try:
        return _finite(mpmath.power(_mp(base), _mp(exponent)))
    except (ZeroDivisionError, OverflowError) as error:
        raise Unreadable(str(error)) from error


def _factorial(value: Value) -> Value:
    if isinstance(value, Fraction) and value.denominator == 1 and value >= 0 and value <= 3000:
        return Fraction(math.factorial(value.numerator))
    if abs(value) > 10**6:
        raise Unreadable("huge factorial")
    return _finite(mpmath.gamma(_mp(value) + 1))


def _drawn(name: str, point: int) -> Fraction:
    """The rational number, between 0.3 and 2.7 in size, that a name stands for at a point."""
    digest = hashlib.sha256(f"{point}:{name.replace('}', '')}".encode()).digest()
    size = Fraction(3000 + int.from_bytes(digest[:8], "big") % 24_000, 10_007)
    size *= 11 if point == _LARGE else 1
    negative = point == 1 or (point in (2, 4) and digest[8] % 2 == 1)
    return -size if negative else size
