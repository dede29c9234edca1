"""First wrong step of trajectories, by the oracle of an embedded task or by rollouts of a stronger reasoner.

1. `oracle`: the first step that is wrong by the task's definition, whatever the outcome.
2. `rollout`: a vote is the first prefix none of whose T completions ends right. Where every proper prefix can be
   completed, the outcome decides the last step. Of the savings of `Rollouts`, `lazy` and `merge` keep a vote's
   distribution; `reuse` does not.
3. Each stream of random numbers gives one vote. An item is kept where at least `agree` votes say the same and no other
   position has as many; the others are returned with their votes and the reason.

Limits: a reasoner that fails on the question calls the first step wrong; one that repairs errors calls wrong steps
right. All streams share both faults, so their agreement does not show them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sapo.evaluate.efficiency import first_error, prefix_truth
from sapo.evaluate.process.items import NO_ERROR, ProcessItem
from sapo.evaluate.process.select_pairs import Candidate
from sapo.labelling.rollouts import Prefix, Rollouts
from sapo.records import BadInput
from sapo.tasks.math_grading.grading import check_grader_errors
from sapo.tasks.task import EmbeddedTask


@dataclass(frozen=True, slots=True)
class Dropped:
    """A trajectory that annotations disagree about: their votes (0: no step is wrong) and the reason in words."""

    id: str
    votes: tuple[int, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Annotated:
    """Kept items in the order of the trajectories, and those that were dropped."""

    items: list[ProcessItem]
    dropped: list[Dropped]


def annotated(candidate: Candidate, error: int | None, annotator: str, votes: tuple[int, ...] = ()) -> ProcessItem:
    """The item of a trajectory whose first wrong step is known."""
    question, trajectory = candidate.question, candidate.trajectory
    return ProcessItem(
        id=candidate.id,
        question_id=question.id,
        group=question.group,
        prompt=question.prompt,
        steps=trajectory.steps,
        first_error=error,
        outcome=trajectory.verdict,
        annotator=annotator,
        votes=votes,
        generator=candidate.generator,
    )


def oracle(task: EmbeddedTask, chosen: Sequence[Candidate]) -> list[ProcessItem]:
    """Items with the true first error; a right trajectory may have one."""
    return [
        annotated(c, first_error(prefix_truth(task.step_truth(c.question, c.trajectory.steps))), "oracle")
        for c in chosen
    ]


def rollout(streams: Sequence[Rollouts], chosen: Sequence[Candidate], agree: int) -> Annotated:
    """Items with the first error that at least `agree` streams name; costs are added to each stream's own.

    Args:
        streams: over the same reasoner with different seeds; each gives one vote on every trajectory.

    Raises:
        BadInput: there is no stream, two have the same seed, or more are to agree than there are.
        GraderErrors: more rollouts than one in a thousand could not be judged.
    """
    if len({stream.seed for stream in streams}) < len(streams):
        raise BadInput(f"seeds of rollouts are {[stream.seed for stream in streams]}: equal draws would pass for votes")
    if not 1 <= agree <= len(streams):
        raise BadInput(f"{agree} of {len(streams)} votes are to agree: it must be 1 to the number of votes")
    votes_N = list(zip(*(first_errors(stream, chosen) for stream in streams), strict=True))
    return keep_agreed(chosen, votes_N, agree, "rollout")


def first_errors(rollouts: Rollouts, chosen: Sequence[Candidate]) -> list[int]:
    """One vote on each trajectory, 0 where no step is wrong; all of them are asked together, position by position.

    Five steps, T = 8: prefixes 1 and 2 have a completion that ends right, none of prefix 3 has: the vote is 3.
    """
    # Where every proper prefix is good, the last step is, if the outcome is right.
    votes = [NO_ERROR if c.trajectory.right else len(c.trajectory.steps) for c in chosen]
    open_ = list(range(len(chosen)))
    position = 1
    while open_ := [i for i in open_ if position < len(chosen[i].trajectory.steps)]:
        asked = [Prefix(chosen[i].question, chosen[i].trajectory, position) for i in open_]
        answers = dict(zip(open_, rollouts.ask(asked), strict=True))
        votes = [position if i in answers and not answers[i].label else vote for i, vote in enumerate(votes)]
        open_ = [i for i in open_ if answers[i].label]
        position += 1
    check_grader_errors(rollouts.verdicts.elements())
    return votes


def keep_agreed(
    chosen: Sequence[Candidate], votes_N: Sequence[tuple[int, ...]], agree: int, annotator: str
) -> Annotated:
    """Items whose votes agree; the others are dropped. The two sequences run in step."""
    kept = Annotated([], [])
    for candidate, votes in zip(chosen, votes_N, strict=True):
        said = agreed(votes, agree)
        if said is None:
            named = ", ".join(f"step {vote}" if vote else "none" for vote in votes)
            kept.dropped.append(
                Dropped(candidate.id, votes, f"fewer than {agree} of {len(votes)} votes agree: {named}")
            )
        else:
            kept.items.append(annotated(candidate, said or None, annotator, votes))
    return kept


def agreed(votes: Sequence[int], agree: int) -> int | None:
    """What at least `agree` votes say and no other has as many votes; None where there is no such thing.

    With `agree` 2: of 3, 3, 0 it is 3; of 3, 2, 0 nothing; of 3, 3, 0, 0 nothing.
    """
    (said, most), *others = [*Counter(votes).most_common(2), (None, 0)]
    return said if most >= max(agree, 1) and others[0][1] < most else None
