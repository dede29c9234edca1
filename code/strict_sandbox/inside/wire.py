"""Python values to frames of tagged JSON and back: the only thing that crosses the border of the sandbox.

A frame is a four-byte length and JSON text. Only exact builtin types (and a few of the standard library) are
rebuilt, so nothing that arrives carries behaviour of its own; whatever else the candidate holds stays where it
is and crosses as a number (`ref`). The reader trusts no byte: length, depth, ranges and integers are bounded.
"""

import json
import struct
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any

MAX_FRAME = 4 << 20
MAX_DEPTH = 200
MAX_NODES = 1_000_000
MAX_ITERATED = 100_000
MAX_RANGE = 1_000_000
MAX_BITS = 1_000_000
MAX_DECIMAL = 10_000

HEADER = struct.Struct("<I")
Tree = Any
dumps = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
loads = json.JSONDecoder().decode


class WireError(Exception):
    """Bytes that are no frame, or a frame that is no value."""


class TooBig(WireError):
    """A value or a frame beyond the bounds above."""


class NotPlain(Exception):
    """A value that cannot cross."""


def frame(message: Tree) -> bytes:
    body = dumps(message).encode("ascii")
    return HEADER.pack(len(body)) + body


def parse(body: bytes) -> Tree:
    """JSON of one frame's body. Raises WireError."""
    try:
        return loads(body.decode("ascii"))
    except (ValueError, RecursionError, MemoryError) as error:
        raise WireError(f"not JSON: {type(error).__name__}") from None


class Reader:
    """Frames out of a stream, `receive` being a `recv` or an `os.read`. An unfinished stream ends as EOFError."""

    def __init__(self, receive: Callable[[int], bytes], limit: int = MAX_FRAME) -> None:
        self.receive = receive
        self.limit = limit
        self.buffer = b""

    def take(self, count: int) -> bytes:
        if len(self.buffer) < count:
            parts = [self.buffer]
            missing = count - len(self.buffer)
            while missing > 0:
                part = self.receive(max(missing, 65536))
                if not part:
                    raise EOFError
                parts.append(part)
                missing -= len(part)
            self.buffer = b"".join(parts)
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def frame(self) -> Tree:
        """Raises EOFError, WireError, TooBig and what `receive` raises."""
        (length,) = HEADER.unpack(self.take(HEADER.size))
        if length > self.limit:
            raise TooBig(f"a frame of {length} bytes")
        return parse(self.take(length))


class Encoder:
    """Turns one value into a tree; `ref` answers for a value that is not plain (a number, or it raises NotPlain)."""

    def __init__(self, ref: Callable[[Any], int]) -> None:
        self.ref = ref
        self.left = MAX_NODES

    def tree(self, value: Any, depth: int = 0) -> Tree:
        kind = type(value)
        if value is None or kind is bool or kind is float:
            return value
        if kind is int:
            return _int_tree(value)
        if kind is str:
            if len(value) > MAX_FRAME:
                raise TooBig(f"a string of {len(value)} characters")
            return value
        if depth >= MAX_DEPTH:
            raise TooBig(f"nested deeper than {MAX_DEPTH}")
        tag = _SEQUENCES.get(kind)
        if tag:
            return self.items(tag, value, depth)
        tag = _MAPPINGS.get(kind)
        if tag:
            return self.items(tag, (part for pair in value.items() for part in pair), depth)
        return self.rarer(value, kind, depth)

    def items(self, tag: str, values: Any, depth: int, limit: int = MAX_NODES) -> Tree:
        tree = [tag]
        for value in values:
            self.left -= 1
            if self.left < 0 or len(tree) > limit:
                raise TooBig(f"more than {limit} values")
            tree.append(self.tree(value, depth + 1))
        return tree

    def rarer(self, value: Any, kind: type, depth: int) -> Tree:
        if kind is bytes or kind is bytearray:
            if len(value) > MAX_FRAME:
                raise TooBig(f"{len(value)} bytes")
            return ["b" if kind is bytes else "B", value.decode("latin-1")]
        if kind is complex:
            return ["c", value.real, value.imag]
        if kind is range:
            return ["r", *map(_int_tree, (value.start, value.stop, value.step))]
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name == "decimal.Decimal":
            return ["D", str(value)]
        if name == "fractions.Fraction":
            return ["F", _int_tree(value.numerator), _int_tree(value.denominator)]
        if name in ("re.Match", "re.Pattern"):
            return ["m"]
        if name == "collections.defaultdict":
            return self.items("d", (part for pair in dict.items(value) for part in pair), depth)
        if kind is type and _TYPES.get(value.__name__) is value:
            return ["T", value.__name__]
        if issubclass(kind, tuple) and hasattr(kind, "_fields"):
            return self.items("t", tuple.__iter__(value), depth)
        if kind is _KEYS or kind is _ITEMS:
            return self.items("k" if kind is _KEYS else "p", value, depth)
        if kind is _VALUES or hasattr(kind, "__next__"):
            return self.items("I", value, depth, MAX_ITERATED)
        if plain := _enumerated(kind):
            return self.tree(_ENUMERATED[plain](value), depth)
        return ["R", self.ref(value), callable(value)]


