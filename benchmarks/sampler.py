"""Tokens drawn per second by the embedded sampler, beside plain batched `model.generate` of the same nano model.

Requests: prefixes of gold solutions of nano_math, cut after 0, 1, 2 … steps, so of mixed lengths; 8 rollouts of each,
temperature 1. The plain side takes them in the same order in batches, padded on the left, and is given the end token.
One thread, CPU seconds (another process's load does not count), rounds alternate, medians count.
Run alone: python benchmarks/sampler.py [ROUNDS] → one JSON line, exit status 1 below the targets: `TIMES` at 512 rows
against `generate` in batches of 64, and 1 at every batch size against the same one.
"""

import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from transformers import PreTrainedModel

from sapo.models.encoding import Encoder
from sapo.models.loading import load_reasoner
from sapo.sampling.hf_engine import LocalSampler
from sapo.sampling.protocol import Request
from sapo.tasks.nano import nano_math
from sapo.tasks.task import DataSource

MODEL = Path("assets/models/qwen2_nano")
PREFIXES, ROLLOUTS, LIMIT = 128, 8, 120
ROWS, PLAIN_ROWS, TIMES = 512, 64, 4.0
SIZES = (8, 64, 256, 512)


def requests() -> list[Request]:
    """`PREFIXES` prefixes, `ROLLOUTS` of each side by side."""
    questions = nano_math.load("train", DataSource(Path("data")))[:PREFIXES]
    prefixes = []
    for number, question in enumerate(questions):
        steps = nano_math.split(question.solution)
        prefixes.append((question.prompt, "".join(steps[: number % max(1, len(steps))])))
    rollouts = itertools.product(prefixes, range(ROLLOUTS))
    return [Request(prompt, prefix, seed) for seed, ((prompt, prefix), _) in enumerate(rollouts)]


def plain(model: PreTrainedModel, encoder: Encoder, asked: Sequence[Request], rows: int) -> int:
    """Tokens that `generate` draws, end tokens included."""
    drawn = 0
    for start in range(0, len(asked), rows):
        prompts = [encoder.prompt_ids(r.prompt) + encoder.completion_ids(r.prefix) for r in asked[start : start + rows]]
        longest = max(map(len, prompts))
        new = model.generate(  # pyright: ignore[reportCallIssue]
            torch.tensor([[*[encoder.pad_id] * (longest - len(ids)), *ids] for ids in prompts]),
            attention_mask=torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts]),
            do_sample=True,
            temperature=1.0,
            top_k=0,
            max_new_tokens=LIMIT,
            eos_token_id=encoder.eos_id,
            pad_token_id=encoder.pad_id,
        )[:, longest:].tolist()
        encoder.tokenizer.batch_decode(new, skip_special_tokens=True)
        drawn += sum(ids.index(encoder.eos_id) + 1 if encoder.eos_id in ids else len(ids) for ids in new)
    return drawn


def ours(model: PreTrainedModel, encoder: Encoder, asked: Sequence[Request], rows: int) -> int:
    return LocalSampler(model, encoder, rows).complete(asked, 1.0, LIMIT)[1].generated_tokens


def per_second(draw: Callable[[], int]) -> float:
    start = time.process_time()
    return draw() / (time.process_time() - start)


def measure(rounds: int = 5) -> dict[str, float]:
    """Median tokens per second and ratios over the rounds."""
    torch.set_num_threads(1)
    model, encoder = load_reasoner(MODEL)
    asked = requests()
    figures = {}
    for own, other in [(ROWS, PLAIN_ROWS), *((size, size) for size in SIZES)]:
        some = asked[: 16 * min(own, other)]  # enough to tell; small batches take long
        sides = (partial(ours, model, encoder, some, own), partial(plain, model, encoder, some, other))
        for side in sides:
            side()
        pairs = [tuple(per_second(side) for side in sides) for _ in range(rounds)]
        name = f"{own}_to_{other}"
        figures[f"ours_{name}"] = statistics.median(pair[0] for pair in pairs)
        figures[f"generate_{name}"] = statistics.median(pair[1] for pair in pairs)
        figures[f"ratio_{name}"] = statistics.median(pair[0] / pair[1] for pair in pairs)
    return figures


def main() -> int:
    figures = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    sys.stdout.write(json.dumps({name: round(value, 2) for name, value in figures.items()}) + "\n")
    fast = figures[f"ratio_{ROWS}_to_{PLAIN_ROWS}"] >= TIMES
    return 0 if fast and all(figures[f"ratio_{size}_to_{size}"] >= 1 for size in SIZES) else 1


if __name__ == "__main__":
    sys.exit(main())
