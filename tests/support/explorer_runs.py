"""A run by hand for tests of the explorer: two questions, three rounds, verifiers by table; and a large made-up one.

Round 1: V_0 gives `ok bad x lose` the scores .9 .8 .1 .1. The falls from 1 on are .1 .1 .7 0, so t^ = 2 and step 3 is
the suspect. In truth `bad` is the first error: rollouts behind steps 2 and 3 fail, case (c), labels 1 0 0 0.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from fakes import LineTask, TableVerifier, question, trajectory

from sapo.models.verifier import Verifier
from sapo.recipes.experiment import Experiment
from sapo.records import LabelCase, Question, StepLabels, Trajectory, write_records
from sapo.report.explorer.collect import agree
from sapo.report.explorer.views import Explored, Labelling, Rollout, Round, Shown, Step
from sapo.runtime.workspace import Workspace
from sapo.settings import CellSettings, GroupSettings, Settings, TaskSettings, method_settings
from sapo.settings.configure import compose
from sapo.tasks.catalog import EMBEDDED, TASKS
from sapo.tasks.task import DataSource, Split

NANO = compose(Path(__file__).parents[2], ["profile=nano"])[1]
TABLES = {  # by round: V_0, V_1
    0: {"ok\n": 0.9, "bad\n": 0.8, "x\n": 0.1, "lose\n": 0.1, "win\n": 0.9},
    1: {"ok\n": 1.0, "bad\n": 0.25, "x\n": 0.5, "lose\n": 0.0, "win\n": 0.75},
}
WRONG = trajectory("q0/s/0", ["ok", "bad", "x", "lose"], "q0")
RIGHT = trajectory("q0/s/1", ["ok", "win"], "q0")
AGAIN = dataclasses.replace(WRONG, id="q0/s/2")
OTHER = trajectory("q1/s/0", ["bad", "win"], "q1")
ROLLOUT = dataclasses.replace(trajectory("q0/s/0/after2/5", ["ok", "bad", "lose"], "q0"), source="rollout")
DRAWN = [WRONG, RIGHT, AGAIN, OTHER]


class TrueLines(LineTask):
    """Two questions; a step is wrong in itself where it says `bad` or `lose`."""

    def load(self, split: Split, source: DataSource) -> list[Question]:
        return [question("q0"), question("q1")]

    def generate(self, split: Split, count: int, seed: int) -> list[Question]:
        return self.load(split, DataSource(Path()))

    def step_truth(self, question: Question, steps: Sequence[str]) -> list[bool]:
        return [step not in ("bad\n", "lose\n") for step in steps]


def settings() -> Settings:
    """Of profile nano, for one cell whose methods run with seeds 1 and 2."""
    return dataclasses.replace(
        NANO,
        models={"tiny": NANO.models["qwen2_nano"]},
        tasks={"lines": TaskSettings("lines", 1, 2, 1, 1, 8)},
        cells={"tiny-lines-headline": CellSettings("tiny", "lines", "headline")},
        groups={"headline": GroupSettings(("sapo", "rft", "sapo_without_dv"), (1, 2))},
        process_benchmarks={},
    )


def experiment(method: str = "sapo") -> Experiment:
    """In the current folder, under the method's settings."""
    own = settings()
    return Experiment(method_settings(own, method, 1), Workspace(Path(), own.profile), "tiny", "lines")


def write_run(monkeypatch: pytest.MonkeyPatch, method: str = "sapo") -> Path:
    """Stage `start` and two rounds, of which the second has no verifier; the method's folder."""
    monkeypatch.setitem(TASKS, "lines", TrueLines())
    monkeypatch.setitem(EMBEDDED, "lines", TrueLines())
    monkeypatch.setattr(Verifier, "load", _load)
    here = experiment(method)
    folder = here.workspace.methods("tiny", "lines") / "1" / method
    write_round(here.start, DRAWN, [(RIGHT, (1, 1), (), "known_correct")], 0)
    found: list[Labelled] = [(WRONG, (1, 0, 0, 0), (2, 3), "c"), (RIGHT, (1, 1), (), "known_correct")]
    write_round(folder / "1", DRAWN, [*found, (ROLLOUT, (1, 0, 0), (), "expansion")], 1)
    write_records(folder / "2" / "sampled.jsonl", [OTHER], Trajectory)
    return folder


