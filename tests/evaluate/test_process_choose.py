"""Pairs by different reasoners, chosen so that outcomes and places of first errors come out even."""

import itertools
import random
from collections import Counter
from collections.abc import Sequence

import pytest
from fakes import LineTask, question, trajectory
from hypothesis import given
from hypothesis import strategies as st

from sapo.evaluate.process.select_pairs import Candidate, Kind, Selection, choose, gather, kinds, unevenness
from sapo.records import BadInput, Question, Trajectory

WORDS = ("a", "b", "c", "d")
RIGHT = "win"
WRONG = "lose"


def truth(_: Question, steps: Sequence[str]) -> list[bool]:
    """A step is wrong when it starts with an x, or loses."""
    return [not step.startswith(("x", WRONG)) for step in steps]


def candidate(question_id: str, generator: str, number: int, steps: Sequence[str]) -> Candidate:
    found = gather([question(question_id)], {generator: [trajectory("t", steps, question_id)]}, truth)[0]
    return Candidate(found.question, generator, number, found.trajectory, found.labels)


def chosen_kinds(selection: Selection, of: Sequence[Candidate]) -> list[Kind]:
    kind = dict(zip([c.id for c in of], kinds(of), strict=True))
    return [kind[c.id] for c in selection.chosen]


def pick(candidates: Sequence[Candidate], seed: int = 0) -> Selection:
    questions = list({c.question.id: c.question for c in candidates}.values())
    return choose(questions, candidates, LineTask().normalise, seed)


steps = st.lists(st.sampled_from([*WORDS, "xa"]), max_size=3).flatmap(
    lambda words: st.sampled_from([[*words, RIGHT], [*words, WRONG], [*words, "xb"]])
)
tables = st.lists(
    st.dictionaries(st.sampled_from(["one", "two", "three"]), st.lists(steps, max_size=4)), min_size=1, max_size=7
)


def build(table: Sequence[dict[str, list[list[str]]]]) -> tuple[list[Question], list[Candidate]]:
    """Questions q0, q1 … and what each reasoner wrote to them."""
    found = [
        candidate(f"q{i}", generator, number, words)
        for i, row in enumerate(table)
        for generator, texts in row.items()
        for number, words in enumerate(texts)
    ]
    return [question(f"q{i}") for i in range(len(table))], found


def test_kinds_are_outcome_and_half_of_the_first_error() -> None:
    """Steps 1 to 4: an error at 2 lies in the first half, at 3 in the second; of three steps the middle is late."""
    of = [
        candidate("q", "m", 0, ["a", "xa", "b", WRONG]),
        candidate("q", "m", 1, ["a", "b", "xa", WRONG]),
        candidate("q", "m", 2, ["a", "xa", WRONG]),
        candidate("q", "m", 3, ["a", RIGHT]),
        candidate("q", "m", 4, ["xa", RIGHT]),
        candidate("q", "m", 5, ["a", "b"]),
        candidate("q", "m", 6, [WRONG]),
    ]
    places = ["early", "late", "late", "none", "early", "none", "late"]
    assert kinds(of) == list(zip([False, False, False, True, True, False, False], places, strict=True))


def test_without_truth_kinds_are_outcome_and_length() -> None:
    """Lengths 1, 2, 4: the median is 2, only what is longer is long."""
    samples = [trajectory(str(i), [*"abc"[:i], RIGHT]) for i in (0, 1, 3)]
    assert kinds(gather([question()], {"m": samples})) == [(True, "short"), (True, "short"), (True, "long")]


def test_candidates_are_numbered_by_question_and_reasoner_and_others_left_aside() -> None:
    samples = [trajectory("s", [RIGHT], name) for name in ("q", "p", "q", "other")]
    found = gather([question("p"), question("q")], {"m": samples, "n": samples[:1]})
    assert [c.id for c in found] == ["q/m/0", "p/m/0", "q/m/1", "q/n/0"]


def test_the_question_without_a_choice_goes_first() -> None:
    """The example of `choose`: q2 can only give two wrong ones, so q1 gives two right ones, not one of each."""
    of = [
        candidate("q1", "A", 0, ["a", RIGHT]),
        candidate("q1", "B", 0, ["b", RIGHT]),
        candidate("q1", "B", 1, ["xa", "a", WRONG]),
        candidate("q2", "A", 0, ["xa", "b", WRONG]),
        candidate("q2", "B", 0, ["xa", "c", WRONG]),
    ]
    for seed in range(20):
        selection = pick(of, seed)
        assert [c.id for c in selection.chosen] == ["q1/A/0", "q1/B/0", "q2/A/0", "q2/B/0"]
        assert selection.lost == {"no_trajectory": 0, "one_generator": 0, "same_text": 0}


