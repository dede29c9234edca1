"""Labels and rewards beside the truth, counted by hand."""

from collections.abc import Sequence

import pytest
from fakes import LineTask, question, trajectory

from sapo.evaluate.process.label_truth import LabelTruth, label_truth, reward_truth
from sapo.records import Question, StepLabels, StepScores
from sapo.tasks.task import EmbeddedTask

QUESTIONS = {"q": question("q")}


class Lines(LineTask):
    """A step is right unless it is `bad` or `lose`."""

    def generate(self, split: object, count: int, seed: int) -> list[Question]:
        return []

    def step_truth(self, question: Question, steps: Sequence[str]) -> list[bool]:
        return [step.strip() not in ("bad", "lose") for step in steps]


TASK: EmbeddedTask = Lines()


def test_labels_beside_the_truth() -> None:
    """Truths 1 0 0, 1 1, 1 0 and 0 0 0 0; labels 1 0 0, 1 0, 1 1 and 1 1 1 1 … 1 1 1 0.

    Right labels: 3 + 1 + 1 + 1 of 11. First errors named: 2, 2, none, 4; real: 2, none, 2, 1; located: the first.
    The last is named 3 steps too late.
    """
    texts = [("ok", "bad", "lose"), ("ok", "win"), ("ok", "lose"), ("bad", "ok", "ok", "lose")]
    labels = [(1, 0, 0), (1, 0), (1, 1), (1, 1, 1, 0)]
    trajectories = [trajectory(f"t{k}", steps) for k, steps in enumerate(texts)]
    rows = [StepLabels(f"t{k}", own, (), "every_step") for k, own in enumerate(labels)]
    found = label_truth(TASK, QUESTIONS, trajectories, rows)
    assert found == LabelTruth(4, 11, 6, named=3, real=3, located=1, offsets={"+0": 1, "+3": 1})
    assert (found.precision, found.recall) == (pytest.approx(1 / 3), pytest.approx(1 / 3))


def test_offsets_are_cut_at_three_steps() -> None:
    """Named at 6 and true at 1: +5, counted as +3. Named at 1 and true at 6: -3."""
    late, early = trajectory("a", ["bad", *["ok"] * 5]), trajectory("b", [*["ok"] * 5, "bad"])
    labels = [StepLabels("a", (1,) * 5 + (0,), (), "a"), StepLabels("b", (0,) * 6, (), "c")]
    assert label_truth(TASK, QUESTIONS, [late, early], labels).offsets == {"+3": 1, "-3": 1}


def test_no_error_named_has_no_precision() -> None:
    found = label_truth(
        TASK, QUESTIONS, [trajectory("t", ["ok", "win"])], [StepLabels("t", (1, 1), (), "known_correct")]
    )
    assert (found.precision, found.recall, found.offsets) == (None, None, {})


def test_rewards_beside_the_truth() -> None:
    """Rewards (.8 + .4) / 2 = .6 and .9, mean .75; true prefixes 1 of 2 and 2 of 2, mean .75; one of two all true."""
    samples = [trajectory("a", ["ok", "lose"]), trajectory("b", ["ok", "win"])]
    scores = [StepScores("a", (0.8, 0.4)), StepScores("b", (0.9, 0.9))]
    found = reward_truth(TASK, QUESTIONS, samples, scores)
    assert [question for question, *_ in found.each] == [sample.question_id for sample in samples]
    assert [pair for _, *pair in found.each] == [pytest.approx([0.6, 0.5]), pytest.approx([0.9, 1.0])]
    assert (found.samples, found.all_true, found.right) == (2, 0.5, 0.5)
    assert (found.reward, found.true_steps) == pytest.approx((0.75, 0.75))
