"""A preference pair as one row, `prompt chosen rejected`, so that the prompt is computed once.

The rejected completion sees the prompt but not the chosen one, and takes the positions that follow the prompt:
the logits equal those of two separate rows. Attention is "eager" or "sdpa" (a mask of four axes is passed).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sapo.models.encoding import Encoded, pad_rows

PROMPT, CHOSEN, REJECTED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class PackedPair:
    """Ids of prompt, chosen and rejected in a row; the chosen one starts at `start`, the rejected one at `middle`."""

    ids: tuple[int, ...]
    start: int
    middle: int

    @property
    def positions(self) -> list[int]:
        return [*range(self.middle), *range(self.start, self.start + len(self.ids) - self.middle)]

    @property
    def parts(self) -> list[int]:
        chosen, rejected = self.middle - self.start, len(self.ids) - self.middle
        return [PROMPT] * self.start + [CHOSEN] * chosen + [REJECTED] * rejected

    def chosen_sources(self, whole: bool) -> list[int]:
        """Where the logits stand that predict the chosen tokens (with the prompt's own tokens, if `whole`)."""
        return list(range(0 if whole else self.start - 1, self.middle - 1))

    def rejected_sources(self) -> list[int]:
        """Where the logits stand that predict the rejected tokens: the prompt's end predicts the first one."""
        return [self.start - 1, *range(self.middle, len(self.ids) - 1)]


def pack(chosen: Encoded, rejected: Encoded) -> PackedPair:
    """Join two encodings of the same prompt; the prompt has at least one token, or nothing predicts the first."""
    start = chosen.completion_start
    return PackedPair(chosen.ids + rejected.ids[start:], start, len(chosen.ids))


def pair_mask(parts_B_T: Tensor, positions_B_T: Tensor, window: int | None = None) -> Tensor:
    """Additive attention mask (B, 1, T, T): causal, own part or prompt only, at most `window` positions back."""
    query, key = parts_B_T.unsqueeze(2), parts_B_T.unsqueeze(1)
    length = parts_B_T.shape[1]
    allowed = torch.ones(length, length, dtype=torch.bool, device=parts_B_T.device).tril()
    allowed = allowed & ((key == PROMPT) | (key == query))
    if window is not None:
        allowed = allowed & (positions_B_T.unsqueeze(2) - positions_B_T.unsqueeze(1) < window)
    mask = torch.zeros(allowed.shape, device=parts_B_T.device)
    return mask.masked_fill_(~allowed, torch.finfo(torch.float32).min).unsqueeze(1)


def pair_hidden(model: PreTrainedModel, rows: Sequence[PackedPair], pad_id: int) -> Tensor:
    """Last hidden states (B, T, H) of packed pairs."""
    device = model.device
    ids = pad_rows([row.ids for row in rows], pad_id).to(device)
    positions = pad_rows([row.positions for row in rows], 0).to(device)
    parts = pad_rows([row.parts for row in rows], REJECTED).to(device)
    mask: Tensor | dict[str, Tensor] = pair_mask(parts, positions).to(model.dtype)
    if "sliding_attention" in (getattr(model.config, "layer_types", None) or ()):
        sliding = pair_mask(parts, positions, model.config.sliding_window).to(model.dtype)
        mask = {"full_attention": mask, "sliding_attention": sliding}
    decoder = model.get_decoder()
    return decoder(input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False).last_hidden_state


def logits_at(model: PreTrainedModel, hidden_B_T_H: Tensor, sources: Sequence[Sequence[int]]) -> Tensor:
    """Logits (B, longest sources, V) at the named positions of every row only: the head is a large part of the work.

    Raises:
        ValueError: the architecture has no head, or rescales its logits in a way that is not known here.
    """
    for scale in ("logit_scale", "logits_scaling"):
        if hasattr(model.config, scale):
            raise ValueError(f"{type(model).__name__} rescales its logits ({scale}); this is not supported")
    head = model.get_output_embeddings()
    if head is None:
        raise ValueError(f"{type(model).__name__} has no language-model head")
    index = pad_rows(sources, 0).to(hidden_B_T_H.device)
    rows = torch.arange(len(sources), device=index.device).unsqueeze(1)
    logits = head(hidden_B_T_H[rows, index])
    cap = getattr(model.config, "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap
