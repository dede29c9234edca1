"""Analytic forward FLOPs of a decoder-only transformer; a training step costs three forward passes.

Counted: every matrix product (2 FLOPs a multiply-add) of attention projections, scores, values, MLP and head.
Not counted: embeddings, norms, biases, activations, rotations (under 1 % together; tested against PyTorch's counter).
Attention is counted in full, as dense kernels do it: a causal or sliding mask saves nothing.
"""

from transformers import PretrainedConfig

UNGATED = {"phi"}  # model types whose MLP is up and down alone
TRAINING = 3  # backward costs twice the forward pass: gradients of inputs and of weights


def token_flops(config: PretrainedConfig) -> int:
    """FLOPs of one token through all layers, without attention scores and without the head."""
    head = head_dim(config)
    queries = config.num_attention_heads * head
    keys = key_heads(config) * head
    attention = config.hidden_size * (2 * queries + 2 * keys)  # q and o; k and v
    matrices = 2 if config.model_type in UNGATED else 3  # gate, up, down
    mlp = matrices * config.hidden_size * config.intermediate_size
    return 2 * config.num_hidden_layers * (attention + mlp)


def attention_flops(config: PretrainedConfig, queries: int, keys: int) -> int:
    """FLOPs of QK^T and of its product with V for `queries` tokens over `keys` tokens, all layers."""
    return 4 * config.num_hidden_layers * config.num_attention_heads * head_dim(config) * queries * keys


def head_flops(config: PretrainedConfig) -> int:
    """FLOPs of one token's logits."""
    return 2 * config.hidden_size * config.vocab_size


def prefill_flops(config: PretrainedConfig, length: int, with_head: bool) -> int:
    """FLOPs of one pass over `length` tokens; `with_head`: logits of every token (training), else of none."""
    body = length * token_flops(config) + attention_flops(config, length, length)
    return body + (length * head_flops(config) if with_head else 0)


def read_flops(config: PretrainedConfig, length: int, known: int) -> int:
    """FLOPs of one pass over the end of a prompt of `length` tokens whose first `known` are in the cache."""
    unread = length - known
    return unread * token_flops(config) + attention_flops(config, unread, length)


def decode_flops(config: PretrainedConfig, start: int, new_tokens: int) -> int:
    """FLOPs of feeding `new_tokens` one by one after `start` cached ones, with the logits of each."""
    keys = new_tokens * start + new_tokens * (new_tokens + 1) // 2  # token i sees start + i keys, itself included
    each = token_flops(config) + head_flops(config)
    return new_tokens * each + attention_flops(config, 1, 1) * keys


def generation_flops(config: PretrainedConfig, prompt: int, new_tokens: int) -> int:
    """FLOPs of drawing `new_tokens` after a prompt: the first comes from the prefill, the last is never fed."""
    if new_tokens < 1:
        return 0
    return prefill_flops(config, prompt, False) + head_flops(config) + decode_flops(config, prompt, new_tokens - 1)


def key_heads(config: PretrainedConfig) -> int:
    """Heads of keys and values, which heads of queries may share."""
    return getattr(config, "num_key_value_heads", None) or config.num_attention_heads


def head_dim(config: PretrainedConfig) -> int:
    """Numbers in a key."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
