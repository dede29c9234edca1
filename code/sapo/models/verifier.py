"""The step verifier: the reasoner's backbone with a scalar head, read at the token that ends each step (SAPO eq. 6).

Attention is causal, so one pass gives the scores of all steps: the score at a step's last token is V(q, s_1…s_j).
Trajectories of one prompt are scored as one prefix tree (trees.py).
"""

import copy
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel

from sapo.models.encoding import Encoded, Encoder, budgeted_batches
from sapo.models.flops import prefill_flops
from sapo.models.loading import ATTENTION, LoadingError, load_encoder, load_into, load_weights, save_reasoner
from sapo.models.prefix_trees import Tree, build_tree, gathered, tree_hidden
from sapo.records import Cost

HEAD = "verifier_head.safetensors"
BATCH_TOKENS = 2048  # padded tokens scored together; scores differ by less than 1e-5 with it
MOST = 64  # trajectories scored in one tree


class StepTree(NamedTuple):
    """Trajectories of one prompt; `ends` are the places of the tokens that end their steps, for each of its units."""

    tree: Tree
    ends: tuple[tuple[int, ...], ...]


def build_step_trees(rows: Sequence[Encoded], prompts: Sequence[str], most: int) -> list[StepTree]:
    """Every encoded trajectory in a tree of its prompt, at most so many in each; a tree's `units` number the rows."""
    trees = build_tree([(row.ids,) for row in rows], prompts, most)
    return [
        StepTree(
            tree,
            tuple(
                tuple(path[end] for end in rows[number].step_ends)
                for number, path in zip(tree.units, tree.paths, strict=True)
            ),
        )
        for tree in trees
    ]


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

    def step_logits(self, trees: Sequence[StepTree]) -> tuple[Tensor, Tensor]:
        """Logits (N, S) of the steps of all trajectories, tree after tree, and the mask (N, S) of steps that exist."""
        hidden = tree_hidden(self.backbone, [entry.tree for entry in trees], self.encoder.pad_id)
        rows = [row for row, entry in enumerate(trees) for _ in entry.ends]
        picked, mask = gathered(hidden, rows, [ends for entry in trees for ends in entry.ends])
        return self.head(picked.to(self.head.weight.dtype)).squeeze(-1), mask

    @torch.inference_mode()
    def score(self, items: Sequence[tuple[str, tuple[str, ...]]]) -> list[tuple[float, ...]]:
        """Scores c^_1…c^_n in [0, 1] of every (prompt, steps), in the given order.

        No scores for steps that cannot be scored (see `Encoder.attempt_steps`): ().

        Raises:
            ValueError: a score is NaN; names the item.
        """
        started = time.perf_counter()
        encoded = {n: row for n, row in enumerate(self.encoder.attempt_steps(items)) if isinstance(row, Encoded)}
        own = list(encoded)
        trees = build_step_trees(list(encoded.values()), [items[number][0] for number in own], MOST)
        scores: list[tuple[float, ...]] = [()] * len(items)
        self.eval()
        for batch in budgeted_batches([len(entry.tree.ids) for entry in trees], BATCH_TOKENS):
            logits, _ = self.step_logits([trees[index] for index in batch])
            numbers = [own[unit] for index in batch for unit in trees[index].tree.units]
            for number, values in zip(numbers, logits.float().sigmoid().tolist(), strict=True):
                scores[number] = tuple(values[: len(items[number][1])])
                if any(math.isnan(value) for value in scores[number]):
                    raise ValueError(f"trajectory {number} has NaN scores; its prompt is {items[number][0][:60]!r}")
        self.cost += self._cost(trees, time.perf_counter() - started)
        return scores

    def _cost(self, trees: Sequence[StepTree], seconds: float) -> Cost:
        lengths = [len(entry.tree.ids) for entry in trees]
        head = 2 * self.head.in_features * sum(len(ends) for entry in trees for ends in entry.ends)
        flops = head + sum(prefill_flops(self.backbone.config, length, False) for length in lengths)
        return Cost(prompt_tokens=sum(lengths), flops=float(flops), seconds=seconds)

    def save(self, directory: Path) -> None:
        """Save backbone, head and tokenizer to `directory`: the same bytes for the same weights."""
        directory.mkdir(parents=True, exist_ok=True)
        save_file({name: value.detach().cpu() for name, value in self.head.state_dict().items()}, directory / HEAD)
        save_reasoner(self.backbone, self.encoder, directory)  # seals the head, too

    @classmethod
    def load(cls, directory: Path, attention: str | None = ATTENTION) -> "Verifier":
        """Load what `save` wrote. Raises LoadingError naming the directory."""
        encoder = load_encoder(directory)
        if not (directory / HEAD).is_file():
            raise LoadingError(f"{directory}: no verifier ({HEAD} is missing)")
        verifier = cls(load_weights(AutoModel, directory, encoder, attention), encoder)
        load_into(verifier.head, directory / HEAD)
        return verifier.eval()
