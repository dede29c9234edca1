"""`runs/PROFILE` into the records of `results.py`.

Nothing is computed here but counts. Only methods that the settings' cells name are read. Files that are missing, or
that do not belong together (methods that answered different questions, labels of other trajectories), are refused by
name. Methods that stopped are data: `TaskResults.stopped` has round and reason.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

from sapo.records import Outcome, RecordError, StepLabels, Trajectory, read_json, read_records
from sapo.report.files import numbers, read_costs, read_numbers, read_rows, share_list
from sapo.report.run_records import (
    COT,
    SFT,
    Answers,
    BenchmarkResults,
    Checkpoint,
    Labelled,
    Rewards,
    RoundResults,
    Samples,
    StartResults,
    Stopped,
    TaskResults,
    TrainingStep,
)
from sapo.runtime.workspace import Workspace
from sapo.settings import Settings, method_settings, seeds_of
from sapo.train.registry import trainer_of

CONDITIONS = ("protocol", "sandbox")


def read_results(settings: Settings, workspace: Workspace) -> list[TaskResults]:
    """Results of every model and task of the settings. Raises RecordError naming the file that is not as it should."""
    found = [read_task(settings, workspace, model, task) for model in settings.models for task in settings.tasks]
    for entry in found:
        if entry.conditions != found[0].conditions:
            folder = workspace.evaluation(entry.model, entry.task)
            raise RecordError(f"{folder}: another protocol or sandbox than that of {found[0].model} on {found[0].task}")
    return found


def planned(settings: Settings, model: str, task: str) -> Iterator[tuple[str, int]]:
    """(method, seed) of everything that the cells of a model and task ask for."""
    for cell in settings.cells.values():
        if (cell.model, cell.task) == (model, task):
            group = settings.groups[cell.group]
            yield from ((method, seed) for method in group.methods for seed in group.seeds)


def read_task(settings: Settings, workspace: Workspace, model: str, task: str) -> TaskResults:
    rounds: dict[Checkpoint, dict[int, RoundResults]] = {}
    stopped: dict[str, dict[int, Stopped]] = {}
    for method, seed in planned(settings, model, task):
        folder = workspace.methods(model, task) / str(seed) / method
        own = method_settings(settings, method, seed)
        if ended := _read_stopped(folder / "stopped.json", len(own.loop.updates)):
            stopped.setdefault(method, {})[seed] = ended
        for number in range(1, ended.round if ended else len(own.loop.updates) + 1):
            found = _read_round(own, folder / str(number), number, settings.tasks[task].train_questions)
            rounds.setdefault(Checkpoint(method, number), {})[seed] = found
    benchmarks = read_benchmarks(settings, workspace, model, task, reached(settings, workspace, model, task))
    starts = {}
    for seed in seeds_of(settings, model, task):
        folder = workspace.start(model, task, seed)
        costs = read_costs(folder / "costs.json", ("sft", "sampling", "labelling", "verifier"))
        starts[seed] = StartResults(costs, _read_labelled(folder))
    return TaskResults(model, task, benchmarks, rounds, starts, stopped, rounds_of(settings, model, task))


def rounds_of(settings: Settings, model: str, task: str) -> dict[str, int]:
    """How many rounds each method of a model and task should have, in the order of the settings."""
    methods = dict.fromkeys(method for method, _ in planned(settings, model, task))
    return {method: len(method_settings(settings, method, settings.seed).loop.updates) for method in methods}


def reached(settings: Settings, workspace: Workspace, model: str, task: str) -> dict[Checkpoint, list[int]]:
    """Seeds of every checkpoint that has answers: all that are planned but those that stopped before it."""
    seeds = seeds_of(settings, model, task)
    found = {COT: seeds, SFT: seeds}
    rounds = rounds_of(settings, model, task)
    for method, seed in planned(settings, model, task):
        ended = _read_stopped(workspace.methods(model, task) / str(seed) / method / "stopped.json", rounds[method])
        for number in range(1, ended.round if ended else rounds[method] + 1):
            found.setdefault(Checkpoint(method, number), []).append(seed)
    return found


def read_benchmarks(
    settings: Settings, workspace: Workspace, model: str, task: str, checkpoints: Mapping[Checkpoint, list[int]]
) -> tuple[BenchmarkResults, ...]:
    """Answers of some checkpoints, for the seeds given, to the task's questions and to the out-of-domain ones."""
    folder, limits = workspace.evaluation(model, task), settings.tasks[task]
    counts = {task: limits.test_questions, limits.ood: limits.ood_questions}
    return tuple(_read_benchmark(folder, name, checkpoints, count) for name, count in counts.items())


def _read_stopped(path: Path, rounds: int) -> Stopped | None:
    if not path.is_file():
        return None
    values = read_json(path)
    if values.keys() != {"round", "reason"} or values["round"] not in range(1, rounds + 1):
        raise RecordError(f"{path}: expected a round from 1 to {rounds} and a reason, found {values!r}")
    return Stopped(values["round"], " ".join(str(values["reason"]).split()))


