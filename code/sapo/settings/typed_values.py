"""Plain values, as YAML gives them, to frozen dataclasses: unknown and missing keys and wrong types are refused.

A key that is a Python keyword (`from`) is the field of that name with a trailing underscore.
"""

import dataclasses
import math
import types
import typing
from typing import Any, Literal, TypeVar

from sapo.records import BadInput

# No number of a run is negative; these must also be more than nothing.
POSITIVE = {"lr", "batch_size", "epochs", "rows", "per_position", "max_new_tokens", "resamples", "train_questions"}
POSITIVE |= {"test_questions", "ood_questions", "vocabulary", "hidden", "layers", "heads", "context"}
POSITIVE |= {"devices", "workers", "threads"}
POSITIVE |= {"training_tokens", "group", "steps", "questions_per_step", "rank", "alpha"}

Section = TypeVar("Section")


class SettingsError(BadInput):
    """A setting is unknown, missing or of the wrong type; the message names file, key and value."""


def build(section: type[Section], values: Any, where: str) -> Section:
    """Make a settings dataclass from plain values. Raises SettingsError naming the key and the value."""
    if not isinstance(values, dict):
        raise SettingsError(f"{where}: expected keys, found {values!r}")
    hints = {name.rstrip("_"): (name, hint) for name, hint in typing.get_type_hints(section).items()}
    for key in values.keys() - hints.keys():
        raise SettingsError(f"{where}: unknown setting {key!r} (value {values[key]!r}); known: {', '.join(hints)}")
    for key in hints.keys() - values.keys():
        raise SettingsError(f"{where}: setting {key!r} is missing")
    return section(**{name: _convert(hint, values[key], f"{where}: {key}") for key, (name, hint) in hints.items()})


def changed(section: Section, changes: Any, where: str) -> Section:
    """A settings dataclass with some values replaced: `changes` nests like the sections and names only what differs.

    Raises:
        SettingsError: a key is unknown or a value of the wrong type; names both.
    """
    if not isinstance(changes, dict):
        raise SettingsError(f"{where}: expected keys, found {changes!r}")
    hints = {name.rstrip("_"): (name, hint) for name, hint in typing.get_type_hints(type(section)).items()}
    new = {}
    for key, value in changes.items():
        if key not in hints:
            raise SettingsError(f"{where}: unknown setting {key!r} (value {value!r}); known: {', '.join(hints)}")
        name, hint = hints[key]
        here = f"{where}: {key}"
        nested = dataclasses.is_dataclass(hint)
        new[name] = changed(getattr(section, name), value, here) if nested else _convert(hint, value, here)
    return dataclasses.replace(section, **new)  # pyright: ignore[reportArgumentType, reportCallIssue, reportReturnType, reportType]


def _convert(hint: Any, value: Any, where: str) -> Any:
    if hint is Any:
        return value
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where)  # pyright: ignore[reportArgumentType]
    if origin is Literal:
        if value not in arguments:
            raise SettingsError(f"{where}: {value!r} is not one of {', '.join(map(repr, arguments))}")
        return value
    if origin is dict and isinstance(value, dict):
        return {key: _convert(arguments[1], item, f"{where}: {key}") for key, item in value.items()}
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if hint is float and type(value) is int:
        value = float(value)
    if origin is not None or type(value) is not hint:
        wanted = hint if isinstance(hint, types.GenericAlias) else hint.__name__
        raise SettingsError(f"{where}: {value!r} is {type(value).__name__}, expected {wanted}")
    if hint in (int, float):
        _check_number(value, where)
    return value


def _check_number(value: float, where: str) -> None:
    """Refuse negative and infinite numbers, and 0 where the key (the last word of `where`) cannot be 0."""
    key = where.rsplit(" ", 1)[-1]
    if not math.isfinite(value) or value < 0 or (key in POSITIVE and value == 0):
        raise SettingsError(f"{where}: {value!r} is no {'positive' if key in POSITIVE else 'non-negative'} number")
