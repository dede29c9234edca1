"""Preference pairs to a better reasoner by ORPO (SAPO eq. 16-17), one forward pass for both sides of a pair.

`nll: completion` averages the chosen completion's own tokens, row by row (the ORPO paper's eq. 2).
`nll: full` is what SIPF's trainer did: prompt and completion, averaged over all tokens of the batch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sapo.models.encoding import Encoder, pad_rows
from sapo.records import PreferencePair
from sapo.settings import OrpoSettings
from sapo.train.loop import Progress, StepLog, fit
from sapo.train.losses import check_completions, masked_mean, mean_log_probability, orpo_loss, token_log_probability
from sapo.train.packing import PackedPair, logits_at, pack, pair_hidden


def train_orpo(
    model: PreTrainedModel,
    encoder: Encoder,
    pairs: Sequence[PreferencePair],
    settings: OrpoSettings,
    seed: int,
    progress: Progress | None = None,
) -> list[StepLog]:
    """Train `model` in place on preference pairs; an end token closes both completions.

    Returns:
        A log a step; its measures are `nll`, `chosen_logp`, `rejected_logp` (means a token) and `log_odds_ratio`.

    Raises:
        ValueError: there are no pairs, or a prompt or a completion has no tokens (names the question).
        TrainingDiverged: see `loop.fit`.
    """
    rows = pack_pairs(encoder, pairs)

    def batch_loss(batch: Sequence[int]) -> tuple[Tensor, dict[str, Tensor]]:
        return pair_loss(model, [rows[index] for index in batch], encoder.pad_id, settings)

    return fit(model, batch_loss, [len(row.ids) for row in rows], settings.fit, seed, progress)


def pack_pairs(encoder: Encoder, pairs: Sequence[PreferencePair]) -> list[PackedPair]:
    """Encode every pair as one row. Raises ValueError naming the question of an empty prompt or completion."""
    questions = [pair.question_id for pair in pairs]
    sides = []
    for texts in ([pair.chosen for pair in pairs], [pair.rejected for pair in pairs]):
        encoded = encoder.encode_many([(pair.prompt, text) for pair, text in zip(pairs, texts, strict=True)])
        check_completions(questions, [len(one.ids) - one.completion_start - 1 for one in encoded])
        sides.append(encoded)
    for question, one in zip(questions, sides[0], strict=True):
        if one.completion_start < 1:
            raise ValueError(
                f"question {question} has a prompt without tokens: nothing predicts the first answer token"
            )
    return [pack(chosen, rejected) for chosen, rejected in zip(*sides, strict=True)]


def pair_loss(
    model: PreTrainedModel, rows: Sequence[PackedPair], pad_id: int, settings: OrpoSettings
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean ORPO loss of a batch of packed pairs, and its measures."""
    hidden = pair_hidden(model, rows, pad_id)
    chosen, nll = _chosen_terms(model, hidden, rows, settings.nll == "full")
    wanted = pad_rows([row.ids[row.middle :] for row in rows], pad_id).to(hidden.device)
    sources = [row.rejected_sources() for row in rows]
    rejected = mean_log_probability(logits_at(model, hidden, sources), wanted, _mask(sources, hidden))
    terms = orpo_loss(chosen, rejected, nll, settings.beta)
    measures = {
        "nll": terms.nll_B.detach().mean(),
        "chosen_logp": chosen.detach().mean(),
        "rejected_logp": rejected.detach().mean(),
        "log_odds_ratio": terms.log_odds_ratio_B.detach().mean(),
    }
    return terms.loss_B.mean(), measures


def _chosen_terms(
    model: PreTrainedModel, hidden: Tensor, rows: Sequence[PackedPair], whole: bool
) -> tuple[Tensor, Tensor]:
    """Mean log-probability of the chosen completions (B,) and the NLL: (B,) over them, or a scalar over everything."""
    sources = [row.chosen_sources(whole) for row in rows]
    targets = pad_rows([row.ids[source[0] + 1 : row.middle] for row, source in zip(rows, sources, strict=True)], 0)
    logp = token_log_probability(logits_at(model, hidden, sources), targets.to(hidden.device))
    every = _mask(sources, hidden)
    if not whole:
        chosen = masked_mean(logp, every)
        return chosen, -chosen
    first = torch.tensor([row.start - 1 for row in rows], device=hidden.device).unsqueeze(1)
    own = every & (torch.arange(logp.shape[1], device=hidden.device) >= first)
    return masked_mean(logp, own), -logp[every].mean()


def _mask(rows: Sequence[Sequence[int]], like: Tensor) -> Tensor:
    return pad_rows([[1] * len(row) for row in rows], 0).to(like.device).bool()
