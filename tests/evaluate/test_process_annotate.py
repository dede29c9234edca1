"""First errors by the oracle and by rollouts that vote, against trajectories whose errors are written into them."""

import pytest
from fakes import Reply, question, read_labelled, trajectory, wins_unless_bad
from hypothesis import given
from hypothesis import strategies as st
from scripted_rollouts import rollouts, sizes

from sapo.evaluate.process.annotate import Annotated, Dropped, agreed, first_errors, oracle, rollout
from sapo.evaluate.process.select_pairs import Candidate
from sapo.labelling.rollouts import Rollouts
from sapo.records import BadInput, Question, Trajectory
from sapo.sampling.protocol import Request
from sapo.tasks.nano import nano_math

CHAIN = "Ben has 15 coins. Cy has 3 more than Ben. Dee has 2 times as many as Cy. How many does Dee have?\n"
LABELLED = [case for case in read_labelled("nano_math_steps.txt") if case.problem == "CHAIN"]


def candidate(*steps: str, number: int = 0) -> Candidate:
    return Candidate(question(), "m", number, trajectory(f"t{number}", steps))


def streams(*replies: Reply, per_position: int = 4) -> list[Rollouts]:
    return [rollouts(reply, per_position, seed=seed) for seed, reply in enumerate(replies)]


def wins_before(step: str) -> Reply:
    """A reasoner that wins from every prefix without this step."""
    return lambda request: "lose\n" if step in request.prefix else "win\n"


def test_the_oracle_says_what_people_said_of_each_labelled_trajectory() -> None:
    """The first step with a fault written behind it, None where there is none."""
    chosen = []
    for number, case in enumerate(LABELLED):
        asked = Question(f"q{number}", CHAIN, "36")
        chosen.append(Candidate(asked, "m", 0, Trajectory("t", asked.id, tuple(case.steps), "wrong", "sample")))
    by_hand = [next((j for j, fault in enumerate(case.faults, 1) if fault), None) for case in LABELLED]
    assert None in by_hand
    assert len({*by_hand}) > 3
    items = oracle(nano_math, chosen)
    assert [item.first_error for item in items] == by_hand
    assert {item.annotator for item in items} == {"oracle"}
    assert {item.votes for item in items} == {()}


def test_an_item_carries_its_trajectory() -> None:
    """A right answer whose steps are no steps of nano-math: right by luck, the first error is step 1."""
    asked = Question("nano/1", CHAIN, "36", group="cluster")
    (item,) = oracle(nano_math, [Candidate(asked, "big", 3, Trajectory("t", asked.id, ("?\n", "!\n"), "right", "s"))])
    assert (item.id, item.question_id, item.group, item.generator) == ("nano/1/big/3", "nano/1", "cluster", "big")
    assert (item.prompt, item.steps, item.outcome, item.first_error) == (asked.prompt, ("?\n", "!\n"), "right", 1)


def test_a_vote_is_the_first_prefix_that_nobody_completes() -> None:
    """Wrong at step 2 of 4; wrong at the last only; right; right by luck past a bad step 1; a single wrong step."""
    chosen = [
        candidate("a", "bad", "b", "lose", number=0),
        candidate("a", "b", "lose", number=1),
        candidate("a", "win", number=2),
        candidate("bad", "win", number=3),
        candidate("lose", number=4),
        candidate("win", number=5),
    ]
    assert first_errors(rollouts(wins_unless_bad), chosen) == [2, 3, 0, 1, 1, 0]


def test_all_are_asked_together_and_nothing_behind_the_first_error() -> None:
    """T = 4. Position 1: three trajectories, 12; one is bad there. Position 2: two, 8; one ends. Position 3: one, 4."""
    chosen = [candidate("bad", "a", "b", "lose"), candidate("a", "b", "lose", number=1)]
    chosen.append(candidate("a", "b", "c", "lose", number=2))
    asked = rollouts(wins_unless_bad, per_position=4)
    assert first_errors(asked, chosen) == [1, 3, 4]
    assert sizes(asked) == [12, 8, 4]


