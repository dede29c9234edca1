"""Tokenizers of every kind, causal models of two layers, and log-probabilities: what tests of training need."""

from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GemmaConfig,
    GemmaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from sapo.models.encoding import Encoder

torch.set_num_threads(1)  # models this small only wait for each other's threads

CORPUS = [
    "Ben has 15 coins.\nCy : Ben + 3\n15 + 3 = 18\nanswer 18\n",
    "def f(xs):\n    xs = [x + 1 for x in xs]\n    return xs\n",
    "naïve café costs 5 €\n\nso 数学 is fun 🙂.\nThe answer: 42",
] * 4
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIALS = ["<pad>", "<bos>", "<eos>"]


def _wrap(tokenizer: Tokenizer, bos: bool = False) -> PreTrainedTokenizerFast:
    if bos:
        around = [(name, tokenizer.token_to_id(name)) for name in ("<bos>", "<eos>")]
        closing = processors.TemplateProcessing(single="<bos> $A <eos>", special_tokens=around)
        already = tokenizer.post_processor
        tokenizer.post_processor = processors.Sequence([already, closing]) if already else closing  # pyright: ignore[reportAttributeAccessIssue]
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>")


def byte_level(bos: bool = False, trim: bool = False, size: int = 320) -> PreTrainedTokenizerFast:
    """Byte-level BPE; `trim` leaves whitespace out of the offsets, as some released tokenizers do."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim)  # pyright: ignore[reportAttributeAccessIssue]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(  # pyright: ignore[reportCallIssue]
        vocab_size=size, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _wrap(tokenizer, bos)


def qwen2_like() -> PreTrainedTokenizerFast:
    """Qwen2's normaliser and pre-tokeniser: punctuation takes the newlines after it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # pyright: ignore[reportAttributeAccessIssue]
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(  # pyright: ignore[reportCallIssue]
        vocab_size=340, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _wrap(tokenizer)


def gemma_like() -> PreTrainedTokenizerFast:
    """Blanks become ▁, unknown characters fall back to bytes, a BOS leads."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.Sequence(  # pyright: ignore[reportAttributeAccessIssue]
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(  # pyright: ignore[reportCallIssue]
        vocab_size=400, special_tokens=[*SPECIALS, "<unk>", *fallback], limit_alphabet=40, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _wrap(tokenizer, bos=True)


def word_level(words: list[str], keep_newlines: bool = True) -> PreTrainedTokenizerFast:
    """One token a word; blanks are dropped, and newlines too unless kept."""
    vocabulary = {word: number for number, word in enumerate([*SPECIALS, "<unk>", "\n", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    dropped = pre_tokenizers.Split(" ", "removed") if keep_newlines else pre_tokenizers.WhitespaceSplit()
    parts = [pre_tokenizers.Split("\n", "isolated"), dropped] if keep_newlines else [dropped]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)  # pyright: ignore[reportAttributeAccessIssue]
    return _wrap(tokenizer)


def hand_merged() -> PreTrainedTokenizerFast:
    """Four tokens a, b, newline, and newline-b as one: a newline that merges with the word after it."""
    vocabulary = {token: number for number, token in enumerate([*SPECIALS, "a", "b", "\n", "\nb", "ab"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("\n", "b"), ("a", "b")]))
    return _wrap(tokenizer)


SHAPE: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}


def tiny_model(architecture: str, vocabulary: int, seed: int = 0, window: int = 64) -> PreTrainedModel:
    """A fresh model of two layers; large weights, so that positions and tokens matter."""
    torch.manual_seed(seed)
    shape = SHAPE | {"vocab_size": vocabulary, "max_position_embeddings": 256, "initializer_range": 0.2}
    if architecture == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**shape, num_key_value_heads=2)).eval()
    if architecture == "llama":
        return LlamaForCausalLM(LlamaConfig(**shape, num_key_value_heads=4, bos_token_id=1, eos_token_id=2)).eval()
    if architecture == "phi":
        return PhiForCausalLM(PhiConfig(**shape, bos_token_id=None, eos_token_id=2)).eval()
    if architecture == "gemma":
        return GemmaForCausalLM(GemmaConfig(**shape, head_dim=16, num_key_value_heads=1)).eval()
    gemma: dict[str, Any] = {"head_dim": 16, "sliding_window": window, "query_pre_attn_scalar": 16}
    return Gemma2ForCausalLM(Gemma2Config(**shape, **gemma, num_key_value_heads=2)).eval()


def tiny_reasoner(architecture: str = "qwen2", seed: int = 0) -> tuple[PreTrainedModel, Encoder]:
    tokenizer = byte_level()
    return tiny_model(architecture, len(tokenizer), seed), Encoder(tokenizer)


def token_log_probability(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Log-probability of `ids` (B, T) under `logits` (B, T, V), which stand at the positions that predict them."""
    return logits.float().log_softmax(-1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
