"""What a method works with: one model, task and seed under the method's settings, and the costs on file."""

import dataclasses
import functools
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from sapo.engines.opening import Drawing, engine_name, open_sampler
from sapo.methods.kept import SECONDS
from sapo.models.encoding import Encoded, Encoder
from sapo.models.hardware import enough_memory, verifier_for_inference
from sapo.models.loading import load_encoder
from sapo.models.sampling import Completion, Request, Sampler, Until
from sapo.models.verifier import Verifier
from sapo.records import Cost, Question, RecordError, read_json, write_json
from sapo.settings import Settings, SettingsError, TaskSettings
from sapo.tasks.catalog import find_task, source_of
from sapo.tasks.task import Split, Task
from sapo.workspace import Workspace, derive_seed


@dataclass(frozen=True, slots=True)
class Bench:
    """One model and task; `settings.seed` is the seed that everything random derives from.

    Names of methods enter no seed: two methods that differ in one setting differ in nothing else.
    """

    settings: Settings
    workspace: Workspace
    model: str
    task_name: str

    @property
    def task(self) -> Task:
        return find_task(self.task_name)

    @property
    def limits(self) -> TaskSettings:
        return self.settings.tasks[self.task_name]

    @property
    def training(self) -> dict[str, int | str]:
        """What of limits and engine a trained reasoner depends on; the size of the tests is not among it."""
        limits = self.limits
        counts = {"train": limits.train_questions, "gold": limits.sft_questions, "tokens": limits.max_new_tokens}
        return {**counts, "engine": engine_name(self.settings.engine)}

    @property
    def base(self) -> Path:
        return self.workspace.base(self.model)

    @property
    def start(self) -> Path:
        """Where stage `start` left M_0 (`sft`), D_0 (`sampled.jsonl`) and V_0 (`verifier`)."""
        return self.workspace.start(self.model, self.task_name, self.settings.seed)

    @property
    def store(self) -> Path:
        return self.workspace.scratch

    def shown(self, what: str) -> str:
        """Name of an activity in progress lines; empty (silent) where several processes would write at once."""
        title = f"{self.model} {self.task_name} seed {self.settings.seed}: {what}"
        return title if self.settings.workers == 1 else ""

    def seed(self, *names: str | int) -> int:
        """A seed for one purpose."""
        return derive_seed(self.settings.seed, self.model, self.task_name, *names)

    def questions(self, name: str, split: Split, count: int) -> list[Question]:
        """The first `count` questions of a split. Raises SettingsError where there are fewer."""
        found = find_task(name).load(split, source_of(name, self.settings.data))
        if len(found) < count:
            raise SettingsError(f"tasks: {name} has {len(found)} questions in split {split!r}, {count} are asked for")
        return found[:count]

    def train_questions(self) -> list[Question]:
        return self.questions(self.task_name, "train", self.limits.train_questions)

    def gold_rationales(self) -> list[Question]:
        """The first training questions with a gold rationale, whether the model can learn from it or not."""
        return [question for question in self.train_questions() if question.solution][: self.limits.sft_questions]

    def gold_questions(self) -> list[Question]:
        """Those of them whose gold rationale is used, D_org: the model can encode it step by step (`Encoder`).

        Raises:
            RecordError: there is none.
        """
        asked, task = self.gold_rationales(), self.task
        rows = _encoder(self.base.resolve()).attempt_steps([(q.prompt, task.split(q.solution)) for q in asked])
        gold = [question for question, row in zip(asked, rows, strict=True) if isinstance(row, Encoded)]
        if not gold:
            why = f"none of {len(asked)} can be learned from: {rows[0]}" if asked else "no training question has one"
            raise RecordError(f"{self.task_name}: gold rationales: {why}")
        return gold

    def verifier(self, folder: Path) -> Verifier:
        """A saved verifier on the device and in the precision of the settings, for scoring."""
        return verifier_for_inference(Verifier.load(folder), self.settings.tuning)

    def sampler(self, reasoner: Path, what: str, cached_tokens: int = 0) -> Sampler:
        """What draws from a saved reasoner, as `engine` says. Raises what `opening.open_sampler` does."""
        drawing = Drawing(self.settings.engine, self.settings.tuning, self.settings.sampling.rows, cached_tokens)
        return Roomy(open_sampler(reasoner, drawing, self.store / "answers", self.shown(what)))


@functools.lru_cache(maxsize=1)
def _encoder(base: Path) -> Encoder:
    """Tokenizer of a base model, which does not change while stages read it."""
    return load_encoder(base)


@dataclass(frozen=True, slots=True)
class Roomy:
    """A sampler that says which setting to lower where the device's memory is too small."""

    sampler: Sampler

    def complete(
        self, requests: Sequence[Request], temperature: float, max_new_tokens: int, until: Until | None = None
    ) -> tuple[list[Completion], Cost]:
        """See `Sampler.complete`. Raises OutOfMemory."""
        with enough_memory("sampling", "lower sampling.rows", "rollouts.cached_tokens"):
            return self.sampler.complete(requests, temperature, max_new_tokens, until)


def write_costs(folder: Path, costs: Mapping[str, Cost]) -> None:
    """Write what each part of the work in `folder` spent; the seconds go to a file that never becomes an output."""
    spent = {name: {k: v for k, v in asdict(cost).items() if k != "seconds"} for name, cost in costs.items()}
    write_json(folder / "costs.json", spent)
    write_json(folder / SECONDS, {name: cost.seconds for name, cost in costs.items()})


def read_costs(folder: Path) -> dict[str, Cost]:
    """What `write_costs` wrote; 0 seconds where that file did not come along."""
    parts = read_json(folder / "costs.json")
    path = folder / SECONDS
    seconds = read_json(path) if path.is_file() else {}
    return {name: Cost(**spent, seconds=seconds.get(name, 0.0)) for name, spent in parts.items()}


def copy_output(made: Path, output: Path) -> None:
    """Copy a kept folder to where it becomes a stage's output, without its seconds."""
    shutil.copytree(made, output, ignore=shutil.ignore_patterns(SECONDS))


@contextmanager
def clocked(costs: dict[str, Cost], name: str) -> Iterator[None]:
    """Add the seconds that the block takes to the cost of that name, which the block makes."""
    start = time.perf_counter()
    yield
    costs[name] = dataclasses.replace(costs[name], seconds=round(time.perf_counter() - start, 3))
