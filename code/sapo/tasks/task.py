"""What every benchmark module in this folder provides; `TASKS` in `tasks/catalog.py` names them all.

A task is a module: plain functions, no state. Generated code and answers are judged in batches, because
starting a judge costs more than judging.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from sapo.records import Question, Verdict
from sapo.tasks.program_grading.program_text import ProgramRule, ProgramText

Split = Literal["train", "dev", "test"]
ProtocolName = Literal["paper", "standard"]


@dataclass(frozen=True, slots=True)
class DataSource:
    """Where benchmark files come from.

    Args:
        root: folder that holds the files (`data/` for embedded tasks, the user's own for real ones).
        hub: read from the hub at the pinned revision instead; records are identical either way.
        protocol: the paper's evaluation protocol or the usual one (tasks/protocols).
        shots: worked examples put before the question (0 for fine-tuned reasoners).
    """

    root: Path
    hub: bool = False
    protocol: ProtocolName = "paper"
    shots: int = 0


class Task(Protocol):
    """Interface of a benchmark module."""

    @property
    def NAME(self) -> str:
        """Name of the task in params.yaml and in the ids of its questions."""
        ...

    def load(self, split: Split, source: DataSource) -> list[Question]:
        """Questions of a split, in file order. Raises RecordError naming file, line and value."""
        ...

    def split(self, text: str) -> tuple[str, ...]:
        """Cut a completion into steps; `"".join(split(text)) == text` for every text, no step is empty."""
        ...

    def grade(self, questions: Sequence[Question], completions: Sequence[str]) -> list[Verdict]:
        """Judge one completion for each question (the two sequences run in step)."""
        ...

    def answered(self, text: str) -> int | None:
        """Length of the part of a completion that ends with its answer; None while more may belong to it.

        Whoever draws a completion may stop there: what follows cannot be part of the answer.
        """
        ...

    def unparsable_kind(self, completion: str) -> str:
        """Why an `unparsable` completion has no answer, as a kind that results count: `no marker`."""
        ...

    def normalise(self, text: str) -> str:
        """Key under which two completions count as the same trajectory."""
        ...


class CodeTask(Task, Protocol):
    """A task whose answers are programs in whatever text a model writes."""

    def read(self, question: Question, completion: str) -> ProgramText:
        """The program that a completion states, and the rule that found it."""
        ...

    def grade(
        self, questions: Sequence[Question], completions: Sequence[str], rule: ProgramRule = "extract"
    ) -> list[Verdict]:
        """As `Task.grade`; `rule` says which text is the program (program_text)."""
        ...


class EmbeddedTask(Task, Protocol):
    """A task of the laboratory: it writes its own questions and knows the truth of every step."""

    def generate(self, split: Split, count: int, seed: int) -> list[Question]:
        """Questions of a split from a seed, byte for byte the same on every machine."""
        ...

    def step_truth(self, question: Question, steps: Sequence[str]) -> list[bool]:
        """Whether each step is right in itself: see the task's module for the definition."""
        ...
