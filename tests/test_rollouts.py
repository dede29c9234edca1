"""Labels by rollouts: which completions are drawn, when drawing stops, and that savings change no label."""

import gc
import math
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from fakes import MOST, LineTask, Reply, ScriptedSampler, question, trajectory, wins_unless_bad
from hypothesis import given, settings
from hypothesis import strategies as st

from sapo.models.sampling import Completion, Request
from sapo.records import BadInput, Cost, RecordError, Trajectory
from sapo.settings import RolloutSettings
from sapo.supervise.rollouts import Evidence, Prefix, Rollouts, collector_paused

STEPS = trajectory("t", ["one", "two", "three", "lose"])


def rollouts(
    reply: Reply, per_position: int = 8, lazy: bool = False, merge: bool = False, reuse: bool = False, seed: int = 1
) -> Rollouts:
    return Rollouts(
        LineTask(), ScriptedSampler(reply), RolloutSettings(per_position, 1.0, lazy, merge, reuse), 50, seed
    )


def sizes(asked: Rollouts) -> list[int]:
    assert isinstance(asked.sampler, ScriptedSampler)
    return asked.sampler.sizes


def prefix(position: int, of: Trajectory = STEPS, question_id: str = "q") -> Prefix:
    return Prefix(question(question_id), of, position)


def replies(*texts: str) -> Reply:
    """One text after the other, whatever is asked."""
    script = iter(texts)
    return lambda _: next(script)


def lucky(share: float) -> Reply:
    """A reasoner that wins on this share of all seeds."""
    return lambda request: "win\n" if request.seed < share * MOST else "lose\n"


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


@dataclass
class LimitedSampler(ScriptedSampler):
    """Cuts off what has an odd seed; a prefix with the step `long` finds no room for anything."""

    def complete(
        self, requests: Sequence[Request], temperature: float, max_new_tokens: int
    ) -> tuple[list[Completion], Cost]:
        found, cost = super().complete(requests, temperature, max_new_tokens)
        cut = [Completion(c.text, c.tokens, r.seed % 2 == 0) for c, r in zip(found, requests, strict=True)]
        room = [c if "long" not in r.prefix else Completion("", 0, False) for c, r in zip(cut, requests, strict=True)]
        return room, cost


def test_what_did_not_finish_fails_whatever_it_says_and_is_counted() -> None:
    """All completions say `win`; those with an odd seed are cut off there. Only finished ones win and run tests."""
    asked = Rollouts(
        LineTask(), LimitedSampler(lambda _: "win\n"), RolloutSettings(16, 1.0, False, False, False), 50, 1
    )
    evidence = asked.ask([Prefix(question("q", ("assert True",)), STEPS, 1)])[0]
    right = [completion.right for completion in evidence.completions]
    assert isinstance(asked.sampler, LimitedSampler)
    assert right == [request.seed % 2 == 0 for request in asked.sampler.calls[0]]
    assert 0 < sum(right) < 16 and evidence.label
    assert asked.unfinished == asked.verdicts["unparsable"] == 16 - sum(right)
    assert asked.cost.programs == asked.verdicts["right"] == sum(right)


def test_a_prefix_without_room_in_the_context_is_a_failure_and_counted() -> None:
    """T = 4 answers of nothing: label 0, four trajectories that are the prefix itself."""
    asked = Rollouts(LineTask(), LimitedSampler(lambda _: "win\n"), RolloutSettings(4, 1.0, True, True, True), 50, 1)
    evidence = asked.ask([prefix(1, trajectory("t", ["long", "lose"]))])[0]
    assert (evidence.label, [c.steps for c in evidence.completions]) == (False, [("long\n",)] * 4)
    assert (asked.unfinished, asked.cost.rollouts) == (4, 4)


@pytest.mark.parametrize("per_position", [0, -3])
def test_no_rollouts_are_refused(per_position: int) -> None:
    with pytest.raises(BadInput, match=rf"rollouts\.per_position is {per_position}: a label needs at least one"):
        rollouts(lambda _: "win\n", per_position)


@pytest.mark.parametrize(
    ("position", "message"),
    [
        (0, "prefix of 0 of the 4 steps of trajectory t is empty"),
        (4, "prefix of 4 of the 4 steps of trajectory t is the whole"),
        (5, "trajectory t has 4 steps, no prefix of 5"),
        (-1, "trajectory t has 4 steps, no prefix of -1"),
    ],
)
def test_only_proper_prefixes_are_asked(position: int, message: str) -> None:
    asked = rollouts(lambda _: "win\n")
    with pytest.raises(RecordError, match=message):
        asked.ask([prefix(1), prefix(position)])
    assert sizes(asked) == []


