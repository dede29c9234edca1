"""Runs one line of a nano-code function on known values, without executing any of a reasoner's code.

Only the small language that such functions need is understood: integers, lists, one comprehension, slices,
comparisons, arithmetic and a few built-ins. Anything else raises `LineError`, as does a value out of bounds,
so that no text can hang or harm the process that asks.
"""

import ast
import functools
import operator
from collections.abc import Callable
from typing import Any

Scope = dict[str, Any]

_LONGEST_LIST = 1000
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
    "reversed": lambda xs: list(reversed(xs)),
}


class LineError(ValueError):
    """The line is outside the language or fails on the values given."""


def run_line(line: str, scope: Scope) -> tuple[str, Any]:
    """Name and value of an assignment `name = value`, or `("return", value)`. Raises LineError."""
    parsed = _parse(line.strip())
    if parsed is None:
        raise LineError(f"{line!r} is neither an assignment nor a return")
    return parsed[0], _checked(parsed[1], scope)


@functools.lru_cache(maxsize=10_000)
def _parse(line: str) -> tuple[str, ast.expr] | None:
    try:
        statements = ast.parse(f"def f():\n {line}").body[0].body  # pyright: ignore[reportAttributeAccessIssue]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    match statements:
        case [ast.Assign(targets=[ast.Name(id=name)], value=value)]:
            return name, value
        case [ast.Return(value=ast.expr() as value)]:
            return "return", value
    return None


def _checked(node: ast.expr, scope: Scope) -> Any:
    try:
        return _bounded(_value(node, scope))
    except (TypeError, ValueError, IndexError, KeyError, ZeroDivisionError, RecursionError) as error:
        raise LineError(f"{ast.unparse(node)[:80]} fails: {error}") from error


def _bounded(value: Any) -> Any:
    if isinstance(value, int) and abs(value) > _LARGEST_NUMBER:
        raise ValueError("number out of bounds")
    if isinstance(value, list) and len(value) > _LONGEST_LIST:
        raise ValueError("list out of bounds")
    return value


def _value(node: ast.expr | None, scope: Scope) -> Any:
    match node:
        case None:
            return None
        case ast.Constant(value=int() as number):
            return number
        case ast.Name(id=name):
            return scope[name]
        case ast.List(elts=items):
            return [_value(item, scope) for item in items]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, scope)
        case ast.BinOp(left=left, op=sign, right=right) | ast.Compare(left=left, ops=[sign], comparators=[right]):
            return _combine(type(sign), _value(left, scope), _value(right, scope))
        case ast.IfExp(test=test, body=body, orelse=otherwise):
            return _value(body if _value(test, scope) else otherwise, scope)
        case ast.Subscript(value=value, slice=ast.Slice(lower=lower, upper=upper, step=step)):
            return _value(value, scope)[_value(lower, scope) : _value(upper, scope) : _value(step, scope)]
        case ast.Subscript(value=value, slice=index):
            return _value(value, scope)[_value(index, scope)]
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=keywords):
            named = {k.arg: _literal(k.value) for k in keywords if k.arg in ("reverse", "default")}
            return _FUNCTIONS[name](*(_value(a, scope) for a in arguments), **named)
        case ast.ListComp(elt=element, generators=[ast.comprehension(target=ast.Name(id=name), iter=xs, ifs=tests)]):
            inner = [{**scope, name: x} for x in _value(xs, scope)]
            return [_value(element, s) for s in inner if all(_value(test, s) for test in tests)]
    raise ValueError(f"{type(node).__name__} is outside the language")


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | bool):
        return node.value
    raise ValueError("only literal keyword arguments are understood")


def _combine(sign: type[ast.AST], left: Any, right: Any) -> Any:
    if sign is ast.Mult and not (isinstance(left, int) and isinstance(right, int)):
        raise ValueError("only numbers are multiplied")
    return _bounded(_OPERATORS[sign](left, right))
