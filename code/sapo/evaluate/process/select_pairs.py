"""Selects two trajectories a question, by different reasoners, so that a process benchmark is balanced.

1. A trajectory's kind is its outcome with the place of its first error where the truth is known (`none`, `early`: first
   half, `late`), else with its length (`short`, `long`: above the median).
2. Minimised is the sum over outcomes of N² (N trajectories each), then the sum over kinds of N². Questions with the
   fewest options choose first, each the pair that adds least; then each in turn chooses again while the sums fall.
3. Ties are broken by a seeded order. The papers do not say how pairs were chosen; a balanced benchmark is no sample of
   what reasoners write.

Not candidates: what cannot be judged (`grader_error`), and a text that the same reasoner already gave to the question
(equal under `Task.normalise`). The two texts of a pair differ too.
"""

import itertools
import random
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sapo.evaluate.efficiency import first_error, prefix_truth
from sapo.records import BadInput, Question, Trajectory

Place = Literal["none", "early", "late", "short", "long"]
Lost = Literal["no_trajectory", "one_generator", "same_text"]
LOST: tuple[Lost, ...] = ("no_trajectory", "one_generator", "same_text")  # by number of generators: 0, 1, more
Kind = tuple[bool, Place]  # right outcome?, and where the first error lies or how long it is
StepTruth = Callable[[Question, Sequence[str]], list[bool]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trajectory that a benchmark may take.

    Args:
        number: counts a reasoner's trajectories of one question from 0.
        labels: true labels of its prefixes, where they are known.
    """

    question: Question
    generator: str
    number: int
    trajectory: Trajectory
    labels: tuple[int, ...] | None = None

    @property
    def id(self) -> str:
        return f"{self.question.id}/{self.generator}/{self.number}"


Pair = tuple[Candidate, Candidate]


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen: the pairs in the order of the questions, and how many questions were lost for which reason."""

    pairs: tuple[Pair, ...]
    lost: dict[Lost, int]

    @property
    def chosen(self) -> list[Candidate]:
        return [candidate for pair in self.pairs for candidate in pair]


def gather(
    questions: Sequence[Question], samples: Mapping[str, Sequence[Trajectory]], step_truth: StepTruth | None = None
) -> list[Candidate]:
    """Candidates from the trajectories of every reasoner, in their order.

    Args:
        samples: trajectories by reasoner; those of other questions are left aside.
        step_truth: of an embedded task, where trajectories are to be balanced by their first error.
    """
    asked = {question.id: question for question in questions}
    found: list[Candidate] = []
    for generator, trajectories in samples.items():
        numbers: Counter[str] = Counter()
        for trajectory in trajectories:
            question = asked.get(trajectory.question_id)
            if question is None:
                continue
            labels = prefix_truth(step_truth(question, trajectory.steps)) if step_truth else None
            found.append(Candidate(question, generator, numbers[question.id], trajectory, labels))
            numbers[question.id] += 1
    return found


def kinds(candidates: Sequence[Candidate]) -> list[Kind]:
    """The kind of each candidate; lengths are compared with the median of those whose truth is unknown."""
    lengths = [len(c.trajectory.steps) for c in candidates if c.labels is None]
    median = statistics.median(lengths) if lengths else 0
    found: list[Kind] = []
    for c in candidates:
        steps = len(c.trajectory.steps)
        unknown: Place = "long" if steps > median else "short"
        found.append((c.trajectory.right, unknown if c.labels is None else place(first_error(c.labels), steps)))
    return found


def place(error: int | None, steps: int) -> Place:
    """Where the first error lies: step 2 of 4 is early, 3 of 4 and 2 of 3 are late."""
    if error is None:
        return "none"
    return "early" if 2 * error <= steps else "late"


def choose(
    questions: Sequence[Question], candidates: Sequence[Candidate], normalise: Callable[[str], str], seed: int
) -> Selection:
    """A pair for every question that has two different trajectories by two reasoners (see the module's rules).

    Two questions, reasoners A and B, kinds R (right) and W (wrong, early): for q1 A has R, B has R and W; for q2 both
    have W only. q2 has one option, W W, and chooses first; q1 then takes R R, which makes two of each.

    Raises:
        BadInput: a candidate's question is not among the questions, or an id appears twice.
    """
    _check(questions, candidates)
    rng = random.Random(seed)
    options: dict[str, dict[tuple[Kind, Kind], Pair]] = {}
    lost: dict[Lost, int] = dict.fromkeys(LOST, 0)
    by_question: dict[str, list[tuple[Candidate, str, Kind]]] = {question.id: [] for question in questions}
    for candidate, kind in zip(candidates, kinds(candidates), strict=True):
        if candidate.trajectory.verdict != "grader_error":
            text = normalise(candidate.trajectory.text)
            by_question[candidate.question.id].append((candidate, text, kind))
    for question_id, own in by_question.items():
        found = _options(own, rng)
        if found:
            options[question_id] = found
        else:
            generators = {candidate.generator for candidate, *_ in own}
            lost[LOST[min(len(generators), 2)]] += 1
    taken = _balance(options, rng)
    return Selection(tuple(options[q][taken[q]] for q in options), lost)


def _check(questions: Sequence[Question], candidates: Sequence[Candidate]) -> None:
    known = {question.id for question in questions}
    ids: set[str] = set()
    for candidate in candidates:
        if candidate.question.id not in known:
            raise BadInput(f"candidate {candidate.id} answers question {candidate.question.id}, which is not given")
        if candidate.id in ids:
            raise BadInput(f"candidate {candidate.id} appears twice")
        ids.add(candidate.id)


def _options(own: Sequence[tuple[Candidate, str, Kind]], rng: random.Random) -> dict[tuple[Kind, Kind], Pair]:
    """One pair for every combination of kinds that a question offers, drawn by the seeded order."""
    different: dict[tuple[str, str], tuple[Candidate, str, Kind]] = {}
    for candidate, text, kind in own:
        different.setdefault((candidate.generator, text), (candidate, text, kind))
    order = list(different.values())
    rng.shuffle(order)
    found: dict[tuple[Kind, Kind], Pair] = {}
    for (one, text, kind), (other, other_text, other_kind) in itertools.combinations(order, 2):
        if one.generator != other.generator and text != other_text:
            pair = (one, other) if one.generator < other.generator else (other, one)
            found.setdefault((min(kind, other_kind), max(kind, other_kind)), pair)
    return found


def unevenness(kinds_N: Sequence[Kind]) -> tuple[int, int]:
    """The sums of N² over outcomes and over kinds: right, wrong early, wrong late gives (1² + 2², 1² + 1² + 1²)."""
    outcomes = Counter(right for right, _ in kinds_N)
    return sum(n * n for n in outcomes.values()), sum(n * n for n in Counter(kinds_N).values())


def _balance(
    options: Mapping[str, Mapping[tuple[Kind, Kind], Pair]], rng: random.Random
) -> dict[str, tuple[Kind, Kind]]:
    """The combination of kinds that each question contributes."""
    order = list(options)
    rng.shuffle(order)
    order.sort(key=lambda question_id: len(options[question_id]))
    counts: Counter[Kind | bool] = Counter()
    taken: dict[str, tuple[Kind, Kind]] = {}
    changed = True
    while changed:
        changed = False
        for question_id in order:
            before = taken.get(question_id)
            if before:
                _count(counts, before, -1)
            best = min(options[question_id], key=lambda both: (*_squares(counts, both), both != before))
            changed = changed or best != before
            taken[question_id] = best
            _count(counts, best, 1)
    return taken


def _count(counts: Counter[Kind | bool], both: tuple[Kind, Kind], by: int) -> None:
    for kind in both:
        counts[kind] += by
        counts[kind[0]] += by


def _squares(counts: Counter[Kind | bool], both: tuple[Kind, Kind]) -> tuple[int, int]:
    """By how much a pair raises the sums over outcomes and over kinds; `counts` are left as they were.

    (N + 2)² - N² where both are counted together, else twice (N + 1)² - N².
    """
    sides = (both[0][0], both[1][0]), both
    right, kind = (2 * (counts[one] + counts[other]) + (4 if one == other else 2) for one, other in sides)
    return right, kind
