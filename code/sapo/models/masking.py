"""Additive attention masks in the form that an architecture's layers want them."""

import torch
from torch import Tensor
from transformers import PretrainedConfig

Masks = Tensor | dict[str, Tensor]


def layer_masks(hidden: Tensor, distance: Tensor, config: PretrainedConfig, dtype: torch.dtype) -> Masks:
    """Masks (rows, 1, queries, keys): one for all layers, or one for each kind of layer.

    Args:
        hidden: (rows, queries, keys), true where a query must not see a key.
        distance: (rows, queries, keys), positions from key to query; sliding windows hide keys that are too far.
    """
    full = _additive(hidden, dtype)
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)  # None where all layers are of one kind
    if window is None or (kinds is not None and "sliding_attention" not in kinds):
        return full
    sliding = _additive(hidden | (distance >= window), dtype)
    return sliding if kinds is None else {"full_attention": full, "sliding_attention": sliding}


def _additive(hidden: Tensor, dtype: torch.dtype) -> Tensor:
    mask = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device)
    return mask.masked_fill_(hidden, torch.finfo(dtype).min).unsqueeze(1)
