"""Frozen records that stages exchange, and checked JSON Lines in and out.

A file of records starts with one header line `{"schema": "Trajectory/1", "rows": 3}` and holds one
record a line after it, so that a truncated, mixed-up or foreign file is refused by name.
Records hold no behaviour beyond their own invariants; methods of the papers live in the folders below.
"""

import dataclasses
import json
import os
import types
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

SCHEMA_VERSION = 1

Verdict = Literal["right", "wrong", "unparsable", "grader_error"]


class BadInput(ValueError):
    """What a user gave cannot be used; the command line shows the message as one line, without a trace."""


class RecordError(BadInput):
    """A record or a file of records breaks its contract; the message names file, record and value."""


@dataclass(frozen=True, slots=True)
class Question:
    """One benchmark item, already under an evaluation protocol: `prompt` is exactly what the reasoner reads.

    Args:
        id: unique over all files of a run, `task/split/number[/variant]`.
        answer: gold final answer (maths) or gold program (code); never empty.
        solution: gold rationale in the words the reasoner should use; empty where it is withheld.
        group: cluster of the bootstrap (several prompts of one task share it); the id unless given.
        tests: assert statements (code tasks only).
        context: trusted source that the tests or the completion need (set-up code, a HumanEval prompt).
        entry_point: name of the function that the tests call (code tasks only).
    """

    id: str
    prompt: str
    answer: str
    solution: str = ""
    group: str = ""
    tests: tuple[str, ...] = ()
    context: str = ""
    entry_point: str = ""

    def __post_init__(self) -> None:
        if not self.id or not self.prompt:
            raise RecordError(f"question {self.id!r} has no {'prompt' if self.id else 'id'}")
        if not self.answer:
            raise RecordError(f"question {self.id} has no answer")
        if not self.group:
            object.__setattr__(self, "group", self.id)


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A reasoner's answer to one question: `steps` joined without separators is its exact text."""

    id: str
    question_id: str
    steps: tuple[str, ...]
    verdict: Verdict
    source: str

    def __post_init__(self) -> None:
        if not self.steps:
            raise RecordError(f"trajectory {self.id} of question {self.question_id} has no steps")

    @property
    def text(self) -> str:
        return "".join(self.steps)

    @property
    def right(self) -> bool:
        return self.verdict == "right"

    def prefix(self, length: int) -> str:
        """Text of the first `length` steps; 0 gives the empty text."""
        if not 0 <= length <= len(self.steps):
            raise RecordError(f"trajectory {self.id} has {len(self.steps)} steps, no prefix of {length}")
        return "".join(self.steps[:length])


def _check_per_step(name: str, values: Sequence[object], trajectory: Trajectory) -> None:
    if len(values) != len(trajectory.steps):
        raise RecordError(
            f"{name} has {len(values)} entries for the {len(trajectory.steps)} steps of trajectory {trajectory.id}"
        )


@dataclass(frozen=True, slots=True)
class StepScores:
    """Verifier scores in [0, 1], one a step: `scores[j - 1]` is c^_j of the papers."""

    trajectory_id: str
    scores: tuple[float, ...]

    def __post_init__(self) -> None:
        bad = [s for s in self.scores if not 0.0 <= s <= 1.0]
        if bad or not self.scores:
            raise RecordError(f"scores of trajectory {self.trajectory_id} must lie in [0, 1]: {bad or 'none given'}")

    def check(self, trajectory: Trajectory) -> None:
        _check_per_step("scores", self.scores, trajectory)

    @property
    def reward(self) -> float:
        """Trajectory reward r = mean_j c^_j (SAPO eq. 14)."""
        return sum(self.scores) / len(self.scores)


LabelCase = Literal["outcome", "witness", "every_step", "bisection", "a", "b", "c", "expansion"]


