"""The four labellers behind one interface: batches, evidence, costs, refusals."""

from collections.abc import Sequence

import pytest
from fakes import LineTask, ScriptedSampler, TableVerifier, question, trajectory, wins_unless_bad

from sapo.records import RecordError, StepScores, Trajectory
from sapo.settings import DetectSettings, LabelSettings, RolloutSettings, SapsSettings
from sapo.supervise.labellers import LabelItem, Labelled, LabellerName, Rules, label
from sapo.supervise.rollouts import Rollouts

DROP = DetectSettings("scores", "drop", True)
VERIFIER = TableVerifier(
    {"good\n": 1.0, "bad\n": 0.25, "hidden bad\n": 1.0, "odd\n": 0.25, "lose\n": 0.0, "win\n": 1.0}
)


def rules(witness: bool = True, monotone: bool = False, located: bool = False) -> Rules:
    return Rules(
        LabelSettings("saps", "reasoner", witness, monotone, 1, 1),
        DROP,
        SapsSettings("until_located" if located else "once"),
    )


def item(made: Trajectory, scored: bool = True) -> LabelItem:
    scores = StepScores(made.id, VERIFIER.score([("", made.steps)])[0]) if scored else None
    return LabelItem(question(made.question_id), made, scores)


def chain(name: str, error: int, steps: int = 8, wrong: str = "bad") -> Trajectory:
    """`error - 1` good steps, then wrong ones; the last one states a wrong answer."""
    return trajectory(name, ["good"] * (error - 1) + [wrong] * (steps - error) + ["lose"])


def run(
    name: LabellerName, items: Sequence[LabelItem], how: Rules | None = None, per_position: int = 1
) -> tuple[list[Labelled], ScriptedSampler, Rollouts]:
    sampler = ScriptedSampler(wins_unless_bad)
    rollouts = Rollouts(LineTask(), sampler, RolloutSettings(per_position, 1.0, False, False, False), 50, 1)
    return label(name, items, rollouts, how or rules()), sampler, rollouts


HUNDRED = [item(chain(f"t{i}", 1 + i % 8)) for i in range(100)]


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("outcome", []),
        ("shepherd", [700]),  # 7 positions each
        # Middles 4, then 2 or 6, then an odd one: every trajectory of 8 steps asks three times.
        ("omega", [100, 100, 100]),
        # First errors 1…8 of 100: 13 each of 1-4, 12 each of 5-8. Error 1: t^ = 0, only step 1. Error 8: t^ = 7,
        # only step 7. All others ask two: 2 · 100 - 13 - 12.
        ("saps", [175]),
    ],
)
def test_a_hundred_trajectories_are_labelled_in_step(name: LabellerName, calls: list[int]) -> None:
    labelled, sampler, rollouts = run(name, HUNDRED)
    assert sampler.sizes == calls
    assert rollouts.cost.rollouts == sum(calls)
    assert [entry.item for entry in labelled] == HUNDRED
    if name != "outcome":
        for i, entry in enumerate(labelled):
            good = i % 8
            assert entry.labels.labels == (1,) * good + (0,) * (8 - good)


def test_until_located_asks_for_those_that_are_still_open() -> None:
    """Scores that see nothing put t^ at 7 of 8: one position each. Error 8 is located; the other seven go on.

    For these the scores of steps 1…7 are all equal, the guesses are bisections or the earliest; all end exact.
    """
    blind = [item(chain(f"t{error}", error, wrong="hidden bad")) for error in range(1, 9)]
    labelled, sampler, _ = run("saps", blind, rules(located=True))
    assert sampler.sizes[:2] == [8, 7] and sampler.sizes == sorted(sampler.sizes, reverse=True)
    assert len(sampler.sizes) <= 1 + 3, "one round of verification and at most log2 8 more"
    assert [sum(entry.labels.labels) for entry in labelled] == [0, 1, 2, 3, 4, 5, 6, 7]


def test_labels_say_what_they_rest_on() -> None:
    """Error at 3 of 5, seen by the verifier: t^ = 2, asked 2 (good) and 3 (bad): case (a), with their evidence."""
    entry = run("saps", [item(chain("t", 3, 5))], per_position=4)[0][0]
    assert (entry.labels.labels, entry.labels.asked, entry.labels.case) == ((1, 1, 0, 0, 0), (2, 3), "a")
    assert {j: (e.label, len(e.completions)) for j, e in entry.evidence.items()} == {2: (True, 4), 3: (False, 4)}


def test_saps_corrects_what_the_scores_get_wrong() -> None:
    """`odd` scores low but can still win: t^ = 1, asked 1 and 2, both good: case (b), step 2 becomes 1."""
    entry = run("saps", [item(trajectory("t", ["good", "odd", "bad", "lose"]))])[0][0]
    assert (entry.labels.labels, entry.labels.asked, entry.labels.case) == ((1, 1, 0, 0), (1, 2), "b")


@pytest.mark.parametrize("name", ["shepherd", "omega", "saps"])
def test_a_right_trajectory_is_its_own_witness(name: LabellerName) -> None:
    """Its labels are 1 for nothing. Without the witness rule rollouts decide, and a lucky guess shows."""
    lucky = item(trajectory("t", ["good", "bad", "win"]))
    entry, sampler, _ = run(name, [lucky])
    assert (entry[0].labels.labels, entry[0].labels.case, sampler.sizes) == ((1, 1, 1), "witness", [])
    entry, sampler, _ = run(name, [lucky], rules(witness=False))
    assert (entry[0].labels.labels, entry[0].labels.case, sampler.sizes) == ((1, 0, 1), "every_step", [2])
    entry, _, _ = run(name, [lucky], rules(witness=False, monotone=True))
    assert entry[0].labels.labels == (1, 1, 1)


@pytest.mark.parametrize("name", ["outcome", "shepherd", "omega", "saps"])
@pytest.mark.parametrize("witness", [True, False])
def test_a_single_step_has_the_label_of_the_outcome(name: LabellerName, witness: bool) -> None:
    labelled, sampler, _ = run(name, [item(trajectory("r", ["win"])), item(trajectory("w", ["lose"]))], rules(witness))
    assert [entry.labels.labels for entry in labelled] == [(1,), (0,)]
    assert sampler.sizes == []


def test_right_and_wrong_trajectories_mix() -> None:
    """Only the two wrong ones ask; each gets its own answers back."""
    items = [item(chain("a", 2, 4)), item(trajectory("r", ["good", "win"])), item(chain("b", 4, 4))]
    labelled, sampler, _ = run("omega", items)
    assert [entry.labels.labels for entry in labelled] == [(1, 0, 0, 0), (1, 1), (1, 1, 1, 0)]
    assert sampler.sizes == [2, 2]


def test_no_items_ask_nothing() -> None:
    assert run("saps", [])[0] == []


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (None, "scores of trajectory t7, none are given"),
        (StepScores("t7", (0.5, 0.5)), "scores has 2 entries for the 8 steps of trajectory t7"),
        (StepScores("t8", (0.5,) * 8), "scores of trajectory t8 are given for t7"),
    ],
)
def test_saps_refuses_scores_that_do_not_fit(scores: StepScores | None, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        run("saps", [HUNDRED[0], LabelItem(question(), chain("t7", 3), scores)])
