"""What process labels would cost and how true they would be, as expectations over a simple world; no model is run.

1. A wrong trajectory of n steps has its first error at e, uniform in 1…n: prefixes of less than e steps are right.
   Right trajectories are their own witnesses and cost no labeller anything (docs/method.md §1), so none are counted.
2. A rollout from a right prefix of j steps ends right with probability s^(n-j), from a wrong one with `rescue`.
3. The verifier's largest drop is at the true step with probability `verifier`, else at any other step alike; so is
   the second-largest among the steps that are left; everywhere else its scores are flat.
4. A label is true where the labelled first error is e. FLOPs: 2 a parameter and token, generated or read; completions
   of one prefix that are drawn together read it once. saps adds the verifier's reading of every trajectory, and once
   for all the making of a verifier: omega's labels of `bootstrap` trajectories, and its training on them.

The strategies of `labelling/search.py` themselves are run against every combination of answers, each weighed by
its probability; only shepherd, which has 2^(n-1) of them, is a formula. Trajectories share no work here: what equal
prefixes and known texts save (`merge`, `reuse`) depends on the pool and is measured, not simulated.
"""

import functools
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from sapo.labelling.detection import detect
from sapo.labelling.search import SearchResult, Strategy, omega, saps, saps_until_located, waves
from sapo.records import BadInput

LabellerName = Literal["shepherd", "omega", "saps_once", "saps_until_located"]
LABELLERS: tuple[LabellerName, ...] = get_args(LabellerName)
MOST_STEPS = 40  # the search is walked through for every pair of drops: 40 steps take a quarter of a minute
FORWARD, TRAINING = 2, 6  # FLOPs a parameter and token: read or generated; read and learned from
DROPS = (0.6, 0.3)  # largest and second-largest of the verifier's scores; any two would do

Array = NDArray[np.float64]


class SimulationError(BadInput):
    """A number describes no world; the message names it."""


