"""Runs one line of a nano-code function on known values, without executing any of a reasoner's code.

Only the small language that such functions need is understood: assignments to one name, `return`, sorting and
reversing in place; integers, flat lists of them, comprehensions over one list, slices, comparisons, arithmetic and a
few built-ins. Anything else raises `LineError`, as does a value out of bounds or a line that takes too many steps, so
that no text can hang or harm the process that asks.
"""

import ast
import functools
import operator
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Scope = dict[str, Any]

_LONGEST_LINE = 1000
_LONGEST_LIST = 1000
_MOST_STEPS = 10_000
_LARGEST_NUMBER = 10**12

_OPERATORS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Mod: operator.mod,
    ast.FloorDiv: operator.floordiv,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sorted": sorted,
    "sum": sum,
    "len": len,
    "max": max,
    "min": min,
    "list": list,
    "abs": abs,
    "reversed": reversed,  # an iterator, as in Python: nothing to assign or return before `list` has read it
}
_IN_PLACE = {"sort": "sorted", "reverse": "reversed"}


class LineError(ValueError):
    """The line is outside the language or fails on the values given."""


def run_line(line: str, scope: Scope) -> tuple[str, Any]:
    """Name and value of an assignment `name = value`, or `("return", value)`.

    `name.sort()` and `name.reverse()` change the list in `scope` itself, as other names for it must see, and give it
    as the name's value. Raises LineError.
    """
    parsed = _parse(line.strip()) if len(line) <= _LONGEST_LINE else None
    if parsed is None or parsed.name in _FUNCTIONS:
        raise LineError(f"{line[:80]!r} is no assignment, no sorting or reversing in place and no return")
    try:
        value = _Reader().value(parsed.value, scope)
    except (TypeError, ValueError, LookupError, ArithmeticError, RecursionError) as error:
        raise LineError(f"{line[:80]!r} fails: {error}") from error
    if not isinstance(value, int | list):
        raise LineError(f"{line[:80]!r} gives a {type(value).__name__}, no number and no list")
    if parsed.in_place:
        scope[parsed.name][:] = value
        value = scope[parsed.name]
    return parsed.name, value


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    value: ast.expr
    in_place: bool = False


@functools.lru_cache(maxsize=10_000)
def _parse(line: str) -> _Line | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = ast.parse(f"def f():\n {line}").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    match parsed:
        case [ast.FunctionDef(body=[ast.Assign(targets=[ast.Name(id=name)], value=value)])]:
            return _Line(name, value)
        case [ast.FunctionDef(body=[ast.Return(value=ast.expr() as value)])]:
            return _Line("return", value)
        case [ast.FunctionDef(body=[ast.Expr(ast.Call(ast.Attribute(ast.Name(id=name), method), [], keywords))])]:
            if method in _IN_PLACE:
                changed = ast.Call(ast.Name(_IN_PLACE[method]), [ast.Name(name)], keywords)
                return _Line(name, ast.Call(ast.Name("list"), [changed], []), in_place=True)
    return None


def _bounded(value: Any) -> Any:
    if isinstance(value, int) and abs(value) > _LARGEST_NUMBER:
        raise ValueError("number out of bounds")
    if isinstance(value, list) and (len(value) > _LONGEST_LIST or not all(isinstance(item, int) for item in value)):
        raise ValueError("list too long, or not of numbers alone")
    return value


class _Reader:
    """Evaluates one line; every node visited is a step, so that nested comprehensions cannot run on."""

    def __init__(self) -> None:
        self.left = _MOST_STEPS

    def value(self, node: ast.expr | None, scope: Scope) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ValueError("too many steps")
        match node:
            case None:
                return None
            case ast.Name(id=name):
                return scope[name]
            case ast.Subscript(value=value, slice=ast.Slice(lower=lower, upper=upper, step=step)):
                return self.value(value, scope)[slice(*(self.value(bound, scope) for bound in (lower, upper, step)))]
            case ast.Subscript(value=value, slice=index):
                return self.value(value, scope)[self.value(index, scope)]
            case ast.IfExp(test=test, body=body, orelse=otherwise):
                return self.value(body if self.value(test, scope) else otherwise, scope)
        return _bounded(self._made(node, scope))

    def _made(self, node: ast.expr, scope: Scope) -> Any:
        """The value of an expression that makes a new one, not yet within bounds."""
        match node:
            case ast.Constant(value=int() as number):
                return number
            case ast.List(elts=items):
                return [self.value(item, scope) for item in items]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.value(operand, scope)
            case ast.BinOp(left=left, op=sign, right=right) | ast.Compare(left=left, ops=[sign], comparators=[right]):
                return _combine(type(sign), self.value(left, scope), self.value(right, scope))
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=keywords):
                named = {str(keyword.arg): _literal(keyword) for keyword in keywords}
                return _FUNCTIONS[name](*(self.value(argument, scope) for argument in arguments), **named)
            case ast.ListComp(generators=[ast.comprehension(target=ast.Name(id=name), is_async=0) as loop]):
                inner = [{**scope, name: x} for x in self.value(loop.iter, scope)]
                kept = [s for s in inner if all(self.value(test, s) for test in loop.ifs)]
                return [self.value(node.elt, s) for s in kept]
        raise ValueError(f"{type(node).__name__} is outside the language")


def _literal(keyword: ast.keyword) -> int:
    if keyword.arg in ("reverse", "default") and isinstance(keyword.value, ast.Constant):
        number = keyword.value.value
        if isinstance(number, int):
            return number
    raise ValueError(f"keyword {keyword.arg} is outside the language")


def _combine(sign: type[ast.AST], left: Any, right: Any) -> Any:
    if sign is ast.Mult and not (isinstance(left, int) and isinstance(right, int)):
        raise ValueError("only numbers are multiplied")
    return _OPERATORS[sign](left, right)
