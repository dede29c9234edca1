"""Trajectories of a reasoner: what is kept, how it is named, what a seed decides."""

from fakes import MOST, LineTask, ScriptedSampler, question

from sapo.labelling.trajectories import distinct, gold_trajectories, sample
from sapo.records import Question, Trajectory
from sapo.sampling.protocol import Request
from sapo.settings import SamplingSettings

SETTINGS = SamplingSettings(4, 1.0, 64)
QUESTIONS = [question("q"), question("r", ("assert True",))]


def three_ways(request: Request) -> str:
    """A third of the seeds each: a right answer, a wrong one, nothing at all."""
    return ("step\nwin\n", "step\nlose\n", "")[int(3 * request.seed / MOST)]


def test_every_question_gets_its_trajectories_judged() -> None:
    drawn, cost = sample(LineTask(), ScriptedSampler(lambda _: "step\nwin\n"), QUESTIONS, SETTINGS, 50, 26)
    assert [t.question_id for t in drawn] == ["q"] * 4 + ["r"] * 4
    # 26 is 1a in hexadecimal.
    assert drawn[1] == Trajectory("q/000000000000001a/1", "q", ("step\n", "win\n"), "right", "sample")
    assert len({t.id for t in drawn}) == 8
    assert (cost.rollouts, cost.generated_tokens, cost.programs) == (8, 16, 4), "only r has tests to run"


def test_empty_completions_are_left_out_and_the_others_keep_their_numbers() -> None:
    """Of q's four completions numbers 0 and 2 are empty; they cost rollouts, but no program is run for them."""
    script = iter(["", "win\n", "", "lose\n"] * 2)
    drawn, cost = sample(LineTask(), ScriptedSampler(lambda _: next(script)), QUESTIONS, SETTINGS, 50, 0)
    assert [t.id[-1] for t in drawn] == ["1", "3", "1", "3"]
    assert [t.verdict for t in drawn] == ["right", "wrong", "right", "wrong"]
    assert (cost.rollouts, cost.programs) == (8, 2)


def test_all_empty_is_nothing_drawn() -> None:
    assert sample(LineTask(), ScriptedSampler(lambda _: ""), QUESTIONS, SETTINGS, 50, 0)[0] == []


def test_a_trajectory_depends_on_its_question_and_number_alone() -> None:
    many = [question(f"q{i}") for i in range(20)]
    forth, _ = sample(LineTask(), ScriptedSampler(three_ways), many, SETTINGS, 50, 1)
    back, _ = sample(LineTask(), ScriptedSampler(three_ways), many[::-1], SETTINGS, 50, 1)
    alone, _ = sample(LineTask(), ScriptedSampler(three_ways), many[3:4], SETTINGS, 50, 1)
    assert {t.id: t for t in forth} == {t.id: t for t in back}
    assert alone == [t for t in forth if t.question_id == "q3"]
    other, _ = sample(LineTask(), ScriptedSampler(three_ways), many, SETTINGS, 50, 2)
    assert [t.verdict for t in other] != [t.verdict for t in forth]


def test_distinct_keeps_the_first_of_each_text_of_a_question() -> None:
    """`win` with and without its line feed are one text after normalising; another question's is its own."""
    texts = [("a", "q", "win\n"), ("b", "q", "win"), ("c", "r", "win\n"), ("d", "q", "lose\n")]
    drawn = [Trajectory(name, q, (text,), "right", "sample") for name, q, text in texts]
    assert [t.id for t in distinct(LineTask(), drawn)] == ["a", "c", "d"]


def test_gold_is_a_right_trajectory_where_it_is_given() -> None:
    questions = [Question("q", "?", "win", "step\nwin\n"), Question("withheld", "?", "win")]
    assert gold_trajectories(LineTask(), questions) == [Trajectory("q/gold", "q", ("step\n", "win\n"), "right", "gold")]
