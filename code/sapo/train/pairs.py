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
from dataclasses import asdict, dataclass
from typing import NamedTuple

from sapo.records import BadInput, PreferencePair, Trajectory
from sapo.settings import PairSettings
from sapo.train.trainer import Chosen, RandomTexts, Round, TrainingData

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


class Candidate(NamedTuple):
    """A trajectory and its reward."""

    trajectory: Trajectory
    reward: float


def make_pairs(
    trajectories: Sequence[Trajectory],
    rewards: Sequence[float],
    prompts: Mapping[str, str],
    settings: PairSettings,
    seed: int,
) -> tuple[list[PreferencePair], PairReport]:
    """Preference pairs in the order of `prompts`; trajectories of other questions are left aside.

    Args:
        rewards: reward of every trajectory, in step with them; `outcome_rewards` gives pairs by outcome.
        prompts: prompt of every question asked about, by its id.

    Raises:
        ValueError: rewards and trajectories differ in number, or a reward is not finite; names the trajectory.
        PairError: not one pair can be made.
    """
    if len(rewards) != len(trajectories):
        raise ValueError(f"rewards has {len(rewards)} entries for {len(trajectories)} trajectories")
    answers: defaultdict[str, list[Candidate]] = defaultdict(list)
    for trajectory, reward in zip(trajectories, rewards, strict=True):
        if not math.isfinite(reward):
            raise ValueError(f"trajectory {trajectory.id} of question {trajectory.question_id} has the reward {reward}")
        answers[trajectory.question_id].append(Candidate(trajectory, reward))
    pairs: list[PreferencePair] = []
    fates: Counter[str] = Counter()
    for question, prompt in prompts.items():
        chosen, fate = _choose(answers[question], settings, random.Random(f"{seed}/{question}"))
        fates[fate] += 1
        for winner, loser in chosen:
            texts = winner.trajectory.text, loser.trajectory.text
            pairs.append(PreferencePair(question, prompt, *texts, winner.reward, loser.reward))
    reasons = {reason: fates[reason] for reason in ("few_texts", "flat", "none_right", "small_gap")}
    report = PairReport(len(prompts), fates["kept"], len(pairs), **reasons)
    if not pairs:
        raise PairError(f"no preference pair in {len(prompts)} questions at eta = {settings.eta}: {reasons}")
    return pairs, report


def outcome_rewards(trajectories: Sequence[Trajectory]) -> list[float]:
    """Reward 1 for a right trajectory, 0 for any other: pairs by outcome (SAPO w/o RM, SIPF's SIOF)."""
    return [float(trajectory.right) for trajectory in trajectories]


def _choose(
    candidates: Sequence[Candidate], settings: PairSettings, chance: random.Random
) -> tuple[list[tuple[Candidate, Candidate]], str]:
    """(winner, loser) pairs of one question, and its fate: "kept" or the reason for having none."""
    unique = _one_per_text(candidates)
    if len(unique) < 2:
        return [], "few_texts"
    if len({one.reward for one in unique}) == 1:
        return [], "flat"
    chance.shuffle(unique)  # decides among equal rewards: the sorts are stable
    losers = sorted(unique, key=lambda one: one.reward)
    winners = sorted(unique, key=lambda one: -one.reward)
    if settings.chosen == "right":
        winners = [one for one in winners if one.trajectory.right]
    if not winners:
        return [], "none_right"
    used: Counter[str] = Counter()
    pairs: list[tuple[Candidate, Candidate]] = []
    for winner, loser in _by_gap(winners, losers, settings.eta):
        if len(pairs) == settings.per_question:
            break
        texts = winner.trajectory.text, loser.trajectory.text
        if max(used[text] for text in texts) < settings.per_trajectory:
            used.update(texts)
            pairs.append((winner, loser))
    return pairs, "kept" if pairs else "small_gap"


def _one_per_text(candidates: Sequence[Candidate]) -> list[Candidate]:
    first: dict[str, Candidate] = {}
    for one in sorted(candidates, key=lambda one: one.trajectory.id):
        first.setdefault(one.trajectory.text, one)
    return list(first.values())


def _by_gap(
    winners: Sequence[Candidate], losers: Sequence[Candidate], eta: float
) -> Iterator[tuple[Candidate, Candidate]]:
    """All admissible (winner, loser) by falling gap, without making every pair: best-first from the extremes.

    `winners` fall and `losers` rise in reward, so the next largest gap is always beside one already given.
    """

    def entry(w: int, k: int) -> tuple[float, int, int, int]:
        return losers[k].reward - winners[w].reward, max(w, k), w, k

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


def _of_round(this: Round) -> Chosen:
    return Chosen(*make_pairs(this.pool, this.rewards, this.prompts, this.pairs, this.seed("pairs", this.number)))


def _stand_in(texts: RandomTexts, count: int) -> list[PreferencePair]:
    return [
        PreferencePair(f"q{n}", texts.prompt(), "".join(texts.steps()), "".join(texts.steps()), 1.0, 0.0)
        for n in range(count)
    ]


PAIRS = TrainingData(
    to_json=asdict,
    from_json=lambda row: PreferencePair(**row),
    stand_in=_stand_in,
    choose=_of_round,
    report=("pairs.json", PairReport),
)
