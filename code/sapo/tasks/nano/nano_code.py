"""nano-code stands for MBPP: describe a pipeline of list operations, get a real function, run it on three asserts.

Truth of a step (`step_truth`): a line is right when the lines so far can still be continued to a right program.

- The first line must be the signature.
- An assignment is right when the right result can be reached on every probe list from the values of one of the
  names that are then known: they are the result, or the return of the description gives it after some of its stages,
  in some order, each used once at most (of a sum that it adds or subtracts also a part). What was done is read off
  the values, not off the lines: a stage that a line has done may be done once more by what is to come, and a value
  that is wrong under a name of its own harms nothing until it is used.
- `return` is right when it returns the right result on every probe. Any statement after it is wrong.
- What follows is a witness too: the lines before a right one are right, so that orders and decompositions that the
  description does not name count.
- A comment is as right as the line before it; blank lines belong to a step (`steps.py`) and mean nothing.
- A line holds one statement, an assignment, a sorting or reversing in place or a `return`, in the language of
  `nano_code_lines`. Anything else is wrong, and so are all lines after it, even where Python would take it (a loop,
  `pass`, `print`, an expression broken over two lines).

Probes have three to ten numbers and are many more than the three asserts, so a program can pass its tests by luck and
still contain a wrong step.
"""

import functools
import random
import re
from collections.abc import Sequence
from typing import Any

from sapo.records import Question, Verdict
from sapo.tasks.nano import embedded
from sapo.tasks.nano.embedded import bare
from sapo.tasks.nano.nano_code_lines import LineError, run_line
from sapo.tasks.nano.nano_code_world import (
    PIPELINE_WEIGHTS,
    Pipeline,
    Stage,
    compiled,
    draw_pipeline,
    habit_sites,
    parse_pipeline,
    program,
)
from sapo.tasks.program_grading.judging import judge, unparsable_kind
from sapo.tasks.steps import split_lines as split
from sapo.tasks.task import DataSource, Split

__all__ = ["NAME", "answered", "generate", "grade", "load", "normalise", "split", "step_truth", "unparsable_kind"]

NAME = "nano_code"
SIGNATURE = "def f(xs):\n"
PROBES = 12
_IDLE_LINE = re.compile(r"[ \t]*(#[^\r\n\0\ud800-\udfff]*)?\r?\n?")
_RETURN_LINE = re.compile(r"^    return\b[^\n]*\n", re.MULTILINE)

State = tuple[Any, ...]


def load(split: Split, source: DataSource) -> list[Question]:
    return embedded.read_embedded(source.root, NAME, split)


def generate(split: Split, count: int, seed: int) -> list[Question]:
    """Questions of a split; a gold program is given only where neither order nor sorting can go wrong."""
    rng = random.Random(f"{NAME}/{split}/{seed}")

    def draw() -> Question:
        pipeline = draw_pipeline(rng, PIPELINE_WEIGHTS)
        return make_question(NAME, split, pipeline, f"Write f(xs): {pipeline.description()}.\n")

    return embedded.number(embedded.collect(split, count, draw))


def make_question(name: str, split: Split, pipeline: Pipeline, prompt: str, context: str = "") -> Question:
    """A question whose asserts run the pipeline's own lines; gold is withheld where some habits could strike."""
    gold = program(pipeline.lines()).removeprefix(context)
    withheld = bool({"wrong_order", "forgotten_sort"} & set(habit_sites(pipeline)))
    tests = tuple(f"assert f({xs}) == {_reference(pipeline, xs)}" for xs in _asserted(prompt, pipeline))
    return Question(f"{name}/{split}", prompt, gold, "" if withheld else gold, "", tests, context, "f")


def _asserted(prompt: str, pipeline: Pipeline) -> list[list[int]]:
    """Three lists to test on, with different results if possible; like real asserts, they miss some mistakes."""
    rng = random.Random(f"asserts/{prompt}")
    draws = [[_draw_list(rng, 6) for _ in range(3)] for _ in range(20)]
    return max(draws, key=lambda lists: len({str(_reference(pipeline, xs)) for xs in lists}))


def _draw_list(rng: random.Random, length: int) -> list[int]:
    return [rng.randint(0, 9) for _ in range(length)]


