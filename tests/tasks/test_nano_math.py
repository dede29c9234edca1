"""nano-math: problems survive their text, and steps labelled by hand from the definition in the module."""

import random
from itertools import islice

import pytest
from fakes import LabelledCase, read_labelled
from hypothesis import given
from hypothesis import strategies as st

from sapo.records import Question
from sapo.tasks.nano import nano_math, nano_math_ood
from sapo.tasks.nano.nano_math_world import (
    CHAIN_WEIGHTS,
    HABITS,
    LARGEST,
    Problem,
    Relation,
    draw_problem,
    habit_sites,
    parse_problem,
    write_solution,
)
from sapo.train.pretrain import documents

seeds = st.integers(0, 10**9)
WORDS = ["Cy", ":", "Ben", "+", "3", "=", "18", "answer", "36", "²", "-"]
worlds = st.sampled_from([(CHAIN_WEIGHTS, ("one",)), (nano_math_ood.CHAIN_WEIGHTS, nano_math_ood.QUESTIONS)])


def ask(text: str, answer: int) -> Question:
    return Question("q", text + "\n", str(answer))


# Ben 15, Cy 18, Dee 36.
CHAIN = ask(
    "Ben has 15 coins. Cy has 3 more than Ben. Dee has 2 times as many as Cy. How many does Dee have?",
    36,
)
# Ana 12, Ben 8, Cy 24, Dee 32; Ben does not matter for Cy.
BRANCHES = ask(
    "Ana has 12 coins. Ben has 4 fewer than Ana. Cy has 2 times as many as Ana. "
    "Dee has as many as Ben and Cy together. How many does Dee have?",
    32,
)
# Ana 10, Ben 30, Cy 25.
TOTAL = ask(
    "Ana has 10 coins. Ben has 3 times as many as Ana. Cy has 5 fewer than Ben. How many do Cy and Ana have together?",
    35,
)
MORE = ask("Ana has 10 coins. Ben has 3 times as many as Ana. How many more does Ben have than Ana?", 20)
# Ben 3, Cy 6, Dee 9: the given number is also a number of the text.
THREES = ask("Ben has 3 coins. Cy has 3 more than Ben. Dee has 3 more than Cy. How many does Dee have?", 9)
# Ben 2, Cy 4: plus, times and the quantity itself coincide.
TWOS = ask("Ben has 2 coins. Cy has 2 times as many as Ben. How many does Cy have?", 4)

PROBLEMS = {"CHAIN": CHAIN, "BRANCHES": BRANCHES, "TOTAL": TOTAL, "MORE": MORE, "THREES": THREES, "TWOS": TWOS}
HAND_LABELLED = read_labelled("nano_math_steps.txt")


@pytest.mark.parametrize("case", HAND_LABELLED, ids=lambda case: case.name)
def test_hand_labelled_steps(case: LabelledCase) -> None:
    question = PROBLEMS[case.problem]
    assert nano_math.step_faults(question, case.steps) == case.faults
    assert nano_math.step_truth(question, case.steps) == [not fault for fault in case.faults]
    if case.steps[-1].startswith("answer "):
        assert nano_math.grade([question], ["".join(case.steps)]) == ["wrong" if case.faults[-1] else "right"]


def test_every_fault_is_labelled_by_hand() -> None:
    faults = [fault for case in HAND_LABELLED for fault in case.faults]
    assert len(faults) >= 100
    assert set(faults) == {"", "reference", "operation", "arithmetic", "answer", "format"}


def test_no_computation_is_right_under_a_wrong_plan() -> None:
    """Cy has 18: neither what the wrong plan says nor the true sum is right, until the plan is spent."""
    for computation in ("Cy = 15 - 3 = 12\n", "Cy = 15 + 3 = 18\n"):
        assert nano_math.step_truth(CHAIN, ["Cy : Ben - 3\n", computation]) == [False, False]
    assert nano_math.step_truth(CHAIN, ["Cy : Ben - 3\n", "15 - 3 = 12\n", "15 + 3 = 18\n"]) == [False, False, True]


def test_all_names_what_is_asked_of_two_alone() -> None:
    """36 is the answer of one question, 35 of the other: only where two were asked about can `all` be the name."""
    assert nano_math.step_faults(CHAIN, ["all = 18 * 2 = 36\n", "18 * 2 = 36\n"]) == ["reference", ""]
    assert nano_math.step_faults(TOTAL, ["all = 25 + 10 = 35\n", "Cy = 25 + 10 = 35\n"]) == ["", "reference"]


@pytest.mark.parametrize(
    "step", ["", "\n", "Cy : Ben + ²", "answer ٣٦", "answer " + "9" * 5000, f"{'9' * 5000} + 1 = 2"]
)
def test_what_int_cannot_read_is_a_fault_of_format(step: str) -> None:
    assert nano_math.step_faults(CHAIN, [step]) == ["format"]
    assert nano_math.grade([CHAIN], [step]) == ["unparsable"]


