"""Rollouts as training trajectories (SAPO "Expansion")."""

from fakes import question, trajectory

from sapo.labelling.expansion import expand
from sapo.labelling.labellers import LabelItem, Labelled
from sapo.labelling.rollouts import PrefixEstimate
from sapo.records import LabelCase, StepLabels, Trajectory


def labelled(
    made: Trajectory, labels: tuple[int, ...], evidence: dict[int, list[Trajectory]], case: LabelCase = "a"
) -> Labelled:
    known = {j: PrefixEstimate(any(c.right for c in made_), tuple(made_)) for j, made_ in evidence.items()}
    return Labelled(LabelItem(question(made.question_id), made), StepLabels(made.id, labels, tuple(known), case), known)


def found(entries: list[Labelled], most: int = 10) -> list[tuple[str, tuple[int, ...]]]:
    return [(made.id, labels.labels) for made, labels in expand(entries, most)]


def test_worked_example() -> None:
    """Steps a b c lose with labels 1 1 0 0 (error at 3), verified at 2 (good) and 3 (bad).

    At 2 three completions: a b d win → all 1 (four of them); a b lose → left out, since what failed from a good
    prefix says nothing of where; a b win → all 1 (three). At 3 two: a b c lose more → 1 1 0 0 0, and
    a b c e → 1 1 0 0.
    """
    made = trajectory("t", ["a", "b", "c", "lose"])
    after2 = [("x", ["a", "b", "d", "win"]), ("y", ["a", "b", "lose"]), ("z", ["a", "b", "win"])]
    after3 = [("v", ["a", "b", "c", "more", "lose"]), ("w", ["a", "b", "c", "e"])]
    evidence = {2: [trajectory(*c) for c in after2], 3: [trajectory(*c) for c in after3]}
    assert found([labelled(made, (1, 1, 0, 0), evidence)]) == [
        ("x", (1, 1, 1, 1)),
        ("v", (1, 1, 0, 0, 0)),
        ("z", (1, 1, 1)),
        ("w", (1, 1, 0, 0)),
    ]


def test_positions_take_turns_from_the_first_error_outwards() -> None:
    """Labels 1 1 1 0 0 0 (error at 4), asked at 1 2 3 4 5 as Shepherd does, two wins or losses at each.

    Distances from the border are 2 1 0 at 1 2 3 and 0 1 at 4 5, so the turns are 3 4 2 5 1. A cap of 2 keeps one of
    the last good step and one of the first bad one; the order of asking would keep two from step 1.
    """
    steps = ["a", "b", "c", "d", "e", "lose"]
    evidence = {
        j: [trajectory(f"{j}{k}", [*steps[:j], k, "win" if j < 4 else "lose"]) for k in "xy"] for j in range(1, 6)
    }
    entry = labelled(trajectory("t", steps), (1, 1, 1, 0, 0, 0), evidence)
    assert [name for name, _ in found([entry], 2)] == ["3x", "4x"]
    assert [name for name, _ in found([entry], 7)] == ["3x", "4x", "2x", "5x", "1x", "3y", "4y"]


def test_labels_speak_of_their_own_trajectory_and_rest_on_nothing_asked() -> None:
    entry = labelled(trajectory("t", ["a", "lose"]), (1, 0), {1: [trajectory("x", ["a", "win"])]})
    [(made, labels)] = expand([entry], 1)
    assert labels == StepLabels("x", (1, 1), (), "expansion")
    labels.check(made)


def test_a_completion_that_adds_nothing_ends_in_the_bad_step() -> None:
    """From the bad prefix a (j = 1) the reasoner says nothing: the trajectory is just a, label 0."""
    entry = labelled(trajectory("t", ["a", "lose"]), (0, 0), {1: [trajectory("x", ["a"])]})
    assert found([entry]) == [("x", (0,))]


def test_failed_rollouts_that_a_later_success_overrules_prove_nothing() -> None:
    """Rollouts fail at 1 and succeed at 2 (read as 1,1): step 1 is good, so its failures cannot call it bad."""
    evidence = {1: [trajectory("x", ["a", "lose"])], 2: [trajectory("y", ["a", "b", "win"])]}
    entry = labelled(trajectory("t", ["a", "b", "lose"]), (1, 1, 0), evidence, "b")
    assert found([entry]) == [("y", (1, 1, 1))]


def test_the_cap_is_for_each_labelled_trajectory() -> None:
    """Five completions each and a cap of 2: the first two in the order of asking, from both; 0 switches it off."""
    entries = [
        labelled(trajectory(t, [t, "lose"]), (0, 0), {1: [trajectory(f"{t}{i}", [t, f"{i}"]) for i in range(5)]})
        for t in "ab"
    ]
    assert [name for name, _ in found(entries, 2)] == ["a0", "a1", "b0", "b1"]
    assert found(entries, 0) == []


def test_no_text_of_a_question_comes_twice() -> None:
    """a z repeats itself, and a lose is the labelled trajectory itself; in another question both are new."""
    texts = [["a", "z"], ["a", "z"], ["a", "lose"]]
    here = labelled(trajectory("t", ["a", "lose"]), (0, 0), {1: [trajectory(f"x{i}", s) for i, s in enumerate(texts)]})
    there = labelled(
        trajectory("u", ["b", "lose"], "q2"),
        (0, 0),
        {1: [trajectory(f"y{i}", s, "q2") for i, s in enumerate(texts)]},
    )
    assert [name for name, _ in found([here, there])] == ["x0", "y0", "y2"]


def test_what_the_cap_leaves_out_may_come_from_another_trajectory() -> None:
    """Both expand to a y and a z; the first is capped at a y, so the second still brings a z."""
    texts = (["a", "y"], ["a", "z"])
    entries = [
        labelled(
            trajectory(t, ["a", t, "lose"]), (0, 0, 0), {1: [trajectory(f"{t}{i}", s) for i, s in enumerate(texts)]}
        )
        for t in "bc"
    ]
    assert [name for name, _ in found(entries, 1)] == ["b0", "c1"]


def test_a_prefix_that_another_text_proves_expands_to_nothing() -> None:
    """Step 1 was proven without a rollout, step 2 after a failure of its own: neither is new, no failure is bad."""
    made = trajectory("t", ["a", "b", "lose"])
    known = {1: PrefixEstimate(True, ()), 2: PrefixEstimate(True, (trajectory("x", ["a", "b", "c", "lose"]),))}
    item = LabelItem(question(), made)
    assert found([Labelled(item, StepLabels("t", (1, 1, 0), (1, 2), "b"), known)]) == []
