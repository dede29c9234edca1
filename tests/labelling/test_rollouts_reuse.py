"""What is known to end right proves its prefixes: which rollouts are saved, and that labels only turn from 0 to 1."""

import pytest
from fakes import trajectory, wins_unless_bad
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_rollouts import TRAJECTORIES, lucky, prefix, replies, rollouts, sizes

from sapo.labelling.rollouts import PrefixEstimate
from sapo.records import Trajectory

RIGHT = trajectory("w", ["one", "more", "win"])


def test_a_witness_proves_its_step_prefixes_in_every_trajectory_of_its_question() -> None:
    """w begins with `one`, as t does at 1 but no longer at 2; another question's `one` is another prefix."""
    asked = rollouts(lambda _: "lose\n", 2, reuse=True)
    asked.known_correct([trajectory("x", ["one", "two", "lose"]), RIGHT])
    stranger = trajectory("s", ["one", "lose"], "other")
    told = asked.ask([prefix(1), prefix(2), prefix(1, stranger, "other")])
    assert told[0] == PrefixEstimate(True, ())
    assert [(e.label, len(e.completions)) for e in told[1:]] == [(False, 2), (False, 2)]
    assert asked.cost.rollouts == 4


def test_without_reuse_nobody_is_a_witness() -> None:
    asked = rollouts(lambda _: "lose\n", 2)
    asked.known_correct([RIGHT])
    assert not asked.ask([prefix(1)])[0].label


def test_a_prefix_that_ends_inside_a_step_is_not_proven() -> None:
    """The witness has the step `1` with a blank line, or `12`; the text `1` begins both and is a step of neither."""
    asked = rollouts(lambda _: "lose\n", 1, reuse=True)
    asked.known_correct(
        Trajectory(f"w{i}", "q", (step, "win\n"), "right", "sample") for i, step in enumerate(["1\n\n", "12\n"])
    )
    cut = [Trajectory(f"t{i}", "q", (step, "lose\n"), "wrong", "sample") for i, step in enumerate(["1\n", "1"])]
    assert [e.label for e in asked.ask([prefix(1, t) for t in cut])] == [False, False]


def test_a_completion_that_won_proves_prefixes_of_other_trajectories() -> None:
    """From `one two` the reasoner says `next win`: it proves `one` of v and `one two next` of u, for one rollout."""
    asked = rollouts(replies("next\nwin\n"), 8, lazy=True, reuse=True)
    asked.ask([prefix(2)])
    others = [
        prefix(1, trajectory("v", ["one", "lose"])),
        prefix(3, trajectory("u", ["one", "two", "next", "lose"])),
    ]
    assert asked.ask(others) == [PrefixEstimate(True, ()), PrefixEstimate(True, ())]
    assert asked.cost.rollouts == 1


@pytest.mark.parametrize(("lazy", "drawn"), [(True, 1), (False, 8)])
def test_later_positions_are_settled_first_and_prove_the_earlier(lazy: bool, drawn: int) -> None:
    """Every prefix can win. Of 1, 2, 3 only the last is drawn: one completion when lazy, else all T = 8."""
    asked = rollouts(lambda _: "win\n", 8, lazy, reuse=True)
    told = asked.ask([prefix(1), prefix(2), prefix(3)])
    assert [(e.label, len(e.completions)) for e in told] == [(True, 0), (True, 0), (True, drawn)]
    assert sizes(asked) == [drawn]


def test_positions_behind_the_error_are_drawn_in_full() -> None:
    """ok ok bad x lose, T = 2: 4 and 3 fail twice each, 2 wins at once and proves 1. Beside it a one-step question."""
    made = trajectory("t", ["ok", "ok", "bad", "x", "lose"])
    asked = rollouts(wins_unless_bad, 2, lazy=True, reuse=True)
    short = prefix(1, trajectory("s", ["go", "lose"], "other"), "other")
    told = asked.ask([*(prefix(j, made) for j in (1, 2, 3, 4)), short])
    assert [(e.label, len(e.completions)) for e in told] == [(True, 0), (True, 1), (False, 2), (False, 2), (True, 1)]
    assert sizes(asked) == [2, 1, 1, 1, 1], "4 and the short one, 4 again, 3 twice, 2"


def test_a_success_found_later_overrules_failures() -> None:
    """`one` fails twice; then a witness that begins with it comes. Its failures stay what they are."""
    asked = rollouts(lambda _: "lose\n", 2, reuse=True)
    failed = asked.ask([prefix(1)])[0]
    asked.known_correct([RIGHT])
    assert not failed.label and asked.ask([prefix(1)]) == [PrefixEstimate(True, failed.completions)]
    assert asked.cost.rollouts == 2


@settings(max_examples=50, deadline=None)
@given(TRAJECTORIES, st.integers(1, 6), st.floats(0, 1), st.booleans(), st.booleans())
def test_reuse_turns_labels_from_0_to_1_only(
    steps: list[list[str]], per_position: int, success: float, lazy: bool, merge: bool
) -> None:
    """Random completions. A label 1 of T draws stays: the prefix is proven before, or its very success is drawn.
    Whatever was drawn is the beginning of the same completions; costs and verdicts add up."""
    made = [trajectory(f"t{i}", [*s, "lose"]) for i, s in enumerate(steps)]
    wanted = [prefix(j, t) for t in made for j in range(1, len(t.steps))]
    full = rollouts(lucky(success), per_position, merge=merge).ask(wanted)
    asked = rollouts(lucky(success), per_position, lazy, merge, reuse=True)
    told = asked.ask(wanted)
    for one, all_ in zip(told, full, strict=True):
        assert one.label >= all_.label
        assert one.completions == all_.completions[: len(one.completions)]
        assert one.label or len(one.completions) == per_position
    kept = {completion.id for one in told for completion in one.completions}
    assert asked.cost.rollouts == asked.cost.generated_tokens == sum(sizes(asked)) == len(kept)
    assert sum(asked.verdicts.values()) == asked.cost.rollouts
