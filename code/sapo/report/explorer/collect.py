"""A method's rounds on file → the trajectories of the explorer, with scores, labels, rollouts and the truth.

1. Scores are those of the round's own verifier V_i; t^ was detected with those of V_{i-1}. Both are computed anew.
2. A trajectory that was drawn several times is shown once. Round 0 shows what V_0 learned from.
3. Rollouts are on file only where they became training data of a verifier (supervise/expansion).
4. The truth is known for embedded tasks only.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sapo.evaluate.efficiency import first_error, prefix_truth
from sapo.labelling.detection import detect, random_position
from sapo.labelling.trajectories import distinct
from sapo.models.verifier import Verifier
from sapo.recipes.experiment import Experiment
from sapo.recipes.label_step import score
from sapo.records import Question, StepLabels, Trajectory, read_records
from sapo.report.explorer.labels import ExplorerError, Labels, read_labels
from sapo.report.explorer.views import Agreement, Explored, Labelling, Rollout, Round, Shown, Step
from sapo.runtime.workspace import derive_seed
from sapo.tasks.catalog import EMBEDDED

Scores = dict[str, tuple[float, ...]]  # c^_1…c^_n by trajectory


@dataclass(frozen=True, slots=True)
class _Source:
    """What every round is read with."""

    experiment: Experiment
    questions: dict[str, Question]
    most: int


@dataclass(frozen=True, slots=True)
class _Found:
    """What a round has on file, and its scores: by V_i, and for the labelled ones by V_{i-1} (`suspicion`)."""

    number: int
    drawn: list[Trajectory]
    labels: Labels = field(default_factory=lambda: Labels((), {}, {}))
    scores: Scores = field(default_factory=dict)
    suspicion: Scores = field(default_factory=dict)


def collect(experiment: Experiment, method: str, most: int) -> Explored:
    """All rounds of one seed of a method.

    Args:
        bench: under the method's settings, with the seed.
        most: trajectories shown of a round; the labelled ones come first, and are all shown.

    Raises:
        ExplorerError: the method has no round on file, or its files do not fit together.
        RecordError, LoadingError: a file is missing or broken.
    """
    folder = (
        experiment.workspace.methods(experiment.model, experiment.task_name) / str(experiment.settings.seed) / method
    )
    numbers = sorted(int(path.parent.name) for path in folder.glob("*/sampled.jsonl"))
    if not numbers:
        raise ExplorerError(f"{folder}: no round of {method} is on file; `dvc repro` makes them")
    source = _Source(experiment, {question.id: question for question in experiment.train_questions().items}, most)
    scorer, labels = experiment.start / "verifier", read_labels(experiment.start)
    scores = _score(source, scorer, labels.texts)
    found = _Found(0, _read(source, experiment.start / "sampled.jsonl"), labels, scores)
    count, shown = len(labels.trajectories), _show_all(source, found, labels.trajectories)
    rounds = [Round(0, "omega", "", count, shown)]
    for number in numbers:
        rounds.append(_round(source, folder / str(number), number, scorer))
        if rounds[-1].labeller:
            scorer = folder / str(number) / "verifier"
    asked = {one.question_id for own in rounds for one in own.shown}
    questions = tuple(question for name, question in source.questions.items() if name in asked)
    place = (experiment.settings.profile, experiment.model, experiment.task_name, method, experiment.settings.seed)
    return Explored(*place, experiment.settings.rollouts.per_position, questions, tuple(rounds))


def _round(source: _Source, folder: Path, number: int, scorer: Path) -> Round:
    """Round i ≥ 1; `scorer` is V_{i-1}."""
    drawn, settings = _read(source, folder / "sampled.jsonl"), source.experiment.settings
    own = distinct(source.experiment.task, drawn)
    if not (folder / "verifier").is_dir():
        return Round(number, "", "", len(own), _show_all(source, _Found(number, drawn), spread(own, source.most)))
    labels = read_labels(folder)
    others = spread([t for t in own if t.id not in labels.labels], source.most - len(labels.trajectories))
    suspects = settings.detect.by if settings.labels.by == "saps" else ""
    suspicion = _score(source, scorer, labels.trajectories) if suspects == "scores" else {}
    scores = _score(source, folder / "verifier", [*labels.texts, *others])
    found = _Found(number, drawn, labels, scores, suspicion)
    shown = _show_all(source, found, [*labels.trajectories, *others])
    return Round(number, settings.labels.by, suspects, len(own), shown)


def spread(trajectories: Sequence[Trajectory], most: int) -> list[Trajectory]:
    """At most `most` of n trajectories, evenly: of m, the i-th is that at ⌊i n / m⌋."""
    count = max(0, min(most, len(trajectories)))
    return [trajectories[i * len(trajectories) // count] for i in range(count)]


def _read(source: _Source, path: Path) -> list[Trajectory]:
    """Trajectories of training questions. Raises ExplorerError: the settings train on other questions by now."""
    trajectories = read_records(path, Trajectory)
    for trajectory in trajectories:
        if trajectory.question_id not in source.questions:
            raise ExplorerError(f"{path}: {trajectory.id}: the settings have no training question of that id")
    return trajectories


def _score(source: _Source, verifier: Path, trajectories: Sequence[Trajectory]) -> Scores:
    return {s.trajectory_id: s.scores for s in score(Verifier.load(verifier), source.questions, trajectories)}


def _show_all(source: _Source, found: _Found, chosen: Sequence[Trajectory]) -> tuple[Shown, ...]:
    normalise = source.experiment.task.normalise
    times = Counter((t.question_id, normalise(t.text)) for t in found.drawn)
    return tuple(_show(source, found, t, times[t.question_id, normalise(t.text)]) for t in chosen)


def _show(source: _Source, found: _Found, trajectory: Trajectory, times: int) -> Shown:
    truth = _truth(source, trajectory)
    own = found.labels.labels.get(trajectory.id)
    labelling = None
    if own:
        rollouts = []
        for drawn in found.labels.rollouts.get(trajectory.id, ()):
            steps, error = _steps(found, drawn.whole, drawn.position), _error(_truth(source, drawn.whole))
            rollouts.append(Rollout(drawn.position, drawn.number, drawn.whole.verdict, steps, error))
        detected = _detected(source, found, trajectory, own)
        suspicion = () if detected is None else found.suspicion.get(trajectory.id, ())
        agreement = None if truth is None else agree(own.labels, truth)
        labelling = Labelling(own.case, own.asked, detected, suspicion, agreement, tuple(rollouts))
    name = trajectory.id.removeprefix(f"{trajectory.question_id}/")
    steps = _steps(found, trajectory, 0)
    return Shown(trajectory.question_id, name, trajectory.verdict, times, steps, _error(truth), labelling)


def _steps(found: _Found, trajectory: Trajectory, start: int) -> tuple[Step, ...]:
    """The steps behind the first `start`, with what is known of them."""
    count, labels = len(trajectory.steps), found.labels.labels.get(trajectory.id)
    scores = found.scores.get(trajectory.id) or (None,) * count
    by_step = zip(trajectory.steps, scores, labels.labels if labels else (None,) * count, strict=True)
    return tuple(Step(*values) for values in by_step)[start:]


def _truth(source: _Source, trajectory: Trajectory) -> tuple[int, ...] | None:
    """True labels of the prefixes, where the task knows them."""
    task = EMBEDDED.get(source.experiment.task_name)
    if task is None:
        return None
    return prefix_truth(task.step_truth(source.questions[trajectory.question_id], trajectory.steps))


def _error(truth: tuple[int, ...] | None) -> int | None:
    return None if truth is None else first_error(truth) or 0


def _detected(source: _Source, found: _Found, trajectory: Trajectory, labels: StepLabels) -> int | None:
    """t^, where one was looked for: not by other labellers, nor where a right outcome was its own witness.

    What was asked first, max(t^, 1), overrules scores that another machine computes a little differently.
    """
    if labels.case not in ("a", "b", "c") and not (labels.case == "known_correct" and labels.asked):
        return None
    settings = source.experiment.settings.detect
    if settings.by == "random":
        seed = source.experiment.case.derive("random step", found.number)
        position = random_position(len(trajectory.steps), derive_seed(seed, "detect", trajectory.id))
    else:
        position = detect(found.suspicion[trajectory.id], settings.sign, settings.virtual_start)
    asked = labels.asked[0] if labels.asked else max(position, 1)
    return position if max(position, 1) == asked else asked


def agree(labels: Sequence[int], truth: Sequence[int]) -> Agreement:
    """What the labels are to the true labels of the same prefixes.

    >>> agree([1, 0, 0], [1, 1, 0]), agree([1, 1, 1], [1, 1, 0]), agree([0, 1, 0], [0, 0, 0])
    ('early', 'missed', 'beyond')
    """
    said, true = first_error(labels), first_error(truth)
    if said == true:
        return "agrees" if tuple(labels) == tuple(truth) else "beyond"
    if said is None:
        return "missed"
    if true is None:
        return "alarm"
    return "early" if said < true else "late"