def test_right_and_wrong_early_and_late_come_out_even_where_every_question_offers_all() -> None:
    """8 questions, 16 trajectories, three kinds, most candidates right: at best 8 are right, 4 wrong early, 4 late;
    8² + 8² over outcomes, 8² + 4² + 4² over kinds."""
    texts = [["a", RIGHT], ["b", RIGHT], ["c", RIGHT], ["xa", "a", WRONG], ["a", WRONG]]
    of = [
        candidate(
            f"q{i}", generator, number, [generator, *words] if words[0] != "xa" else [*words[:2], generator, WRONG]
        )
        for i in range(8)
        for generator in ("one", "two")
        for number, words in enumerate(texts)
    ]
    found = chosen_kinds(pick(of), of)
    assert Counter(found) == {(True, "none"): 8, (False, "early"): 4, (False, "late"): 4}
    assert unevenness(found) == (128, 96)


def test_lost_questions_are_counted_by_reason() -> None:
    """q0: nobody wrote; q1: one reasoner twice; q2: two wrote the same; q3: one of two not judged; q4: fine."""
    ungraded = Trajectory("t", "q3", ("a\n",), "grader_error", "sample")
    of = [
        candidate("q1", "A", 0, ["a", RIGHT]),
        candidate("q1", "A", 1, ["b", RIGHT]),
        candidate("q2", "A", 0, ["a", RIGHT]),
        candidate("q2", "B", 0, ["a", RIGHT]),
        candidate("q3", "A", 0, ["a", RIGHT]),
        Candidate(question("q3"), "B", 0, ungraded),
        candidate("q4", "A", 0, ["a", RIGHT]),
        candidate("q4", "B", 0, ["b", RIGHT]),
    ]
    selection = choose([question(f"q{i}") for i in range(5)], of, LineTask().normalise, 0)
    assert selection.lost == {"no_trajectory": 1, "one_generator": 2, "same_text": 1}
    assert [c.question.id for c in selection.chosen] == ["q4", "q4"]


@given(tables, st.integers(0, 5))
def test_pairs_differ_in_reasoner_and_text_and_no_question_is_forgotten(
    table: list[dict[str, list[list[str]]]], seed: int
) -> None:
    questions, of = build(table)
    selection = choose(questions, of, LineTask().normalise, seed)
    assert len(selection.pairs) + sum(selection.lost.values()) == len(questions)
    order = [one.question.id for one, _ in selection.pairs]
    assert order == sorted(set(order))
    for one, other in selection.pairs:
        assert one.question == other.question
        assert one.generator < other.generator
        assert one.trajectory.text.strip() != other.trajectory.text.strip()


@given(tables, st.integers(0, 5))
def test_no_question_alone_can_make_the_choice_more_even(table: list[dict[str, list[list[str]]]], seed: int) -> None:
    questions, of = build(table)
    selection = choose(questions, of, LineTask().normalise, seed)
    kind = dict(zip([c.id for c in of], kinds(of), strict=True))
    reached = unevenness([kind[c.id] for c in selection.chosen])
    for i, (pair, _) in enumerate(selection.pairs):
        others = [kind[c.id] for j, p in enumerate(selection.pairs) if j != i for c in p]
        own = [c for c in of if c.question == pair.question]
        for one, other in itertools.combinations(own, 2):
            if one.generator != other.generator and one.trajectory.text.strip() != other.trajectory.text.strip():
                assert reached <= unevenness([*others, kind[one.id], kind[other.id]])


@given(tables, st.integers(0, 5))
def test_the_seed_alone_decides(table: list[dict[str, list[list[str]]]], seed: int) -> None:
    questions, of = build(table)
    assert choose(questions, of, LineTask().normalise, seed) == choose(questions, of, LineTask().normalise, seed)


def test_seeds_spread_the_choice_among_equals() -> None:
    """Three reasoners, all right: each of the three pairs is equally even, and every one is drawn by some seed."""
    of = [candidate("q", generator, 0, [generator, RIGHT]) for generator in ("one", "two", "three")]
    drawn = {tuple(c.generator for c in pick(of, seed).chosen) for seed in range(40)}
    assert drawn == {("one", "two"), ("one", "three"), ("three", "two")}


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["none", "early", "late"])), max_size=9), st.randoms())
def test_unevenness_is_no_matter_of_order(of: list[Kind], rng: random.Random) -> None:
    assert unevenness(rng.sample(of, len(of))) == unevenness(of)


def test_unevenness_of_three_worked_by_hand() -> None:
    """One right, two wrong early: 1² + 2² either way; one early and one late: 1² + 2² and 1² + 1² + 1²."""
    assert unevenness([(True, "none"), (False, "early"), (False, "early")]) == (5, 5)
    assert unevenness([(True, "none"), (False, "early"), (False, "late")]) == (5, 3)


def test_a_foreign_question_or_an_id_twice_is_refused() -> None:
    one = candidate("q", "A", 0, [RIGHT])
    with pytest.raises(BadInput, match="q/A/0 answers question q, which is not given"):
        choose([question("p")], [one], LineTask().normalise, 0)
    with pytest.raises(BadInput, match="q/A/0 appears twice"):
        choose([question("q")], [one, one], LineTask().normalise, 0)
