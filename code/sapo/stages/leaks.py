"""Stage `leaks`: no test question of the run, in or out of domain, is in what a model's methods learned from on a task.

Reads the questions that a task trains on, and all of which a base model made from scratch (their gold rationales are
its whole text), and every trajectory that the model made on the task: samples, labelled ones and expansions. Writes
how much was checked; a leak ends the stage. Pairs, filtered sets and verifier examples are chosen from these files.
The shipped base models' documents come from their own hash bucket (train/pretrain.py), which a test checks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sapo.evaluate.leaks import Held, Leak, refuse
from sapo.records import Question, RecordError, StepLabels, Trajectory, read_records, write_json
from sapo.runtime.workspace import StageArguments, Workspace
from sapo.settings import Settings
from sapo.tasks.catalog import EMBEDDED, find_task, source_of


@dataclass(slots=True)
class Checked:
    """What was looked at, and the leaks in it."""

    files: int = 0
    trajectories: int = 0
    texts: dict[str, Leak | None] = field(default_factory=dict)  # different ones
    leaks: list[Leak] = field(default_factory=list)


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    held = Held(held_questions(settings))
    trained = dict(training_questions(settings, workspace, place))
    checked = Checked()
    for where, question in trained.items():
        found = (held.asked_by(question, where), held.inside(question.solution, where))
        checked.leaks += [leak for leak in found if leak]
    known = {question.id for question in trained.values()}
    for folder in (workspace.starts(place.model, place.task), workspace.methods(place.model, place.task)):
        for path in sorted(folder.rglob("*.jsonl")):
            check_file(path, held, known, checked)
    refuse(checked.leaks)
    said = {
        "test_questions": held.statements,
        "of_them_searched_in_texts": held.searched,
        "training_questions": len(trained),
        "files": checked.files,
        "trajectories": checked.trajectories,
        "different_texts": len(checked.texts),
        "leaks": 0,
    }
    write_json(workspace.runs / "leaks" / place.model / f"{place.task}.json", said)


def held_questions(settings: Settings) -> Iterator[Question]:
    """All test questions of the run's tasks and of their out-of-domain partners, asked or not."""
    names = dict.fromkeys(name for task, limits in settings.tasks.items() for name in (task, limits.ood))
    for name in names:
        yield from find_task(name).load("test", source_of(name, settings.data))


def training_questions(
    settings: Settings, workspace: Workspace, place: StageArguments
) -> Iterator[tuple[str, Question]]:
    """The questions that are trained on, each with where it stands."""
    scratch = settings.models[place.model].kind == "scratch"
    for name in settings.tasks if scratch else (place.task,):
        questions = find_task(name).load("train", source_of(name, settings.data))
        for number, question in enumerate(questions[: settings.tasks[name].train_questions], start=2):
            file = workspace.data / "questions" / f"{name}_train.jsonl"
            yield f"{file}: line {number}" if name in EMBEDDED else f"{name}: question {question.id}", question


def check_file(path: Path, held: Held, known: set[str], checked: Checked) -> None:
    """Check the trajectories of one file.

    Raises:
        RecordError: the file is damaged, of another kind, or holds a trajectory of a question that is none of `known`
            and none of the test questions.
    """
    checked.files += 1
    if path.name == "labels.jsonl":
        read_records(path, StepLabels)  # no text
        return
    for number, trajectory in enumerate(read_records(path, Trajectory), start=2):
        where = f"{path}: line {number}"
        checked.trajectories += 1
        if trajectory.question_id in held.ids:
            checked.leaks.append(Leak(trajectory.question_id, "word for word", where))
        elif trajectory.question_id not in known:
            raise RecordError(f"{where}: question {trajectory.question_id} is none that is trained on")
        if trajectory.text not in checked.texts:
            checked.texts[trajectory.text] = held.inside(trajectory.text, where)
            if leak := checked.texts[trajectory.text]:
                checked.leaks.append(leak)
