"""Command `score FILE --verifier FOLDER`: a trained verifier's scores of the trajectories in any JSONL file.

A line is a JSON object with what the verifier reads and the steps; other fields are ignored, but `id` is repeated.
1. What was asked: `prompt` or `question`, the text itself, or `question_id` of a question of ours (our trajectories
   have only that; real tasks are looked up where params.yaml says). `prompt` comes first, then `question`.
2. Steps: `steps`, a list of texts that joined are the completion, line ends included; or `text`, which the steps of
   `--task` are cut from. A file of our records (trajectories, items of process benchmarks) begins with a header,
   which says how many lines follow and has their checksum.

A line of the output has `line` (its number in FILE), `id` (null if the line has none), `scores` (c^_1…c^_n, six
decimals), `reward` (their mean, eq. 14, or what `--reward` says) and `first_suspected`: the first step, counted from 1,
with a score below the threshold; null if there is none.
Trajectories that the verifier's tokenizer cannot encode step by step have no line; they are counted at the end.
FILE is read twice, first to refuse it before anything is scored, then in parts: its size is no matter. The output
appears when it is whole.
"""

import argparse
import itertools
import json
import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, cast

from sapo.configure import PARAMS
from sapo.evaluate.efficiency import THRESHOLD, first_error
from sapo.evaluate.process.foreign_json import Node, parse
from sapo.evaluate.rerank import AGGREGATES, aggregate
from sapo.models.verifier import Verifier
from sapo.progress import Progress
from sapo.records import RecordError, check_lines, write_text
from sapo.settings import load_settings
from sapo.tasks.catalog import TASKS, find_task, source_of
from sapo.tasks.task import Split, Task

PART = 1024  # trajectories read, scored and written together
DIGITS = 6  # scores differ by up to 1e-5 with what is scored beside them


@dataclass(frozen=True, slots=True)
class Row:
    """One trajectory of a file, and the number of its line there."""

    line: int
    id: str | int | None
    prompt: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """What the output says of a row, as the module's docstring has it."""

    line: int
    id: str | int | None
    scores: tuple[float, ...]
    reward: float
    first_suspected: int | None


@dataclass(slots=True)
class Prompts:
    """Prompts of our questions by id; a split is loaded when the first of its questions is asked for."""

    known: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)

    def of(self, node: Node) -> str:
        """The prompt of the question that the node names. Raises RecordError where there is none."""
        name, splits = node.text(), typing.get_args(Split)
        task, split = [*name.split("/"), "", ""][:2]
        if task not in TASKS or split not in splits:
            node.refuse(f"is {name!r}, not TASK/SPLIT/NUMBER of a known task; give the line a prompt instead")
        if (task, split) not in self.known:
            source = source_of(task, load_settings(PARAMS).data)
            found = find_task(task).load(cast(Split, split), source)
            self.known[task, split] = {question.id: question.prompt for question in found}
        if name not in self.known[task, split]:
            node.refuse(f"is {name!r}: {task} has no such question; give the line a prompt instead")
        return self.known[task, split][name]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m sapo score", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--verifier", type=Path, required=True, metavar="FOLDER", help="a `verifier` folder of a run")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: FILE with the ending .scores.jsonl")
    parser.add_argument("--task", metavar="NAME", help=f"cuts `text` into steps: {', '.join(TASKS)}")
    parser.add_argument("--threshold", type=float, default=THRESHOLD, help="a step below it is suspected (%(default)s)")
    parser.add_argument("--reward", choices=AGGREGATES, default="mean", help="of the step scores (%(default)s)")
    given = parser.parse_args(arguments)
    out = given.out or given.file.with_suffix(".scores.jsonl")
    if not 0 <= given.threshold <= 1:
        raise RecordError(f"--threshold is {given.threshold}, scores lie in 0 to 1")
    if out.is_dir() or out.resolve() == given.file.resolve():
        raise RecordError(f"--out is {out}, which is {'a folder' if out.is_dir() else 'the file to score'}")
    task, prompts = find_task(given.task) if given.task else None, Prompts()
    total = sum(1 for _ in rows(given.file, task, prompts))
    verifier, reward_of = Verifier.load(given.verifier), AGGREGATES[given.reward]
    reward, suspected, left_out = 0.0, 0, list[str]()
    out.parent.mkdir(parents=True, exist_ok=True)
    # The file in the making has no name, so that a killed run leaves none.
    with TemporaryFile("w+", encoding="utf-8", dir=out.parent) as file:
        with Progress(f"score {given.file.name}", total, "trajectories") as progress:
            read = rows(given.file, task, prompts)
            while part := list(itertools.islice(read, PART)):
                scores = verifier.score([(row.prompt, row.steps) for row in part])
                scored = [(row, own) for row, own in zip(part, scores, strict=True) if own]
                lines = [said(row, own, given.threshold, reward_of) for row, own in scored]
                left_out += unscorable(verifier, [row for row, own in zip(part, scores, strict=True) if not own])
                # Escapes, because an id may hold what UTF-8 cannot.
                file.writelines(json.dumps(asdict(line)) + "\n" for line in lines)
                reward += sum(line.reward for line in lines)
                suspected += sum(line.first_suspected is not None for line in lines)
                progress.advance(len(part))
        if len(left_out) == total:
            raise RecordError(f"{given.file}: no trajectory can be scored: {left_out[0]}")
        file.seek(0)
        write_text(out, file.read())
    count = total - len(left_out)
    found = f"{count} trajectories, mean reward {reward / count:.4f}, {suspected} with a step below {given.threshold}"
    why = f"; {len(left_out)} left out, the first is {left_out[0]}" if left_out else ""
    sys.stdout.write(f"{out}: {found}{why}\n")


