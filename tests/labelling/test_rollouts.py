"""Labels by rollouts: which completions are drawn, when drawing stops, and that savings change no label."""

import math
from collections.abc import Sequence

import pytest
from fakes import ScriptedSampler, question, trajectory, wins_unless_bad
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_rollouts import TRAJECTORIES, lucky, prefix, replies, rollouts, sizes

from sapo.labelling.rollouts import Prefix, PrefixEstimate, Rollouts
from sapo.records import Trajectory
from sapo.sampling.protocol import Request


def test_one_success_of_t_is_enough() -> None:
    """T = 4: lose, lose, win, lose gives c_j = 1; four losses give 0. Either way four completions are kept."""
    mixed = rollouts(replies("lose\n", "lose\n", "win\n", "lose\n"), 4).ask([prefix(2)])[0]
    assert mixed.label and [c.right for c in mixed.completions] == [False, False, True, False]
    lost = rollouts(replies(*["lose\n"] * 4), 4).ask([prefix(2)])[0]
    assert not lost.label and len(lost.completions) == 4


def test_completions_start_with_the_prefix_and_are_named_after_it() -> None:
    asked = rollouts(replies("next\nwin\n"), 1)
    completion = asked.ask([prefix(2)])[0].completions[0]
    assert completion == Trajectory("t/after2/0", "q", ("one\n", "two\n", "next\n", "win\n"), "right", "rollout")
    assert isinstance(asked.sampler, ScriptedSampler)
    request = asked.sampler.calls[0][0]
    assert (request.prompt, request.prefix) == ("Prompt of q.\n", "one\ntwo\n")


@pytest.mark.parametrize(
    ("per_position", "waves"), [(1, [1]), (2, [1, 1]), (3, [1, 1, 1]), (5, [1, 1, 2, 1]), (8, [1, 1, 2, 4])]
)
def test_lazy_waves_grow_up_to_t(per_position: int, waves: list[int]) -> None:
    lost = rollouts(lambda _: "lose\n", per_position, lazy=True)
    lost.ask([prefix(1)])
    assert sizes(lost) == waves


def test_lazy_stops_at_the_first_success_and_counts_what_was_drawn() -> None:
    """T = 8, the third completion wins: waves 1, 1, 2 are drawn, the 4 of the last wave are not."""
    asked = rollouts(replies("lose\n", "lose\n", "win\n", "lose\n"), 8, lazy=True)
    assert asked.ask([prefix(1)])[0].label
    assert sizes(asked) == [1, 1, 2]
    assert (asked.cost.rollouts, asked.cost.generated_tokens) == (4, 4)


def test_lazy_goes_on_for_those_without_success_only() -> None:
    """Of two prefixes one wins at once and one never: waves of 2, 1, 2 and nothing more is asked for the winner."""
    bad = trajectory("b", ["bad", "lose"])
    asked = rollouts(wins_unless_bad, 4, lazy=True)
    assert [e.label for e in asked.ask([prefix(1), prefix(1, bad)])] == [True, False]
    assert sizes(asked) == [2, 1, 2]


def test_nothing_is_asked_of_the_sampler_when_all_is_decided() -> None:
    asked = rollouts(lambda _: "win\n", 8, lazy=True)
    first = asked.ask([prefix(1)])
    assert asked.ask([prefix(1)]) == first
    assert sizes(asked) == [1], "a known prefix, or one that has won, costs no empty call"


@pytest.mark.parametrize("lazy", [False, True])
def test_labels_have_the_distribution_of_t_independent_rollouts(lazy: bool) -> None:
    """A success in 1 of 5 rollouts and T = 4: c_j = 1 with probability 1 - .8^4 = .5904.

    2,000 prefixes have a standard error of sqrt(.59 · .41 / 2000) = .011; four of them are allowed.
    """
    asked = rollouts(lucky(0.2), 4, lazy)
    many = [prefix(1, trajectory(f"t{i}", [f"step {i}", "lose"])) for i in range(2000)]
    share = sum(e.label for e in asked.ask(many)) / 2000
    assert share == pytest.approx(0.5904, abs=0.044)


def test_lazy_gives_every_single_label_that_drawing_all_gives() -> None:
    """Completion k has its own seed, so that lazy sees the first of the very same completions; for less.

    Expected draws with success .2: 1 + .8 + .64 · 2 = 3.08 of 4.
    """
    many = [prefix(1, trajectory(f"t{i}", [f"step {i}", "lose"])) for i in range(1000)]
    naive, lazy = rollouts(lucky(0.2), 4), rollouts(lucky(0.2), 4, lazy=True)
    assert [e.label for e in lazy.ask(many)] == [e.label for e in naive.ask(many)]
    assert (naive.cost.rollouts, lazy.cost.rollouts) == (4000, pytest.approx(3080, rel=0.05))


def test_merge_draws_equal_prefixes_of_one_question_once() -> None:
    """Three trajectories share step 1; one of them belongs to another question."""
    others = [trajectory("u", ["one", "lose"]), trajectory("v", ["one", "lose"], "other")]
    wanted = [prefix(1), prefix(1, others[0]), prefix(1, others[1], "other")]
    merged, naive = rollouts(lambda _: "lose\n", 4, merge=True), rollouts(lambda _: "lose\n", 4)
    assert [e.label for e in merged.ask(wanted)] == [e.label for e in naive.ask(wanted)]
    assert (merged.cost.rollouts, naive.cost.rollouts) == (8, 12)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("merge", [False, True])
