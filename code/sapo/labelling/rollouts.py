"""Asks the reasoner for step labels: c_j = 1 iff one of T completions of the prefix ends right (SAPO eq. 3-5).

All prefixes that are wanted at once are drawn together. Three savings, each with a switch; all off is the papers'
arithmetic, T completions of every prefix that is asked. (A fourth, `cached_tokens`, is the sampler's.)

1. `merge` draws equal prefixes of a question once. A label's distribution stays.
2. `lazy` draws in waves (1, 1, 2, 4 … up to T) that stop at the first success. A label's distribution stays.
3. `reuse` takes a text known to end right, given as witness or drawn before, as proof for each of its step prefixes
   in every trajectory of the question; of several positions of a trajectory the later are settled first, since their
   success proves the earlier. Departure: a label can only turn from 0 to 1 compared with T draws of its own (what
   else was asked decides which), and a witness need not come from this reasoner.

Prefixes have 1…n-1 of n steps: c_0 = 1 is a definition and c_n is the outcome. A completion that the token limit cut
off, or that found no room in the context, has not reached an answer: it is a failure whatever its text says, and
`unfinished` counts it.
"""

import gc
import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from sapo.labelling.search import waves
from sapo.records import BadInput, Cost, Question, RecordError, Trajectory, Verdict
from sapo.sampling.protocol import Completion, Request, Sampler
from sapo.settings import RolloutSettings
from sapo.tasks.task import Task

REQUESTS_AT_ONCE = 2**16  # given to the sampler in one call: bounds memory, changes no completion
CACHED_TOKENS = 2**17  # whose keys and values are kept where every saving is on: 200 MB in the laboratory


