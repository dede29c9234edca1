"""The four labellers as pure strategies: each yields the positions whose c_j it wants to know, then returns labels.

A strategy sees one trajectory of n steps and knows no model: `c_0 = 1` and `c_n = outcome` are free, every other
c_j is asked. `labellers.py` runs many strategies in step and asks the reasoner for all of them at once.

| strategy | asks | source |
|---|---|---|
| `outcome` | nothing | Lightman 2024 |
| `shepherd` | every step 1…n-1 | Wang 2024 |
| `omega` | the steps that a binary search visits | Luo 2024 |
| `saps` | the detected step and the one after it | SAPO |
"""

import math
from collections.abc import Generator, Mapping, Sequence
from typing import NamedTuple

from sapo.records import LabelCase


class SearchResult(NamedTuple):
    """Labels c_1…c_n and the rule that decided them."""

    labels: tuple[int, ...]
    case: LabelCase


# Yields positions in 1…n-1, receives whether c_j = 1 for each of them.
Strategy = Generator[tuple[int, ...], Mapping[int, bool], SearchResult]


def good_until(position: int, steps: int) -> tuple[int, ...]:
    """Labels 1 for steps 1…position and 0 after it (SAPO eq. 11)."""
    return (1,) * position + (0,) * (steps - position)


def outcome(steps: int, right: bool) -> Strategy:
    """Every step gets the label of the outcome (ORM; "w/o PF")."""
    yield from ()
    return SearchResult((int(right),) * steps, "outcome")


def known_correct(steps: int) -> Strategy:
    """A right trajectory is its own winning continuation: every label is 1 (docs/method.md §1)."""
    yield from ()
    return SearchResult((1,) * steps, "known_correct")


def verified_known_correct(steps: int, detected: int) -> Strategy:
    """A right trajectory whose detected step is verified all the same; its end proves every answer to be 1."""
    if asked := _verified(steps, detected):
        yield asked
    return SearchResult((1,) * steps, "known_correct")


def shepherd(steps: int, right: bool, monotone: bool) -> Strategy:
    """Asks at every step. `monotone`: a later success is evidence for every earlier step."""
    answers = yield tuple(range(1, steps))
    labels = [int(answers[j]) for j in range(1, steps)] + [int(right)]
    if monotone:
        labels = [max(labels[j:]) for j in range(steps)]
    return SearchResult(tuple(labels), "every_step")


def omega(steps: int) -> Strategy:
    """First error of a wrong trajectory by bisection: c_low = 1 and c_high = 0 close in on it. A right one has none."""
    low, high = 0, steps
    while high - low > 1:
        middle = (low + high) // 2
        if (yield (middle,))[middle]:
            low = middle
        else:
            high = middle
    return SearchResult(good_until(low, steps), "bisection")


def saps(steps: int, detected: int) -> Strategy:
    """Verifies the detected step t^ and the next one, and corrects by at most one step (SAPO "Self-verification").

    (a) 1,0: detection was right. (b) 1,1: the error is later, step t^+1 becomes 1. (c) 0,0: it is earlier, step t^
    becomes 0. (0,1) contradicts monotonicity and is read as (1,1).
    """
    asked = _verified(steps, detected)
    answers = (yield asked) if asked else {}
    before, after = answers.get(detected, True), answers.get(detected + 1, False)
    if after:
        return SearchResult(good_until(detected + 1, steps), "b")
    if before:
        return SearchResult(good_until(detected, steps), "a")
    return SearchResult(good_until(detected - 1, steps), "c")


def saps_until_located(steps: int, detected: int, scores: Sequence[float] | None) -> Strategy:
    """Ours: goes on, guided by the scores, until the first error is bracketed; exact under §1's labels.

    One position at a time, since a bad one costs all T rollouts: t^ first, then t^+1 only where t^ is good ((0,1) is
    never seen). Without scores (a random step was verified) it bisects what is left. Asks at most ceil(log2 n) + 2
    positions: a guess is only followed where bisection could still finish in time.
    """
    low, high = 0, steps
    case: LabelCase = "a"
    for position in _verified(steps, detected):
        if (yield (position,))[position]:
            low = position
        else:
            high = position
            break
    if detected < low:
        case = "b"
    elif high == detected:
        case = "c"
    budget = math.ceil(math.log2(max(steps, 2)))
    while high - low > 1:
        guess = _guess(low, high, scores) if scores else (low + high) // 2
        if 1 + math.ceil(math.log2(max(guess - low, high - guess))) > budget:
            guess = (low + high) // 2
        if (yield (guess,))[guess]:
            low = guess
        else:
            high = guess
        budget -= 1
    return SearchResult(good_until(low, steps), case)


def _verified(steps: int, detected: int) -> tuple[int, ...]:
    """The detected position and the next one, without 0 (good) and n (wrong), which are free."""
    return tuple(j for j in (detected, detected + 1) if 0 < j < steps)


def _guess(low: int, high: int, scores: Sequence[float]) -> int:
    """The position in low+1…high-1 next to the largest drop of the scores between low and high."""
    padded = [1.0, *scores]
    drop = max(range(low, high), key=lambda j: (padded[j] - padded[j + 1], -j))
    return drop if drop > low else low + 1


def waves(total: int, lazy: bool) -> list[int]:
    """Sizes of the waves in which `total` rollouts are drawn: all at once, or 1, 1, 2, 4 … up to `total` together.

    >>> waves(16, lazy=True), waves(5, lazy=True), waves(5, lazy=False)
    ([1, 1, 2, 4, 8], [1, 1, 2, 1], [5])
    """
    if not lazy:
        return [total]
    sizes = [1]
    while sum(sizes) < total:
        sizes.append(min(sum(sizes), total - sum(sizes)))
    return sizes
