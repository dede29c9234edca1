import itertools
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sapo.records import PreferencePair, Trajectory
from sapo.settings import PairSettings
from sapo.train.pairs import PairError, PairReport, make_pairs, outcome_rewards

PROMPTS = {"q": "How many?"}


def trajectory(name: str, text: str = "", right: bool = False, question: str = "q") -> Trajectory:
    return Trajectory(name, question, (text or f"text of {name}",), "right" if right else "wrong", "sample")


def named(pairs: list[PreferencePair]) -> list[tuple[str, str]]:
    return [(pair.chosen.removeprefix("text of "), pair.rejected.removeprefix("text of ")) for pair in pairs]


def settings(**changes: Any) -> PairSettings:
    values: dict[str, Any] = {"eta": 0.1, "per_question": 2, "per_trajectory": 1, "chosen": "any"}
    return PairSettings(**(values | changes))


def test_largest_gap_first_by_hand() -> None:
    """Rewards .9 .8 .3 .1: gaps .8 (a-d), .7 (b-d), .6 (a-c), .5 (b-c), .2, .1.

    Once each: a-d takes a and d, so b-d and a-c fall away, and b-c is next.
    """
    four = [trajectory(name) for name in "abcd"]
    pairs, report = make_pairs(four, [0.9, 0.8, 0.3, 0.1], PROMPTS, settings(), seed=1)
    assert named(pairs) == [("a", "d"), ("b", "c")]
    assert (pairs[0].chosen_reward, pairs[0].rejected_reward, pairs[0].prompt) == (0.9, 0.1, "How many?")
    assert report == PairReport(questions=1, kept=1, pairs=2, few_texts=0, flat=0, none_right=0, small_gap=0)


def test_twice_each_by_hand() -> None:
    """The same rewards with two uses each: a-d, b-d (d is used up), a-c (a is used up), b-c."""
    four = [trajectory(name) for name in "abcd"]
    limits = settings(per_trajectory=2, per_question=9, eta=0.3)
    pairs, _ = make_pairs(four, [0.9, 0.8, 0.3, 0.1], PROMPTS, limits, seed=1)
    assert named(pairs) == [("a", "d"), ("b", "d"), ("a", "c"), ("b", "c")]


def test_gap_of_exactly_eta_counts_in_spite_of_rounding() -> None:
    """0.3 - 0.2 = 0.09999999999999998 in floating point; 0.3 - 0.2001 is less than 0.1."""
    two = [trajectory("a"), trajectory("b")]
    assert len(make_pairs(two, [0.3, 0.2], PROMPTS, settings(), 1)[0]) == 1
    with pytest.raises(PairError):
        make_pairs(two, [0.3, 0.2001], PROMPTS, settings(), 1)


def test_chosen_must_be_right_where_asked() -> None:
    """The verifier prefers the wrong a; with `right`, b is the best chosen one, and a (gap < 0) no rejected one."""
    three = [trajectory("a"), trajectory("b", right=True), trajectory("c")]
    assert named(make_pairs(three, [0.9, 0.5, 0.1], PROMPTS, settings(), 1)[0]) == [("a", "c")]
    assert named(make_pairs(three, [0.9, 0.5, 0.1], PROMPTS, settings(chosen="right"), 1)[0]) == [("b", "c")]


def test_report_says_why_questions_are_lost() -> None:
    """q1 keeps a pair; q2 has one text twice; q3 one reward; q4 no right answer; q5 a gap of .05; q6 nothing."""
    prompts = {f"q{n}": "p" for n in range(1, 7)}
    rows = [
        ("q1", "a", True, 0.9),
        ("q1", "b", False, 0.2),
        ("q2", "same", True, 0.9),
        ("q2", "same", True, 0.9),
        ("q3", "a", True, 0.5),
        ("q3", "b", False, 0.5),
        ("q4", "a", False, 0.9),
        ("q4", "b", False, 0.1),
        ("q5", "a", True, 0.50),
        ("q5", "b", False, 0.45),
    ]
    pool = [trajectory(f"t{n}", text, right, question) for n, (question, text, right, _) in enumerate(rows)]
    _, report = make_pairs(pool, [reward for *_, reward in rows], prompts, settings(chosen="right"), 1)
    assert report == PairReport(questions=6, kept=1, pairs=1, few_texts=2, flat=1, none_right=1, small_gap=1)


