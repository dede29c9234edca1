"""The one record of a process benchmark: a trajectory, its first wrong step, and who said so.

1. Steps count from 1; `first_error` None says that no step is wrong. A right outcome does not make it None: an answer
   may be right by luck.
2. Labels are of prefixes: what follows a wrong step cannot mend it, so step j is good iff no step up to j is wrong.
3. Files are JSON Lines through `sapo.records` (schema `ProcessItem/1`); a broken item is refused by file, line, value.
"""

import typing
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sapo.labelling.search import good_until
from sapo.records import RecordError, Verdict, read_records, write_records

NO_ERROR = 0  # a vote that no step is wrong


@dataclass(frozen=True, slots=True)
class ProcessItem:
    """One trajectory of a process benchmark.

    Args:
        id: unique in its file, QUESTION_ID/GENERATOR/NUMBER unless the file is someone else's.
        question_id: the question that it answers.
        group: cluster of questions for the bootstrap.
        prompt: what the reasoner and the verifier read.
        steps: lossless, `"".join(steps)` is the completion.
        first_error: the first wrong step, counted from 1; None: no step is wrong.
        outcome: verdict on the final answer.
        annotator: `oracle`, `rollout`, `llm` or `people`.
        votes: first errors that single annotations named, 0 for none; empty where there was no vote (the oracle).
        generator: the reasoner that wrote it.

    Raises:
        RecordError: see `check`; a broken item cannot be made.
    """

    id: str
    question_id: str
    group: str
    prompt: str
    steps: tuple[str, ...]
    first_error: int | None
    outcome: Verdict
    annotator: str
    votes: tuple[int, ...]
    generator: str

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raise RecordError, naming item, field and value, unless all fields fit each other.

        At least one step and none empty; `first_error` within 1…n, votes within 0…n for n steps; a known verdict;
        no empty id, prompt, group, annotator or generator.
        """
        empty = [name for name in _TEXTS if not getattr(self, name)]
        if empty:
            raise RecordError(f"process item {self.id!r}: {empty[0]} is empty")
        if not self.steps or "" in self.steps:
            missing = f"step {self.steps.index('') + 1} is empty" if self.steps else "there are no steps"
            raise RecordError(f"process item {self.id}: {missing}")
        count = len(self.steps)
        if self.first_error is not None and not 1 <= self.first_error <= count:
            raise RecordError(f"process item {self.id}: first_error is {self.first_error}, the steps are 1 to {count}")
        beyond = [vote for vote in self.votes if not NO_ERROR <= vote <= count]
        if beyond:
            raise RecordError(f"process item {self.id}: votes name step {beyond[0]}, the steps are 1 to {count}")
        if self.outcome not in typing.get_args(Verdict):
            raise RecordError(f"process item {self.id}: outcome is {self.outcome!r}, not {typing.get_args(Verdict)}")

    @property
    def text(self) -> str:
        return "".join(self.steps)

    @property
    def right(self) -> bool:
        """Whether the final answer is right, whatever the steps are."""
        return self.outcome == "right"


_TEXTS = ("id", "question_id", "group", "prompt", "annotator", "generator")


def good(item: ProcessItem) -> tuple[int, ...]:
    """Labels of the item's prefixes: 1 up to the first wrong step, 0 from there on.

    Four steps of which the second is the first wrong one: (1, 0, 0, 0). None is wrong: (1, 1, 1, 1).
    """
    count = len(item.steps)
    return good_until(count if item.first_error is None else item.first_error - 1, count)


def write_items(path: Path, items: Iterable[ProcessItem]) -> None:
    """Write a benchmark to `path`, whole or not at all. Raises RecordError: an id appears twice."""
    kept = list(items)
    check_ids(path, kept)
    for item in kept:
        item.check()
    write_records(path, kept, ProcessItem)


def read_items(path: Path) -> list[ProcessItem]:
    """The items of `path`, in file order.

    Raises:
        RecordError: no such file, truncated, another schema, a broken item, or an id that appears twice; the message
            names file, line and value.
    """
    items = read_records(path, ProcessItem)
    check_ids(path, items)
    return items


def check_ids(path: Path, items: Iterable[ProcessItem]) -> None:
    """Raise RecordError where two items of a file share an id: scores are matched to items by it."""
    seen: set[str] = set()
    for number, item in enumerate(items, start=1):
        if item.id in seen:
            raise RecordError(f"{path}: item {number}: id {item.id!r} appears twice")
        seen.add(item.id)