def test_a_step_of_nothing_is_an_empty_prefix() -> None:
    with pytest.raises(RecordError, match="prefix of 1 of the 2 steps of trajectory e is empty"):
        rollouts(lambda _: "win\n").ask([prefix(1, Trajectory("e", "q", ("", "lose\n"), "wrong", "sample"))])


RIGHT = trajectory("w", ["one", "more", "win"])


def test_a_witness_proves_its_step_prefixes_in_every_trajectory_of_its_question() -> None:
    """w begins with `one`, as t does at 1 but no longer at 2; another question's `one` is another prefix."""
    asked = rollouts(lambda _: "lose\n", 2, reuse=True)
    asked.witness([trajectory("x", ["one", "two", "lose"]), RIGHT])
    stranger = trajectory("s", ["one", "lose"], "other")
    told = asked.ask([prefix(1), prefix(2), prefix(1, stranger, "other")])
    assert told[0] == Evidence(True, ())
    assert [(e.label, len(e.completions)) for e in told[1:]] == [(False, 2), (False, 2)]
    assert asked.cost.rollouts == 4


def test_without_reuse_nobody_is_a_witness() -> None:
    asked = rollouts(lambda _: "lose\n", 2)
    asked.witness([RIGHT])
    assert not asked.ask([prefix(1)])[0].label


def test_a_prefix_that_ends_inside_a_step_is_not_proven() -> None:
    """The witness has the step `1` with a blank line, or `12`; the text `1` begins both and is a step of neither."""
    asked = rollouts(lambda _: "lose\n", 1, reuse=True)
    asked.witness(
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
    assert asked.ask(others) == [Evidence(True, ()), Evidence(True, ())]
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
    asked.witness([RIGHT])
    assert not failed.label and asked.ask([prefix(1)]) == [Evidence(True, failed.completions)]
    assert asked.cost.rollouts == 2


def test_huge_waves_reach_the_sampler_in_bounded_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five prefixes with T = 3 and 7 requests at most: calls of 2, 2 and 1 prefixes, the same completions."""
    many = [prefix(1, trajectory(f"t{i}", [f"step {i}", "lose"])) for i in range(5)]
    whole = rollouts(lucky(0.3), 3)
    expected = whole.ask(many)
    monkeypatch.setattr("sapo.supervise.rollouts.REQUESTS_AT_ONCE", 7)
    parts = rollouts(lucky(0.3), 3)
    assert parts.ask(many) == expected
    assert (sizes(whole), sizes(parts)) == ([15], [6, 6, 3])
    monkeypatch.setattr("sapo.supervise.rollouts.REQUESTS_AT_ONCE", 2)
    single = rollouts(lucky(0.3), 3)
    assert single.ask(many) == expected and sizes(single) == [3] * 5, "a wave of one prefix is never split"


def test_the_first_completions_are_the_same_for_every_t() -> None:
    few, more = (rollouts(lucky(0.3), t).ask([prefix(1)])[0].completions for t in (4, 40))
    assert more[:4] == few
    assert {c.right for c in more} == {True, False}


def test_samplers_run_with_the_collector_on_and_it_is_left_as_found() -> None:
    seen: list[bool] = []

    def note(_: Request) -> str:
        seen.append(gc.isenabled())
        return "win\n"

    rollouts(note, 2, reuse=True).ask([prefix(1), prefix(2)])
    assert seen == [True, True] and gc.isenabled()
    with pytest.raises(RecordError):
        rollouts(note).ask([prefix(0)])
    assert gc.isenabled()
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


WORDS = st.sampled_from(["up", "down", "left"])
TRAJECTORIES = st.lists(st.lists(WORDS, min_size=1, max_size=4), min_size=1, max_size=8)


def by_prefix(request: Request) -> str:
    """Deterministic per prefix: an even number of `up` can still win."""
    return "win\n" if request.prefix.count("up") % 2 == 0 else "lose\n"


def asked_once(wanted: Sequence[Prefix], per_position: int, lazy: bool, merge: bool) -> tuple[list[Evidence], int]:
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
