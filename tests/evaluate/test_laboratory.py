"""Whether a base model and a task make a laboratory: shares, error positions, targets."""

import dataclasses
from pathlib import Path

import pytest
from fakes import LineTask, ScriptedSampler, question
from report_runs import MODEL, TASK, tiny_settings

from sapo.evaluate.accuracy import solve
from sapo.evaluate.testbed_checks import Measured, pass_rates, step_statistics, verdicts
from sapo.records import Outcome, Question, Trajectory, Verdict, write_json
from sapo.report.tables.testbed import questions_with_pairs, targets_table
from sapo.runtime.workspace import Workspace
from sapo.tasks.nano import nano_math

PROMPT = "Ben has 15 coins. Cy has 3 more than Ben. Dee has 2 times as many as Cy. How many does Dee have?\n"
QUESTIONS = {"q": Question("q", PROMPT, "36")}


def drawn(text: str, verdict: Verdict, question_id: str = "q") -> Trajectory:
    return Trajectory("t", question_id, nano_math.split(text), verdict, "sample")


RIGHT = drawn("Cy : Ben + 3\n15 + 3 = 18\nDee : Cy * 2\n18 * 2 = 36\nanswer 36\n", "right")
LUCKY = drawn("Cy : Ben + 3\n15 + 3 = 8\nanswer 36\n", "right")
WRONG_FIRST = drawn("Cy : Ben - 3\n15 - 3 = 12\nanswer 12\n", "wrong")
WRONG_THIRD = drawn("Cy : Ben + 3\n15 + 3 = 18\nanswer 18\n", "wrong")
BROKEN_OFF = drawn("Cy : Ben + 3\n15 + 3 = 18\n", "unparsable")

GOOD = Measured(0.3, 0.35, 0.45, 0.5, 0.4, 0.7, 0.06, 7.0, (10, 20, 20))


def test_pass_rates_by_hand() -> None:
    """Five trajectories of four questions, three right ones of two questions: 3/5 and 2/4."""
    judged: list[tuple[Verdict, str]] = [("right", "a"), ("wrong", "a"), ("right", "b"), ("right", "b"), ("wrong", "c")]
    pool = [drawn("x", verdict, name) for verdict, name in judged]
    assert pass_rates([question(name) for name in "abcd"], pool) == (0.6, 0.5)
    assert pass_rates([question("a")], []) == (0.0, 0.0)


def test_step_statistics_by_hand() -> None:
    """One of two right trajectories has a wrong step; first errors at step 1 once, at step 3 twice.

    A text that breaks off without a wrong step has no first error.
    """
    pool = [RIGHT, LUCKY, WRONG_FIRST, WRONG_THIRD, WRONG_THIRD, BROKEN_OFF]
    assert step_statistics(nano_math, QUESTIONS, pool) == (0.5, (1, 0, 2))
    assert step_statistics(nano_math, QUESTIONS, [RIGHT]) == (0.0, ())
    assert step_statistics(nano_math, QUESTIONS, []) == (0.0, ())


def test_a_laboratory_that_meets_its_targets() -> None:
    """base .3; gains .05, .10, .15; gap .3; the commonest error position has 20 of 50; 6 % flawed."""
    found = verdicts([GOOD])
    assert {name: entry["value"] for name, entry in found.items()} == {
        "base_accuracy": 0.3,
        "sft_gain": 0.05,
        "pass_at_k_gap": 0.3,
        "largest_share_of_one_error_position": 0.4,
        "right_with_wrong_step": 0.06,
        "rft_gain": 0.1,
        "orpo_outcome_gain": 0.15,
    }
    assert all(entry["met"] is True for entry in found.values())


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({"base": 0.125, "sft": 0.25}, "base_accuracy"),
        ({"base": 0.5, "sft": 0.625, "rft": 0.75, "orpo_outcome": 0.75}, "base_accuracy"),
        ({"sft": 0.25}, "sft_gain"),
        ({"pass_at_k": 0.5}, "pass_at_k_gap"),
        ({"first_errors": (31, 19)}, "largest_share_of_one_error_position"),
        ({"first_errors": ()}, "largest_share_of_one_error_position"),
        ({"right_with_wrong_step": 0.04}, "right_with_wrong_step"),
        ({"rft": 0.375}, "rft_gain"),
        ({"orpo_outcome": 0.375}, "orpo_outcome_gain"),
    ],
)
def test_each_target_can_be_missed(change: dict[str, float], missed: str) -> None:
    found = verdicts([dataclasses.replace(GOOD, **change)])
    assert [name for name, entry in found.items() if not entry["met"]] == [missed]


def test_targets_are_means_over_seeds_but_errors_must_spread_in_each() -> None:
    """RFT gains .125 and .0625: mean .09375 meets .08. Error shares .4 and .75: the worse one counts."""
    runs = [
        dataclasses.replace(GOOD, sft=0.25, rft=0.375),
        dataclasses.replace(GOOD, sft=0.25, rft=0.3125, first_errors=(3, 1)),
    ]
    found = verdicts(runs)
    assert found["rft_gain"] == {"value": 0.0938, "met": True}
    assert found["largest_share_of_one_error_position"] == {"value": 0.75, "met": False}


def test_solve_answers_greedily_once_and_keeps_the_cluster() -> None:
    questions = [question("a"), Question("b", "Prompt of b.\n", "win", group="pair")]
    sampler = ScriptedSampler(lambda request: "win\n" if "of a" in request.prompt else "")
    outcomes, cost = solve(LineTask(), sampler, questions, 50)
    assert outcomes == [Outcome("a", "a", "win\n", "right"), Outcome("b", "pair", "", "unparsable")]
    assert cost.rollouts == 2 and {request.prefix for request in sampler.calls[0]} == {""}


def test_questions_with_pairs_are_those_of_every_round_of_sapo(tmp_path: Path) -> None:
    """Of 10 training questions 7 and 4 keep a pair in seed 1, 5 in seed 2; other methods do not count."""
    settings = tiny_settings()
    workspace = Workspace(tmp_path, settings.profile)
    for place, kept in {"1/sapo/1": 7, "1/sapo/2": 4, "2/sapo/1": 5, "1/orpo_mc/1": 1}.items():
        write_json(workspace.methods(MODEL, TASK) / place / "pairs.json", {"kept": kept})
    assert questions_with_pairs(workspace, settings, MODEL, TASK) == [0.7, 0.4, 0.5]
    assert questions_with_pairs(workspace, settings, "other", TASK) == []


def test_the_table_of_targets_says_what_was_missed_and_what_was_not_measured() -> None:
    targets = {"base_accuracy": {"value": 0.3567, "met": True}, "sft_gain": {"value": -0.01, "met": False}}
    table = targets_table({"m/t": {"train_questions": 208, "targets": targets}})
    assert table.rows == (("m × t", "208", "35.7", "-1.0 ✗", *["–"] * 6),)
    assert len(table.header) == len(table.rows[0])
