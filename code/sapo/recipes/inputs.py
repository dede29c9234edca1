"""What cached steps are given: records of everything that a step may read, and the tools that work on paths.

A step's record of inputs is its key in the cache (`kept.py`). It holds sections of the settings, texts and folders by
their content. `Tools` hold what cannot change a result: where things are, where an engine listens, who watches.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sapo.models.hardware import enough_memory, verifier_for_inference
from sapo.models.verifier import Verifier
from sapo.records import Cost, Question, Trajectory
from sapo.runtime.cache import NOT_KEY, parts
from sapo.runtime.workspace import derive_seed, digest
from sapo.sampling.factory import Drawing, engine_name, open_sampler
from sapo.sampling.protocol import Completion, Request, Sampler, Until
from sapo.sampling.resumable import Journal
from sapo.settings import AdapterSettings, EngineSettings, Settings, TuningSettings
from sapo.tasks.catalog import find_task
from sapo.tasks.task import Task

BATCHES = 32  # of `rows` requests are kept together: the last of them, half empty, costs a hundredth
NO_ADAPTERS = AdapterSettings(0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder or file that a step reads, known by its content."""

    digest: str
    path: Path = field(metadata=NOT_KEY, compare=False)

    @classmethod
    def of(cls, path: Path) -> "Folder":
        return cls(digest(path), path)


@dataclass(frozen=True, slots=True)
class Questions:
    """Questions that a step reads, known by their content."""

    digest: str
    items: tuple[Question, ...] = field(metadata=NOT_KEY, compare=False, repr=False)

    @classmethod
    def of(cls, items: Sequence[Question]) -> "Questions":
        return cls(_digest([repr(question) for question in items]), tuple(items))

    @property
    def by_id(self) -> dict[str, Question]:
        return {question.id: question for question in self.items}


@dataclass(frozen=True, slots=True)
class Trajectories:
    """Trajectories that a step reads, known by their ids and texts."""

    digest: str
    items: tuple[Trajectory, ...] = field(metadata=NOT_KEY, compare=False, repr=False)

    @classmethod
    def of(cls, items: Sequence[Trajectory]) -> "Trajectories":
        return cls(_digest([f"{t.id}\0{t.text}" for t in items]), tuple(items))


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Case:
    """One model, task and seed. No seed depends on a method's name: two that differ in a setting differ in it alone."""

    model: str
    task_name: str
    seed: int

    @property
    def task(self) -> Task:
        return find_task(self.task_name)

    def derive(self, *names: str | int) -> int:
        """A seed for one purpose."""
        return derive_seed(self.seed, self.model, self.task_name, *names)


@dataclass(frozen=True, slots=True)
class DrawSettings:
    """How completions are drawn: by which engine, on what device and in which precision, so many rows together."""

    engine: str
    tuning: TuningSettings
    rows: int
    max_new_tokens: int

    @classmethod
    def of(cls, settings: Settings, task_name: str) -> "DrawSettings":
        """Raises EngineError: the engine is not installed."""
        limit = settings.tasks[task_name].max_new_tokens
        return cls(engine_name(settings.engine), inference(settings.tuning), settings.sampling.rows, limit)


def inference(tuning: TuningSettings) -> TuningSettings:
    """Of the settings, what a model that is not trained depends on: its device and precision."""
    return TuningSettings("full", tuning.device, tuning.dtype, False, NO_ADAPTERS, NO_ADAPTERS)


@dataclass(frozen=True, slots=True)
class Tools:
    """What opens samplers and verifiers for a step.

    Args:
        store: the cache's folder; a server's answers are kept there too.
        engine: where the engine is; which one it is says `DrawSettings.engine`.
        title: of progress lines; empty (silent) where several processes would write at once.
    """

    store: Path
    engine: EngineSettings
    title: str

    def shown(self, what: str) -> str:
        """Name of an activity in progress lines."""
        return f"{self.title}: {what}" if self.title else ""

    def sampler(self, reasoner: Path, how: DrawSettings, what: str, cached_tokens: int = 0) -> Sampler:
        """What draws from a saved reasoner. Raises what `opening.open_sampler` does."""
        drawing = Drawing(self.engine, how.tuning, how.rows, cached_tokens)
        return OomHintSampler(open_sampler(reasoner, drawing, self.store / "answers", self.shown(what)))

    def journal(self, reasoner: Path, how: DrawSettings, what: str, folder: Path, cached_tokens: int = 0) -> Journal:
        """`sampler` for the one step that makes `folder`, which `cached` gave it; what it draws survives a kill."""
        opened = lambda: self.sampler(reasoner, how, what, cached_tokens)  # noqa: E731
        return Journal(parts(folder), BATCHES * how.rows, opened)

    def verifier(self, folder: Path, tuning: TuningSettings) -> Verifier:
        """A saved verifier on its device and in its precision, for scoring."""
        return verifier_for_inference(Verifier.load(folder), tuning)


@dataclass(frozen=True, slots=True)
class OomHintSampler:
    """A sampler that says which setting to lower where the device's memory is too small."""

    sampler: Sampler

    def complete(
        self, requests: Sequence[Request], temperature: float, max_new_tokens: int, until: Until | None = None
    ) -> tuple[list[Completion], Cost]:
        """See `Sampler.complete`. Raises OutOfMemory."""
        with enough_memory("sampling", "lower sampling.rows", "rollouts.cached_tokens"):
            return self.sampler.complete(requests, temperature, max_new_tokens, until)
