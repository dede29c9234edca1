"""The world of nano-code: functions that send a list through a described pipeline, one operation a line.

    Write f(xs): keep the even numbers, then add 3 to each, then sort, then return the sum.

    def f(xs):
        xs = [x for x in xs if x % 2 == 0]
        xs = [x + 3 for x in xs]
        xs = sorted(xs)
        return sum(xs)

`HABITS` are the systematic mistakes of the pretraining documents' authors: a comparison that is wrong about its
bound, a slice one element short, an operation forgotten, two operations in the wrong order.
"""

import functools
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Habit = Literal["wrong_bound", "short_slice", "forgotten_sort", "wrong_order"]
HABITS: tuple[Habit, ...] = ("wrong_bound", "short_slice", "forgotten_sort", "wrong_order")

PIPELINE_WEIGHTS = {3: 20, 4: 40, 5: 40}


@dataclass(frozen=True, slots=True)
class Operation:
    """One stage of a pipeline: its words (`{}` takes the number, if it has one) and its line of Python."""

    words: str
    code: str
    numbers: tuple[int, ...] = ()


OPERATIONS = (
    Operation("keep the even numbers", "xs = [x for x in xs if x % 2 == 0]"),
    Operation("keep the odd numbers", "xs = [x for x in xs if x % 2 == 1]"),
    Operation("keep numbers of at least {}", "xs = [x for x in xs if x >= {}]", (2, 3, 4, 5, 6)),
    Operation("keep numbers below {}", "xs = [x for x in xs if x < {}]", (5, 6, 7, 8, 9)),
    Operation("add {} to each", "xs = [x + {} for x in xs]", (1, 2, 3, 4, 5)),
    Operation("subtract {} from each", "xs = [x - {} for x in xs]", (1, 2, 3)),
    Operation("multiply each by {}", "xs = [x * {} for x in xs]", (2, 3)),
    Operation("drop the first {}", "xs = xs[{}:]", (1, 2, 3)),
    Operation("keep the first {}", "xs = xs[:{}]", (2, 3, 4)),
    Operation("drop the last {}", "xs = xs[:-{}]", (1, 2)),
    Operation("reverse", "xs = xs[::-1]"),
    Operation("sort", "xs = sorted(xs)"),
    Operation("sort from the largest", "xs = sorted(xs, reverse=True)"),
)
RETURNS = (
    Operation("return the list", "return xs"),
    Operation("return the sum", "return sum(xs)"),
    Operation("return the length", "return len(xs)"),
    Operation("return the first", "return xs[0] if xs else 0"),
    Operation("return the last", "return xs[-1] if xs else 0"),
    Operation("return the largest", "return max(xs, default=0)"),
)
# What is returned hides mistakes more or less well; the list itself hides none.
RETURN_WEIGHTS = (5, 2, 1, 1, 1, 1)
_SLICES = {"drop the first {}", "keep the first {}"}
_SHAPES = {"add {} to each", "subtract {} from each", "multiply each by {}"}


@dataclass(frozen=True, slots=True)
class Stage:
    """An operation with its number (0 where it has none)."""

    operation: Operation
    number: int = 0

    @property
    def words(self) -> str:
        return self.operation.words.format(self.number)

    @property
    def line(self) -> str:
        return self.operation.code.format(self.number)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Stages in the order of the text, then what is returned."""

    stages: tuple[Stage, ...]
    returned: Operation

    def description(self) -> str:
        return ", then ".join([*(stage.words for stage in self.stages), self.returned.words])

    def lines(self) -> list[str]:
        return [*(stage.line for stage in self.stages), self.returned.code]


@functools.lru_cache(maxsize=1000)
def compiled(line: str) -> Callable[[Sequence[int]], Any]:
    """One of this module's own lines as a function of the list, to run it often."""
    expression = line.removeprefix("xs = ").removeprefix("return ")
    return eval(f"lambda xs: {expression}", {})


def program(lines: Sequence[str]) -> str:
    """The function whose body is `lines`."""
    return "def f(xs):\n" + "".join(f"    {line}\n" for line in lines)


def draw_pipeline(rng: random.Random, lengths: dict[int, int]) -> Pipeline:
    """A random pipeline; no two neighbours of one kind, so that every stage matters."""
    length = rng.choices(list(lengths), list(lengths.values()))[0]
    stages: list[Stage] = []
    while len(stages) < length:
        operation = rng.choice(OPERATIONS)
        if not stages or _kind(operation) != _kind(stages[-1].operation):
            stages.append(Stage(operation, rng.choice(operation.numbers) if operation.numbers else 0))
    return Pipeline(tuple(stages), rng.choices(RETURNS, RETURN_WEIGHTS)[0])


def _kind(operation: Operation) -> str:
    if operation.words in _SHAPES:
        return operation.words
    return {"keep the": "keep", "keep numbers": "keep"}.get(" ".join(operation.words.split()[:2]), operation.words[:4])


def parse_pipeline(prompt: str) -> Pipeline:
    """Read a pipeline back from the text that holds it. Raises ValueError naming the words that are no stage."""
    found = re.search(r"(?:Write f\(xs\): |\"\"\")(.*)\.", prompt)
    if not found:
        raise ValueError(f"no nano-code pipeline: {prompt!r}")
    *stages, last = found[1].split(", then ")
    returned = next((operation for operation in RETURNS if operation.words == last), None)
    if returned is None:
        raise ValueError(f"{last!r} returns nothing in {prompt!r}")
    return Pipeline(tuple(_parse_stage(words) for words in stages), returned)


def _parse_stage(words: str) -> Stage:
    for operation in OPERATIONS:
        if match := re.fullmatch(operation.words.replace("{}", r"(\d+)"), words):
            return Stage(operation, int(match[1]) if match.groups() else 0)
    raise ValueError(f"{words!r} is no nano-code operation")


def habit_sites(pipeline: Pipeline) -> list[Habit]:
    """Where a habit could strike, in order (one entry a site)."""
    stages = pipeline.stages
    return [habit for i in range(len(stages)) for habit in HABITS if _applies(habit, stages, i)]


def _applies(habit: Habit, stages: Sequence[Stage], i: int) -> bool:
    words = stages[i].operation.words
    if habit == "wrong_bound":
        return words in ("keep numbers of at least {}", "keep numbers below {}")
    if habit == "short_slice":
        return words in _SLICES and stages[i].number in (2, 3)
    if habit == "forgotten_sort":
        return words == "sort" and i > 0
    return i > 0 and words in _SHAPES and stages[i - 1].operation.words.startswith("keep")


def write_body(pipeline: Pipeline, rng: random.Random, rate: float = 0.0) -> list[str]:
    """Lines of an author who falls for each habit with probability `rate` wherever it applies."""
    lines: list[str] = []
    for i, stage in enumerate(pipeline.stages):
        struck = {h for h in HABITS if _applies(h, pipeline.stages, i) and rng.random() < rate}
        line = stage.line
        if "wrong_bound" in struck:
            line = line.replace(">=", ">") if ">=" in line else line.replace("<", "<=")
        if "short_slice" in struck:
            line = line.replace(str(stage.number), str(stage.number - 1))
        if "forgotten_sort" in struck:
            continue
        if "wrong_order" in struck:
            lines.insert(len(lines) - 1, line)
        else:
            lines.append(line)
    return [*lines, pipeline.returned.code]
