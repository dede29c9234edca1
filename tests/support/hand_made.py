"""The hand-made set of tests/recipes/test_methods.py: two questions, five samples, and who is trained on what."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes import LineTask, TableVerifier, trajectory

from sapo.recipes import self_improvement
from sapo.recipes.experiment import Experiment
from sapo.recipes.label_step import LabelInputs
from sapo.records import Cost, PreferencePair, Question
from sapo.runtime.workspace import Workspace
from sapo.settings import PairSettings, SamplingSettings, Settings, TaskSettings, method_settings
from sapo.settings.configure import compose
from sapo.tasks.task import DataSource, Split

ROOT = Path(__file__).parents[2]
TABLE = {"ok\n": 0.9, "x\n": 0.6, "bad\n": 0.2, "win\n": 0.9, "lose\n": 0.1, "gold\n": 0.8}
STEPS = {"A": "ok win", "B": "bad lose", "C": "x win", "D": "bad lose", "E": "x lose", "G": "gold win"}
TEXTS = {name: "".join(f"{step}\n" for step in steps.split()) for name, steps in STEPS.items()}
DRAWN = {"A": "q0/s/0", "B": "q0/s/1", "C": "q0/s/2", "D": "q1/s/0", "E": "q1/s/1"}
SAMPLES = [trajectory(place, STEPS[name].split(), place[:2]) for name, place in DRAWN.items()]
NANO = compose(ROOT, ["profile=nano"])[1]


class TwoQuestions(LineTask):
    def load(self, split: Split, source: DataSource) -> list[Question]:
        return [Question(f"q{n}", f"Prompt {n}.\n", "win", solution=("gold\nwin\n", "")[n]) for n in range(2)]


@dataclass
class Trainings:
    """What reached the trainers, in order: kind, where training started, what it was given."""

    seen: list[tuple[str, str, Any]] = field(default_factory=list)

    def starts(self) -> list[str]:
        return [start for _, start, _ in self.seen]


class SavedTable(TableVerifier):
    """A verifier by table that can be saved."""

    cost = Cost(prompt_tokens=7)

    def save(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "table.json").write_text(json.dumps(dict(self.table)), encoding="utf-8")


@dataclass
class Supervised:
    """Who labelled what, round by round."""

    seen: list[tuple[LabelInputs, list[str]]] = field(default_factory=list)


def common() -> Settings:
    """Of profile nano, for two questions with three samples each, and one pair a question."""
    return dataclasses.replace(
        NANO,
        workers=2,
        tasks={"lines": TaskSettings("lines", 1, 2, 1, 1, 8)},
        sampling=SamplingSettings(3, 1.0, 8),
        pairs=PairSettings(0.05, 1, 1, "any"),
    )


def run(workspace: Workspace, method: str) -> list[Path]:
    """The folders of all rounds of a method."""
    folders: list[Path] = []
    experiment = Experiment(method_settings(common(), method, 1), workspace, "tiny", "lines")
    self_improvement.run(experiment, lambda _, folder: folders.append(folder))
    return folders


def texts(*names: str) -> list[tuple[str, str]]:
    """(prompt, completion) of named trajectories."""
    return [(f"Prompt {int(name in 'DE')}.\n", TEXTS[name]) for name in names]


def names(pairs: Sequence[PreferencePair]) -> list[tuple[str, str]]:
    """(chosen, rejected) by name."""
    found = {(f"q{int(name in 'DE')}", text): name for name, text in TEXTS.items()}
    return [(found[p.question_id, p.chosen], found[p.question_id, p.rejected]) for p in pairs]
