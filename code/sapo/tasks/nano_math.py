"""nano-math stands for GSM8K: word problems about named quantities whose every step is known to be right or wrong.

`step_faults` is the definition of truth. Written for any trajectory, not only ones like the gold solution:

- a plan `Cy : Ben + 3` is right when it equals the quantity Cy *as a function of the given quantity*, so that
  other routes are right (`Cy + Cy` for twice Cy) and coincidences are not (2 + 2 for 2 * 2);
- a computation is right when it carries out the plan before it on the true values (either order of + and *) and
  its arithmetic is right; without a plan, when it gives the true value of a quantity from numbers that are known;
- `answer 36` is right when it is the true answer.

A step that follows an error and uses its value is wrong, since its numbers are.
"""

import random
import re
from collections.abc import Sequence
from typing import Literal

from sapo.records import Question, Verdict
from sapo.tasks import nano
from sapo.tasks.nano import split
from sapo.tasks.nano_math_world import (
    CHAIN_WEIGHTS,
    Asked,
    Problem,
    apply,
    draw_problem,
    habit_sites,
    parse_problem,
    write_solution,
)
from sapo.tasks.task import DataSource, Split

__all__ = ["NAME", "generate", "grade", "load", "normalise", "split", "step_faults", "step_truth"]

NAME = "nano_math"

Fault = Literal["", "reference", "operation", "arithmetic", "answer", "format"]

_PLAN = re.compile(r"(\w+) : (\w+) ([-+*]) (\w+)\n?")
_COMPUTATION = re.compile(r"(\d+) ([-+*]) (\d+) = (-?\d+)\n?")
_ANSWER = re.compile(r"answer (-?\d+)\n?")


def load(split: Split, source: DataSource) -> list[Question]:
    return nano.read_embedded(source.root, NAME, split)


def generate(split: Split, count: int, seed: int) -> list[Question]:
    """Questions of a split; a gold rationale is given only where no habit but the forgotten carry could strike."""
    return generate_named(NAME, split, count, seed, CHAIN_WEIGHTS, ("one",))


def generate_named(
    name: str, split: Split, count: int, seed: int, chain: dict[int, int], questions: Sequence[Asked]
) -> list[Question]:
    """`generate` for a task called `name` with its own chain lengths and kinds of question."""
    rng = random.Random(f"{name}/{split}/{seed}")

    def draw() -> Question:
        problem = draw_problem(rng, chain, questions)
        withheld = bool({"even_fewer_adds", "latest_reference"} & set(habit_sites(problem)))
        gold = "" if withheld else write_solution(problem, rng)
        return Question(f"{name}/{split}", problem.prompt(), str(problem.answer()), gold)

    return nano.number(nano.collect(split, count, draw))


def grade(questions: Sequence[Question], completions: Sequence[str]) -> list[Verdict]:
    """Right when the last line is `answer N` with the gold number; unparsable when it is no answer line."""
    verdicts: list[Verdict] = []
    for question, completion in zip(questions, completions, strict=True):
        found = _ANSWER.fullmatch(split(completion)[-1]) if completion else None
        if found is None:
            verdicts.append("unparsable")
        else:
            verdicts.append("right" if found[1] == question.answer else "wrong")
    return verdicts


def normalise(text: str) -> str:
    return text.strip()


def step_truth(question: Question, steps: Sequence[str]) -> list[bool]:
    """Whether each step is right in itself (see the module's definition)."""
    return [fault == "" for fault in step_faults(question, steps)]


def step_faults(question: Question, steps: Sequence[str]) -> list[Fault]:
    """What is wrong with each step, empty where nothing is."""
    problem = parse_problem(question.prompt)
    faults: list[Fault] = []
    plan: re.Match[str] | None = None
    for step in steps:
        if found := _PLAN.fullmatch(step):
            faults.append(_plan_fault(problem, found))
            plan = found
        elif found := _COMPUTATION.fullmatch(step):
            faults.append(_computation_fault(problem, plan, found))
            plan = None
        elif found := _ANSWER.fullmatch(step):
            faults.append("" if int(found[1]) == problem.answer() else "answer")
        else:
            faults.append("format")
    return faults


def _plan_fault(problem: Problem, plan: re.Match[str]) -> Fault:
    name, left, _, right = plan.groups()
    relations = {relation.name: relation for relation in problem.relations}
    known = {"all", *relations}
    if name not in known or any(not o.isdigit() and o not in problem.values() for o in (left, right)):
        return "reference"
    # Equal for several values of the given quantity means equal as a function of it.
    given = problem.given[1]
    worlds = [given, given + 7, given + 20]
    if all(_plan_holds(problem, plan, world) for world in worlds):
        return ""
    expected = relations[name].operands() if name in relations else problem.asked
    return "operation" if {left, right} == set(expected) else "reference"


def _plan_holds(problem: Problem, plan: re.Match[str], given: int) -> bool:
    name, left, sign, right = plan.groups()
    values = problem.values(given)
    if name == "all":
        first, second = (values[n] for n in (problem.asked[0], problem.asked[-1]))
        target = {"one": None, "together": first + second, "difference": first - second}[problem.question]
    else:
        target = values[name]
    # The given number may be written out instead of its owner's name.
    written = {str(problem.given[1]): given}
    readings = [
        [values.get(o, table.get(o, int(o) if o.isdigit() else 0)) for o in (left, right)] for table in (written, {})
    ]
    return any(apply(sign, *reading) == target for reading in readings)


def _computation_fault(problem: Problem, plan: re.Match[str] | None, computation: re.Match[str]) -> Fault:
    sign, result = computation[2], int(computation[4])
    numbers = [int(computation[1]), int(computation[3])]
    values = problem.values()
    sums = apply(sign, *numbers) == result
    if plan is None:
        known = {*values.values(), problem.answer(), *(r.number for r in problem.relations)}
        reached = set(values.values()) | {problem.answer()}
        if not set(numbers) <= known or result not in reached:
            return "reference"
        return "" if sums else "arithmetic"
    planned = [values.get(o, int(o) if o.isdigit() else -1) for o in (plan[2], plan[4])]
    commutes = sign in "+*" and sorted(numbers) == sorted(planned)
    if numbers != planned and not commutes:
        return "reference"
    if sign != plan[3] or _plan_fault(problem, plan):
        return "operation"
    return "" if sums else "arithmetic"
