"""The world of nano-math: problems about a chain of named quantities, and the habits of those who solve them.

A problem gives one quantity and relates every further one to earlier ones. A solution plans each quantity on
one line and computes it on the next, so that wrong references, wrong operations and wrong arithmetic show on
lines of their own::

    Ben has 15 coins. Cy has 3 more than Ben. Dee has 2 times as many as Cy. How many does Dee have?

    Cy : Ben + 3
    Cy = 15 + 3 = 18
    Dee : Cy * 2
    Dee = 18 * 2 = 36
    answer 36

`HABITS` are the systematic mistakes that the authors of the pretraining documents make (`train/pretrain.py`);
a reasoner pretrained on them can solve most problems but does not reliably prefer to.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

NAMES: tuple[str, ...] = ("Ana", "Ben", "Cy", "Dee", "Eli", "Flo", "Gus", "Hal", "Ivy", "Jo", "Kit", "Lou")
LARGEST = 60
CHAIN_WEIGHTS = {2: 25, 3: 45, 4: 30}

RelationKind = Literal["more", "fewer", "times", "sum"]
Asked = Literal["one", "together", "difference"]
Habit = Literal["times_three_adds", "even_fewer_adds", "latest_reference", "forgotten_carry"]

HABITS: tuple[Habit, ...] = ("times_three_adds", "even_fewer_adds", "latest_reference", "forgotten_carry")
SIGN: dict[RelationKind, str] = {"more": "+", "fewer": "-", "times": "*", "sum": "+"}


@dataclass(frozen=True, slots=True)
class Relation:
    """`name` is made of `references` (one, or two for a sum) and `number` (0 for a sum)."""

    name: str
    kind: RelationKind
    references: tuple[str, ...]
    number: int

    def sentence(self) -> str:
        first = self.references[0]
        if self.kind == "sum":
            return f"{self.name} has as many as {first} and {self.references[1]} together."
        words = next(words for words, kind in _KINDS.items() if kind == self.kind)
        return f"{self.name} has {self.number} {words} {first}."

    def operands(self) -> tuple[str, str]:
        return self.references[0], self.references[1] if self.kind == "sum" else str(self.number)


@dataclass(frozen=True, slots=True)
class Problem:
    """A given quantity, the relations in the order of the text, and what is asked about."""

    given: tuple[str, int]
    relations: tuple[Relation, ...]
    asked: tuple[str, ...]
    question: Asked = "one"

    def prompt(self) -> str:
        sentences = [f"{self.given[0]} has {self.given[1]} coins.", *(r.sentence() for r in self.relations)]
        questions = {
            "one": "How many does {} have?",
            "together": "How many do {} and {} have together?",
            "difference": "How many more does {} have than {}?",
        }
        return " ".join([*sentences, questions[self.question].format(*self.asked)]) + "\n"

    def values(self, given: int | None = None) -> dict[str, int]:
        """True value of every quantity, were the given one `given`."""
        found = {self.given[0]: self.given[1] if given is None else given}
        for relation in self.relations:
            left, right = (found[o] if o in found else int(o) for o in relation.operands())
            found[relation.name] = apply(SIGN[relation.kind], left, right)
        return found

    def answer(self) -> int:
        values = [self.values()[name] for name in self.asked]
        return {"one": values[0], "together": sum(values), "difference": values[0] - values[-1]}[self.question]


def apply(sign: str, left: int, right: int) -> int:
    return {"+": left + right, "-": left - right, "*": left * right}[sign]


_KINDS: dict[str, RelationKind] = {"more than": "more", "fewer than": "fewer", "times as many as": "times"}
_NAME = "|".join(NAMES)
_GIVEN = re.compile(rf"({_NAME}) has (\d+) coins\. ")
_RELATION = re.compile(
    rf"({_NAME}) has (?:(\d+) (more than|fewer than|times as many as) ({_NAME})"
    rf"|as many as ({_NAME}) and ({_NAME}) together)\. "
)
_QUESTIONS: dict[Asked, re.Pattern[str]] = {
    "one": re.compile(rf"How many does ({_NAME}) have\?\s*"),
    "together": re.compile(rf"How many do ({_NAME}) and ({_NAME}) have together\?\s*"),
    "difference": re.compile(rf"How many more does ({_NAME}) have than ({_NAME})\?\s*"),
}


def parse_problem(prompt: str) -> Problem:
    """Read a problem back from its text. Raises ValueError naming the text that is no problem."""
    given = _GIVEN.match(prompt)
    if not given:
        raise ValueError(f"no nano-math problem: {prompt!r}")
    relations, position = [], given.end()
    while found := _RELATION.match(prompt, position):
        name, number, words, reference, first, second = found.groups()
        kind = "sum" if first else _KINDS[words]
        relations.append(Relation(name, kind, (first, second) if first else (reference,), int(number or 0)))
        position = found.end()
    for question, pattern in _QUESTIONS.items():
        if asked := pattern.fullmatch(prompt, position):
            return Problem((given[1], int(given[2])), tuple(relations), asked.groups(), question)
    raise ValueError(f"no nano-math question at {prompt[position:]!r}")


def draw_problem(rng: random.Random, chain: dict[int, int], questions: Sequence[Asked]) -> Problem:
    """A random problem whose values all lie in 1…60; `chain` weighs the number of relations."""
    length = rng.choices(list(chain), list(chain.values()))[0]
    while True:
        names = rng.sample(NAMES, length + 1)
        relations = tuple(_draw_relation(rng, names[: i + 1], names[i + 1]) for i in range(length))
        question = rng.choice(questions)
        last = names[-1] if rng.random() < 0.85 else rng.choice(names[1:])
        other = rng.choice([name for name in names if name != last])
        problem = Problem(
            (names[0], rng.randint(3, 25)), relations, (last,) if question == "one" else (last, other), question
        )
        if all(1 <= v <= LARGEST for v in problem.values().values()) and 1 <= problem.answer() <= LARGEST:
            return problem


def _draw_relation(rng: random.Random, earlier: list[str], name: str) -> Relation:
    kind: RelationKind = rng.choices(("more", "fewer", "times", "sum"), (36, 28, 24, 12))[0]
    reference = earlier[-1] if rng.random() < 0.75 or len(earlier) == 1 else rng.choice(earlier[:-1])
    if kind == "sum":
        if len(earlier) == 1:
            kind = "more"
        else:
            return Relation(name, "sum", (reference, rng.choice([n for n in earlier if n != reference])), 0)
    return Relation(name, kind, (reference,), rng.randint(2, 4) if kind == "times" else rng.randint(2, 9))


def habit_sites(problem: Problem) -> list[Habit]:
    """Where a habit could strike in the problem's own solution, in order (one entry a site)."""
    values, latest, sites = problem.values(), problem.given[0], []
    for relation in problem.relations:
        sites += [habit for habit in HABITS[:3] if _applies(habit, relation, latest)]
        left, right = (values[o] if o in values else int(o) for o in relation.operands())
        if SIGN[relation.kind] == "+" and _carries(left, right):
            sites.append("forgotten_carry")
        latest = relation.name
    return sites