def _read_round(own: Settings, folder: Path, number: int, questions: int) -> RoundResults:
    """One round of a method with the settings `own`, trained on `questions`."""
    update, selection = own.loop.updates[number - 1], None
    if not folder.is_dir():
        raise RecordError(f"{folder}: no such folder, and no stopped.json beside it says why")
    if report := trainer_of(update).data.report:
        name, schema = report
        selection = read_numbers(folder / name, schema)
        if selection.questions != questions:
            raise RecordError(f"{folder / name}: questions is {selection.questions}, the settings train on {questions}")
    verified = own.loop.reward == "verifier"
    needed = ("sampling", "update", *(("labelling", "verifier", "scoring") if verified else ()))
    if uses_scores(own):
        needed = (*needed, "detection")
    path = folder / "rewards.json"
    rewards = read_json(path)
    return RoundResults(
        update,
        selection,
        Rewards(*(share_list(path, rewards.get(kind), kind) for kind in ("right", "wrong"))),
        read_numbers(folder / "samples.json", Samples),
        _read_log(folder / "log.json"),
        read_costs(folder / "costs.json", needed),
        _read_labelled(folder) if verified else None,
    )


def uses_scores(own: Settings) -> bool:
    """Whether the method's first round looks for suspects with V_0, the verifier that omega's labels trained."""
    return (own.loop.reward, own.labels.by, own.detect.by) == ("verifier", "saps", "scores")


def _read_log(path: Path) -> tuple[TrainingStep, ...]:
    steps = read_json(path, list)
    names = {field.name for field in fields(TrainingStep)}
    for place, entry in enumerate(steps, start=1):
        if not isinstance(entry, dict) or entry.keys() != names:
            raise RecordError(f"{path}: entry {place}: expected {', '.join(sorted(names))}, found {entry!r}")
    if not steps:
        raise RecordError(f"{path}: no training step")
    return tuple(TrainingStep(**entry) for entry in steps)


def _read_labelled(folder: Path) -> Labelled:
    trajectories = read_rows(folder / "labelled.jsonl", Trajectory, ("id", "verdict"))
    path = folder / "labels.jsonl"
    labels = read_rows(path, StepLabels, ("trajectory_id", "case"))
    if len(labels) != len(trajectories):
        raise RecordError(f"{path}: {len(labels)} rows for {len(trajectories)} trajectories")
    verdicts = []
    for number, ((ours, case), (theirs, verdict)) in enumerate(zip(labels, trajectories, strict=True), start=2):
        if ours != theirs:
            raise RecordError(f"{path}: line {number}: trajectory {ours!r}, expected {theirs!r}")
        if case != "expansion":
            verdicts.append(verdict)
    return Labelled(len(verdicts), sum(verdict != "right" for verdict in verdicts))


def _read_benchmark(
    folder: Path, name: str, checkpoints: Mapping[Checkpoint, list[int]], count: int
) -> BenchmarkResults:
    """Answers of every checkpoint and seed to `count` questions, all to those of the first checkpoint."""
    answers: dict[Checkpoint, dict[int, Answers]] = {}
    first: tuple[Path, Answers] | None = None
    for checkpoint, seeds in checkpoints.items():
        for seed in seeds:
            path = _answers_path(folder, seed, checkpoint, name)
            found = _read_answers(path, count)
            first = first or (path, found)
            _check_same(path, found, *first)
            answers.setdefault(checkpoint, {})[seed] = found
    return BenchmarkResults(name, answers)


def _check_same(path: Path, ours: Answers, first: Path, theirs: Answers) -> None:
    """Refuse answers to other questions than those of the first file, or under other conditions."""
    for one, other in zip(ours.outcomes, theirs.outcomes, strict=True):
        if (one.question_id, one.group) != (other.question_id, other.group):
            expected = f"{other.question_id} (group {other.group})"
            raise RecordError(f"{path}: {one.question_id} (group {one.group}) where {first} has {expected}")
    if ours.conditions != theirs.conditions:
        beside = path.with_suffix(".json")
        raise RecordError(f"{beside}: another protocol or sandbox than that of {first.with_suffix('.json')}")


def _answers_path(folder: Path, seed: int, checkpoint: Checkpoint, benchmark: str) -> Path:
    return folder / str(seed) / checkpoint.method / str(checkpoint.round) / f"{benchmark}.jsonl"


def _read_answers(path: Path, count: int) -> Answers:
    outcomes = tuple(read_records(path, Outcome))
    if len(outcomes) != count:
        raise RecordError(f"{path}: {len(outcomes)} outcomes, the settings ask for {count}")
    beside = path.with_suffix(".json")
    values = read_json(beside)
    for key in ("generated_tokens", "flops", "right_with_wrong_step", *CONDITIONS):
        if key not in values:
            raise RecordError(f"{beside}: {key!r} is missing")
    spent = numbers(beside, {key: values[key] for key in ("generated_tokens", "flops")}, ("generated_tokens", "flops"))
    flawed, right = values["right_with_wrong_step"], sum(outcome.verdict == "right" for outcome in outcomes)
    if flawed is not None and (type(flawed) is not int or not 0 <= flawed <= right):
        raise RecordError(f"{beside}: right_with_wrong_step is {flawed!r} of {right} right answers")
    kinds = values.get("unparsable", {})
    kinds = numbers(beside, kinds, tuple(kinds) if isinstance(kinds, dict) else ())
    unread = sum(outcome.verdict == "unparsable" for outcome in outcomes)
    if kinds and sum(kinds.values()) != unread:
        raise RecordError(f"{beside}: unparsable is {kinds!r} for {unread} such outcomes")
    conditions = {name: values[name] for name in CONDITIONS}
    return Answers(outcomes, flawed, spent["generated_tokens"], spent["flops"], conditions, kinds)