Labelled = tuple[Trajectory, tuple[int, ...], tuple[int, ...], LabelCase]


def write_round(folder: Path, drawn: Sequence[Trajectory], labelled: Sequence[Labelled], table: int) -> None:
    """Samples, labels and a verifier by table."""
    labels = [StepLabels(one.id, own, asked, case) for one, own, asked, case in labelled]
    write_records(folder / "sampled.jsonl", drawn, Trajectory)
    write_records(folder / "labelled.jsonl", [one for one, *_ in labelled], Trajectory)
    write_records(folder / "labels.jsonl", labels, StepLabels)
    (folder / "verifier").mkdir()
    (folder / "verifier" / "table.json").write_text(json.dumps(TABLES[table]), encoding="utf-8")


def _load(folder: Path) -> TableVerifier:
    return TableVerifier(json.loads((folder / "table.json").read_text(encoding="utf-8")))


def steps(texts: str, scores: Sequence[float] = (), labels: str = "") -> tuple[Step, ...]:
    """Steps of words."""
    lines = [f"{word}\n" for word in texts.split()]
    return tuple(
        Step(line, scores[i] if scores else None, int(labels[i]) if labels else None) for i, line in enumerate(lines)
    )


def made_up(count: int) -> Explored:
    """Trajectories with all that a filter can find, by arithmetic on their number: 7 steps each, rounds 0 to 3."""
    questions = tuple(Question(f"lines/train/{n}", f"Question {n} of Zoë?\n", f"{n}") for n in range(count // 8 + 1))
    rounds = []
    for number in range(4):
        own = tuple(_made_up(i, questions) for i in range(count) if i % 4 == number)
        rounds.append(Round(number, "saps" if number else "omega", "scores" if number else "", len(own), own))
    return Explored("nano", "tiny", "lines", "sapo", 1, 16, questions, tuple(rounds))


def _made_up(i: int, questions: Sequence[Question]) -> Shown:
    verdict = ("right", "wrong", "wrong", "unparsable", "wrong")[i % 5]
    wrong = i % 8 if verdict != "right" or i % 3 == 0 else 0
    case = ("a", "b", "c", "known_correct", "")[i % 7 % 5]
    named = (i // 5) % 8
    labels = "".join(str(int(not named or j < named)) for j in range(1, 8))
    scores = [((i * 37 + j * 101) % 1001) / 1000 for j in range(7)]
    texts = [f"step {j} of {i}: {'kiwi' if (i + j) % 50 == 0 else 'apple'} + {i * j}\n" for j in range(1, 8)]
    own = tuple(Step(t, s, int(c) if case else None) for t, s, c in zip(texts, scores, labels, strict=True))
    labelling = _labelling(i, case, labels, wrong) if case else None
    return Shown(questions[i // 8].id, f"seed/{i % 8}", verdict, 1 + i % 3, own, wrong, labelling)


def _labelling(i: int, case: str, labels: str, wrong: int) -> Labelling:
    truth = [int(not wrong or j < wrong) for j in range(1, 8)]
    agreement = agree([int(label) for label in labels], truth)
    if case == "known_correct":
        return Labelling(case, (), None, (), agreement, ())
    behind = steps("and so it ends", (0.9, 0.5, 0.1, 0.0), "1100")
    rollouts = tuple(Rollout(3, number, ("right", "wrong")[number % 2], behind, 5) for number in range(i // 4 % 4))
    return Labelling(case, (3, 4), 3, (0.9, 0.8, 0.7, 0.2, 0.2, 0.1, 0.0), agreement, rollouts)
