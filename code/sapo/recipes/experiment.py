"""What a method works with: one model, task and seed under the method's settings, and the costs on file."""

import dataclasses
import functools
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from sapo.models.encoding import Encoded, Encoder
from sapo.models.loading import load_encoder
from sapo.recipes.inputs import Case, DrawSettings, Folder, Questions, Tools
from sapo.records import Cost, Question, RecordError, read_json, write_json
from sapo.runtime.cache import SECONDS
from sapo.runtime.workspace import Workspace
from sapo.settings import Settings, SettingsError, TaskSettings
from sapo.tasks.catalog import find_task, source_of
from sapo.tasks.task import Split, Task


@dataclass(frozen=True, slots=True)
class Experiment:
    """One model and task; `settings.seed` is the seed that everything random derives from.

    It makes the inputs of cached steps, which never see it.
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
    def base(self) -> Path:
        return self.workspace.base(self.model)

    @property
    def start(self) -> Path:
        """Where stage `start` left M_0 (`sft`), D_0 (`sampled.jsonl`) and V_0 (`verifier`)."""
        return self.workspace.start(self.model, self.task_name, self.settings.seed)

    @property
    def case(self) -> Case:
        return Case(self.model, self.task_name, self.settings.seed)

    @property
    def draw(self) -> DrawSettings:
        return DrawSettings.of(self.settings, self.task_name)

    @property
    def tools(self) -> Tools:
        title = f"{self.model} {self.task_name} seed {self.settings.seed}" if self.settings.workers == 1 else ""
        return Tools(self.workspace.scratch, self.settings.engine, title)

    def sft(self) -> Folder:
        """M_0, the reasoner that stage `start` fine-tuned."""
        return Folder.of(self.start / "sft")

    def questions(self, name: str, split: Split, count: int) -> Questions:
        """The first `count` questions of a split. Raises SettingsError where there are fewer."""
        found = find_task(name).load(split, source_of(name, self.settings.data))
        if len(found) < count:
            raise SettingsError(f"tasks: {name} has {len(found)} questions in split {split!r}, {count} are asked for")
        return Questions.of(found[:count])

    def train_questions(self) -> Questions:
        return self.questions(self.task_name, "train", self.limits.train_questions)

    def gold_rationales(self) -> list[Question]:
        """The first training questions with a gold rationale, whether the model can learn from it or not."""
        return [question for question in self.train_questions().items if question.solution][: self.limits.sft_questions]

    def gold_questions(self) -> Questions:
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
        return Questions.of(gold)


@functools.lru_cache(maxsize=1)
def _encoder(base: Path) -> Encoder:
    """Tokenizer of a base model, which does not change while stages read it."""
    return load_encoder(base)


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