def rows(path: Path, task: Task | None, prompts: Prompts) -> Iterator[Row]:
    """The trajectories of a file, line by line.

    Raises:
        RecordError: no such file, no trajectories, not what its header says, or a line without a prompt or steps,
            or with an empty one; names file, line, field and value.
    """
    count = 0
    for number, node in _objects(path):
        if number == 1 and node.of(dict).keys() >= {"schema", "rows"}:
            check_lines(path)
            continue
        count += 1
        yield Row(number, _identity(node), _prompt(node, prompts), _steps(node, task))
    if not count:
        raise RecordError(f"{path}: no trajectories in it")


def _objects(path: Path) -> Iterator[tuple[int, Node]]:
    """The JSON values of a file's lines with their numbers; blank lines are passed over."""
    if not path.is_file():
        raise RecordError(f"{path}: no such file")
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, Node(f"{path}: line {number}", "", _parsed(line, f"{path}: line {number}"))


def _parsed(line: bytes, where: str) -> Any:
    try:
        return parse(line.decode("utf-8-sig"), where)
    except UnicodeDecodeError as error:
        raise RecordError(f"{where}: not UTF-8 at byte {error.start} of the line") from error


def _identity(node: Node) -> str | int | None:
    return node.maybe("id").of(str, int, type(None))


def _prompt(node: Node, prompts: Prompts) -> str:
    for name in ("prompt", "question"):
        if name in node.of(dict):
            return _text(node.at(name))
    if "question_id" in node.value:
        return prompts.of(node.at("question_id"))
    return node.refuse("there is no field 'prompt', 'question' or 'question_id'")


def _steps(node: Node, task: Task | None) -> tuple[str, ...]:
    if "steps" in node.value:
        entries = node.at("steps").entries()
        if not entries:
            node.at("steps").refuse("is empty: there are no steps")
        return tuple(_text(entry) for entry in entries)
    if "text" not in node.value:
        node.refuse("there is no field 'steps' or 'text'")
    if task is None:
        node.at("text").refuse("has to be cut into steps: say by which --task, or give 'steps'")
    return task.split(_text(node.at("text")))


def _text(node: Node) -> str:
    """A text that is not empty and that UTF-8 can hold: JSON has escapes for halves of characters."""
    try:
        node.text().encode("utf-8")
    except UnicodeEncodeError:
        node.refuse("holds half of a character, a lone surrogate")
    return node.value


def unscorable(verifier: Verifier, part: Sequence[Row]) -> list[str]:
    """Of rows that got no scores, line and reason."""
    reasons = verifier.encoder.attempt_steps([(row.prompt, row.steps) for row in part])
    return [f"line {row.line}: {reason}" for row, reason in zip(part, reasons, strict=True)]


def said(
    row: Row, scores: Sequence[float], threshold: float, reward_of: Callable[[Sequence[float]], float] = aggregate
) -> Line:
    """The output's line for a row.

    Scores .9 .4 .6, threshold .5: reward .633333, the second step is the first suspected one.
    """
    shown = tuple(round(score, DIGITS) for score in scores)
    suspected = first_error([int(score >= threshold) for score in shown])
    return Line(row.line, row.id, shown, round(reward_of(scores), DIGITS), suspected)
