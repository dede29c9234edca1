"""nano-math stands for GSM8K: word problems about named quantities whose every step is known to be right or wrong.

`step_faults` is the definition of truth. Written for any trajectory, not only ones like the gold solution:

- a plan `Cy : Ben + 3` is right when it equals the quantity Cy *as a function of the given quantity*, so that
  other routes are right (`Cy + Cy` for twice Cy) and coincidences are not (2 + 2 for 2 * 2), and when neither
  operand rests on Cy itself; the given number may be written for its owner's name;
- a computation `Cy = 15 + 3 = 18` carries out the last plan before it that no computation has followed yet. It is
  right when that plan is, and it works on the plan's true values (either order of + and *) with the plan's operation,
  names what the plan names and its arithmetic is right. So under a wrong plan, or by the name of another quantity, no
  computation is right, whatever its value: it rests on the error or leaves the plan undone;
- a computation without a plan is right when it gives the true value of a quantity (of the one it names) from numbers
  of the text or true values, computed before or not. `all` names what is asked of two quantities, and nothing where
  one is asked for. Every computation may leave its name out;
- `answer 36` is right when it is the true answer, wherever it stands;
- any other line is wrong, and takes no plan away; blank lines belong to a step (`steps.py`) and mean nothing.

A step that follows an error and uses its value is wrong, since its numbers are.
"""

import itertools
import random
import re
from collections.abc import Sequence
from typing import Literal

from sapo.records import Question, Verdict
from sapo.tasks.nano import embedded
from sapo.tasks.nano.embedded import bare
from sapo.tasks.nano.nano_math_world import (
    CHAIN_WEIGHTS,
    Asked,
    Problem,
    Relation,
    apply,
    draw_problem,
    habit_sites,
    parse_problem,
    write_solution,
)
from sapo.tasks.steps import split_lines as split
from sapo.tasks.task import DataSource, Split

__all__ = [
    "NAME",
    "answered",
    "generate",
    "grade",
    "load",
    "normalise",
    "split",
    "step_faults",
    "step_truth",
    "unparsable_kind",
]

NAME = "nano_math"

Fault = Literal["", "reference", "operation", "arithmetic", "answer", "format"]

# Bounded and ASCII: `int` refuses thousands of digits and `²`, which a reasoner may well write.
_PLAN = re.compile(r"([A-Za-z]+) : ([A-Za-z]+|\d{1,9}) ([-+*]) ([A-Za-z]+|\d{1,9})\n?", re.ASCII)
_COMPUTATION = re.compile(r"(?:([A-Za-z]+) = )?(\d{1,9}) ([-+*]) (\d{1,9}) = (-?\d{1,9})\n?", re.ASCII)
_ANSWER = re.compile(r"answer (-?\d{1,9})\n?", re.ASCII)
_ANSWER_LINE = re.compile(r"^answer -?\d+\n", re.ASCII | re.MULTILINE)


def load(split: Split, source: DataSource) -> list[Question]:
    return embedded.read_embedded(source.root, NAME, split)


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

    return embedded.number(embedded.collect(split, count, draw))


def grade(questions: Sequence[Question], completions: Sequence[str]) -> list[Verdict]:
    """Right when the last line is `answer N` with the gold number; unparsable when it is no answer line."""
    verdicts: list[Verdict] = []
    for question, completion in zip(questions, completions, strict=True):
        found = _ANSWER.fullmatch(bare(split(completion)[-1])) if completion else None
        if found is None:
            verdicts.append("unparsable")
        else:
            verdicts.append("right" if int(found[1]) == int(question.answer) else "wrong")
    return verdicts


def answered(text: str) -> int | None:
    """A rationale ends with its first answer line."""
    line = _ANSWER_LINE.search(text)
    return line.end() if line else None


def unparsable_kind(completion: str) -> str:
    """An answer is read from its line or not at all."""
    return "no answer line"


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
    for step in map(bare, steps):
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
    if _rests_on(relations, left, name) or _rests_on(relations, right, name):
        return "reference"
    if _plan_holds(problem, plan):
        return ""
    expected = relations[name].operands() if name in relations else problem.asked
    return "operation" if {left, right} == set(expected) else "reference"


def _rests_on(relations: dict[str, Relation], operand: str, name: str) -> bool:
    """Whether `operand` is `name` or made of it."""
    if operand == name:
        return True
    return operand in relations and any(_rests_on(relations, r, name) for r in relations[operand].references)


def _plan_holds(problem: Problem, plan: re.Match[str]) -> bool:
    """Whether a plan gives its quantity in several worlds, that is, as a function of the given quantity."""
    name, left, sign, right = plan.groups()
    given = problem.given[1]
    worlds = [problem.values(value) for value in (given, given + 7, given + 20)]
    if name != "all":
        targets = [world[name] for world in worlds]
    elif problem.question == "one":
        return False
    else:
        total = "+" if problem.question == "together" else "-"
        targets = [apply(total, *(world[n] for n in problem.asked)) for world in worlds]
    owner, number = problem.given
    as_given = [world[owner] for world in worlds]
    # Where the relation has the same number, 2 + 2 is not twice a given 2: one of them is the relation's.
    shared = (left.isdigit() or right.isdigit()) and any(
        r.name == name and r.number == number for r in problem.relations
    )
    readings = itertools.product(_readings(problem, left, worlds), _readings(problem, right, worlds))
    return any(
        [apply(sign, *pair) for pair in zip(*both, strict=True)] == targets
        for both in readings
        if not (shared and both == (as_given, as_given))
    )


def _readings(problem: Problem, operand: str, worlds: list[dict[str, int]]) -> list[list[int]]:
    """What an operand may mean, as its values in every world: the given number may stand for its owner."""
    if operand in worlds[0]:
        return [[world[operand] for world in worlds]]
    owner, given = problem.given
    number = [int(operand)] * len(worlds)
    return [number, [world[owner] for world in worlds]] if int(operand) == given else [number]


def _computation_fault(problem: Problem, plan: re.Match[str] | None, computation: re.Match[str]) -> Fault:
    name, sign, result = computation[1], computation[3], int(computation[5])
    numbers = [int(computation[2]), int(computation[4])]
    values = problem.values()
    sums = apply(sign, *numbers) == result
    if plan is None:
        known = {*values.values(), *(r.number for r in problem.relations if r.kind != "sum")}
        if not set(numbers) <= known:
            return "reference"
        if not sums:
            return "arithmetic"
        called = values if problem.question == "one" else {**values, "all": problem.answer()}
        reached = called.values() if name is None else [called[name]] if name in called else []
        return "" if result in reached else "reference"
    planned = [values.get(o, int(o) if o.isdigit() else -1) for o in (plan[2], plan[4])]
    commutes = sign in "+*" and sorted(numbers) == sorted(planned)
    if (numbers != planned and not commutes) or name not in (None, plan[1]):
        return "reference"
    if sign != plan[3] or _plan_fault(problem, plan):
        return "operation"
    return "" if sums else "arithmetic"
