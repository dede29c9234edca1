"""A trained verifier's scores of the trajectories in any JSONL file, as `sapo score` writes them (docs/commands.md).

Input, a JSON object a line: the question as `prompt` or `question` (its text), or `question_id` (TASK/SPLIT/NUMBER of
a known task), the first of these that is there; the steps as `steps` (texts that joined are the completion) or `text`
(which a task cuts into steps); perhaps an `id`. Files of records begin with a header, which is checked.
Output: a `Line` for each, but for trajectories that the verifier's tokenizer cannot encode step by step: these are
counted. The input is read twice, first to refuse it before anything is scored, then in parts, so that its size does
not matter. The output appears when it is complete.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from sapo.evaluate.efficiency import first_error
from sapo.evaluate.process.foreign_json import Node, parse
from sapo.evaluate.rerank import AGGREGATES, aggregate
from sapo.models.verifier import Verifier
from sapo.records import RecordError, check_lines, write_text
from sapo.runtime.progress import Progress
from sapo.tasks.catalog import QuestionBank, find_task
from sapo.tasks.task import Task

PART = 1024  # trajectories read, scored and written together
DIGITS = 6  # scores differ by up to 1e-5 with what is scored in the same batch


@dataclass(frozen=True, slots=True)
class Row:
    """One trajectory of a file, and the number of its line there."""

    line: int
    id: str | int | None
    prompt: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the output.

    Args:
        line: number of the input's line. id: that line's `id`; None if it has none.
        scores: c^_1…c^_n in 0 to 1. reward: their mean (SAPO eq. 14), or another aggregate.
        first_suspected: the first step, counted from 1, with a score below the threshold; None if there is none.
    """

    line: int
    id: str | int | None
    scores: tuple[float, ...]
    reward: float
    first_suspected: int | None


@dataclass(frozen=True, slots=True)
class Scoring:
    """How files are read and scored; `task` cuts `text` into steps, `reward` is one of `AGGREGATES`."""

    questions: QuestionBank
    task: str | None
    threshold: float
    reward: str


def score_file(path: Path, verifier_folder: Path, out: Path, how: Scoring) -> str:
    """Write the scores of all trajectories of a file to `out`; a line that sums them up.

    Raises:
        RecordError: an option or a line of the file cannot be used; names file, line, field and value.
        LoadingError: no verifier is in the folder.
    """
    if not 0 <= how.threshold <= 1:
        raise RecordError(f"--threshold is {how.threshold}, scores lie in 0 to 1")
    if out.is_dir() or out.resolve() == path.resolve():
        raise RecordError(f"--out is {out}, which is {'a folder' if out.is_dir() else 'the file to score'}")
    task = find_task(how.task) if how.task else None
    total = sum(1 for _ in rows(path, task, how.questions))
    verifier = Verifier.load(verifier_folder)
    reward, suspected, left_out = 0.0, 0, list[str]()
    out.parent.mkdir(parents=True, exist_ok=True)
    # The unfinished file has no name, so that a killed run leaves none behind.
    with TemporaryFile("w+", encoding="utf-8", dir=out.parent) as file:
        with Progress(f"score {path.name}", total, "trajectories") as progress:
            read = rows(path, task, how.questions)
            while part := list(itertools.islice(read, PART)):
                scores = verifier.score([(row.prompt, row.steps) for row in part])
                pairs = [*zip(part, scores, strict=True)]
                lines = [output_line(row, own, how.threshold, AGGREGATES[how.reward]) for row, own in pairs if own]
                left_out += unscorable(verifier, [row for row, own in pairs if not own])
                # With escapes, because an id may hold characters that UTF-8 cannot.
                file.writelines(json.dumps(asdict(line)) + "\n" for line in lines)
                reward += sum(line.reward for line in lines)
                suspected += sum(line.first_suspected is not None for line in lines)
                progress.advance(len(part))
        if len(left_out) == total:
            raise RecordError(f"{path}: no trajectory can be scored: {left_out[0]}")
        file.seek(0)
        write_text(out, file.read())
    count = total - len(left_out)
    found = f"{count} trajectories, mean reward {reward / count:.4f}, {suspected} with a step below {how.threshold}"
    return f"{out}: {found}" + (f"; {len(left_out)} left out, the first is {left_out[0]}" if left_out else "")


def rows(path: Path, task: Task | None, questions: QuestionBank) -> Iterator[Row]:
    """The trajectories of a file, line by line.

    Raises:
        RecordError: no such file, no trajectories, not what its header says, or a line without a prompt or steps,
            or with an empty one; names file, line, field and value.
    """
    if not path.is_file():
        raise RecordError(f"{path}: no such file")
    count = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            where = f"{path}: line {number}"
            node = Node(where, "", _parsed(line, where))
            if number == 1 and node.of(dict).keys() >= {"schema", "rows"}:
                check_lines(path)
                continue
            count += 1
            prompt, steps = _prompt(node, questions), _steps(node, task)
            yield Row(number, node.maybe("id").of(str, int, type(None)), prompt, steps)
    if not count:
        raise RecordError(f"{path}: no trajectories in it")


def _parsed(line: bytes, where: str) -> Any:
    try:
        return parse(line.decode("utf-8-sig"), where)
    except UnicodeDecodeError as error:
        raise RecordError(f"{where}: not UTF-8 at byte {error.start} of the line") from error


def _prompt(node: Node, questions: QuestionBank) -> str:
    for name in ("prompt", "question"):
        if name in node.of(dict):
            return _text(node.at(name))
    if "question_id" not in node.value:
        node.refuse("there is no field 'prompt', 'question' or 'question_id'")
    asked = node.at("question_id")
    found = questions.find(asked.text())
    if found is None:
        asked.refuse(f"is {asked.value!r}, not TASK/SPLIT/NUMBER of a question that we have; give the line a prompt")
    return found.prompt


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
    """Line and reason of rows that got no scores."""
    reasons = verifier.encoder.attempt_steps([(row.prompt, row.steps) for row in part])
    return [f"line {row.line}: {reason}" for row, reason in zip(part, reasons, strict=True)]


def output_line(
    row: Row, scores: Sequence[float], threshold: float, reward_of: Callable[[Sequence[float]], float] = aggregate
) -> Line:
    """The output's line for a row.

    Scores .9 .4 .6, threshold .5: reward .633333, the second step is the first suspected one.
    """
    rounded = tuple(round(score, DIGITS) for score in scores)
    suspected = first_error([int(score >= threshold) for score in rounded])
    return Line(row.line, row.id, rounded, round(reward_of(scores), DIGITS), suspected)
