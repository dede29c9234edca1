"""Sequences that begin alike as one row, a tree: what several of them share is computed once.

The trajectories of a question share its prompt and, drawn from one reasoner, most of their first steps; 2 of 5 tokens
are left to compute in the laboratory. A token sees its ancestors alone and takes its own sequence's position, so that
hidden states and gradients equal those of separate rows (tested). Attention is "eager" or "sdpa" (a mask of four
axes is passed).
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from sapo.models.encoding import pad_rows
from sapo.models.masking import layer_masks

Ids = tuple[int, ...]
# A tree holds at most so many times the tokens of its longest unit: attention computes all pairs of a tree's tokens.
LARGEST = 4


@dataclass(frozen=True, slots=True)
class Tree:
    """Tokens in the order of a walk that finishes each branch before it begins the next one.

    Args:
        ids, positions: of every token.
        ends: of every token, the index behind the last token that follows it on some branch.
        paths: of every sequence, where its tokens stand.
        units: the numbers of the units that it holds, whose sequences are `paths` in that order.
    """

    ids: Ids
    positions: Ids
    ends: Ids
    paths: tuple[Ids, ...]
    units: tuple[int, ...]


def plant(units: Sequence[Sequence[Ids]], groups: Sequence[Hashable], most: int) -> list[Tree]:
    """Trees of units of the same group; every unit is in exactly one.

    Args:
        units: sequences that must stay together: a trajectory, or the two sides of a pair.
        groups: of every unit; only units of one group (a prompt, say) share a tree.
        most: units of one tree.
    """
    # Neighbours in this order have the longest beginnings in common.
    order = sorted(range(len(units)), key=lambda number: (units[number][0], number))
    members: dict[Hashable, list[int]] = {}
    for number in order:
        members.setdefault(groups[number], []).append(number)
    return [_grow(units, chosen) for own in members.values() for chosen in _portions(units, own, most)]


def _portions(units: Sequence[Sequence[Ids]], own: Sequence[int], most: int) -> list[list[int]]:
    """The units of a group, cut where a tree would grow too large or hold too many."""
    portions: list[list[int]] = []
    tokens, before = 0, ()
    largest = LARGEST * max(sum(map(len, units[number])) for number in own)
    for number in own:
        first = units[number][0]
        new = sum(map(len, units[number])) - common(first, before)
        if not portions or len(portions[-1]) == most or tokens + new > largest:
            portions.append([])
            tokens, new = 0, new + common(first, before)
        portions[-1].append(number)
        tokens, before = tokens + new, first
    return portions


def _grow(units: Sequence[Sequence[Ids]], chosen: Sequence[int]) -> Tree:
    sequences = [sequence for number in chosen for sequence in units[number]]
    ids: list[int] = []
    positions: list[int] = []
    ends: list[int] = []
    paths: list[Ids] = [()] * len(sequences)
    before, path = (), []
    for number in sorted(range(len(sequences)), key=lambda number: sequences[number]):
        sequence = sequences[number]
        shared = common(sequence, before)
        for token in path[shared:]:
            ends[token] = len(ids)
        path = [*path[:shared], *range(len(ids), len(ids) + len(sequence) - shared)]
        ids += sequence[shared:]
        positions += range(shared, len(sequence))
        ends += [0] * (len(sequence) - shared)
        paths[number], before = tuple(path), sequence
    for token in path:
        ends[token] = len(ids)
    return Tree(tuple(ids), tuple(positions), tuple(ends), tuple(paths), tuple(chosen))


def common(one: Ids, other: Ids) -> int:
    """Length of the common beginning.

    >>> common((1, 2, 3), (1, 2, 4, 5))
    2
    """
    shorter = min(len(one), len(other))
    if one[:shorter] == other[:shorter]:
        return shorter
    return next(i for i in range(shorter) if one[i] != other[i])


def tree_hidden(decoder: PreTrainedModel, trees: Sequence[Tree], pad_id: int) -> Tensor:
    """Last hidden states (B, T, H) of the tokens of trees, padded on the right."""
    device = decoder.device
    ids = pad_rows([tree.ids for tree in trees], pad_id).to(device)
    if all(len(tree.paths) == 1 for tree in trees):  # nothing branches: the architecture's own mask will do
        return decoder(input_ids=ids, use_cache=False).last_hidden_state
    positions = pad_rows([tree.positions for tree in trees], 0).to(device)
    ends = pad_rows([tree.ends for tree in trees], ids.shape[1]).to(device)  # padding sees padding
    index = torch.arange(ids.shape[1], device=device)
    unseen = (index > index.unsqueeze(1)) | (index.unsqueeze(1) >= ends.unsqueeze(1))
    distance = positions.unsqueeze(2) - positions.unsqueeze(1)
    masks = layer_masks(unseen, distance, decoder.config, decoder.dtype)
    return decoder(input_ids=ids, position_ids=positions, attention_mask=masks, use_cache=False).last_hidden_state


def gathered(hidden_B_T_H: Tensor, rows: Sequence[int], at: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Hidden states (N, longest, H) at the places `at[n]` of row `rows[n]`, and the mask (N, longest) of real ones."""
    device = hidden_B_T_H.device
    places = pad_rows(at, -1).to(device)
    row = torch.tensor(rows, device=device).unsqueeze(1)
    return hidden_B_T_H[row, places.clamp(min=0)], places >= 0


def head_logits(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Logits (…, V) of hidden states (…, H).

    Raises:
        ValueError: the architecture has no head, or rescales its logits in a way that is not known here.
    """
    for scale in ("logit_scale", "logits_scaling"):
        if getattr(model.config, scale, None) is not None:
            raise ValueError(f"{type(model).__name__} rescales its logits ({scale}); this is not supported")
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Module):
        raise ValueError(f"{type(model).__name__} has no language-model head")
    logits = head(hidden)
    cap = getattr(model.config, "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap
