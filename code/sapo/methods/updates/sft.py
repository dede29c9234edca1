"""Rejection sampling fine-tuning (Yuan 2023): SFT on the gold rationales and on the trajectories that pass a filter.

A trajectory passes if it ends right and its reward reaches `filter.min_reward`. With outcome rewards that is RFT, and
round after round from the current reasoner's samples, online RFT; with a verifier's rewards it is pRFT.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sapo.methods.bench import Bench
from sapo.methods.kept import training
from sapo.methods.rounds import NothingLeft, Round, budget, prompts_of, save_update
from sapo.models.loading import load_reasoner
from sapo.records import Cost, Trajectory, write_json
from sapo.supervise.sampling import gold_trajectories
from sapo.train.cost import matched, training_cost
from sapo.train.jobs import Job, carry_out
from sapo.train.loop import Watch
from sapo.train.sft import sft_rows


@dataclass(frozen=True, slots=True)
class FilterReport:
    """How many questions kept a trajectory, and why the others lost theirs (each for the first reason that holds).

    Args:
        questions: questions asked about; `kept` and the reasons add up to it.
        trajectories: trajectories kept, gold ones left aside.
        none_right: no trajectory ends right.
        low_reward: no right trajectory reaches the reward.
    """

    questions: int
    kept: int
    trajectories: int
    none_right: int
    low_reward: int


def passing(
    pool: Sequence[Trajectory], rewards: Sequence[float], questions: Sequence[str], least: float
) -> tuple[list[Trajectory], FilterReport]:
    """Right trajectories of at least the reward `least`, in order, gold ones left aside.

    Raises:
        NothingLeft: no trajectory passes.
    """
    fates = dict.fromkeys(questions, "none_right")
    kept = []
    for trajectory, reward in zip(pool, rewards, strict=True):
        if trajectory.source == "gold" or trajectory.question_id not in fates or not trajectory.right:
            continue
        if reward >= least:
            kept.append(trajectory)
            fates[trajectory.question_id] = "kept"
        elif fates[trajectory.question_id] == "none_right":
            fates[trajectory.question_id] = "low_reward"
    counts = Counter(fates.values())
    report = FilterReport(len(fates), counts["kept"], len(kept), counts["none_right"], counts["low_reward"])
    if not kept:
        raise NothingLeft(f"no trajectory of {len(pool)} ends right with a reward of {least} or more: {asdict(report)}")
    return kept, report


def update(bench: Bench, this: Round, rounds: int, folder: Path) -> Cost:
    prompts = prompts_of(bench)
    kept, report = passing(this.pool, this.rewards, list(prompts), bench.settings.filter.min_reward)
    write_json(folder / "filter.json", asdict(report))
    gold = gold_trajectories(bench.task, bench.gold_questions())
    return learn(bench, this, rounds, [(prompts[t.question_id], t.text) for t in [*gold, *kept]], folder)


def learn(bench: Bench, this: Round, rounds: int, texts: list[tuple[str, str]], folder: Path) -> Cost:
    """SFT of the round's start on (prompt, completion) texts; returns its cost."""
    model, encoder = load_reasoner(this.start)
    lengths = [len(row["input_ids"]) for row in sft_rows(encoder, texts)]
    fit = matched(bench.settings.sft, lengths, budget(bench, rounds))
    seeds = bench.seed("sft", this.number), bench.seed("adapters", "sft", this.number)
    job = Job("sft", this.start, texts, fit, *seeds)
    model, log, _ = carry_out(job, (model, encoder), bench.settings.tuning, Watch(None, training(folder)))
    save_update(folder, model, encoder, log)
    return training_cost(model.config, lengths, fit.epochs)
