"""What every stage of one model and task needs: its questions, its seeds, its reasoners, its costs on file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from sapo.models.loading import load_reasoner
from sapo.models.local import LocalSampler
from sapo.records import Cost, Question, RecordError, write_json
from sapo.settings import Settings, SettingsError, TaskSettings
from sapo.tasks.catalog import find_task, source_of
from sapo.tasks.task import Split, Task
from sapo.workspace import StageArguments, Workspace, derive_seed


@dataclass(frozen=True, slots=True)
class Job:
    """One instance of a stage."""

    settings: Settings
    workspace: Workspace
    place: StageArguments
    stage: str

    @property
    def task(self) -> Task:
        return find_task(self.place.task)

    @property
    def limits(self) -> TaskSettings:
        return self.settings.tasks[self.place.task]

    @property
    def title(self) -> str:
        parts = [self.stage, self.place.model, self.place.task, f"round {self.place.round}" if self.place.round else ""]
        return " ".join(filter(None, parts))

    def seed(self, *names: str | int) -> int:
        """A seed for one purpose of this instance."""
        return derive_seed(self.settings.seed, self.stage, self.place.model, self.place.task, self.place.round, *names)

    def questions(self, name: str, split: Split, count: int) -> list[Question]:
        """The first `count` questions of a split. Raises SettingsError where there are fewer."""
        found = find_task(name).load(split, source_of(name, self.settings.data))
        if len(found) < count:
            raise SettingsError(f"tasks: {name} has {len(found)} questions in split {split!r}, {count} are asked for")
        return found[:count]

    def train_questions(self) -> list[Question]:
        return self.questions(self.place.task, "train", self.limits.train_questions)

    def gold_questions(self) -> list[Question]:
        """Training questions whose gold rationale is used: D_org. Raises RecordError where there is none."""
        gold = [question for question in self.train_questions() if question.solution][: self.limits.sft_questions]
        if not gold:
            raise RecordError(f"{self.place.task}: no training question has a gold rationale to learn from")
        return gold

    def sampler(self, reasoner: Path, what: str) -> LocalSampler:
        model, encoder = load_reasoner(reasoner)
        return LocalSampler(model, encoder, self.settings.sampling.rows, f"{self.title}: {what}")


def write_costs(folder: Path, costs: Mapping[str, Cost]) -> None:
    """Write what each part of a stage spent, without the seconds, which differ from run to run."""
    spent = {name: {k: v for k, v in asdict(cost).items() if k != "seconds"} for name, cost in costs.items()}
    write_json(folder / "costs.json", spent)
