"""The oracle against whole solutions of frozen questions that were written and labelled by hand, a sign a step.

`tests/data/hand_labelled_*.jsonl`: the labels come from the definitions in `tasks/nano/nano_math.py` and
`tasks/nano/nano_code.py` and were written down before the oracle saw any of the texts. A label may change only where
the definition does; `note` then says how it was read before.
"""

import json
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

import pytest

from sapo.records import Question
from sapo.tasks.catalog import EMBEDDED
from sapo.tasks.task import DataSource, EmbeddedTask, Split

ROOT = Path(__file__).parents[2]
FAMILIES = ("nano_math", "nano_code")


@dataclass(frozen=True)
class Labelled:
    """A solution with a `+` or `-` for each step, the outcome, and in `why` the first wrong step or why none is."""

    question: str
    prompt: str
    kind: str
    outcome: str
    text: str
    labels: str
    why: str
    note: str = ""

    @property
    def name(self) -> str:
        return f"{self.question} {self.kind}"

    @property
    def task(self) -> EmbeddedTask:
        return EMBEDDED[self.question.split("/")[0]]

    def asked(self) -> Question:
        task, split, _ = self.question.split("/")
        return _questions(task, cast(Split, split))[self.question]

    def judged(self) -> str:
        """What the oracle says, in signs."""
        truth = self.task.step_truth(self.asked(), self.task.split(self.text))
        return "".join("+" if right else "-" for right in truth)


@cache
def _questions(task: str, split: Split) -> dict[str, Question]:
    return {question.id: question for question in EMBEDDED[task].load(split, DataSource(ROOT / "assets"))}


def read(family: str) -> list[Labelled]:
    path = Path(__file__).parents[1] / "data" / f"hand_labelled_{family}.jsonl"
    return [Labelled(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


EXAMPLES = {family: read(family) for family in FAMILIES}
ALL = [example for examples in EXAMPLES.values() for example in examples]


@pytest.mark.parametrize("example", ALL, ids=lambda e: e.name)
def test_the_oracle_agrees_with_the_hand(example: Labelled) -> None:
    assert example.judged() == example.labels, example.why


@pytest.mark.parametrize("example", ALL, ids=lambda e: e.name)
def test_an_example_belongs_to_a_frozen_question(example: Labelled) -> None:
    """The prompt is the question's own, and there is a sign for each step; `why` names the first wrong one."""
    steps = example.task.split(example.text)
    assert example.asked().prompt == example.prompt
    assert "".join(steps) == example.text
    assert len(steps) == len(example.labels) and set(example.labels) <= {"+", "-"}
    said = example.why.removeprefix("step ").partition(":")[0] if example.why.startswith("step ") else ""
    assert said == (str(example.labels.index("-") + 1) if "-" in example.labels else "")


@pytest.mark.parametrize("name", EMBEDDED)
def test_outcomes_are_those_written_by_hand(name: str) -> None:
    """Graded by the task itself, programs in the sandbox."""
    examples = [e for e in ALL if e.question.startswith(f"{name}/")]
    verdicts = EMBEDDED[name].grade([e.asked() for e in examples], [e.text for e in examples])
    assert {e.name: verdict for e, verdict in zip(examples, verdicts, strict=True)} == {
        e.name: e.outcome for e in examples
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_examples_are_many_and_of_every_kind(family: str) -> None:
    """At least 60, among them 15 without an error and 10 whose end is right in spite of one."""
    examples = EXAMPLES[family]
    assert len({e.name for e in examples}) == len({(e.question, e.text) for e in examples}) == len(examples) >= 60
    assert len({e.question for e in examples}) >= 30
    assert sum("-" not in e.labels for e in examples) >= 15
    assert sum("-" in e.labels and e.outcome == "right" for e in examples) >= 10
    assert sum("_ood/" in e.question for e in examples) >= 8
    assert {e.outcome for e in examples} == {"right", "wrong", "unparsable"}


@pytest.mark.parametrize("family", FAMILIES)
def test_first_errors_are_at_first_middle_and_last_steps(family: str) -> None:
    places: Counter[str] = Counter()
    for example in EXAMPLES[family]:
        first, last = example.labels.find("-"), len(example.labels) - 1
        if first >= 0:
            places["first" if first == 0 else "last" if first == last else "middle"] += 1
    assert min(places[place] for place in ("first", "middle", "last")) >= 5


def test_right_steps_follow_wrong_ones() -> None:
    """In maths a step may be right after an error; in code what follows is a witness, so none ever is."""
    mended = {family: sum("-+" in e.labels for e in EXAMPLES[family]) for family in FAMILIES}
    assert mended["nano_math"] >= 20 and mended["nano_code"] == 0