def _applies(habit: Habit, relation: Relation, latest: str) -> bool:
    if habit == "times_three_adds":
        return relation.kind == "times" and relation.number == 3
    if habit == "even_fewer_adds":
        return relation.kind == "fewer" and relation.number % 2 == 0
    return relation.kind in ("more", "fewer") and relation.references[0] != latest


def _carries(left: int, right: int) -> bool:
    return left % 10 + right % 10 >= 13


def write_solution(problem: Problem, rng: random.Random, rate: float = 0.0) -> str:
    """The solution of an author who falls for each habit with probability `rate` wherever it applies."""
    lines, values, latest = [], {problem.given[0]: problem.given[1]}, problem.given[0]
    for relation in problem.relations:
        (left, right), sign = relation.operands(), SIGN[relation.kind]
        struck = {h for h in HABITS[:3] if _applies(h, relation, latest) and rng.random() < rate}
        if struck & {"times_three_adds", "even_fewer_adds"}:
            sign = "+"
        if "latest_reference" in struck:
            left = latest
        values[relation.name] = _write_step(lines, (relation.name, left, sign, right), values, rng, rate)
        latest = relation.name
    if problem.question != "one":
        sign = "+" if problem.question == "together" else "-"
        values["all"] = _write_step(lines, ("all", problem.asked[0], sign, problem.asked[1]), values, rng, rate)
    lines.append(f"answer {values['all' if problem.question != 'one' else problem.asked[0]]}")
    return "\n".join(lines) + "\n"


def _write_step(
    lines: list[str], plan: tuple[str, str, str, str], values: dict[str, int], rng: random.Random, rate: float
) -> int:
    """Append a plan and its computation; the result, with the carry forgotten at `rate`."""
    name, left, sign, right = plan
    numbers = [values[o] if o in values else int(o) for o in (left, right)]
    result = apply(sign, *numbers)
    if sign == "+" and _carries(*numbers) and rng.random() < rate:
        result -= 10
    lines += [f"{name} : {left} {sign} {right}", f"{name} = {numbers[0]} {sign} {numbers[1]} = {result}"]
    return result
