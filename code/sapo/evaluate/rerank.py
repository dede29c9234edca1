"""Choosing among samples with a verifier: best of N, majority vote, and step-level beam search.

Best of N and pass@N are exact expectations over all subsets of N of a question's samples. Majority votes are means over
drawn subsets. Bounds of any choice: pass@N above, one sample (N = 1) for a verifier without information.
"""

import itertools
import math
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sapo.records import Cost, Question
from sapo.runtime.workspace import derive_seed
from sapo.sampling.protocol import Request, Sampler
from sapo.tasks.task import Task

SUBSETS = 200  # drawn for a vote


def aggregate(scores: Sequence[float]) -> float:
    """Reward of a trajectory: the mean of its step scores (SAPO eq. 14)."""
    return sum(scores) / len(scores)


# What others make of the step scores of a trajectory; `mean` is the papers'.
AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": aggregate,
    "min": min,
    "last": lambda scores: scores[-1],
    "product": math.prod,
}


def pass_at(right: Sequence[bool], count: int) -> float:
    """Chance that one of `count` samples, drawn without replacement, is right. Raises ValueError: there are fewer.

    >>> pass_at([True, False, False], 2)
    0.6666666666666667
    """
    _check_enough(right, count)
    return 1 - math.comb(len(right) - sum(right), count) / math.comb(len(right), count)


def best_of(right: Sequence[bool], rewards: Sequence[float], count: int) -> float:
    """Chance that the sample with the largest reward of `count`, drawn without replacement, is right; ties are shared.

    Rewards .9 (wrong), .5 (right), .1 (right), two drawn: the first is in 2 of 3 pairs, so 1/3.

    Raises:
        ValueError: there are fewer samples.
    """
    _check_enough(right, count)
    found, left = 0.0, len(right)
    order = sorted(range(len(right)), key=lambda i: -rewards[i])
    for _, tied in itertools.groupby(order, key=lambda i: rewards[i]):
        own = list(tied)
        # Subsets with none of those before and at least one of these.
        subsets = math.comb(left, count) - math.comb(left - len(own), count)
        found += subsets * sum(right[i] for i in own) / len(own)
        left -= len(own)
    return found / math.comb(len(right), count)


def voted(
    right: Sequence[bool], answers: Sequence[int], count: int, seed: int, weights: Sequence[float] | None = None
) -> float:
    """Chance that the answer with the most votes of `count` samples is right; ties are shared.

    Args:
        answers: equal numbers are equal answers. weights: of the votes, 1 each without them.

    Raises:
        ValueError: there are fewer samples.
    """
    _check_enough(right, count)
    chance, found = random.Random(seed), 0.0
    subsets = [range(len(right))] if count == len(right) else []
    subsets = subsets or [chance.sample(range(len(right)), count) for _ in range(SUBSETS)]
    for subset in subsets:
        votes: defaultdict[int, float] = defaultdict(float)
        for i in subset:
            votes[answers[i]] += weights[i] if weights else 1.0
        most = max(votes.values())
        winners = {answer for answer, own in votes.items() if own == most}
        shares = {answers[i]: right[i] for i in subset if answers[i] in winners}
        found += sum(shares.values()) / len(winners)
    return found / len(subsets)


def _check_enough(right: Sequence[bool], count: int) -> None:
    if not 1 <= count <= len(right):
        raise ValueError(f"{count} of {len(right)} samples cannot be drawn")


Scorer = Callable[[Sequence[tuple[str, tuple[str, ...]]]], Sequence[Sequence[float]]]
"""(prompt, steps) of many trajectories → scores of their steps, none where they cannot be scored."""


@dataclass(frozen=True, slots=True)
class Beam:
    """Step-level beam search: `width` prefixes stay, each is continued by `expand` steps, at most `steps` times.

    Args:
        limit: tokens of one step.
    """

    width: int
    expand: int
    steps: int
    temperature: float
    limit: int


@dataclass(slots=True)
class _Path:
    text: str = ""
    reward: float = 0.0
    done: bool = False


def beam_search(
    task: Task, sampler: Sampler, scorer: Scorer, questions: Sequence[Question], beam: Beam, seed: int
) -> tuple[list[str], Cost]:
    """The best completion of every question that the search finds, in order, and what drawing cost.

    A path is done at its answer, at the end token, or where a step does not end within its tokens. All questions
    take their next step together.
    """
    paths = {question.id: [_Path()] for question in questions}
    by_id, cost = {question.id: question for question in questions}, Cost()
    for step in range(beam.steps):
        live = [(name, k, path) for name, own in paths.items() for k, path in enumerate(own) if not path.done]
        if not live:
            break
        asked = [
            (name, path, derive_seed(seed, name, step, k, n)) for name, k, path in live for n in range(beam.expand)
        ]
        requests = [Request(by_id[name].prompt, path.text, own) for name, path, own in asked]
        drawn, spent = sampler.complete(requests, beam.temperature, beam.limit, lambda text: _step_end(task, text))
        cost += spent
        grown: defaultdict[str, dict[str, _Path]] = defaultdict(dict)
        for (name, path, _), completion in zip(asked, drawn, strict=True):
            text = path.text + completion.text
            ended = not completion.finished or _step_end(task, completion.text) is None
            grown[name].setdefault(text, _Path(text, 0.0, ended or task.answered(text) is not None))
        _score(task, scorer, by_id, grown)
        for name, new in grown.items():
            kept = [path for path in paths[name] if path.done] + list(new.values())
            paths[name] = sorted(kept, key=lambda path: (-path.reward, path.text))[: beam.width]
    return [max(own, key=lambda path: (path.done, path.reward)).text for own in paths.values()], cost


def _step_end(task: Task, text: str) -> int | None:
    """Length of the first step, where the text holds all of it: whatever comes next begins another one."""
    first, *others = task.split(text + "x") if text else ("",)
    return len(first) if others else None


def _score(task: Task, scorer: Scorer, by_id: dict[str, Question], grown: dict[str, dict[str, _Path]]) -> None:
    new = [(name, path) for name, own in grown.items() for path in own.values() if path.text]
    scores = scorer([(by_id[name].prompt, tuple(task.split(path.text))) for name, path in new])
    for (_, path), own in zip(new, scores, strict=True):
        path.reward = aggregate(own) if own else 0.0
