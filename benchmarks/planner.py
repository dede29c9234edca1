"""Seconds and memory of planning rollouts: 10^5 wrong trajectories of 6 distinct steps, labelled lazily by saps.

The sampler is scripted: it answers at once and its own time is subtracted. Planning is everything before the first
wave has been requested: detection, strategies, prefixes, merging, seeds, requests. What is done with the answers
(steps cut, judged and kept as evidence, later waves) is reported beside it, without a target. Memory is traced in a
second run, because tracing slows the first: the peak above what the trajectories and scores themselves take.
Seconds up to the first wave are the median of three runs.
Run alone: python benchmarks/planner.py [TRAJECTORIES] → one JSON line, exit status 1 beyond the targets.
"""

import gc
import json
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial

from sapo.labelling.labellers import LabelItem, Rules, label
from sapo.labelling.rollouts import Rollouts
from sapo.records import Cost, Question, StepScores, Trajectory, Verdict
from sapo.sampling.protocol import Completion, Request, Until
from sapo.settings import DetectSettings, LabelSettings, RolloutSettings, SapsSettings
from sapo.tasks.steps import split_lines
from sapo.tasks.task import DataSource, Split

COUNT, STEPS, PER_QUESTION = 100_000, 6, 8
SECONDS, MEGABYTES = 2.0, 500.0
RULES = Rules(
    LabelSettings("saps", "reasoner", True, True, 1, 1), DetectSettings("scores", "drop", True), SapsSettings("once")
)
LAZY = RolloutSettings(8, 1.0, lazy=True, merge=True, reuse=False, cached_tokens=0)
REUSE = RolloutSettings(8, 1.0, lazy=True, merge=True, reuse=True, cached_tokens=0)


class FirstWaveDone(Exception):
    """All of the first wave has been requested."""


class InstantSampler:
    """Every second completion wins. Keeps the time spent in here; stops at request `last`, if that is given."""

    def __init__(self, last: int = 0) -> None:
        self.last = last
        self.seconds = 0.0
        self.requests = 0
        self.texts = (Completion("so it is 12\nwin\n", 8, True), Completion("so it is 13\nlose\n", 8, True))

    def complete(
        self, requests: Sequence[Request], temperature: float, max_new_tokens: int, until: Until | None = None
    ) -> tuple[list[Completion], Cost]:
        start = time.perf_counter()
        self.requests += len(requests)
        if self.requests == self.last:
            raise FirstWaveDone
        drawn = [self.texts[request.seed & 1] for request in requests]
        cost = Cost(rollouts=len(requests), generated_tokens=8 * len(requests))
        self.seconds += time.perf_counter() - start
        return drawn, cost


class EndsTask:
    """Steps are lines; a text is right when it ends in `win`."""

    NAME = "ends"

    def load(self, split: Split, source: DataSource) -> list[Question]:
        return []

    def split(self, text: str) -> tuple[str, ...]:
        return split_lines(text)

    def grade(self, questions: Sequence[Question], completions: Sequence[str]) -> list[Verdict]:
        return ["right" if text.endswith("win\n") else "wrong" for text in completions]

    def answered(self, text: str) -> int | None:
        return None

    def normalise(self, text: str) -> str:
        return text

    def unparsable_kind(self, completion: str) -> str:
        return ""


def wrong_items(count: int) -> list[LabelItem]:
    """Trajectories unlike each other in every step, eight of a question; all positions are detected equally often."""
    items = []
    questions = [Question(f"q{number}", f"Prompt {number}.\n", "12") for number in range(1 + count // PER_QUESTION)]
    for number in range(count):
        question = questions[number // PER_QUESTION]
        steps = tuple(f"step {step} of text {number:08d}\n" for step in range(STEPS))
        trajectory = Trajectory(f"{question.id}/t{number}", question.id, steps, "wrong", "sample")
        good = number % STEPS
        scores = StepScores(trajectory.id, (0.9,) * good + (0.2,) * (STEPS - good))
        items.append(LabelItem(question, trajectory, scores))
    return items


def plan(items: list[LabelItem], settings: RolloutSettings, first_wave: int) -> float:
    """Seconds until the first wave has been requested; the sampler's own are not counted."""
    sampler = InstantSampler(first_wave)
    rollouts = Rollouts(EndsTask(), sampler, settings, 100, 1)
    start = time.perf_counter()
    try:
        label("saps", items, rollouts, RULES)
    except FirstWaveDone:
        return time.perf_counter() - start - sampler.seconds
    raise SystemExit(f"{sampler.requests} requests were made, the first wave has {first_wave}")


def label_all(items: list[LabelItem], settings: RolloutSettings) -> tuple[float, int]:
    """Seconds to label everything without the sampler's own, and the rollouts drawn."""
    sampler = InstantSampler()
    rollouts = Rollouts(EndsTask(), sampler, settings, 100, 1)
    start = time.perf_counter()
    label("saps", items, rollouts, RULES)
    return time.perf_counter() - start - sampler.seconds, rollouts.cost.rollouts


def peak_megabytes(work: Callable[[], object]) -> float:
    """Most memory that Python objects of this work took at once, in 10^6 bytes."""
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def measure(count: int) -> dict[str, float]:
    """All figures for `count` trajectories. t^ = 0 and t^ = n - 1 leave one position to ask, every other two."""
    items = wrong_items(count)
    asked = sum(1 if number % STEPS in (0, STEPS - 1) else 2 for number in range(count))
    # With reuse the later of two positions is asked first: the first wave has one request of each trajectory.
    waves = {"lazy": (LAZY, asked), "reuse": (REUSE, count)}
    figures: dict[str, float] = {}
    for name, (settings, first_wave) in waves.items():
        figures[f"{name}_first_wave_requests"] = first_wave
        figures[f"{name}_first_wave_seconds"] = statistics.median(plan(items, settings, first_wave) for _ in range(3))
        figures[f"{name}_first_wave_megabytes"] = peak_megabytes(partial(plan, items, settings, first_wave))
        figures[f"{name}_all_seconds"], figures[f"{name}_all_rollouts"] = label_all(items, settings)
        figures[f"{name}_all_megabytes"] = peak_megabytes(partial(label_all, items, settings))
    return figures


def main() -> int:
    figures = measure(int(sys.argv[1]) if len(sys.argv) > 1 else COUNT)
    sys.stdout.write(json.dumps({name: round(value, 3) for name, value in figures.items()}) + "\n")
    seconds = [value for name, value in figures.items() if name.endswith("first_wave_seconds")]
    megabytes = [value for name, value in figures.items() if name.endswith("first_wave_megabytes")]
    return 0 if max(seconds) < SECONDS and max(megabytes) < MEGABYTES else 1


if __name__ == "__main__":
    sys.exit(main())
