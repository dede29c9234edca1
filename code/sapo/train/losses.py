"""The losses of SAPO eq. 6 and eq. 16-17 as pure functions on tensors; no model, no configuration.

Axes: `_B` row of a batch, `_T` token, `_V` vocabulary, `_S` step. Departures from the paper:

1. P(tau | q) is the per-token geometric mean, `exp` of the mean log-probability, as in ORPO's code; sums saturate.
2. `log1mexp` has finite value and gradient at P -> 1, where TRL's gives -inf and NaN.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

SATURATION = -1e-6  # log P nearest to 0 that is told apart from it: float32 log-softmax errs by about 1e-7


class OrpoTerms(NamedTuple):
    """Loss of every row, its NLL and the log odds ratio of chosen over rejected; all (B,)."""

    loss_B: Tensor
    nll_B: Tensor
    log_odds_ratio_B: Tensor


def check_completions(question_ids: Sequence[str], lengths: Sequence[int]) -> None:
    """Refuse completions without tokens before training. Raises ValueError naming the question."""
    for question, length in zip(question_ids, lengths, strict=True):
        if length < 1:
            raise ValueError(f"question {question} has an empty completion: its mean log-probability is undefined")


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` (B, T) over the true entries of `mask`, per row (B,); every row has at least one.

    Of log-probabilities of a completion's tokens, it is log P(tau | q) / |tau|: the logarithm of the P of SAPO eq. 17.
    """
    return values.masked_fill(~mask, 0.0).sum(-1) / mask.sum(-1)


def log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(x)) for x <= 0, with finite value and gradient up to and at x = 0.

    Above `SATURATION` both value and gradient are those at `SATURATION` (straight through), so that a rejected
    answer of probability 1 is still pushed down instead of turning the weights into NaN.
    """
    x = x + (x.clamp(max=SATURATION) - x).detach()
    near = x > -math.log(2)
    # Each branch gets a harmless input where the other one is used: 0 * inf would be NaN in the gradient.
    return torch.where(
        near,
        torch.log(-torch.expm1(torch.where(near, x, -1.0))),
        torch.log1p(-torch.exp(torch.where(near, -1.0, x))),
    )


def orpo_loss(chosen_logp_mean: Tensor, rejected_logp_mean: Tensor, nll: Tensor, beta: float) -> OrpoTerms:
    """L = NLL(tau_w) - beta * log sigmoid(log odds(tau_w) - log odds(tau_l)), odds = P / (1 - P) (SAPO eq. 16-17).

    Args:
        chosen_logp_mean, rejected_logp_mean: (B,), mean log-probabilities a token.
        nll: (B,), or a scalar that all rows share.
    """
    log_odds_w = chosen_logp_mean - log1mexp(chosen_logp_mean)  # eq. 17
    log_odds_l = rejected_logp_mean - log1mexp(rejected_logp_mean)  # eq. 17
    ratio = log_odds_w - log_odds_l
    loss = nll - beta * functional.logsigmoid(ratio)  # eq. 16
    return OrpoTerms(loss, nll.expand_as(ratio), ratio)


def verifier_loss(logits: Tensor, labels: Tensor, mask: Tensor, kind: Literal["mse", "bce"]) -> Tensor:
    """Mean over all steps of the batch of (sigmoid(logit) - c)^2 (SAPO eq. 6) or of the cross-entropy (SIPF).

    Args:
        logits, labels, mask: (B, S); `mask` is true where a row has a step.
    """
    picked, wanted = logits[mask].float(), labels[mask].float()
    if kind == "mse":
        return (picked.sigmoid() - wanted).square().mean()  # eq. 6
    return functional.binary_cross_entropy_with_logits(picked, wanted)
