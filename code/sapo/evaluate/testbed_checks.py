"""Targets of a testbed: whether a base model and a task leave room to improve, and errors at every step.

Accuracies of SFT, RFT and ORPO on outcomes are greedy, on development questions, so that a task that is redesigned
until it meets its targets has not been tuned on the test split.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sapo.records import Question, Trajectory
from sapo.tasks.task import EmbeddedTask


@dataclass(frozen=True, slots=True)
class Measured:
    """Accuracies are shares in [0, 1]; `first_errors[j]` counts wrong trajectories whose first wrong step is j + 1."""

    base: float
    sft: float
    rft: float
    orpo_outcome: float
    pass_at_1: float
    pass_at_k: float
    right_with_wrong_step: float
    mean_steps: float
    first_errors: tuple[int, ...]


def pass_rates(questions: Sequence[Question], drawn: Sequence[Trajectory]) -> tuple[float, float]:
    """Share of right trajectories, and of questions with at least one (pass@1 and pass@K over the K drawn)."""
    solved = {trajectory.question_id for trajectory in drawn if trajectory.right}
    right = sum(trajectory.right for trajectory in drawn)
    return right / max(1, len(drawn)), len(solved) / len(questions)


def step_statistics(
    task: EmbeddedTask, questions: Mapping[str, Question], drawn: Sequence[Trajectory]
) -> tuple[float, tuple[int, ...]]:
    """Share of right trajectories with a wrong step, and the positions of the first errors of wrong ones."""
    flawed, right, positions = 0, 0, Counter[int]()
    for trajectory in drawn:
        truth = task.step_truth(questions[trajectory.question_id], trajectory.steps)
        if trajectory.right:
            right, flawed = right + 1, flawed + (not all(truth))
        elif not all(truth):
            positions[truth.index(False)] += 1
    longest = max(positions, default=-1) + 1
    return flawed / max(1, right), tuple(positions[j] for j in range(longest))


def verdicts(runs: Sequence[Measured]) -> dict[str, dict[str, float | bool]]:
    """Every target with the mean over seeds and whether it is met."""

    def mean(values: Sequence[float]) -> float:
        return sum(values) / len(values)

    base = mean([run.base for run in runs])
    # Without a single wrong trajectory there is nothing to locate: as bad as all errors in one place.
    concentration = max(max(run.first_errors, default=1) / max(1, sum(run.first_errors)) for run in runs)
    found = {
        "base_accuracy": (base, 0.15 <= base <= 0.45),
        "sft_gain": (value := mean([run.sft - run.base for run in runs]), value > 0),
        "pass_at_k_gap": (value := mean([run.pass_at_k - run.pass_at_1 for run in runs]), value >= 0.20),
        "largest_share_of_one_error_position": (concentration, concentration <= 0.60),
        "right_with_wrong_step": (value := mean([run.right_with_wrong_step for run in runs]), value >= 0.05),
        "rft_gain": (value := mean([run.rft - run.sft for run in runs]), value >= 0.08),
        "orpo_outcome_gain": (value := mean([run.orpo_outcome - run.sft for run in runs]), value >= 0.08),
    }
    return {name: {"value": round(number, 4), "met": bool(met)} for name, (number, met) in found.items()}
