"""Rollouts over scripted reasoners, as the tests of the planner need them."""

from fakes import MOST, LineTask, Reply, ScriptedSampler, question, trajectory
from hypothesis import strategies as st

from sapo.labelling.rollouts import Prefix, Rollouts
from sapo.records import Trajectory
from sapo.settings import RolloutSettings

STEPS = trajectory("t", ["one", "two", "three", "lose"])


def rollouts(
    reply: Reply, per_position: int = 8, lazy: bool = False, merge: bool = False, reuse: bool = False, seed: int = 1
) -> Rollouts:
    return Rollouts(
        LineTask(), ScriptedSampler(reply), RolloutSettings(per_position, 1.0, lazy, merge, reuse, 0), 50, seed
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


WORDS = st.sampled_from(["up", "down", "left"])
TRAJECTORIES = st.lists(st.lists(WORDS, min_size=1, max_size=4), min_size=1, max_size=8)