def test_completions_depend_on_neither_order_nor_company(lazy: bool, merge: bool) -> None:
    many = [prefix(j, trajectory(f"t{i}", [f"step {i}", "then", "lose"])) for i in range(20) for j in (1, 2)]
    together = rollouts(lucky(0.2), 4, lazy, merge).ask(many)
    backwards = rollouts(lucky(0.2), 4, lazy, merge).ask(many[::-1])[::-1]
    alone = [rollouts(lucky(0.2), 4, lazy, merge).ask([one])[0] for one in many]
    assert together == backwards == alone
    assert len({c.right for e in together for c in e.completions}) == 2, "both outcomes must occur"


def test_seeds_differ_by_number_prefix_and_run() -> None:
    seen: list[int] = []

    def note(request: Request) -> str:
        seen.append(request.seed)
        return "lose\n"

    for seed in (1, 2):
        rollouts(note, 4, seed=seed).ask([prefix(1), prefix(2), prefix(1, trajectory("u", ["one", "lose"]))])
    assert len(set(seen)) == len(seen) == 24


def test_programs_are_counted_where_tests_are_run() -> None:
    asked = rollouts(lambda _: "lose\n", 4)
    asked.ask([prefix(1), Prefix(question("code", ("assert True",)), trajectory("c", ["x", "lose"], "code"), 1)])
    assert (asked.cost.rollouts, asked.cost.programs) == (8, 4)


def test_a_completion_that_never_ends_or_says_nothing_is_a_failure() -> None:
    """A cut-off text does not reach the answer; an empty one leaves the prefix as it was."""
    asked = rollouts(replies("and then and th", ""), 2)
    evidence = asked.ask([prefix(2)])[0]
    assert not evidence.label
    assert [c.steps[2:] for c in evidence.completions] == [("and then and th",), ()]
    assert [c.verdict for c in evidence.completions] == ["unparsable", "unparsable"]


def test_the_first_completions_are_the_same_for_every_t() -> None:
    few, more = (rollouts(lucky(0.3), t).ask([prefix(1)])[0].completions for t in (4, 40))
    assert more[:4] == few
    assert {c.right for c in more} == {True, False}


def by_prefix(request: Request) -> str:
    """Deterministic per prefix: an even number of `up` can still win."""
    return "win\n" if request.prefix.count("up") % 2 == 0 else "lose\n"


def asked_once(
    wanted: Sequence[Prefix], per_position: int, lazy: bool, merge: bool
) -> tuple[list[PrefixEstimate], int]:
    asked = rollouts(by_prefix, per_position, lazy, merge)
    return asked.ask(wanted), asked.cost.rollouts


@settings(max_examples=50, deadline=None)
@given(TRAJECTORIES, st.integers(1, 9))
def test_each_saving_equals_the_naive_path(steps: list[list[str]], per_position: int) -> None:
    """With a sampler that depends on the prefix alone all switches agree, and each one only lowers the cost."""
    made = [trajectory(f"t{i}", [*s, "lose"]) for i, s in enumerate(steps)]
    wanted = [prefix(j, t) for t in made for j in range(1, len(t.steps))]
    naive, most = asked_once(wanted, per_position, lazy=False, merge=False)
    assert most == per_position * len(wanted)
    different = {p.text: e.label for p, e in zip(wanted, naive, strict=True)}
    for lazy in (False, True):
        for merge in (False, True):
            evidence, cost = asked_once(wanted, per_position, lazy, merge)
            assert [e.label for e in evidence] == [e.label for e in naive]
            labels = list(different.values()) if merge else [e.label for e in naive]
            assert cost == sum(1 if lazy and label else per_position for label in labels)
            for one, all_ in zip(evidence, naive, strict=True):
                drawn = [c.text for c in one.completions]
                assert drawn == [c.text for c in all_.completions][: len(drawn)]


def test_waves_double() -> None:
    """1, 1, 2, 4, 8 …: never more than twice of what was needed, for any T."""
    for per_position in range(1, 40):
        asked = rollouts(lambda _: "lose\n", per_position, lazy=True)
        asked.ask([prefix(1)])
        assert sum(sizes(asked)) == per_position
        assert len(sizes(asked)) == 1 + math.ceil(math.log2(per_position))


def share_right(asked: Rollouts, count: int) -> float:
    many = [prefix(1, trajectory(f"t{i}", [f"step {i}", "lose"])) for i in range(count)]
    return sum(e.label for e in asked.ask(many)) / count


@pytest.mark.parametrize("success", [0.02, 0.1, 0.3, 0.6])
@pytest.mark.parametrize("per_position", [3, 8])
def test_lazy_labels_are_distributed_like_those_of_all_t(success: float, per_position: int) -> None:
    """Independent runs (seeds 1 and 2) of 4,000 prefixes each: the two-proportion z lies within 4, and both shares
    within four standard errors of 1 - (1 - p)^T."""
    count, expected = 4000, 1 - (1 - success) ** per_position
    lazy = share_right(rollouts(lucky(success), per_position, lazy=True, merge=True, seed=1), count)
    full = share_right(rollouts(lucky(success), per_position, seed=2), count)
    pooled = (lazy + full) / 2
    assert abs(lazy - full) <= 4 * math.sqrt(2 * pooled * (1 - pooled) / count)
    for share in (lazy, full):
        assert abs(share - expected) <= 4 * math.sqrt(expected * (1 - expected) / count)
