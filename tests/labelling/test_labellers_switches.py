"""No combination of the planner's switches changes a label of any labeller, except where documented."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import pytest
from fakes import MOST, LineTask, Reply, ScriptedSampler, question, trajectory, wins_unless_bad
from hypothesis import given, settings
from hypothesis import strategies as st

from sapo.labelling.labellers import LabelItem, Labelled, LabellerName, Rules, label
from sapo.labelling.rollouts import Rollouts
from sapo.labelling.search import good_until
from sapo.records import StepScores
from sapo.sampling.protocol import Request
from sapo.settings import DetectSettings, LabelSettings, RolloutSettings, SapsSettings

DROP = DetectSettings("scores", "drop", True)
LABELLERS: tuple[tuple[LabellerName, bool], ...] = (
    ("outcome", False), ("shepherd", False), ("omega", False), ("saps", False), ("saps", True),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Switches:
    """All savings; all off is the papers' arithmetic."""

    lazy: bool = False
    merge: bool = False
    reuse: bool = False
    known_correct: bool = False
    monotone: bool = False


EVERY_WAY = [Switches(*on) for on in itertools.product([False, True], repeat=5)]


def with_switches(
    how: tuple[LabellerName, bool], items: Sequence[LabelItem], switches: Switches, reply: Reply
) -> tuple[list[Labelled], Rollouts]:
    """Labels by T = 3 rollouts, and what they cost."""
    settings = RolloutSettings(3, 1.0, switches.lazy, switches.merge, switches.reuse, 0)
    rollouts = Rollouts(LineTask(), ScriptedSampler(reply), settings, 50, 1)
    saps = SapsSettings("until_located" if how[1] else "once")
    rules = Rules(LabelSettings("saps", "reasoner", switches.known_correct, switches.monotone, 1, 1), DROP, saps)
    return label(how[0], items, rollouts, rules), rollouts


@st.composite
def pools(draw: st.DrawFn, lucky: bool) -> list[LabelItem]:
    """Trajectories of two questions, some good steps before some bad ones, scored at random.

    Args:
        lucky: a trajectory with a bad step may end right all the same.
    """
    words = st.sampled_from(["good", "fine"])
    items = []
    for number in range(draw(st.integers(1, 5))):
        good, bad = draw(st.lists(words, max_size=4)), draw(st.integers(0, 3))
        end = draw(st.sampled_from(["win", "lose"])) if lucky or not bad else "lose"
        made = trajectory(f"t{number}", [*good, *["bad"] * bad, end], draw(st.sampled_from(["q", "r"])))
        scores = draw(st.lists(st.floats(0, 1), min_size=len(made.steps), max_size=len(made.steps)))
        items.append(LabelItem(question(made.question_id), made, StepScores(made.id, tuple(scores))))
    return items


def labels_of(labelled: Sequence[Labelled]) -> list[tuple[int, ...]]:
    return [entry.labels.labels for entry in labelled]


def check_costs(labelled: Sequence[Labelled], rollouts: Rollouts) -> None:
    """What was spent is what was asked of the sampler and what is kept as evidence, at most T a prefix."""
    assert isinstance(rollouts.sampler, ScriptedSampler)
    evidence = [found for entry in labelled for found in entry.evidence.values()]
    assert all(len(found.completions) <= 3 for found in evidence)
    kept = {completion.id for found in evidence for completion in found.completions}
    assert rollouts.cost.rollouts == sum(rollouts.sampler.sizes) == len(kept) == rollouts.cost.generated_tokens
    assert sum(rollouts.verdicts.values()) == rollouts.cost.rollouts and rollouts.unfinished == 0


@pytest.mark.parametrize("how", LABELLERS)
@settings(max_examples=20, deadline=None)
@given(pools(lucky=False))
def test_with_a_monotone_reasoner_no_switch_changes_a_label(
    how: tuple[LabellerName, bool], items: list[LabelItem]
) -> None:
    """Labels are those of all switches off for all 32 combinations, and each saving only lowers the rollouts."""
    naive, _ = with_switches(how, items, Switches(), wins_unless_bad)
    spent: dict[Switches, int] = {}
    for switches in EVERY_WAY:
        labelled, rollouts = with_switches(how, items, switches, wins_unless_bad)
        assert labels_of(labelled) == labels_of(naive)
        check_costs(labelled, rollouts)
        spent[switches] = rollouts.cost.rollouts
    for switches, cost in spent.items():
        for name in ("lazy", "merge", "reuse", "known_correct", "monotone"):
            assert spent[dataclasses.replace(switches, **{name: True})] <= cost


@settings(max_examples=50, deadline=None)
@given(pools(lucky=False))
def test_labels_of_all_off_cost_what_the_papers_say(items: list[LabelItem]) -> None:
    """T = 3 at every step 1…n-1 for shepherd, at two for saps, and nothing for the outcome."""
    steps = sum(len(one.trajectory.steps) - 1 for one in items)
    assert with_switches(("outcome", False), items, Switches(), wins_unless_bad)[1].cost.rollouts == 0
    assert with_switches(("shepherd", False), items, Switches(), wins_unless_bad)[1].cost.rollouts == 3 * steps
    wrong = [one for one in items if not one.trajectory.right]
    labelled, rollouts = with_switches(("saps", False), wrong, Switches(), wins_unless_bad)
    assert rollouts.cost.rollouts == 3 * sum(len(entry.labels.asked) for entry in labelled)
    assert all(len(entry.labels.asked) <= 2 for entry in labelled)


@settings(max_examples=50, deadline=None)
@given(pools(lucky=False), st.sampled_from(EVERY_WAY))
def test_until_located_is_exact_and_asks_little(items: list[LabelItem], switches: Switches) -> None:
    """Bad steps can never win and the end of a wrong trajectory is wrong: the first of these is the first error."""
    labelled, _ = with_switches(("saps", True), items, switches, wins_unless_bad)
    for entry in labelled:
        made = entry.item.trajectory
        steps = len(made.steps)
        error = (*made.steps, "bad\n").index("bad\n") if made.right or "bad\n" in made.steps else steps - 1
        assert entry.labels.labels == good_until(error, steps)
        if not made.right:
            assert len(entry.labels.asked) <= math.ceil(math.log2(steps)) + 2


@pytest.mark.parametrize("how", LABELLERS)
@settings(max_examples=20, deadline=None)
@given(pools(lucky=True), st.integers(0, 100))
def test_with_any_reasoner_switches_turn_labels_from_0_to_1_only(
    how: tuple[LabellerName, bool], items: list[LabelItem], percent: int
) -> None:
    """Documented: lucky witnesses, random successes and monotonicity raise labels. `lazy` alone changes none.

    Compared under equal `merge`, which decides what is drawn.
    """

    def lucky(request: Request) -> str:
        return "win\n" if request.seed < percent / 100 * MOST else "lose\n"

    naive = {on: labels_of(with_switches(how, items, Switches(merge=on), lucky)[0]) for on in (False, True)}
    for switches in EVERY_WAY:
        labelled, rollouts = with_switches(how, items, switches, lucky)
        check_costs(labelled, rollouts)
        for own, full in zip(labels_of(labelled), naive[switches.merge], strict=True):
            assert all(a >= b for a, b in zip(own, full, strict=True))
            if switches == Switches(lazy=True, merge=switches.merge):
                assert own == full
