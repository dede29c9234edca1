"""What training costs: tokens and FLOPs of every row, as often as it is trained on."""

from collections.abc import Sequence
from dataclasses import replace

from transformers import PretrainedConfig

from sapo.models.flops import TRAINING, prefill_flops
from sapo.records import Cost
from sapo.settings import FitSettings


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
