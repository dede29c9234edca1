"""The four labellers behind one interface: batches, evidence, costs, refusals."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import pytest
from fakes import LineTask, ScriptedSampler, TableVerifier, question, trajectory, wins_unless_bad

from sapo.labelling.labellers import LabelItem, Labelled, LabellerName, Rules, label
from sapo.labelling.rollouts import Rollouts
from sapo.labelling.search import good_until
from sapo.records import Question, RecordError, StepScores, Trajectory, Verdict
from sapo.settings import DetectSettings, LabelSettings, RolloutSettings, SapsSettings
from sapo.tasks.math_grading.grading import GraderErrors

DROP = DetectSettings("scores", "drop", True)
VERIFIER = TableVerifier(
    {"good\n": 1.0, "bad\n": 0.25, "hidden bad\n": 1.0, "odd\n": 0.25, "lose\n": 0.0, "win\n": 1.0}
)


def rules(known_correct: bool = True, monotone: bool = False, located: bool = False) -> Rules:
    return Rules(
        LabelSettings("saps", "reasoner", known_correct, monotone, 1, 1),
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
    rollouts = Rollouts(LineTask(), sampler, RolloutSettings(per_position, 1.0, False, False, False, 0), 50, 1)
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


@pytest.mark.parametrize(
    ("name", "unproven"),
    [
        ("shepherd", ((1, 0, 1), "every_step", [2])),
        ("omega", ((1, 1, 1), "known_correct", [])),
        ("saps", ((1, 1, 1), "known_correct", [2])),
    ],
)
def test_a_right_trajectory_is_its_own_witness(name: LabellerName, unproven: object) -> None:
    """Its labels are 1 for nothing.

    Without the witness rule rollouts decide for shepherd, and a lucky guess shows; omega has no error to search; saps
    verifies the detected step and the next one all the same, and its labels are 1.
    """
    lucky = item(trajectory("t", ["good", "bad", "win"]))
    entry, sampler, _ = run(name, [lucky])
    assert (entry[0].labels.labels, entry[0].labels.case, sampler.sizes) == ((1, 1, 1), "known_correct", [])
    entry, sampler, _ = run(name, [lucky], rules(known_correct=False))
    assert (entry[0].labels.labels, entry[0].labels.case, sampler.sizes) == unproven
    entry, _, _ = run(name, [lucky], rules(known_correct=False, monotone=True))
    assert entry[0].labels.labels == (1, 1, 1)


@pytest.mark.parametrize("name", ["outcome", "shepherd", "omega", "saps"])
@pytest.mark.parametrize("known_correct", [True, False])
def test_a_single_step_has_the_label_of_the_outcome(name: LabellerName, known_correct: bool) -> None:
    labelled, sampler, _ = run(
        name, [item(trajectory("r", ["win"])), item(trajectory("w", ["lose"]))], rules(known_correct)
    )
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


def test_scores_that_are_no_numbers_never_become_labels() -> None:
    """A verifier that says nan or inf for a step is refused by trajectory and value before anything is asked."""
    for score in (math.nan, math.inf, -0.5):
        verifier = TableVerifier({"good\n": 1.0, "bad\n": score, "lose\n": 0.0})
        with pytest.raises(RecordError, match=rf"scores of trajectory t7 must lie in \[0, 1\]: \[{score}"):
            made = chain("t7", 3)
            run("saps", [LabelItem(question(), made, StepScores("t7", verifier.score([("", made.steps)])[0]))])


def test_a_trajectory_of_another_question_is_refused() -> None:
    with pytest.raises(RecordError, match="trajectory t answers question q, question other is given"):
        run("omega", [LabelItem(question("other"), chain("t", 3))])


def test_rollouts_that_cannot_be_judged_end_the_run() -> None:
    class Broken(LineTask):
        def grade(self, questions: Sequence[Question], completions: Sequence[str]) -> list[Verdict]:
            return ["grader_error", *super().grade(questions[1:], completions[1:])]

    rollouts = Rollouts(
        Broken(), ScriptedSampler(wins_unless_bad), RolloutSettings(1, 1.0, False, False, False, 0), 50, 1
    )
    with pytest.raises(GraderErrors, match="1 of 175 answers could not be judged"):
        label("saps", HUNDRED, rollouts, rules())


def test_right_items_are_witnesses_of_wrong_ones_where_both_switches_say_so() -> None:
    """r = good odd win. w = good odd bad lose shares its first two steps: c_1 and c_2 are proven, c_3 is asked."""
    items = [item(trajectory("w", ["good", "odd", "bad", "lose"])), item(trajectory("r", ["good", "odd", "win"]))]
    asked: dict[tuple[bool, bool], list[int]] = {}
    for known_correct, reuse in itertools.product([True, False], repeat=2):
        sampler = ScriptedSampler(wins_unless_bad)
        rollouts = Rollouts(LineTask(), sampler, RolloutSettings(1, 1.0, False, False, reuse, 0), 50, 1)
        labelled = label("shepherd", items, rollouts, rules(known_correct))
        assert [entry.labels.labels for entry in labelled] == [(1, 1, 0, 0), (1, 1, 1)]
        asked[known_correct, reuse] = sampler.sizes
    assert asked == {
        (True, True): [1],  # c_3 of w
        (True, False): [3],  # w
        # Without witnesses r is asked too. Later ones first: c_3 of w fails and c_2 of r wins, which proves the rest.
        (False, True): [2],
        (False, False): [5],
    }


def random_rules(seed: int, located: bool = False) -> Rules:
    return dataclasses.replace(rules(located=located), detect=DetectSettings("random", "drop", True), seed=seed)


def test_random_detection_verifies_any_step_with_equal_chances() -> None:
    """1,000 trajectories of 4 steps, all good but the last, t^ in 0…3: asked are 1; 1, 2; 2, 3; 3. 250 each.

    Chi-square with 3 degrees of freedom below 21.1 (one in 10,000).
    """
    items = [item(chain(f"t{i}", 4, 4), scored=False) for i in range(1000)]
    asked = [entry.labels.asked for entry in run("saps", items, random_rules(1))[0]]
    counts = [asked.count(positions) for positions in ((1,), (1, 2), (2, 3), (3,))]
    assert sum(counts) == 1000
    assert sum((count - 250) ** 2 / 250 for count in counts) < 21.1


def test_random_detection_depends_on_seed_and_trajectory_alone() -> None:
    """Neither scores nor company nor order matter; another seed verifies other steps."""
    plain = [item(chain(f"t{i}", 1 + i % 8), scored=False) for i in range(50)]
    expected = [entry.labels for entry in run("saps", plain, random_rules(1))[0]]
    scored = HUNDRED[:50]
    assert [entry.labels for entry in run("saps", scored, random_rules(1))[0]] == expected
    assert [entry.labels for entry in run("saps", plain[::-1], random_rules(1))[0]][::-1] == expected
    assert run("saps", [plain[7]], random_rules(1))[0][0].labels == expected[7]
    assert [entry.labels for entry in run("saps", plain, random_rules(2))[0]] != expected


def test_random_detection_until_located_is_exact_without_scores() -> None:
    items = [item(chain(f"t{i}", 1 + i % 8), scored=False) for i in range(40)]
    for i, entry in enumerate(run("saps", items, random_rules(1, located=True))[0]):
        assert entry.labels.labels == good_until(i % 8, 8)
        assert len(entry.labels.asked) <= 3 + 2
