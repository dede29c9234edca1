"""Trajectories that a model can be trained on and a verifier can score, step by step; the others are left out.

Some cannot: a tokenizer may merge the end of a step with the next one, and a text may be longer than the model's
positions (`Encoder.attempt_steps`). They are counted, and end no run.
"""

from collections.abc import Mapping, Sequence

from sapo.models.encoding import Encoded, Encoder
from sapo.records import Trajectory


def scorable(encoder: Encoder, prompts: Mapping[str, str], trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    """The trajectories, in order, without those that cannot be encoded step by step.

    Args:
        prompts: of their questions, by id.
    """
    rows = encoder.attempt_steps([(prompts[t.question_id], t.steps) for t in trajectories])
    return [t for t, row in zip(trajectories, rows, strict=True) if isinstance(row, Encoded)]