_ENUMERATED: dict[type, Callable[[Any], Any]] = {int: int.__int__, str: lambda text: str.join("", str.__iter__(text))}
_COMPARED = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__")


def _enumerated(kind: type) -> type | None:
    """Of an enumeration of numbers or texts that compare as plain ones do: the plain class. Else None."""
    for plain in _ENUMERATED if issubclass(kind, Enum) else ():
        if issubclass(kind, plain) and all(getattr(kind, name) is getattr(plain, name) for name in _COMPARED):
            return plain
    return None


_PLAIN_TYPES = (bool, int, float, complex, str, bytes, list, tuple, set, frozenset, dict, type(None))
_TYPES: dict[str, type] = {each.__name__: each for each in _PLAIN_TYPES}
_KEYS, _VALUES, _ITEMS = type({}.keys()), type({}.values()), type({}.items())
_SEQUENCES: dict[type, str] = {list: "l", tuple: "t", set: "s", frozenset: "f", deque: "q"}
_MAPPINGS: dict[type, str] = {dict: "d", OrderedDict: "O", Counter: "C"}


def _int_tree(value: int) -> Tree:
    if -(1 << 62) < value < 1 << 62:
        return int(value)
    if value.bit_length() > MAX_BITS:
        raise TooBig(f"an integer of {value.bit_length()} bits")
    return ["i", f"{value:x}"]


class Opaque:
    """Stands for a match object: true, and equal to itself alone."""

    def __repr__(self) -> str:
        return "<match>"


class Decoder:
    """Rebuilds a value from a tree; `ref` makes what stands for a value that did not cross, callable or not."""

    def __init__(self, ref: Callable[[int, bool], Any]) -> None:
        self.ref = ref

    def value(self, tree: Tree) -> Any:
        """Raises WireError."""
        try:
            return self.build(tree, 0)
        except (TypeError, ValueError, LookupError, ArithmeticError, RecursionError) as error:
            raise WireError(f"no value: {type(error).__name__}") from None

    def build(self, tree: Tree, depth: int) -> Any:
        kind = type(tree)
        if kind is not list:
            if kind is dict:
                raise WireError("a JSON object")
            return tree
        if depth > MAX_DEPTH or not tree or type(tree[0]) is not str:
            raise WireError("too deep, or no tag")
        tag, *rest = tree
        if tag in _LEAVES:
            return _LEAVES[tag](*rest)
        if tag == "R":
            number, is_callable = rest
            return self.ref(_integer(number), is_callable is True)
        if tag not in _BRANCHES:
            raise WireError(f"unknown tag {tag[:10]!r}")
        return _BRANCHES[tag]([self.build(part, depth + 1) for part in rest])


def _integer(tree: Tree) -> int:
    if type(tree) is int:
        return tree
    if type(tree) is list and len(tree) == 2 and tree[0] == "i":
        return _big(tree[1])
    raise WireError("no integer")


def _big(text: Tree) -> int:
    if type(text) is not str or len(text) > MAX_BITS // 4 + 2:
        raise WireError("no integer, or too large")
    return int(text, 16)


def _range(*parts: Tree) -> range:
    start, stop, step = map(_integer, parts)
    value = range(start, stop, step)
    if abs(stop - start) // abs(step) > MAX_RANGE:
        raise TooBig("a range of more than a million numbers")
    return value


def _text(text: Tree) -> str:
    if type(text) is not str:
        raise WireError("no text")
    return text


def _decimal(text: Tree) -> Decimal:
    if len(_text(text)) > MAX_DECIMAL:
        raise TooBig("a decimal of more than ten thousand digits")
    return Decimal(text)


def _complex(real: Tree, imaginary: Tree) -> complex:
    if type(real) is not float or type(imaginary) is not float:
        raise WireError("no complex number")
    return complex(real, imaginary)


def _pairs(flat: list[Any]) -> dict[Any, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


_LEAVES: dict[str, Callable[..., Any]] = {
    "i": _big,
    "b": lambda text: _text(text).encode("latin-1"),
    "B": lambda text: bytearray(_text(text).encode("latin-1")),
    "c": _complex,
    "r": _range,
    "D": _decimal,
    "F": lambda above, below: Fraction(_integer(above), _integer(below)),
    "m": Opaque,
    "T": lambda name: _TYPES[_text(name)],
}
_BRANCHES: dict[str, Callable[[list[Any]], Any]] = {
    "l": list,
    "t": tuple,
    "s": set,
    "f": frozenset,
    "q": deque,
    "d": _pairs,
    "O": lambda flat: OrderedDict(_pairs(flat)),
    "C": lambda flat: Counter(_pairs(flat)),
    "k": lambda items: dict.fromkeys(items).keys(),
    "p": lambda items: dict(items).items(),
    "I": iter,
}
