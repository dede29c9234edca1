"""Asks the reasoner for step labels: c_j = 1 iff one of T completions of the prefix ends right (SAPO eq. 3-5).

All prefixes that are wanted at once are drawn together. Savings, each with a switch, change the cost and never
the distribution of a label: `merge` draws equal prefixes of a question once, `lazy` draws in waves (1, 1, 2, 4 …)
that stop at the first success. Both off is the papers' arithmetic.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sapo.models.sampling import Request, Sampler
from sapo.records import Cost, Question, Trajectory
from sapo.settings import RolloutSettings
from sapo.tasks.task import Task
from sapo.workspace import derive_seed


@dataclass(frozen=True, slots=True)
class Prefix:
    """The first `position` steps of a trajectory of `question`."""

    question: Question
    trajectory: Trajectory
    position: int

    @property
    def text(self) -> str:
        return self.trajectory.prefix(self.position)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What rollouts said of one prefix: its label c_j and the completed trajectories, which are training data too."""

    label: bool
    completions: tuple[Trajectory, ...]


@dataclass(slots=True)
class _Open:
    """A prefix that is still being asked about."""

    prefix: Prefix
    key: tuple[str, ...]
    completions: list[Trajectory] = field(default_factory=list)

    @property
    def won(self) -> bool:
        return any(completion.right for completion in self.completions)


class Rollouts:
    """Draws and judges completions of prefixes; `cost` adds up everything that was spent.

    Args:
        seed: of all completions; one of them depends on seed, question, prefix and its number alone.
    """

    def __init__(self, task: Task, sampler: Sampler, settings: RolloutSettings, max_new_tokens: int, seed: int) -> None:
        if settings.per_position < 1:
            raise ValueError(f"rollouts.per_position is {settings.per_position}: a label needs at least one rollout")
        self.task = task
        self.sampler = sampler
        self.settings = settings
        self.max_new_tokens = max_new_tokens
        self.seed = seed
        self.cost = Cost()
        self._known: dict[tuple[str, ...], Evidence] = {}

    def ask(self, wanted: Sequence[Prefix]) -> list[Evidence]:
        """Evidence for every prefix, in order."""
        keys = [self._key(prefix) for prefix in wanted]
        open_ = {key: _Open(p, key) for key, p in zip(keys, wanted, strict=True) if key not in self._known}
        drawn = 0
        for wave in self._waves():
            pending = [o for o in open_.values() if not (self.settings.lazy and o.won)]
            if pending:
                self._draw(pending, range(drawn, drawn + wave))
            drawn += wave
        for key, item in open_.items():
            self._known[key] = Evidence(item.won, tuple(item.completions))
        return [self._known[key] for key in keys]

    def _key(self, prefix: Prefix) -> tuple[str, ...]:
        if self.settings.merge:
            return (prefix.question.id, prefix.text)
        return (prefix.question.id, prefix.text, prefix.trajectory.id)

    def _waves(self) -> list[int]:
        """Sizes of the waves: all T at once, or 1, 1, 2, 4 … up to T together."""
        total = self.settings.per_position
        if not self.settings.lazy:
            return [total]
        waves = [1]
        while sum(waves) < total:
            waves.append(min(sum(waves), total - sum(waves)))
        return waves

    def _draw(self, pending: Sequence[_Open], numbers: range) -> None:
        """Add the completions with these numbers to every pending prefix."""
        jobs = [(item, number) for item in pending for number in numbers]
        requests = [
            Request(item.prefix.question.prompt, item.prefix.text, derive_seed(self.seed, *item.key, number))
            for item, number in jobs
        ]
        completions, cost = self.sampler.complete(requests, self.settings.temperature, self.max_new_tokens)
        starts = [item.prefix.trajectory.steps[: item.prefix.position] for item, _ in jobs]
        steps = [(*start, *self.task.split(c.text)) for start, c in zip(starts, completions, strict=True)]
        questions = [item.prefix.question for item, _ in jobs]
        verdicts = self.task.grade(questions, ["".join(s) for s in steps])
        self.cost += cost + Cost(programs=sum(bool(question.tests) for question in questions))
        for (item, number), own, verdict in zip(jobs, steps, verdicts, strict=True):
            trajectory = item.prefix.trajectory
            name = f"{trajectory.id}/after{item.prefix.position}/{number}"
            item.completions.append(Trajectory(name, trajectory.question_id, own, verdict, "rollout"))
