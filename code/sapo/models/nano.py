"""The laboratory's base models: real Qwen2, Gemma 2 and Llama classes of under a million parameters.

One tokenizer serves all three: byte-level, so that every text survives the round trip, with a token for every
number, name and phrase of the embedded tasks, so that a solution is short and a number is one symbol. A word of
the vocabulary is taken whole (`ignore_merges`, as Llama 3 does); anything else falls back to bytes.
"""

import collections
from collections.abc import Iterable
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

END = "<|end|>"
PAD = "<|pad|>"
LARGEST_NUMBER = 129
CONTEXT = 256
# Architecture, and what of the shape is its own.
SHAPES: dict[str, tuple[str, dict[str, int]]] = {
    "qwen2_nano": ("qwen2", {"intermediate_size": 288, "num_key_value_heads": 3}),
    "gemma2_nano": (
        "gemma2",
        {
            "intermediate_size": 256,
            "num_key_value_heads": 3,
            "head_dim": 16,
            "query_pre_attn_scalar": 16,
            "sliding_window": CONTEXT,
        },
    ),
    "llama_nano": ("llama", {"intermediate_size": 256, "num_key_value_heads": 6}),
}
MODELS = tuple(SHAPES)


def build_tokenizer(texts: Iterable[str], names: Iterable[str]) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer whose words are the phrases that `texts` are made of.

    Numbers, `names`, line feeds and the comma between stages always stand alone, so that step prefixes are
    prefixes in tokens too.
    """
    separators = "|".join([r"\d+", r"\n", ", then ", *names])
    cut = pre_tokenizers.Split(Regex(separators), "isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    splitter = pre_tokenizers.Sequence([cut, to_bytes])
    counts: collections.Counter[str] = collections.Counter()
    for text in texts:
        counts.update(piece for piece, _ in splitter.pre_tokenize_str(text))
    for number in range(LARGEST_NUMBER + 1):
        counts[str(number)] += 0
    words = sorted(set(counts) - set(pre_tokenizers.ByteLevel.alphabet()))
    vocabulary = [PAD, END, *sorted(pre_tokenizers.ByteLevel.alphabet()), *words]
    model = BPE({word: i for i, word in enumerate(vocabulary)}, [], ignore_merges=True)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = splitter  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT,
    )


def build_model(name: str, vocabulary: int) -> PreTrainedModel:
    """A base model with fresh weights (seed torch before). Raises ValueError for an unknown name."""
    if name not in SHAPES:
        raise ValueError(f"{name!r} is no nano model; known: {', '.join(MODELS)}")
    architecture, own = SHAPES[name]
    shape: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 96,
        "num_hidden_layers": 4,
        "num_attention_heads": 6,
        "max_position_embeddings": CONTEXT,
        "bos_token_id": None,
        "eos_token_id": 1,
        "pad_token_id": 0,
        "tie_word_embeddings": True,
    }
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(architecture, **shape, **own))