@dataclass(frozen=True, slots=True)
class World:
    """What is assumed.

    Args:
        steps: n of every trajectory. rollouts: T, at most so many a position.
        step_success: s, the chance that the reasoner gets one more step right. rescue: that a wrong prefix ends right.
        verifier: chance that its largest drop is at the true step.
        parameters: of the reasoner, whose backbone the verifier shares.
        bootstrap, epochs: trajectories that omega labels for the first verifier, and how often it sees them.
        flops_per_second: that one GPU sustains; assumed, not measured.
    """

    steps: int = 6
    rollouts: int = 16
    step_success: float = 0.9
    rescue: float = 0.0
    verifier: float = 0.5
    parameters: float = 0.5e9
    tokens_per_step: float = 25.0
    prompt_tokens: float = 100.0
    bootstrap: int = 800
    epochs: int = 3
    flops_per_second: float = 2e13

    def __post_init__(self) -> None:
        for name in ("steps", "rollouts", "epochs"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        _require(self.steps <= MOST_STEPS, "steps", self.steps, f"at most {MOST_STEPS}")
        for name in ("step_success", "rescue", "verifier"):
            _require(0.0 <= getattr(self, name) <= 1.0, name, getattr(self, name), "a probability, 0 to 1")
        for name in ("parameters", "tokens_per_step", "flops_per_second"):
            _require(0 < getattr(self, name) < math.inf, name, getattr(self, name), "positive and finite")
        for name in ("prompt_tokens", "bootstrap"):
            _require(0 <= getattr(self, name) < math.inf, name, getattr(self, name), "0 or more, and finite")

    @property
    def trajectory_tokens(self) -> float:
        return self.prompt_tokens + self.steps * self.tokens_per_step


def _require(holds: bool, name: str, value: float, what: str) -> None:
    if not holds:
        raise SimulationError(f"{name} is {value!r}: it must be {what}")


@dataclass(frozen=True, slots=True)
class Labelling:
    """What one labeller asks for and finds, in expectation over wrong trajectories.

    Args:
        positions, rollouts, generated_tokens, read_tokens: per trajectory; tokens of the reasoner, not the verifier.
        found: share of trajectories whose labelled first error is the true one.
        flops: per trajectory, the verifier's reading included. fixed: FLOPs once for all.
    """

    labeller: LabellerName
    lazy: bool
    positions: float
    rollouts: float
    generated_tokens: float
    read_tokens: float
    found: float
    flops: float
    fixed: float

    @property
    def name(self) -> str:
        return f"{self.labeller}, lazy" if self.lazy else self.labeller

    def total(self, trajectories: float) -> float:
        """FLOPs for so many wrong trajectories."""
        return self.fixed + trajectories * self.flops

    def break_even(self, other: "Labelling") -> float | None:
        """Number of trajectories from which on this costs less than `other`; None if it never does."""
        gain = other.flops - self.flops
        return max(0.0, (self.fixed - other.fixed) / gain) if gain > 0 else None


def simulate(world: World) -> dict[str, Labelling]:
    """Every labeller, with all T rollouts at once and in lazy waves, by name."""
    found = [_labelling(world, name, lazy) for name, lazy in itertools.product(LABELLERS, (False, True))]
    return {labelling.name: labelling for labelling in found}


def _labelling(world: World, name: LabellerName, lazy: bool) -> Labelling:
    positions, rollouts, steps, readings, read_steps, found = _expected(world, name, lazy).tolist()
    generated = steps * world.tokens_per_step
    read = readings * world.prompt_tokens + read_steps * world.tokens_per_step
    flops, fixed = FORWARD * world.parameters * (generated + read), 0.0
    if name.startswith("saps"):
        flops += FORWARD * world.parameters * world.trajectory_tokens
        learning = TRAINING * world.epochs * world.parameters * world.trajectory_tokens
        fixed = world.bootstrap * (_labelling(world, "omega", lazy).flops + learning)
    return Labelling(name, lazy, positions, rollouts, generated, read, found, flops, fixed)


def _chances(world: World) -> Array:
    """Probability that a rollout ends right, by first error 1…n (rows) and position 0…n (columns)."""
    positions, errors = np.arange(world.steps + 1), np.arange(1, world.steps + 1)[:, None]
    return np.where(positions < errors, np.float64(world.step_success) ** (world.steps - positions), world.rescue)


@functools.lru_cache(maxsize=64)
def _units(world: World, lazy: bool) -> Array:
    """What asking a position costs, shape (5, n, n + 1), the last two axes as `_chances`.

    Positions (always 1), rollouts, steps generated in them, readings of the prefix, steps read in them.
    """
    failing = 1 - _chances(world)
    rollouts, readings, drawn = np.zeros_like(failing), np.zeros_like(failing), 0
    for wave in waves(world.rollouts, lazy):
        still_open = failing**drawn
        rollouts, readings, drawn = rollouts + wave * still_open, readings + still_open, drawn + wave
    left = world.steps - np.arange(world.steps + 1)
    return np.stack([np.ones_like(failing), rollouts, rollouts * left, readings, readings * (world.steps - left)])


def _expected(world: World, name: LabellerName, lazy: bool) -> Array:
    """Means over first errors of the five quantities of `_units` and of `found`."""
    if name == "shepherd":
        return _shepherd(world, lazy).mean(axis=1)
    if name == "omega":
        return _followed(_ways(lambda: omega(world.steps)), world, lazy).mean(axis=1)
    chance, found = _pointers(world), _searches(replace(world, verifier=0.0), name, lazy)
    return np.einsum("pe,pqe->q", chance, found) / world.steps


def _shepherd(world: World, lazy: bool) -> Array:
    """Every position is asked; true is the label whose last success is at e - 1 (later successes prove earlier steps).

    Shape (6, n): the quantities of `_units` and `found`, by first error.
    """
    spent = _units(world, lazy)[:, :, 1 : world.steps].sum(axis=2)
    fails = _fails(world)
    errors = range(1, world.steps + 1)
    found = [(1 - fails[e - 1, e - 1] if e > 1 else 1.0) * fails[e - 1, e : world.steps].prod() for e in errors]
    return np.vstack([spent, found])


class Way(NamedTuple):
    """One way through a strategy: what was asked, what the answers were, and the first error that it labels."""

    asked: tuple[int, ...]
    answers: tuple[bool, ...]
    first_error: int


def _ways(start: Callable[[], Strategy]) -> list[Way]:
    """Every way through a strategy; generators cannot be copied, so each is walked from the start."""
    ways, pending = [], [dict[int, bool]()]
    while pending:
        known = pending.pop()
        outcome = _walk(start(), known)
        if isinstance(outcome, SearchResult):
            ways.append(Way(tuple(known), tuple(known.values()), outcome.labels.index(0) + 1))
            continue
        for answers in itertools.product((False, True), repeat=len(outcome)):
            pending.append(known | dict(zip(outcome, answers, strict=True)))
    return ways


def _walk(strategy: Strategy, known: Mapping[int, bool]) -> SearchResult | tuple[int, ...]:
    """What a strategy finds with the known answers, or the positions that it wants to know besides."""
    try:
        wanted = next(strategy)
        while not (unknown := tuple(j for j in wanted if j not in known)):
            wanted = strategy.send({j: known[j] for j in wanted})
    except StopIteration as end:
        return end.value
    return unknown


@functools.lru_cache(maxsize=64)
def _fails(world: World) -> Array:
    """Probability that all T rollouts end wrong, as `_chances`: the label is 0."""
    return (1 - _chances(world)) ** world.rollouts


def _followed(ways: list[Way], world: World, lazy: bool) -> Array:
    """Expected quantities of `_units`, and `found`, by first error; shape (6, n).

    What a position costs does not depend on why it was asked, so chance of being asked times cost is enough.
    """
    depth, errors = max(len(way.asked) for way in ways), np.arange(world.steps)[:, None, None]
    asked, answers = np.zeros((2, len(ways), depth), dtype=np.int64)
    reached = np.zeros((len(ways), world.steps + 1))
    answers[:] = 2  # no question: certain
    for row, way in enumerate(ways):
        asked[row, : len(way.asked)], answers[row, : len(way.asked)] = way.asked, way.answers
        reached[row, list(way.asked)] = 1
    fails = _fails(world)
    chance = np.stack([fails, 1 - fails, np.ones_like(fails)])[answers, errors, asked].prod(axis=2)
    labelled = np.array([way.first_error - 1 for way in ways])
    found = (chance * (labelled == errors[:, 0])).sum(axis=1)
    return np.vstack([(_units(world, lazy) * (chance @ reached)).sum(axis=2), found])


def _pairs(steps: int) -> list[tuple[int, int]]:
    """Where the largest and the second-largest drop can be, as last good steps 0…n-1."""
    return list(itertools.permutations(range(steps), 2)) if steps > 1 else [(0, 0)]


def _pointers(world: World) -> Array:
    """Probability of each of `_pairs`, by first error; shape (pairs, n), columns add up to 1."""
    hits, misses, others = world.verifier, 1 - world.verifier, world.steps - 1
    if others == 0:
        return np.ones((1, 1))

    def chance(first: int, second: int, true: int) -> float:
        if first == true:
            return hits / others
        if others == 1:
            return misses
        return misses / others * (hits if second == true else misses / (others - 1))

    return np.array([[chance(*pair, true) for true in range(world.steps)] for pair in _pairs(world.steps)])


def _scores(steps: int, pair: tuple[int, int]) -> tuple[float, ...]:
    """Scores of n steps that fall by DROPS behind the two last good steps of `pair`, and are flat elsewhere."""
    falls = np.zeros(steps)
    for place, drop in zip(reversed(pair), reversed(DROPS), strict=True):
        falls[place] = drop
    return tuple((1 - np.cumsum(falls)).tolist())


@functools.lru_cache(maxsize=4096)
def _search(name: LabellerName, steps: int, pair: tuple[int, int]) -> list[Way]:
    """The ways of saps where the verifier's scores fall at `pair`."""
    scores = _scores(steps, pair)
    detected = detect(scores)
    if name == "saps_once":
        return _ways(lambda: saps(steps, detected))
    return _ways(lambda: saps_until_located(steps, detected, scores))


@functools.lru_cache(maxsize=64)
def _searches(world: World, name: LabellerName, lazy: bool) -> Array:
    """`_followed` for each of `_pairs`; shape (pairs, 6, n). Independent of the verifier's quality."""
    return np.stack([_followed(_search(name, world.steps, pair), world, lazy) for pair in _pairs(world.steps)])