def test_one_success_of_all_completions_makes_a_prefix_good() -> None:
    """T = 4, only the third completion of each prefix wins; with T = 2 the first prefix fails already."""
    seen: dict[str, int] = {}

    def third(request: Request) -> str:
        seen[request.prefix] = seen.get(request.prefix, 0) + 1
        return "win\n" if seen[request.prefix] % 4 == 3 else "lose\n"

    assert first_errors(rollouts(third, per_position=4), [candidate("a", "b", "lose")]) == [3]
    seen.clear()
    assert first_errors(rollouts(third, per_position=2), [candidate("a", "b", "lose")]) == [1]


def test_items_are_kept_where_enough_votes_agree() -> None:
    """Votes on a, b, c, lose: 2, 2, 3, so 2 of 3 agree on 2 and not 3 of 3. On c, lose: 2, 2, 1."""
    chosen = [candidate("a", "b", "c", "lose"), candidate("c", "lose", number=1)]
    of = (wins_before("b"), wins_before("b"), wins_before("c"))
    kept = rollout(streams(*of), chosen, 2)
    assert [(i.id, i.first_error, i.votes, i.annotator) for i in kept.items] == [
        ("q/m/0", 2, (2, 2, 3), "rollout"),
        ("q/m/1", 2, (2, 2, 1), "rollout"),
    ]
    assert kept.dropped == []
    dropped = Dropped("q/m/0", (2, 2, 3), "fewer than 3 of 3 votes agree: step 2, step 2, step 3")
    assert rollout(streams(*of), chosen[:1], 3) == Annotated([], [dropped])


def test_agreement_that_no_step_is_wrong_is_kept_as_none() -> None:
    kept = rollout(streams(wins_before("z"), wins_before("z")), [candidate("a", "win")], 2)
    assert [(item.first_error, item.votes, item.outcome) for item in kept.items] == [(None, (0, 0), "right")]


def test_every_stream_pays_for_its_own_draws() -> None:
    """Two proper prefixes, T = 4, no error before the end: 8 completions each."""
    two = streams(wins_before("z"), wins_before("z"))
    rollout(two, [candidate("a", "b", "lose")], 2)
    assert [stream.cost.rollouts for stream in two] == [8, 8]


@pytest.mark.parametrize(("count", "agree"), [(0, 1), (2, 3), (2, 0)])
def test_impossible_agreement_is_refused(count: int, agree: int) -> None:
    with pytest.raises(BadInput, match=f"{agree} of {count} votes are to agree"):
        rollout(streams(*[wins_unless_bad] * count), [candidate("win")], agree)


def test_streams_that_draw_alike_are_refused() -> None:
    with pytest.raises(BadInput, match=r"seeds of rollouts are \[1, 1\]"):
        rollout([rollouts(wins_unless_bad), rollouts(wins_unless_bad)], [candidate("win")], 1)


@pytest.mark.parametrize(
    ("votes", "agree", "said"),
    [
        ((3, 3, 0), 2, 3),
        ((3, 2, 0), 2, None),
        ((3, 3, 0, 0), 2, None),
        ((0, 0, 1), 2, 0),
        ((1, 2), 1, None),
        ((1,), 1, 1),
        ((), 1, None),
    ],
)
def test_votes_that_agree(votes: tuple[int, ...], agree: int, said: int | None) -> None:
    assert agreed(votes, agree) == said


@given(st.lists(st.integers(0, 3), max_size=7), st.integers(1, 7))
def test_agreement_is_no_matter_of_order_and_only_grows_rarer(votes: list[int], agree: int) -> None:
    said = agreed(votes, agree)
    assert agreed(votes[::-1], agree) == said
    assert agreed(sorted(votes), agree) == said
    if said is not None:
        assert votes.count(said) >= agree
        assert all(votes.count(other) < votes.count(said) for other in votes if other != said)
    else:
        assert agreed(votes, agree + 1) is None


@given(st.lists(st.lists(st.sampled_from(["a", "b", "bad"]), max_size=4), min_size=1, max_size=6), st.booleans())
def test_a_perfect_completer_finds_every_bad_step(words: list[list[str]], right: bool) -> None:
    """It wins unless a step is bad: the vote is the first bad step, else the last one where the outcome is wrong."""
    chosen = [candidate(*own, "win" if right else "lose", number=i) for i, own in enumerate(words)]
    expected = [own.index("bad") + 1 if "bad" in own else 0 if right else len(own) + 1 for own in words]
    assert first_errors(rollouts(wins_unless_bad, lazy=True, merge=True), chosen) == expected
