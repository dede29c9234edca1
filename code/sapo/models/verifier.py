"""The step verifier: the reasoner's backbone with a scalar head, read at the token that ends each step (SAPO eq. 6).

One pass gives the scores of all steps of a trajectory, because attention is causal: the score at a step's last
token is V(q, s_1…s_j).
"""

import copy
import math
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel

from sapo.models.encoding import Encoded, Encoder, budgeted_batches, pad_rows
from sapo.models.flops import prefill_flops
from sapo.models.loading import ATTENTION, LoadingError, load_encoder, load_weights, save_reasoner
from sapo.records import Cost

HEAD = "verifier_head.safetensors"
BATCH_TOKENS = 8192  # padded tokens scored together; scores differ by less than 1e-5 with it


class Verifier(nn.Module):
    """Backbone and scalar head. `cost` adds up what scoring has spent since it was made or loaded."""

    def __init__(self, backbone: PreTrainedModel, encoder: Encoder) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.config.hidden_size, 1, device=backbone.device)
        self.encoder = encoder
        self.cost = Cost()

    @classmethod
    def from_reasoner(cls, model: PreTrainedModel, encoder: Encoder, seed: int) -> "Verifier":
        """A fresh verifier on a copy of the reasoner's backbone; the head is drawn from `seed`, N(0, 0.02)."""
        verifier = cls(copy.deepcopy(model.get_decoder()), encoder)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            verifier.head.weight.copy_(torch.randn(verifier.head.weight.shape, generator=generator) * 0.02)
            verifier.head.bias.zero_()
        return verifier

    def step_logits(self, rows: Sequence[Encoded]) -> tuple[Tensor, Tensor]:
        """Logits (B, S) of the steps of encoded trajectories, and the mask (B, S) of the steps that exist."""
        device = self.head.weight.device
        ids = pad_rows([row.ids for row in rows], self.encoder.pad_id).to(device)
        ends = pad_rows([row.step_ends for row in rows], -1).to(device)
        hidden = self.backbone(input_ids=ids, use_cache=False).last_hidden_state
        picked = hidden[torch.arange(len(rows), device=device).unsqueeze(1), ends.clamp(min=0)]
        return self.head(picked.to(self.head.weight.dtype)).squeeze(-1), ends >= 0

    @torch.inference_mode()
    def score(self, items: Sequence[tuple[str, tuple[str, ...]]]) -> list[tuple[float, ...]]:
        """Scores c^_1…c^_n in [0, 1] of every (prompt, steps), in the given order; one pass a trajectory.

        Raises:
            ValueError: a step cannot be told apart (see `Encoder.encode_steps`), or a score is NaN; names the item.
        """
        started = time.perf_counter()
        rows = self.encoder.encode_steps_many(items)
        scores: list[tuple[float, ...]] = [()] * len(rows)
        self.eval()
        for batch in budgeted_batches([len(row.ids) for row in rows], BATCH_TOKENS):
            logits, _ = self.step_logits([rows[index] for index in batch])
            for index, values in zip(batch, logits.float().sigmoid().tolist(), strict=True):
                scores[index] = tuple(values[: len(rows[index].step_ends)])
                if any(math.isnan(value) for value in scores[index]):
                    raise ValueError(f"trajectory {index} has NaN scores; its prompt is {items[index][0][:60]!r}")
        self.cost += self._cost(rows, time.perf_counter() - started)
        return scores

    def _cost(self, rows: Sequence[Encoded], seconds: float) -> Cost:
        head = 2 * self.head.in_features
        flops = sum(
            prefill_flops(self.backbone.config, len(row.ids), False) + head * len(row.step_ends) for row in rows
        )
        return Cost(prompt_tokens=sum(len(row.ids) for row in rows), flops=float(flops), seconds=seconds)

    def save(self, directory: Path) -> None:
        """Save backbone, head and tokenizer to `directory`: the same bytes for the same weights."""
        directory.mkdir(parents=True, exist_ok=True)
        save_reasoner(self.backbone, self.encoder, directory)
        save_file({name: value.detach().cpu() for name, value in self.head.state_dict().items()}, directory / HEAD)

    @classmethod
    def load(cls, directory: Path, attention: str | None = ATTENTION) -> "Verifier":
        """Load what `save` wrote. Raises LoadingError naming the directory."""
        encoder = load_encoder(directory)
        if not (directory / HEAD).is_file():
            raise LoadingError(f"{directory}: no verifier ({HEAD} is missing)")
        verifier = cls(load_weights(AutoModel, directory, encoder, attention), encoder)
        verifier.head.load_state_dict(load_file(directory / HEAD))
        return verifier.eval()
