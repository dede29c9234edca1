"""What the embedded tasks share: disjoint splits, the frozen question files, steps without their blank lines."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from sapo.records import Question, RecordError, read_records
from sapo.tasks.task import Split

Bucket = Literal["train", "dev", "test", "pretrain"]

# Share of all prompts, in per cent, that each bucket owns. The bucket is a hash of the prompt's text, so
# that no prompt can be in two of them, whatever the seeds and counts.
_SHARES: dict[Bucket, int] = {"test": 10, "dev": 5, "train": 25, "pretrain": 60}
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


def bucket(prompt: str) -> Bucket:
    """The only split that a prompt may enter."""
    point = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:8], "big") % 100
    for name, share in _SHARES.items():
        if point < share:
            return name
        point -= share
    raise AssertionError("shares do not add up to 100")


def collect(split: Split, count: int, draw: Callable[[], Question]) -> list[Question]:
    """The first `count` different questions of a split that `draw` gives."""
    found: dict[str, Question] = {}
    while len(found) < count:
        question = draw()
        if bucket(question.prompt) == split:
            found.setdefault(question.prompt, question)
    return list(found.values())


def read_embedded(root: Path, name: str, split: Split) -> list[Question]:
    """Questions of an embedded task. Raises RecordError naming the file, line and value."""
    path = root / "questions" / f"{name}_{split}.jsonl"
    questions = read_records(path, Question)
    for number, question in enumerate(questions, start=2):
        if bucket(question.prompt) != split:
            raise RecordError(f"{path}: line {number}: question {question.id} does not belong to split {split!r}")
    return questions


def bare(step: str) -> str:
    """A step without its blank lines, which mean nothing."""
    return "".join(line for line in _LINE.findall(step) if line.strip())


def number(questions: list[Question]) -> list[Question]:
    """Give questions drawn under one id their numbers."""
    return [replace(q, id=f"{q.id}/{i}", group=f"{q.id}/{i}") for i, q in enumerate(questions)]