def _reference(pipeline: Pipeline, xs: list[int]) -> Any:
    value: Any = xs
    for line in pipeline.lines():
        value = compiled(line)(value)
    return value


def grade(questions: Sequence[Question], completions: Sequence[str]) -> list[Verdict]:
    """Right when the function passes its three asserts in the sandbox; unparsable when it is no Python."""
    from strict_sandbox import Program  # starting it belongs to whoever judges

    return judge(
        [
            Program(question.context + completion, question.tests, (question.entry_point,))
            for question, completion in zip(questions, completions, strict=True)
        ]
    )


def answered(text: str) -> int | None:
    """A function without branches ends with its first `return`."""
    line = _RETURN_LINE.search(text)
    return line.end() if line else None


def normalise(text: str) -> str:
    return text.strip()


def step_truth(question: Question, steps: Sequence[str]) -> list[bool]:
    """Whether the program can still become a right one after each line (see the module's definition)."""
    lines = [*question.context.splitlines(keepends=True)[:1], *steps] if question.context else list(steps)
    lines = [bare(line) for line in lines]
    truth = [lines[0] == SIGNATURE] if lines else []
    body: tuple[str, ...] = ()
    for line in lines[1:]:
        body += () if _IDLE_LINE.fullmatch(line) else (line,)
        truth.append(truth[0] and _prefix_truth(question.prompt, body))
    for number in range(len(truth) - 2, 0, -1):
        truth[number] = truth[number] or truth[number + 1]
    return truth[len(lines) - len(steps) :]


@functools.lru_cache(maxsize=200_000)
def _prefix_truth(prompt: str, body: tuple[str, ...]) -> bool:
    """Truth of the last line of `body`, of statements alone; rollouts and trajectories share most of their prefixes."""
    pipeline, probes, goal = _known(prompt)
    scopes: list[dict[str, Any]] = [{"xs": list(xs)} for xs in probes]
    for line in body:
        if "return" in scopes[0] or not line.startswith("    ") or line[4:5].isspace():
            return False
        try:
            for scope in scopes:
                name, scope[name] = run_line(line, scope)
        except LineError:
            return False
    states = {name: tuple(_freeze(scope[name]) for scope in scopes) for name in scopes[0]}
    if "return" in states:
        return states["return"] == goal
    return any(_reaches(state, goal, pipeline.stages, pipeline.returned.code) for state in set(states.values()))


@functools.lru_cache(maxsize=20_000)
def _known(prompt: str) -> tuple[Pipeline, tuple[tuple[int, ...], ...], State]:
    """The pipeline of a prompt, its probe lists and the right result of each."""
    rng = random.Random(f"probes/{prompt}")
    pipeline = parse_pipeline(prompt)
    probes = [*_asserted(prompt, pipeline), *(_draw_list(rng, rng.randint(3, 10)) for _ in range(PROBES))]
    return pipeline, tuple(map(tuple, probes)), tuple(_freeze(_reference(pipeline, xs)) for xs in probes)


def _freeze(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _reaches(state: State, goal: State, remaining: tuple[Stage, ...], returned: str) -> bool:
    """Whether `state` is the goal, or some of the remaining stages, in some order, and the return lead there."""
    seen: set[tuple[State, tuple[Stage, ...]]] = set()
    stack = [(state, remaining)]
    while stack:
        state, remaining = stack.pop()
        if (state, remaining) in seen:
            continue
        seen.add((state, remaining))
        if goal in (state, _apply(returned, state)):
            return True
        for i, stage in enumerate(remaining):
            rest = remaining[:i] + remaining[i + 1 :]
            stack += [(after, rest) for line in _variants(stage) if (after := _apply(line, state)) is not None]
    return False


def _variants(stage: Stage) -> list[str]:
    """The stage's line, and for a sum the parts of it that may still be missing."""
    if "add" in stage.words or "subtract" in stage.words:
        return [stage.operation.code.format(number) for number in range(1, stage.number + 1)]
    return [stage.line]


def _apply(line: str, state: State) -> State | None:
    try:
        return tuple(_freeze(compiled(line)(list(xs))) for xs in state)
    except TypeError:  # a state of numbers cannot be worked on
        return None
