"""What rollouts refuse, what ends without an answer, and how much is asked at once."""

import gc
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from fakes import LineTask, ScriptedSampler, question, trajectory
from scripted_rollouts import STEPS, lucky, prefix, rollouts, sizes

from sapo.labelling.rollouts import Prefix, Rollouts, collector_paused
from sapo.records import BadInput, Cost, RecordError, Trajectory
from sapo.sampling.protocol import Completion, Request, Until
from sapo.settings import RolloutSettings


@dataclass
class LimitedSampler(ScriptedSampler):
    """Cuts off what has an odd seed; a prefix with the step `long` finds no room for anything."""

    def complete(
        self, requests: Sequence[Request], temperature: float, max_new_tokens: int, until: Until | None = None
    ) -> tuple[list[Completion], Cost]:
        found, cost = super().complete(requests, temperature, max_new_tokens, until)
        cut = [Completion(c.text, c.tokens, r.seed % 2 == 0) for c, r in zip(found, requests, strict=True)]
        room = [c if "long" not in r.prefix else Completion("", 0, False) for c, r in zip(cut, requests, strict=True)]
        return room, cost


def test_what_did_not_finish_fails_whatever_it_says_and_is_counted() -> None:
    """All completions say `win`; those with an odd seed are cut off there. Only finished ones win and run tests."""
    asked = Rollouts(
        LineTask(), LimitedSampler(lambda _: "win\n"), RolloutSettings(16, 1.0, False, False, False, 0), 50, 1
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
    asked = Rollouts(LineTask(), LimitedSampler(lambda _: "win\n"), RolloutSettings(4, 1.0, True, True, True, 0), 50, 1)
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


def test_huge_waves_reach_the_sampler_in_bounded_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five prefixes with T = 3 and 7 requests at most: calls of 2, 2 and 1 prefixes, the same completions."""
    many = [prefix(1, trajectory(f"t{i}", [f"step {i}", "lose"])) for i in range(5)]
    whole = rollouts(lucky(0.3), 3)
    expected = whole.ask(many)
    monkeypatch.setattr("sapo.labelling.rollouts.REQUESTS_AT_ONCE", 7)
    parts = rollouts(lucky(0.3), 3)
    assert parts.ask(many) == expected
    assert (sizes(whole), sizes(parts)) == ([15], [6, 6, 3])
    monkeypatch.setattr("sapo.labelling.rollouts.REQUESTS_AT_ONCE", 2)
    single = rollouts(lucky(0.3), 3)
    assert single.ask(many) == expected and sizes(single) == [3] * 5, "a wave of one prefix is never split"


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
