"""Where verifier scores say that a trajectory goes wrong (SAPO eq. 8-10)."""

from collections.abc import Sequence
from typing import Literal


def detect(scores: Sequence[float], sign: Literal["drop", "rise"] = "drop", virtual_start: bool = True) -> int:
    """The last step believed good, t^ in 0…n-1; step t^ + 1 is the suspected first error.

    t^ = argmax_j (c^_j - c^_{j+1}) over j = 0…n-1 with c^_0 = 1; ties go to the earliest j. Departure: the paper
    prints the difference with the opposite sign (`rise`) and starts at j = 1 (`virtual_start=False`), with which
    its own figure 3 and case table make no sense.

    Args:
        scores: c^_1…c^_n in [0, 1].

    Raises:
        ValueError: there are no scores.
    """
    if not scores:
        raise ValueError("no scores: a trajectory has at least one step")
    padded = [1.0, *scores]
    start = 0 if virtual_start or len(scores) == 1 else 1
    direction = 1.0 if sign == "drop" else -1.0
    drops = [direction * (padded[j] - padded[j + 1]) for j in range(start, len(scores))]
    return start + drops.index(max(drops))


def random_position(steps: int, seed: int) -> int:
    """t^ without a verifier: uniform in 0…n-1 (the ablation "w/o DV"). `seed` has 63 bits, the bias is below n / 2^63.

    Raises:
        ValueError: there are no steps.
    """
    if steps < 1:
        raise ValueError(f"{steps} steps: a trajectory has at least one step")
    return seed % steps
