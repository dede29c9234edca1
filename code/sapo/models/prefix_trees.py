"""Prefix trees: sequences with common prefixes as one row, in which shared tokens are computed once.

The trajectories of a question share its prompt and most of their first steps: 2 of 5 tokens are left to compute on the
embedded tasks. A token attends to its ancestors alone and has the position of its own sequence, so that hidden states
and gradients equal those of separate rows (tested). Attention is "eager" or "sdpa" (a 4-D mask is passed).
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from sapo.models.encoding import pad_rows
from sapo.models.masking import layer_masks

Ids = tuple[int, ...]
# A tree holds at most so many times the tokens of its longest unit: attention computes all pairs of a tree's tokens.
LARGEST = 2
# Logits that are computed together while a model is trained, 256 MiB in float32: more than a batch of the laboratory
# has, little beside a model with a large vocabulary, and still hundreds of places for one pass over its head.
LOGITS = 2**26


@dataclass(frozen=True, slots=True)
class Tree:
    """Tokens in depth-first order.

    Args:
        ids, positions: of every token.
        ends: of every token, the index behind the last token of its subtree.
        paths: of every sequence, the indices of its tokens.
        units: the numbers of the units that it holds, whose sequences are `paths` in that order.
    """

    ids: Ids
    positions: Ids
    ends: Ids
    paths: tuple[Ids, ...]
    units: tuple[int, ...]


def build_tree(units: Sequence[Sequence[Ids]], groups: Sequence[Hashable], most: int) -> list[Tree]:
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
    return _capped(model, _head(model)(hidden))


def _head(model: PreTrainedModel) -> nn.Module:
    for scale in ("logit_scale", "logits_scaling"):
        if getattr(model.config, scale, None) is not None:
            raise ValueError(f"{type(model).__name__} rescales its logits ({scale}); this is not supported")
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Module):
        raise ValueError(f"{type(model).__name__} has no language-model head")
    return head


def _capped(model: PreTrainedModel, logits: Tensor) -> Tensor:
    cap = getattr(model.config, "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap


def token_log_probabilities(model: PreTrainedModel, hidden_A_H: Tensor, place_N: Tensor, token_N: Tensor) -> Tensor:
    """Log-probabilities (N,) in float32 of tokens, each predicted at a place of `hidden_A_H`.

    Where the places' logits are more than `LOGITS`, there is only a portion of them at any time: the backward pass
    computes each portion anew.

    Raises:
        ValueError: as `head_logits` does.
    """
    most = max(1, LOGITS // model.config.vocab_size)
    if len(hidden_A_H) <= most:
        return head_logits(model, hidden_A_H).float().log_softmax(-1)[place_N, token_N]
    head = _head(model)
    compute = head.forward

    def portion(hidden: Tensor, place: Tensor, token: Tensor) -> Tensor:
        return _capped(model, compute(hidden)).float().log_softmax(-1)[place, token]

    def in_portions(hidden_A_H: Tensor) -> Tensor:
        found = torch.zeros(token_N.shape, device=hidden_A_H.device)
        for first in range(0, len(hidden_A_H), most):
            own = (place_N >= first) & (place_N < first + most)
            arguments = hidden_A_H[first : first + most], place_N[own] - first, token_N[own]
            found = found.masked_scatter(own, checkpoint(portion, *arguments, use_reentrant=False))
        return found

    # One call of the head, whatever the number of portions: weights of a split model are gathered around each call, by
    # all processes together.
    shadowed = {name: value for name, value in vars(head).items() if name == "forward"}
    head.forward = in_portions
    try:
        return head(hidden_A_H)
    finally:
        del head.forward
        vars(head).update(shadowed)
