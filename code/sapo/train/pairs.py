"""Rewards to preference pairs (SAPO eq. 15): per question, `tau_w` over `tau_l` where r_w - r_l >= eta.

The paper does not say which of the admissible pairs are kept. Here the largest gap comes first, because a large
gap is the least likely to be an error of the verifier; equal gaps are chosen among by the seed alone. With rewards
that are outcomes (1 or 0) all gaps are equal, and the same rule draws right-wrong pairs at random.

1. A gap of 0 makes no pair, even at eta = 0. 2. Trajectories of the same text count as one (the first by id), so a
text is never paired with itself nor used more often than `per_trajectory` times.
"""

import heapq
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sapo.records import BadInput, PreferencePair, Trajectory
from sapo.settings import PairSettings

ROUNDING = 1e-9  # 0.3 - 0.2 is 0.09999999999999998 and still meets eta = 0.1


class PairError(BadInput):
    """No question kept a pair; the message says why."""


@dataclass(frozen=True, slots=True)
class PairReport:
    """How many questions kept a pair, and why the others lost theirs (each for the first reason that holds).

    Args:
        questions: questions asked about; `kept` and the four reasons add up to it.
        pairs: pairs made.
        few_texts: fewer than two different texts.
        flat: all rewards are equal.
        none_right: a right chosen one is demanded, and there is none.
        small_gap: no gap reaches eta (with a right chosen one, if demanded).
    """

    questions: int
    kept: int
    pairs: int
    few_texts: int
    flat: int
    none_right: int
    small_gap: int


def make_pairs(
    trajectories: Sequence[Trajectory],
    rewards: Mapping[str, float],
    prompts: Mapping[str, str],
    settings: PairSettings,
    seed: int,
) -> tuple[list[PreferencePair], PairReport]:
    """Preference pairs in the order of `prompts`; trajectories of other questions are left aside.

    Args:
        rewards: reward of every trajectory by its id; see `outcome_rewards` for pairs by outcome.
        prompts: prompt of every question asked about, by its id.

    Raises:
        ValueError: a trajectory has no reward, or one that is not finite; names the trajectory.
        PairError: not one pair can be made.
    """
    answers: defaultdict[str, list[Trajectory]] = defaultdict(list)
    for trajectory in trajectories:
        answers[trajectory.question_id].append(trajectory)
    pairs: list[PreferencePair] = []
    fates: Counter[str] = Counter()
    for question, prompt in prompts.items():
        chosen, fate = _choose(question, answers[question], rewards, settings, seed)
        fates[fate] += 1
        for winner, loser in chosen:
            values = rewards[winner.id], rewards[loser.id]
            pairs.append(PreferencePair(question, prompt, winner.text, loser.text, *values))
    reasons = {reason: fates[reason] for reason in ("few_texts", "flat", "none_right", "small_gap")}
    report = PairReport(len(prompts), fates["kept"], len(pairs), **reasons)
    if not pairs:
        raise PairError(f"no preference pair in {len(prompts)} questions at eta = {settings.eta}: {reasons}")
    return pairs, report


def outcome_rewards(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Reward 1 for a right trajectory, 0 for any other: pairs by outcome (SAPO w/o RM, SIPF's SIOF)."""
    return {trajectory.id: float(trajectory.right) for trajectory in trajectories}


def _choose(
    question: str,
    trajectories: Sequence[Trajectory],
    rewards: Mapping[str, float],
    settings: PairSettings,
    seed: int,
) -> tuple[list[tuple[Trajectory, Trajectory]], str]:
    """(winner, loser) pairs of one question, and its fate: "kept" or the reason for having none."""
    unique = _one_per_text(trajectories)
    for one in unique:
        if not math.isfinite(rewards.get(one.id, math.nan)):
            raise ValueError(f"trajectory {one.id} of question {question} has the reward {rewards.get(one.id)}")
    if len(unique) < 2:
        return [], "few_texts"
    if len({rewards[one.id] for one in unique}) == 1:
        return [], "flat"
    random.Random(f"{seed}/{question}").shuffle(unique)  # decides among equal rewards: the sorts are stable
    losers = sorted(unique, key=lambda one: rewards[one.id])
    winners = sorted(unique, key=lambda one: -rewards[one.id])
    if settings.chosen == "right":
        winners = [one for one in winners if one.right]
    if not winners:
        return [], "none_right"
    used: Counter[str] = Counter()
    pairs: list[tuple[Trajectory, Trajectory]] = []
    for winner, loser in _by_gap(winners, losers, rewards, settings.eta):
        if len(pairs) == settings.per_question:
            break
        if max(used[winner.id], used[loser.id]) < settings.per_trajectory:
            used.update([winner.id, loser.id])
            pairs.append((winner, loser))
    return pairs, "kept" if pairs else "small_gap"


def _one_per_text(trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    first: dict[str, Trajectory] = {}
    for trajectory in sorted(trajectories, key=lambda one: one.id):
        first.setdefault(trajectory.text, trajectory)
    return list(first.values())


def _by_gap(
    winners: Sequence[Trajectory], losers: Sequence[Trajectory], rewards: Mapping[str, float], eta: float
) -> Iterator[tuple[Trajectory, Trajectory]]:
    """All admissible (winner, loser) by falling gap, without making every pair: best-first from the extremes.

    `winners` fall and `losers` rise in reward, so the next largest gap is always beside one already given.
    """

    def entry(w: int, k: int) -> tuple[float, int, int, int]:
        return rewards[losers[k].id] - rewards[winners[w].id], max(w, k), w, k

    heap, seen = [entry(0, 0)], {(0, 0)}
    while heap:
        negative_gap, _, w, k = heapq.heappop(heap)
        if -negative_gap < eta - ROUNDING or negative_gap >= 0:
            return  # every pair still to come has a gap at most as large
        yield winners[w], losers[k]
        for following in ((w + 1, k), (w, k + 1)):
            if following not in seen and following[0] < len(winners) and following[1] < len(losers):
                seen.add(following)
                heapq.heappush(heap, entry(*following))