@pytest.mark.parametrize(
    ("completion", "verdict"),
    [
        ("answer 36\n", "right"),
        ("answer 36", "right"),
        ("garbage\nanswer 36\n", "right"),
        ("answer 36\nanswer 35\n", "wrong"),
        ("answer 136\n", "wrong"),
        ("answer 3", "wrong"),
        ("", "unparsable"),
        ("36\n", "unparsable"),
        ("answer 36\n\n", "right"),
        ("answer 36\n18 * 2 = 36\n", "unparsable"),
    ],
)
def test_only_the_last_line_is_graded(completion: str, verdict: str) -> None:
    assert nano_math.grade([CHAIN], [completion]) == [verdict]


def test_a_problem_is_written_and_read_by_hand() -> None:
    text = BRANCHES.prompt
    relations = (
        Relation("Ben", "fewer", ("Ana",), 4),
        Relation("Cy", "times", ("Ana",), 2),
        Relation("Dee", "sum", ("Ben", "Cy"), 0),
    )
    problem = Problem(("Ana", 12), relations, ("Dee",))
    assert parse_problem(text) == problem
    assert problem.prompt() == text
    assert problem.values() == {"Ana": 12, "Ben": 8, "Cy": 24, "Dee": 32}
    with pytest.raises(ValueError, match="no nano-math problem: 'What"):
        parse_problem("What is 2 + 2?\n")
    with pytest.raises(ValueError, match="no nano-math question at 'Who knows"):
        parse_problem("Ben has 15 coins. Who knows?\n")


@given(seeds, worlds)
def test_reading_a_problem_is_the_inverse_of_writing_it(seed: int, world: tuple) -> None:
    problem = draw_problem(random.Random(seed), *world)
    assert parse_problem(problem.prompt()) == problem
    values = [*problem.values().values(), problem.answer()]
    assert all(1 <= value <= LARGEST for value in values)


@given(seeds, worlds)
def test_gold_solutions_are_right_in_every_step(seed: int, world: tuple) -> None:
    rng = random.Random(seed)
    problem = draw_problem(rng, *world)
    question = Question("q", problem.prompt(), str(problem.answer()))
    solution = write_solution(problem, rng)
    steps = nano_math.split(solution)
    assert nano_math.step_faults(question, steps) == [""] * len(steps)
    assert nano_math.grade([question], [solution]) == ["right"]
    plans = len(problem.relations) + (problem.question != "one")
    assert len(steps) == 2 * plans + 1 and "".join(steps) == solution


@given(seeds, worlds)
def test_a_wrong_answer_has_a_wrong_step_and_only_habits_make_mistakes(seed: int, world: tuple) -> None:
    """Authors with habits: a wrong end always shows before or in the answer; without a site nothing goes wrong."""
    rng = random.Random(seed)
    problem = draw_problem(rng, *world)
    question = Question("q", problem.prompt(), str(problem.answer()))
    solution = write_solution(problem, rng, 0.65)
    truth = nano_math.step_truth(question, nano_math.split(solution))
    if nano_math.grade([question], [solution]) != ["right"]:
        assert not all(truth)
        assert False in truth[:-1], "the answer repeats a value that was wrong before"
    if not habit_sites(problem) and problem.question == "one":
        assert all(truth)


@given(st.text(max_size=60), st.lists(st.sampled_from(WORDS), max_size=9))
def test_any_text_has_a_truth(noise: str, words: list[str]) -> None:
    for text in (noise, " ".join(words), f"answer {noise}", f"Cy : {noise} + 3"):
        steps = nano_math.split(text)
        assert "".join(steps) == text
        assert len(nano_math.step_truth(CHAIN, steps)) == len(steps)
        assert nano_math.grade([CHAIN], [text])[0] in ("right", "wrong", "unparsable")


def test_trajectories_have_four_to_twelve_steps() -> None:
    """In the documents of all authors: 4…12 in-domain, where the mean is at least 6."""
    lengths = []
    for document in islice((d for d in documents(1) if "coins" in d.prompt), 500):
        lengths.append(len(nano_math.split(document.solution)))
    assert min(lengths) >= 4 and max(lengths) <= 13
    train = nano_math.generate("train", 400, 1)
    golds = [len(nano_math.split(question.solution)) for question in train if question.solution]
    assert set(golds) == {5, 7, 9}
    plain = [2 * len(parse_problem(question.prompt).relations) + 1 for question in train]
    assert min(plain) >= 4 and max(plain) <= 12 and sum(plain) / len(plain) >= 6


def test_every_habit_strikes_and_can_be_withheld() -> None:
    """Each habit has sites among drawn problems; no gold rationale covers the two that golds are withheld for."""
    train = nano_math.generate("train", 400, 1)
    sites = {question.id: set(habit_sites(parse_problem(question.prompt))) for question in train}
    assert set().union(*sites.values()) == set(HABITS)
    given_ = [question.id for question in train if question.solution]
    assert 0.1 < len(given_) / len(train) < 0.9
    assert not any(sites[name] & {"even_fewer_adds", "latest_reference"} for name in given_)
