"""A trajectory that cannot be encoded step by step is counted and left out of what is learned from; no run ends."""

import dataclasses
from pathlib import Path

import pytest
from fakes import LineTask, ScriptedSampler, question
from test_supervision import FourLines, given, labelled_examples, small
from tiny_models import tiny_reasoner

from sapo.labelling.labellers import LabelItem, Labelled
from sapo.models.loading import save_reasoner
from sapo.recipes.experiment import Experiment, read_costs
from sapo.recipes.inputs import Folder, Tools
from sapo.recipes.label_step import LEFT_OUT, fit_verifier
from sapo.recipes.sample_step import SampleInputs, sampled
from sapo.recipes.self_improvement import sample_statistics
from sapo.records import Question, RecordError, StepLabels, Trajectory, read_json, read_records
from sapo.runtime.workspace import Workspace
from sapo.sampling.protocol import Request
from sapo.settings import load_settings
from sapo.settings.configure import PARAMS
from sapo.tasks.catalog import TASKS
from sapo.tasks.task import DataSource, Split

ROOT = Path(__file__).parents[2]
LONG = "0" * 300 + "\n"  # digits are a token each, and the model has 256 positions


class Golden(FourLines):
    """The gold rationale of the second question is too long, the fourth has none."""

    def load(self, split: Split, source: DataSource) -> list[Question]:
        golds = ("ok\nwin\n", LONG, "win\n", "")
        return [dataclasses.replace(question(f"q{n}"), solution=gold) for n, gold in enumerate(golds)]


class Pieces(LineTask):
    """Cuts lines behind the first and before the last character: a step ends within the token `has`."""

    def split(self, text: str) -> tuple[str, ...]:
        return tuple(part for line in super().split(text) for part in (line[:1], line[1:-1], line[-1:]))


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.setitem(TASKS, "lines", Golden())
    made = Experiment(small(load_settings(ROOT / PARAMS)), Workspace(tmp_path, "test"), "tiny", "lines")
    save_reasoner(*tiny_reasoner(), made.base)
    return made


def test_gold_rationales_that_do_not_fit_are_no_gold(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [q.id for q in experiment.gold_rationales()] == ["q0", "q1", "q2"]
    assert [q.id for q in experiment.gold_questions().items] == ["q0", "q2"]
    monkeypatch.setattr(Golden, "load", lambda *_: [dataclasses.replace(question(), solution=LONG)] * 4)
    with pytest.raises(RecordError, match=r"lines: gold rationales: none of 4 can be learned from: has \d+ tokens"):
        experiment.gold_questions()


@pytest.mark.parametrize("bad", ["long", "merged"])
def test_samples_that_cannot_be_scored_are_counted(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    """Of 4 questions x 8 samples, all of one question cannot be used: 8 of 32."""
    reply = {"q1": LONG if bad == "long" else "has\n"}
    monkeypatch.setitem(TASKS, "lines", Golden() if bad == "long" else Pieces())
    monkeypatch.setattr(Pieces, "load", FourLines.load)

    def said(request: Request) -> str:
        return reply.get(request.prompt.removeprefix("Prompt of ").removesuffix(".\n"), "win\n")

    monkeypatch.setattr(Tools, "sampler", lambda *_: ScriptedSampler(said))
    read = Folder.of(experiment.base), experiment.train_questions(), experiment.draw, experiment.settings.sampling
    folder = sampled(SampleInputs(experiment.case, 1, *read), experiment.tools)
    own = read_records(folder / "sampled.jsonl", Trajectory)
    assert {t.question_id for t in own} == {"q0", "q2", "q3"} and len(own) == 24
    found = sample_statistics(experiment.task, own, read_costs(folder)["sampling"])
    assert (found["trajectories"], found["left_out"]) == (24, 8)


def test_a_verifier_learns_from_the_others(experiment: Experiment, tmp_path: Path) -> None:
    long = Trajectory("long", "q0", ("ok\n", LONG), "wrong", "sample")
    merged = Trajectory("merged", "q0", ("h", "as"), "wrong", "sample")
    unusable = [
        Labelled(LabelItem(question("q0"), t), StepLabels(t.id, (1, 0), (), "bisection"), {}) for t in (long, merged)
    ]
    inputs, tools = given(experiment, "omega", [], experiment.base, number=1)
    fit_verifier(inputs, tools, [unusable[0], *labelled_examples(), unusable[1]], tmp_path / "made")
    assert read_json(tmp_path / "made" / LEFT_OUT) == {"labelled": 2}
    seen = read_records(tmp_path / "made" / "labelled.jsonl", Trajectory)
    assert [t.id for t in seen] == ["w", "r", "w/after2/0"]
    assert [c.trajectory_id for c in read_records(tmp_path / "made" / "labels.jsonl", StepLabels)] == [
        t.id for t in seen
    ]
