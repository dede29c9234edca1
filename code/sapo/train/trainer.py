"""One record a trainer: what it learns from, how it trains, and what that takes in tokens, FLOPs and memory.

A new loss is a file with a `Trainer`, a line in `registry.py`, its section of the settings and its test. Everything
that depends on how a reasoner is trained reads this record: the launcher, the loop, plans, costs, reports.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from sapo.records import BadInput, Cost, Question, Trajectory
from sapo.sampling.protocol import Sampler
from sapo.settings import FilterSettings, PairSettings, SamplingSettings
from sapo.tasks.task import Task
from sapo.train.cost import Bill, Expected
from sapo.train.fit import StepLog


class NothingLeft(BadInput):
    """A filter or a pair rule left nothing to train on; the message says how much was there and why it went."""


class Trained(NamedTuple):
    """What a training made, a reasoner or a `Verifier`, with a log a step and what it cost."""

    made: Any
    log: list[StepLog]
    cost: Cost


@dataclass(frozen=True, slots=True)
class Round:
    """One round of a method before its update: everything that training data may be chosen from.

    Args:
        number: 1, 2, …
        questions: of the training split; `gold` are their given rationales (D_org).
        own: the round's samples as they were drawn, repetitions included.
        pool: different trajectories, D_i, with a reward for each.
        tokens: to train on under `budget: matched`; 0 where the settings say how long training lasts.
        seed: derives a seed for a named purpose.
        sampler: opens what draws from the round's reasoner; its argument names the work.
    """

    number: int
    task: Task
    questions: Sequence[Question]
    gold: Sequence[Trajectory]
    own: Sequence[Trajectory]
    pool: Sequence[Trajectory]
    rewards: Sequence[float]
    max_new_tokens: int
    sampling: SamplingSettings
    pairs: PairSettings
    filter: FilterSettings
    tokens: float
    seed: Callable[..., int]
    sampler: Callable[[str], Sampler]

    @property
    def prompts(self) -> Mapping[str, str]:
        """Prompt of every training question, by its id."""
        return {question.id: question.prompt for question in self.questions}

    def texts(self, trajectories: Sequence[Trajectory]) -> list[tuple[str, str]]:
        """(prompt, completion) of trajectories of the round's questions."""
        prompts = self.prompts
        return [(prompts[t.question_id], t.text) for t in trajectories]


class Chosen(NamedTuple):
    """Rows to train on, the record that says how they were chosen, and what choosing them cost."""

    rows: Sequence[Any]
    report: Any = None
    cost: Cost = Cost()


class RandomTexts(Protocol):
    """Made-up texts of given lengths, which a dry run trains on."""

    @property
    def task(self) -> Task: ...
    def prompt(self) -> str: ...
    def steps(self) -> tuple[str, ...]: ...
    def question(self, number: int) -> Question: ...


@dataclass(frozen=True, slots=True)
class TrainingData:
    """A kind of rows: where a round has them from, and how another process gets them.

    Args:
        to_json, from_json: a row as plain values, and back.
        stand_in: so many rows of made-up texts.
        choose: the rows of a round. Raises NothingLeft or PairError. None: the rows are no update's.
        report: file in the round's folder for `Chosen.report`, and that record's type; None where there is none.
    """

    to_json: Callable[[Any], Any]
    from_json: Callable[[Any], Any]
    stand_in: Callable[[RandomTexts, int], Sequence[Any]]
    choose: Callable[[Round], Chosen] | None = None
    report: tuple[str, type] | None = None


class Memory(NamedTuple):
    """What an example of a training batch holds on the device (`plan/memory.py` turns it into bytes).

    Args:
        prompts, completions: texts of an example that have activations.
        logits: none, those of a tile at a time (TRL), or of a portion of the batch (`models/prefix_trees.py`).
        beside: another model in memory: a frozen reference, or the model as it was loaded.
    """

    prompts: int = 1
    completions: int = 1
    logits: Literal["none", "tile", "portion"] = "tile"
    beside: Literal["nothing", "reference", "loaded"] = "nothing"


@dataclass(frozen=True, slots=True)
class Trainer:
    """One way to train.

    Args:
        name: as `loop.updates` has it; also names the seeds where `section` does not.
        section: of the settings; trainers that share one share their seeds too.
        train: (model, encoder, rows, section, seed, `RunContext`) to `Trained`; the model is trained in place.
        expected: what a plan expects it to take.
        examples: of a batch that go through the model together, under a section.
        lower: settings to lower where memory is too small, the first one down to 1.
        from_reasoner: starts from the round's own reasoner, its reference, whatever `loop.start` says.
        verifier: makes a step verifier from the reasoner, with that one's adapter sizes.
        falls: the loss of a training that goes well ends far below three times its first value; not where it begins
            at 0.
        length: about how long it takes, in updates by ORPO; only orders work.
        check_devices: refuses settings whose steps so many devices cannot share. Raises BadInput.
    """

    name: str
    section: str
    data: TrainingData
    train: Callable[..., Trained]
    expected: Callable[[Expected], Bill]
    examples: Callable[[Any], int]
    memory: Memory
    lower: tuple[str, ...]
    from_reasoner: bool = False
    verifier: bool = False
    falls: bool = True
    length: int = 1
    check_devices: Callable[[Any, int], object] | None = None