def test_no_pair_at_all_is_an_error_with_the_reasons() -> None:
    with pytest.raises(PairError, match=r"no preference pair in 2 questions at eta = 0\.1.*'few_texts': 2"):
        make_pairs([trajectory("a")], [0.9], {"q": "p", "r": "p"}, settings(), 1)


@pytest.mark.parametrize("reward", [float("nan"), float("inf")])
def test_reward_that_is_no_number_names_the_trajectory(reward: float) -> None:
    with pytest.raises(ValueError, match="trajectory b of question q has the reward"):
        make_pairs([trajectory("a"), trajectory("b")], [0.5, reward], PROMPTS, settings(), 1)


def test_rewards_and_trajectories_must_match() -> None:
    with pytest.raises(ValueError, match="rewards has 1 entries for 2 trajectories"):
        make_pairs([trajectory("a"), trajectory("b")], [0.5], PROMPTS, settings(), 1)


def test_pairs_by_outcome_join_right_and_wrong_at_random() -> None:
    """3 right and 2 wrong, each once: two pairs, always right over wrong; the seed decides which."""
    pool = [trajectory(name, right=name in "abc") for name in "abcde"]
    rewards = outcome_rewards(pool)
    assert rewards == [1.0, 1.0, 1.0, 0.0, 0.0]
    drawn = {tuple(named(make_pairs(pool, rewards, PROMPTS, settings(), seed)[0])) for seed in range(30)}
    for pairs in drawn:
        assert all(w in "abc" and l in "de" for w, l in pairs)  # noqa: E741
        assert len({name for pair in pairs for name in pair}) == 4
    assert len(drawn) > 5


def test_depends_on_inputs_and_seed_only() -> None:
    pool = [trajectory(f"t{n:02}", right=n % 3 == 0) for n in range(20)]
    rewards = outcome_rewards(pool)
    expected = make_pairs(pool, rewards, PROMPTS, settings(), 7)
    order = list(range(20))
    random.Random(3).shuffle(order)
    assert make_pairs([pool[n] for n in order], [rewards[n] for n in order], PROMPTS, settings(), 7) == expected


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 20), st.booleans()), min_size=2, max_size=12),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.1, 0.5]),
    st.sampled_from(["any", "right"]),
)
def test_pairs_keep_their_contract(
    rows: list[tuple[int, int, bool]], per_question: int, per_trajectory: int, eta: float, chosen: str
) -> None:
    """Against a brute-force reading of the rule: every admissible pair is used, or a limit is in its way."""
    reward_of = {f"text {text}": reward / 20 for text, reward, _ in reversed(rows)}
    right_of = {f"text {text}": right for text, _, right in reversed(rows)}
    pool = [trajectory(f"t{n:02}", f"text {text}", right_of[f"text {text}"]) for n, (text, _, _) in enumerate(rows)]
    limits = settings(eta=eta, per_question=per_question, per_trajectory=per_trajectory, chosen=chosen)
    admissible = {
        (w, l)
        for w, l in itertools.permutations(reward_of, 2)  # noqa: E741
        if reward_of[w] - reward_of[l] >= max(eta, 1e-6) - 1e-9 and (chosen == "any" or right_of[w])
    }
    try:
        pairs, _ = make_pairs(pool, [reward_of[one.text] for one in pool], PROMPTS, limits, 1)
    except PairError:
        assert not admissible
        return
    found = [(pair.chosen, pair.rejected) for pair in pairs]
    uses = [text for pair in found for text in pair]
    assert len(set(found)) == len(found) <= per_question
    assert set(found) <= admissible
    assert max(map(uses.count, uses)) <= per_trajectory
    gaps = [reward_of[w] - reward_of[l] for w, l in found]  # noqa: E741
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] == max(reward_of[w] - reward_of[l] for w, l in admissible)  # noqa: E741
    if len(found) < per_question:
        free = {text for text in reward_of if uses.count(text) < per_trajectory}
        assert not {pair for pair in admissible - set(found) if set(pair) <= free}