@contextmanager
def collector_paused() -> Iterator[None]:
    """No cyclic garbage collection in this block, nor in a function that this decorates.

    Planning makes millions of objects that stay and form no cycles; the collector would walk all of them again and
    again, which takes longer than making them. Samplers and graders run outside such blocks.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


# Question, text and, where equal prefixes are not merged, trajectory.
_Key = tuple[str, ...]


class Prefix(NamedTuple):
    """The first `position` steps of a trajectory of `question`."""

    question: Question
    trajectory: Trajectory
    position: int

    @property
    def text(self) -> str:
        return self.trajectory.prefix(self.position)


class PrefixEstimate(NamedTuple):
    """What is known of one prefix: its label c_j and the trajectories drawn from it, which are training data too.

    A prefix that another's text proves (`reuse`) has label True and maybe no right trajectory of its own, or none.
    """

    label: bool
    completions: tuple[Trajectory, ...]


@dataclass(slots=True)
class _Open:
    """A prefix that is still being asked about."""

    prefix: Prefix
    key: _Key
    completions: tuple[Trajectory, ...] = ()
    won: bool = False


class Rollouts:
    """Draws and judges completions of prefixes.

    `cost` adds up everything that was spent, `verdicts` how completions ended, `unfinished` how many did not.

    Args:
        seed: of all completions; one of them depends on seed, question, prefix and its number alone (and on the
            trajectory where equal prefixes are not merged).

    Raises:
        BadInput: no rollouts at all are to decide a label.
    """

    def __init__(self, task: Task, sampler: Sampler, settings: RolloutSettings, max_new_tokens: int, seed: int) -> None:
        if settings.per_position < 1:
            raise BadInput(f"rollouts.per_position is {settings.per_position}: a label needs at least one rollout")
        self.task = task
        self.sampler = sampler
        self.settings = settings
        self.max_new_tokens = max_new_tokens
        self.seed = seed
        self.cost = Cost()
        self.unfinished = 0
        self.verdicts: Counter[Verdict] = Counter()
        self._known: dict[_Key, PrefixEstimate] = {}
        self._proven: defaultdict[str, set[str]] = defaultdict(set)  # by question: texts with a right continuation

    def known_correct(self, trajectories: Iterable[Trajectory]) -> None:
        """Let the right ones of these prove their prefixes; without `reuse` nothing happens."""
        if self.settings.reuse:
            for trajectory in trajectories:
                if trajectory.right:
                    self._prove(trajectory)

    def ask(self, wanted: Sequence[Prefix]) -> list[PrefixEstimate]:
        """Evidence for every prefix, in order.

        Raises:
            RecordError: a prefix is empty or whole, so that its label is no matter of rollouts.
        """
        with collector_paused():
            keys = [self._key(prefix) for prefix in wanted]
            open_ = {key: _Open(p, key) for key, p in zip(keys, wanted, strict=True) if key not in self._known}
            groups = _later_first(keys, wanted, open_) if self.settings.reuse else [list(open_.values())]
        for group in groups:
            self._settle(group)
        with collector_paused():
            self._known |= {key: PrefixEstimate(item.won, item.completions) for key, item in open_.items()}
            return [self._answer(key) for key in keys]

    def _key(self, prefix: Prefix) -> _Key:
        text, steps = prefix.text, len(prefix.trajectory.steps)
        if not text or prefix.position == steps:
            raise RecordError(
                f"prefix of {prefix.position} of the {steps} steps of trajectory {prefix.trajectory.id} is "
                f"{'the whole' if text else 'empty'}: rollouts decide neither the start nor the outcome"
            )
        if self.settings.merge:
            return (prefix.question.id, text)
        return (prefix.question.id, text, prefix.trajectory.id)

    def _answer(self, key: _Key) -> PrefixEstimate:
        """What is known by now: a success elsewhere may have overruled T failures."""
        evidence = self._known[key]
        if not evidence.label and self._proves(key):
            evidence = self._known[key] = evidence._replace(label=True)
        return evidence

    def _proves(self, key: _Key) -> bool:
        return self.settings.reuse and key[1] in self._proven.get(key[0], ())

    def _prove(self, right: Trajectory) -> None:
        """Mark all step prefixes of a right trajectory, from the longest to the first that is marked already."""
        proven = self._proven[right.question_id]
        for text in reversed(list(itertools.accumulate(right.steps))):
            if text in proven:
                break
            proven.add(text)

    def _settle(self, group: Sequence[_Open]) -> None:
        """Draw until every prefix has a success, is proven, or has had all its completions."""
        drawn = 0
        for wave in waves(self.settings.per_position, self.settings.lazy):
            pending = [o for o in group if not (self.settings.lazy and o.won) and not self._proves(o.key)]
            at_once = max(1, REQUESTS_AT_ONCE // wave)
            for start in range(0, len(pending), at_once):
                self._draw(pending[start : start + at_once], range(drawn, drawn + wave))
            drawn += wave

    def _draw(self, pending: Sequence[_Open], numbers: range) -> None:
        """Add the completions with these numbers to every pending prefix."""
        asked = [item for item in pending for _ in numbers]
        requests = self._requests(pending, numbers)
        drawing = self.settings.temperature, self.max_new_tokens, self.task.answered
        completions, cost = self.sampler.complete(requests, *drawing)
        self.cost += cost
        steps = self._steps(asked, completions)
        verdicts = self._judge([item.prefix.question for item in asked], steps, completions)
        with collector_paused():
            for item, number, own, verdict in zip(asked, [*numbers] * len(pending), steps, verdicts, strict=True):
                name = f"{item.prefix.trajectory.id}/after{item.prefix.position}/{number}"
                self._keep(item, Trajectory(name, item.prefix.question.id, own, verdict, "rollout"))

    @collector_paused()
    def _requests(self, pending: Sequence[_Open], numbers: range) -> list[Request]:
        """The requests for these completions of every prefix, prefix by prefix."""
        return [
            Request(item.prefix.question.prompt, item.key[1], seed)
            for item in pending
            for seed in _seeds(self.seed, item.key, numbers)
        ]

    @collector_paused()
    def _steps(self, asked: Sequence[_Open], completions: Sequence[Completion]) -> list[tuple[str, ...]]:
        """Each prefix's steps with those of its completion behind them."""
        return [
            (*item.prefix.trajectory.steps[: item.prefix.position], *self.task.split(completion.text))
            for item, completion in zip(asked, completions, strict=True)
        ]

    def _judge(
        self, questions: Sequence[Question], steps: Sequence[tuple[str, ...]], completions: Sequence[Completion]
    ) -> list[Verdict]:
        """Verdicts in order; what did not finish is not read, since `12` may be the start of `120`."""
        ended = [i for i, completion in enumerate(completions) if completion.finished]
        judged = self.task.grade([questions[i] for i in ended], ["".join(steps[i]) for i in ended]) if ended else []
        verdicts: list[Verdict] = ["unparsable"] * len(completions)
        for i, verdict in zip(ended, judged, strict=True):
            verdicts[i] = verdict
        self.cost += Cost(programs=sum(bool(questions[i].tests) for i in ended))
        self.unfinished += len(completions) - len(ended)
        self.verdicts.update(verdicts)
        return verdicts

    def _keep(self, item: _Open, completion: Trajectory) -> None:
        item.completions += (completion,)
        if completion.right:
            item.won = True
            if self.settings.reuse:
                self._prove(completion)


def _later_first(keys: Sequence[_Key], wanted: Sequence[Prefix], open_: dict[_Key, _Open]) -> list[list[_Open]]:
    """The open prefixes in groups, each behind all later positions of the trajectories that want it."""
    before: Counter[str] = Counter()
    rank: dict[_Key, int] = {}
    for i in sorted(range(len(wanted)), key=lambda i: -wanted[i].position):
        name = wanted[i].trajectory.id
        rank[keys[i]] = max(rank.get(keys[i], 0), before[name])
        before[name] += 1
    groups: list[list[_Open]] = [[] for _ in range(1 + max(rank.values(), default=0))]
    for key, item in open_.items():
        groups[rank[key]].append(item)
    return groups


def _seeds(seed: int, key: _Key, numbers: range) -> list[int]:
    """63-bit seeds of a prefix's completions: number k has the k-th eight bytes of one endless digest."""
    stream = hashlib.shake_128(repr((seed, *key)).encode()).digest(8 * numbers.stop)
    return [int.from_bytes(stream[8 * k : 8 * k + 8], "big") >> 1 for k in numbers]
