"""One piece of planned work with its bill, made by the ledger's own formulas (`models/flops.py`).

Lengths are means, so that attention's share, which grows with the square of a length, comes out a little low.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

from transformers import PretrainedConfig

from sapo.models.flops import TRAINING, decode_flops, head_flops, prefill_flops

Kind = Literal["draw", "read", "train"]


@dataclass(frozen=True, slots=True)
class Bill:
    """As `records.Cost`, in expectation."""

    rollouts: float = 0.0
    prompt_tokens: float = 0.0
    generated_tokens: float = 0.0
    trained_tokens: float = 0.0
    flops: float = 0.0
    programs: float = 0.0

    def __add__(self, other: "Bill") -> "Bill":
        return Bill(
            self.rollouts + other.rollouts,
            self.prompt_tokens + other.prompt_tokens,
            self.generated_tokens + other.generated_tokens,
            self.trained_tokens + other.trained_tokens,
            self.flops + other.flops,
            self.programs + other.programs,
        )

    def __mul__(self, factor: float) -> "Bill":
        return Bill(
            self.rollouts * factor,
            self.prompt_tokens * factor,
            self.generated_tokens * factor,
            self.trained_tokens * factor,
            self.flops * factor,
            self.programs * factor,
        )


@dataclass(frozen=True, slots=True)
class Part:
    """Work of one kind.

    Args:
        stage: of dvc.yaml. what: as in costs.json: sampling, labelling, verifier, …
        key: work of equal keys is done once.
    """

    stage: str
    model: str
    what: str
    kind: Kind
    key: Hashable
    bill: Bill


def drawing(config: PretrainedConfig, count: float, read: float, start: float, tokens: float) -> Bill:
    """Draw `count` completions of `tokens` tokens each behind `start` tokens, of which `read` are read in all."""
    if count <= 0 or tokens <= 0:
        return Bill()
    at = round(start)
    prefill = prefill_flops(config, max(at, 1), False) / max(at, 1)
    each = decode_flops(config, at, max(round(tokens) - 1, 0)) + head_flops(config)
    return Bill(count, read, count * tokens, 0.0, read * prefill + count * each)


def reading(config: PretrainedConfig, tokens: float, row: float) -> Bill:
    """Read `tokens` tokens in rows of `row`, without logits."""
    return Bill(prompt_tokens=tokens, flops=tokens * prefill_flops(config, round(row), False) / round(row))


def learning(config: PretrainedConfig, tokens: float, row: float, epochs: float, with_head: bool = True) -> Bill:
    """Train on `tokens` tokens in rows of `row`, `epochs` times. Recomputed activations are not counted."""
    each = prefill_flops(config, max(round(row), 1), with_head) / max(round(row), 1)
    return Bill(trained_tokens=epochs * tokens, flops=TRAINING * epochs * tokens * each)
