"""Trajectories scored per second by `Verifier.score`, beside one forward a step, by the same nano verifier.

300 trajectories of nano_math (gold solutions of training questions) under a fresh head. `score` reads a trajectory
once, many of them together; the plain side reads the prefix behind every step on its own, as a verifier does that is
asked for one score, and tokenises it with `encode_steps` too. One thread, CPU seconds (another process's load does not
count), rounds alternate, medians count. The scores of both sides must be equal within 1e-5.
Run alone: python benchmarks/scoring.py [ROUNDS] → one JSON line, exit status 1 below `TIMES` or beyond `EQUAL`.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from sapo.models.loading import load_reasoner
from sapo.models.verifier import Verifier
from sapo.tasks.nano import nano_math
from sapo.tasks.task import DataSource

MODEL = Path("assets/models/qwen2_nano")
TRAJECTORIES, TIMES, EQUAL = 300, 5.0, 1e-5

Items = list[tuple[str, tuple[str, ...]]]
Scores = list[tuple[float, ...]]


def trajectories() -> Items:
    questions = nano_math.load("train", DataSource(Path("data")))
    return [(q.prompt, nano_math.split(q.solution)) for q in questions if q.solution][:TRAJECTORIES]


@torch.inference_mode()
def step_by_step(verifier: Verifier, items: Items) -> Scores:
    """Every step's score by its own forward over the prompt and the steps up to it."""
    return [
        tuple(last_score(verifier, prompt, steps[:length]) for length in range(1, len(steps) + 1))
        for prompt, steps in items
    ]


def last_score(verifier: Verifier, prompt: str, steps: tuple[str, ...]) -> float:
    row = verifier.encoder.encode_steps(prompt, steps)
    hidden = verifier.backbone(input_ids=torch.tensor([row.ids]), use_cache=False).last_hidden_state
    return verifier.head(hidden[0, -1]).sigmoid().item()


def timed(work: Callable[[], Scores]) -> tuple[float, Scores]:
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def measure(rounds: int = 5) -> dict[str, float]:
    """Median trajectories per second, the median ratio over the rounds, and the largest difference of two scores."""
    torch.set_num_threads(1)
    verifier = Verifier.from_reasoner(*load_reasoner(MODEL), seed=1).eval()
    with torch.no_grad():
        verifier.head.weight.mul_(4)  # a fresh head says nearly the same of all steps, which would be easy to equal
    items = trajectories()
    sides = (lambda: verifier.score(items), lambda: step_by_step(verifier, items))
    for side in sides:
        side()
    seconds, other_seconds, difference, spread = [], [], 0.0, set[float]()
    for _ in range(rounds):
        (own, scores), (other, plain) = timed(sides[0]), timed(sides[1])
        seconds.append(own)
        other_seconds.append(other)
        pairs = [pair for two in zip(scores, plain, strict=True) for pair in zip(*two, strict=True)]
        difference = max(difference, *(abs(one - two) for one, two in pairs))
        spread.update(one for one, _ in pairs)
    return {
        "trajectories": len(items),
        "steps": sum(len(steps) for _, steps in items),
        "ours": len(items) / statistics.median(seconds),
        "step_by_step": len(items) / statistics.median(other_seconds),
        "ratio": statistics.median(two / one for one, two in zip(seconds, other_seconds, strict=True)),
        "difference": difference,
        "lowest_score": min(spread),
        "highest_score": max(spread),
    }


def main() -> int:
    figures = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    sys.stdout.write(json.dumps({name: float(f"{value:.4g}") for name, value in figures.items()}) + "\n")
    return 0 if figures["ratio"] >= TIMES and figures["difference"] <= EQUAL else 1


if __name__ == "__main__":
    sys.exit(main())
