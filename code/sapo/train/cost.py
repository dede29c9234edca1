"""What training costs: of rows that were trained on, and of work that a plan expects, by the formulas of `flops.py`.

Expected lengths are means, so that attention's share, which grows with the square of a length, comes out a little low.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

from transformers import PretrainedConfig

from sapo.models.flops import TRAINING, decode_flops, head_flops, prefill_flops
from sapo.records import Cost
from sapo.settings import FitSettings, Settings


def training_cost(config: PretrainedConfig, lengths: Sequence[int], epochs: float, with_head: bool = True) -> Cost:
    """Cost of `epochs` passes over rows of these lengths; padding is not counted.

    Args:
        with_head: logits are computed at every token; false for a verifier, whose head is a single column.
    """
    flops = TRAINING * epochs * sum(prefill_flops(config, length, with_head) for length in lengths)
    return Cost(flops=float(flops), trained_tokens=round(epochs * sum(lengths)))


def matched(settings: FitSettings, lengths: Sequence[int], tokens: float) -> FitSettings:
    """The same training, as long as it takes to train on `tokens` tokens; 0 leaves the number of epochs as it is."""
    if not tokens:
        return settings
    return replace(settings, epochs=tokens / sum(lengths))


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
        return Bill(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))


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


@dataclass(frozen=True, slots=True)
class Expected:
    """What a plan expects of the data of one training; counts, lengths in tokens, shares from 0 to 1.

    Args:
        settings: of the method.
        prompt, gold, completion: mean lengths, of given rationales and of samples.
        right: share of samples.
        gold_texts: given rationales that SFT learns from.
        kept: different right samples.
        pairs: preference pairs. tree_share: tokens of their prompts' trees, by tokens of rows of their own.
        labelled: trajectories that the verifier learns from, expansions included.
        judged: answers are programs.
    """

    settings: Settings
    config: PretrainedConfig
    questions: float
    prompt: float
    gold: float
    completion: float
    right: float
    gold_texts: float
    kept: float
    pairs: float
    tree_share: float
    labelled: float
    judged: bool

    @property
    def row(self) -> float:
        """Tokens of a prompt with a completion."""
        return self.prompt + self.completion

    @property
    def gold_tokens(self) -> float:
        return self.gold_texts * (self.prompt + self.gold)

    def training(self, tokens: float, fit: FitSettings) -> Bill:
        """On `tokens` tokens of the data, for the settings' epochs or under their matched budget."""
        budget = self.settings.budget
        if budget.kind == "matched" and tokens:
            fit = replace(fit, epochs=budget.training_tokens / len(self.settings.loop.updates) / tokens)
        return learning(self.config, tokens, self.row, fit.epochs)
