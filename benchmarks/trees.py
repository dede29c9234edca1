"""Trees against separate rows: scoring by a verifier and ORPO on the same trajectories, both sides in one process.

    python benchmarks/trees.py [--questions 60] [--repeats 3]

Draws eight samples a question from the shipped qwen2_nano on nano_math, scores them and trains on pairs of them, once
with every sequence as a row of its own (`most` = 1; a pair is one row even then) and once as trees. Prints the tokens
that are left to compute, the median seconds of both sides and their ratio.
"""

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from sapo.labelling.trajectories import distinct, sample
from sapo.models import verifier as scoring
from sapo.models.loading import load_reasoner
from sapo.models.verifier import Verifier, build_step_trees
from sapo.records import PreferencePair, Question, Trajectory
from sapo.sampling.hf_engine import LocalSampler
from sapo.settings import load_settings
from sapo.settings.configure import PARAMS
from sapo.tasks.catalog import find_task, source_of
from sapo.train import orpo

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings, task = load_settings(ROOT / PARAMS), find_task("nano_math")
    questions = task.load("train", source_of("nano_math", settings.data))[: arguments.questions]
    model, encoder = load_reasoner(ROOT / "assets" / "models" / "qwen2_nano")
    sampler = LocalSampler(model, encoder, settings.sampling.rows)
    drawn, _ = sample(task, sampler, questions, settings.sampling, 120, seed=1)
    different = distinct(task, drawn)
    verifier = Verifier.from_reasoner(model, encoder, seed=1)
    by_id = {question.id: question for question in questions}
    items = [(by_id[t.question_id].prompt, t.steps) for t in different]
    encoded, asked = encoder.encode_steps_many(items), [prompt for prompt, _ in items]
    pairs = pairs_of(by_id, different)
    for name, planted in (
        ("scoring", lambda most: [len(entry.tree.ids) for entry in build_step_trees(encoded, asked, most)]),
        ("ORPO", lambda most: [len(entry.tree.ids) for entry in orpo.build_pair_trees(encoder, pairs, most)]),
    ):
        sys.stdout.write(f"{name}: {sum(planted(64)) / sum(planted(1)):.2f} of the tokens are left to compute\n")
    most = scoring.MOST

    def score(largest: int) -> None:
        scoring.MOST = largest
        verifier.score(items)
        scoring.MOST = most

    def train(largest: int) -> None:
        fit = settings.orpo.fit
        trees = orpo.build_pair_trees(encoder, pairs, min(largest, fit.batch_size))
        own = copy.deepcopy(model)
        step = max(1, fit.batch_size * len(trees) // len(pairs))
        for start in range(0, len(trees), step):
            loss, _ = orpo.pair_loss(own, trees[start : start + step], encoder.pad_id, settings.orpo)
            loss.backward()

    for name, run in (("scoring", score), ("ORPO", train)):
        rows, trees = compared(run, arguments.repeats)
        sys.stdout.write(f"{name}: rows {rows:.2f} s, trees {trees:.2f} s, {rows / trees:.2f} times as fast\n")


def compared(run: Callable[[int], None], repeats: int) -> tuple[float, float]:
    """Median seconds with rows of their own and with trees, taken in turn."""
    seconds: dict[int, list[float]] = {1: [], 64: []}
    for _ in range(repeats):
        for largest, own in seconds.items():
            start = time.perf_counter()
            run(largest)
            own.append(time.perf_counter() - start)
    return statistics.median(seconds[1]), statistics.median(seconds[64])


def pairs_of(questions: dict[str, Question], samples: list[Trajectory]) -> list[PreferencePair]:
    """At most two pairs a question, neighbours of the samples."""
    by_question: dict[str, list[Trajectory]] = {}
    for trajectory in samples:
        by_question.setdefault(trajectory.question_id, []).append(trajectory)
    return [
        PreferencePair(name, questions[name].prompt, one.text, other.text, 1.0, 0.0)
        for name, own in by_question.items()
        for one, other in zip(own[0:4:2], own[1:4:2], strict=False)
    ]


if __name__ == "__main__":
    main()
