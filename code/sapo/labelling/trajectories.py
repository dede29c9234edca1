"""Draws trajectories from a reasoner and keeps the different ones: S = Sample(M) of the loop (docs/method.md §7)."""

from collections.abc import Iterable, Sequence

from sapo.records import Cost, Question, Trajectory
from sapo.runtime.workspace import derive_seed
from sapo.sampling.protocol import Request, Sampler
from sapo.settings import SamplingSettings
from sapo.tasks.math_grading.grading import check_grader_errors
from sapo.tasks.task import Task


def sample(
    task: Task,
    sampler: Sampler,
    questions: Sequence[Question],
    settings: SamplingSettings,
    max_new_tokens: int,
    seed: int,
) -> tuple[list[Trajectory], Cost]:
    """`settings.per_question` trajectories of every question, judged; empty completions are left out.

    Repetitions stay: how often a trajectory comes is the reasoner's accuracy. `distinct` removes them.

    Raises:
        GraderErrors: more answers than one in a thousand could not be judged.
    """
    jobs = [(question, k) for question in questions for k in range(settings.per_question)]
    requests = [Request(q.prompt, "", derive_seed(seed, "sample", q.id, k)) for q, k in jobs]
    completions, cost = sampler.complete(requests, settings.temperature, max_new_tokens, task.answered)
    kept = [(q, k, c.text) for (q, k), c in zip(jobs, completions, strict=True) if c.text]
    verdicts = task.grade([q for q, _, _ in kept], [text for _, _, text in kept])
    check_grader_errors(verdicts)
    trajectories = [
        Trajectory(f"{q.id}/{seed:016x}/{k}", q.id, task.split(text), verdict, "sample")
        for (q, k, text), verdict in zip(kept, verdicts, strict=True)
    ]
    return trajectories, cost + Cost(programs=sum(bool(q.tests) for q, _, _ in kept))


def gold_trajectories(task: Task, questions: Iterable[Question]) -> list[Trajectory]:
    """D_org: the given rationales as right trajectories; questions whose rationale is withheld have none."""
    return [Trajectory(f"{q.id}/gold", q.id, task.split(q.solution), "right", "gold") for q in questions if q.solution]


def distinct(task: Task, trajectories: Iterable[Trajectory]) -> list[Trajectory]:
    """The first of all trajectories of one question with one normalised text, in order."""
    first: dict[tuple[str, str], Trajectory] = {}
    for trajectory in trajectories:
        first.setdefault((trajectory.question_id, task.normalise(trajectory.text)), trajectory)
    return list(first.values())
