"""Choosing among samples: closed forms against all subsets, votes and beam search by hand."""

import itertools

import pytest
from fakes import LineTask, ScriptedSampler, TableVerifier, question
from hypothesis import given
from hypothesis import strategies as st

from sapo.evaluate.rerank import AGGREGATES, Beam, aggregate, beam_search, best_of, pass_at, voted
from sapo.sampling.protocol import Request

samples = st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.5, 0.9])), min_size=1, max_size=7)


@given(samples, st.data())
def test_best_of_n_is_the_mean_over_all_subsets(drawn: list[tuple[bool, float]], data: st.DataObject) -> None:
    right, rewards = [r for r, _ in drawn], [score for _, score in drawn]
    count = data.draw(st.integers(1, len(drawn)))
    chances = []
    for subset in itertools.combinations(range(len(drawn)), count):
        most = max(rewards[i] for i in subset)
        tied = [right[i] for i in subset if rewards[i] == most]
        chances.append(sum(tied) / len(tied))
    assert best_of(right, rewards, count) == pytest.approx(sum(chances) / len(chances))
    hits = [any(right[i] for i in subset) for subset in itertools.combinations(range(len(drawn)), count)]
    assert pass_at(right, count) == pytest.approx(sum(hits) / len(hits))
    assert best_of(right, rewards, count) <= pass_at(right, count) + 1e-12


def test_one_sample_is_the_accuracy_whatever_the_rewards() -> None:
    right = [True, False, False, True, False]
    assert best_of(right, [0.9, 0.8, 0.1, 0.2, 0.3], 1) == pytest.approx(0.4) == pass_at(right, 1)
    assert best_of(right, [1.0 * one for one in right], 3) == pass_at(right, 3)


def test_votes_by_hand() -> None:
    """Answers 7 7 5 5 5, sevens right: five win. With weights .9 .9 .1 .1 .1 sevens do. Two of each: half."""
    right, answers = [True, True, False, False, False], [7, 7, 5, 5, 5]
    assert voted(right, answers, 5, 1) == 0.0
    assert voted(right, answers, 5, 1, [0.9, 0.9, 0.1, 0.1, 0.1]) == 1.0
    assert voted(right[:4], answers[:4], 4, 1) == 0.5
    assert voted(right, answers, 1, 1) == pytest.approx(0.4, abs=0.15)
    assert voted(right, answers, 3, 1) == voted(right, answers, 3, 1)


def test_aggregates_by_hand() -> None:
    """Of .2 .4: mean .3, least .2, last .4, product .08."""
    found = {name: of((0.2, 0.4)) for name, of in AGGREGATES.items()}
    assert found == pytest.approx({"mean": 0.3, "min": 0.2, "last": 0.4, "product": 0.08})
    assert aggregate((0.2, 0.4)) == found["mean"]


def test_no_more_samples_are_drawn_than_there_are() -> None:
    for count in (0, 3):
        with pytest.raises(ValueError, match=rf"{count} of 2 samples cannot be drawn"):
            pass_at([True, False], count)
        with pytest.raises(ValueError, match=rf"{count} of 2 samples cannot be drawn"):
            best_of([True, False], [0.1, 0.2], count)
        with pytest.raises(ValueError, match=rf"{count} of 2 samples cannot be drawn"):
            voted([True, False], [1, 2], count, 1)


@given(st.lists(st.integers(0, 2), min_size=2, max_size=7), st.data())
def test_votes_are_near_the_mean_over_all_subsets(answers: list[int], data: st.DataObject) -> None:
    """Answer 0 is right. 200 drawn subsets: four standard errors of a share are at most 4 · .5 / √200 = .15."""
    right, count = [answer == 0 for answer in answers], data.draw(st.integers(1, len(answers)))
    chances = []
    for subset in itertools.combinations(answers, count):
        most = max(subset.count(answer) for answer in subset)
        winners = {answer for answer in subset if subset.count(answer) == most}
        chances.append((0 in winners) / len(winners))
    near = 1e-12 if count == len(answers) else 0.15
    assert voted(right, answers, count, 1) == pytest.approx(sum(chances) / len(chances), abs=near)


TABLE = TableVerifier({"good\n": 0.9, "fair\n": 0.6, "bad\n": 0.1, "win\n": 0.9, "lose\n": 0.1})


class Answering(LineTask):
    """Complete with `win` or `lose`."""

    def answered(self, text: str) -> int | None:
        return len(text) if text.endswith(("win\n", "lose\n")) else None


def reply(request: Request) -> str:
    """First steps by seed; then `win` after a good step, `lose` after any other, and more than one step at once."""
    if not request.prefix:
        return ("good\nwin\n", "fair\nlose\n", "bad\nlose\n")[request.seed % 3]
    return "win\n" if request.prefix == "good\n" else "lose\n"


def test_a_beam_follows_the_best_steps() -> None:
    """Eight first steps a question, cut where the first ends; `good` (.9) stays, `win` ends it: mean .9."""
    sampler = ScriptedSampler(reply)
    questions = [question("a"), question("b")]
    found, cost = beam_search(Answering(), sampler, TABLE.score, questions, Beam(1, 8, 6, 1.0, 50), 3)
    assert found == ["good\nwin\n", "good\nwin\n"]
    assert sampler.sizes == [16, 16] and cost.rollouts == 32
    assert (
        found == beam_search(Answering(), ScriptedSampler(reply), TABLE.score, questions, Beam(1, 8, 6, 1.0, 50), 3)[0]
    )


def test_a_beam_of_two_keeps_the_second_and_ends_with_its_steps() -> None:
    """With two steps at most nothing is answered after one: width 2 keeps good and fair, the best is returned."""
    found, _ = beam_search(Answering(), ScriptedSampler(reply), TABLE.score, [question("a")], Beam(2, 8, 1, 1.0, 50), 3)
    assert found == ["good\n"]


def misled(request: Request) -> str:
    """The step that looks best leads astray."""
    if not request.prefix:
        return ("good\n", "fair\n")[request.seed % 2]
    return "lose\n" if request.prefix == "good\n" else "win\n"


def test_a_wider_beam_mends_a_first_step_that_misled() -> None:
    """good lose: (.9 + .1) / 2 = .5; fair win: (.6 + .9) / 2 = .75. Width 1 has let go of fair when it finds out."""
    for width, best in ((1, "good\nlose\n"), (2, "fair\nwin\n")):
        sampler = ScriptedSampler(misled)
        beam = Beam(width, 8, 6, 1.0, 50)
        assert beam_search(Answering(), sampler, TABLE.score, [question("a")], beam, 3)[0] == [best]
        assert sampler.sizes == [8, 8 * width]


def test_a_step_that_does_not_end_within_its_tokens_ends_the_path() -> None:
    """The sampler says `cut off`, so there is nothing to go on from."""
    sampler = ScriptedSampler(lambda _: "good", finished=False)
    table = TableVerifier({"good": 0.9})
    found, cost = beam_search(LineTask(), sampler, table.score, [question("a")], Beam(1, 3, 9, 1.0, 4), 3)
    assert found == ["good"] and sampler.sizes == [3] and cost.rollouts == 3


def test_a_path_ends_where_the_reasoner_does() -> None:
    """`stop` has no end of line: the reasoner ended in it, so nothing more is asked."""
    sampler = ScriptedSampler(lambda _: "stop")
    table = TableVerifier({"stop": 0.5})
    assert beam_search(LineTask(), sampler, table.score, [question("a")], Beam(2, 2, 9, 1.0, 50), 3)[0] == ["stop"]
    assert sampler.sizes == [2]