@dataclass(frozen=True, slots=True)
class StepLabels:
    """Step labels c_1…c_n in {0, 1} of one trajectory, and how they were found.

    Args:
        asked: positions j whose c_j was asked of rollouts, in the order of asking.
        case: which rule decided: the outcome alone, a right outcome as witness, every step,
            bisection, or SAPO's cases (a) detection right, (b) error later, (c) error earlier.
    """

    trajectory_id: str
    labels: tuple[int, ...]
    asked: tuple[int, ...]
    case: LabelCase

    def __post_init__(self) -> None:
        bad = [c for c in self.labels if c not in (0, 1)]
        if bad or not self.labels:
            raise RecordError(f"labels of trajectory {self.trajectory_id} must be 0 or 1: {bad or 'none given'}")

    def check(self, trajectory: Trajectory) -> None:
        _check_per_step("labels", self.labels, trajectory)


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """A chosen and a rejected completion of one prompt, with their rewards (SAPO eq. 15)."""

    question_id: str
    prompt: str
    chosen: str
    rejected: str
    chosen_reward: float
    rejected_reward: float

    def __post_init__(self) -> None:
        if not self.chosen or not self.rejected:
            raise RecordError(f"a pair of question {self.question_id} has an empty completion")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one checkpoint answered to one question of a benchmark."""

    question_id: str
    group: str
    completion: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Cost:
    """What a piece of work spent. Tokens and FLOPs are exact counts; seconds depend on the machine.

    Args:
        rollouts: completions drawn.
        prompt_tokens: tokens computed at once: prompts of completions, trajectories that a verifier scored.
        generated_tokens: tokens drawn one by one.
        trained_tokens: tokens of training rows, as often as they were trained on.
        programs: programs run by a judge.
    """

    rollouts: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    programs: int = 0
    trained_tokens: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))


Record = TypeVar("Record")


def write_records(path: Path, records: Iterable[object], schema: type) -> None:
    """Write records of one class to `path`, whole or not at all (a temporary file replaces it at the end).

    Raises:
        RecordError: a record is not of class `schema`; nothing is written.
    """
    lines = []
    for record in records:
        if type(record) is not schema:
            raise RecordError(f"{path}: {record!r} is no {schema.__name__}")
        lines.append(json.dumps(dataclasses.asdict(record), ensure_ascii=False))  # pyright: ignore[reportArgumentType]
    header = json.dumps({"schema": f"{schema.__name__}/{SCHEMA_VERSION}", "rows": len(lines)})
    write_text(path, "\n".join([header, *lines, ""]))


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` atomically: readers see the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    os.replace(temporary, path)


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON with sorted keys, atomically."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def read_records(path: Path, schema: type[Record]) -> list[Record]:
    """Read the records of one class from `path`.

    Raises:
        RecordError: the file is missing, truncated, of another schema, or a line is no such record;
            the message names the file, the line and the reason.
    """
    if not path.is_file():
        raise RecordError(f"{path}: no such file")
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise RecordError(f"{path}: not UTF-8 at byte {error.start}") from error
    header = _parse(path, 1, lines[0])
    expected = f"{schema.__name__}/{SCHEMA_VERSION}"
    if header.get("schema") != expected:
        raise RecordError(f"{path}: line 1: schema is {header.get('schema')!r}, expected {expected!r}")
    rows = header.get("rows")
    if rows != len(lines) - 2 or lines[-1]:
        raise RecordError(f"{path}: header promises {rows} rows, the file holds {len(lines) - 2}: truncated or edited")
    return [_build(path, number, line, schema) for number, line in enumerate(lines[1:-1], start=2)]


def _parse(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise RecordError(f"{path}: line {number}: not JSON ({error.msg}): {line[:60]!r}") from error
    if not isinstance(value, dict):
        raise RecordError(f"{path}: line {number}: not a JSON object: {line[:60]!r}")
    return value


def _build(path: Path, number: int, line: str, schema: type[Record]) -> Record:
    value = _parse(path, number, line)
    hints = typing.get_type_hints(schema)
    for key in hints.keys() - value.keys():
        raise RecordError(f"{path}: line {number}: field {key!r} of {schema.__name__} is missing")
    for key in value.keys() - hints.keys():
        raise RecordError(f"{path}: line {number}: {schema.__name__} has no field {key!r}")
    fields = {key: _convert(value[key], hint, f"{path}: line {number}: {key}") for key, hint in hints.items()}
    try:
        return schema(**fields)
    except RecordError as error:
        raise RecordError(f"{path}: line {number}: {error}") from error


def _convert(value: Any, hint: Any, where: str) -> Any:
    """Check one JSON value against a field's type; lists become tuples. Raises RecordError."""
    origin = typing.get_origin(hint)
    if origin is Literal:
        if value not in typing.get_args(hint):
            raise RecordError(f"{where} is {value!r}, not one of {typing.get_args(hint)}")
        return value
    if origin is types.UnionType:
        return None if value is None else _convert(value, typing.get_args(hint)[0], where)
    if origin is tuple:
        if not isinstance(value, list):
            raise RecordError(f"{where} is {value!r}, not a list")
        return tuple(_convert(item, typing.get_args(hint)[0], where) for item in value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise RecordError(f"{where} is {value!r}, not {hint.__name__}")
    return value
