"""A small base model from the training text itself: proof that real benchmarks go through the graph, no more.

Profile `real_smoke` uses it, where no pretrained weights are at hand. Its accuracy is near zero by construction.
"""

import sys
from collections.abc import Sequence
from typing import Any, Literal

import torch
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from sapo.models.encoding import Encoder, Size, pad_rows
from sapo.models.fast_linear import use_fast_linears
from sapo.records import BadInput
from sapo.settings import FitSettings, ScratchSettings
from sapo.train.fit import fit

END = "<|endoftext|>"
Architecture = Literal["qwen2", "gemma2", "llama"]


def train_scratch(
    architecture: Architecture, texts: Sequence[tuple[str, str]], settings: ScratchSettings, seed: int
) -> tuple[PreTrainedModel, Encoder]:
    """A byte-level BPE tokenizer and a model of `architecture`, both trained on (prompt, solution) texts.

    Texts are cut off at the context, and a line says how many tokens that costs. The same seed gives the same weights.

    Raises:
        BadInput: there are no texts.
        TrainingDiverged: see `loop.fit`.
    """
    if not texts:
        raise BadInput("no training question has a gold rationale to make a base model from")
    encoder = Encoder(build_tokenizer([prompt + solution for prompt, solution in texts], settings))
    torch.manual_seed(seed)
    model = build_model(architecture, encoder, settings)
    use_fast_linears(model)
    encoded = [row.ids for row in encoder.encode_many(texts)]
    rows = [ids[: settings.context] for ids in encoded]
    if cut := sum(map(len, encoded)) - sum(map(len, rows)):
        sys.stderr.write(
            f"base: {cut} tokens of {len(rows)} texts lie behind the context of {settings.context}, unread\n"
        )

    def batch_loss(batch: Sequence[int]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        ids = pad_rows([rows[index] for index in batch], encoder.pad_id)
        real = pad_rows([[1] * len(rows[index]) for index in batch], 0)
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits[real[:, 1:] == 1], ids[:, 1:][real[:, 1:] == 1])
        return loss, {}

    plan = FitSettings(settings.lr, settings.epochs, settings.batch_size, 0.1)
    fit(model, batch_loss, [Size(len(row)) for row in rows], plan, seed)
    return model, encoder


def build_tokenizer(texts: Sequence[str], settings: ScratchSettings) -> PreTrainedTokenizerFast:
    """Byte-level BPE; digits and line ends are tokens of their own, so that every step ends with a token.

    Every text survives the round trip, unless it holds the end token's name.
    """
    tokenizer = Tokenizer(BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # pyright: ignore[reportAttributeAccessIssue]
        [pre_tokenizers.Split(Regex(r"[\r\n]"), "isolated"), digits, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(
        vocab_size=settings.vocabulary, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=END, clean_up_tokenization_spaces=False
    )


def build_model(architecture: Architecture, encoder: Encoder, settings: ScratchSettings) -> PreTrainedModel:
    """Fresh weights from torch's current seed."""
    shape: dict[str, Any] = {
        "vocab_size": len(encoder.tokenizer),
        "hidden_size": settings.hidden,
        "intermediate_size": 3 * settings.hidden,
        "num_hidden_layers": settings.layers,
        "num_attention_heads": settings.heads,
        "num_key_value_heads": max(1, settings.heads // 2),
        "max_position_embeddings": settings.context,
        "bos_token_id": None,
        "eos_token_id": encoder.eos_id,
        "pad_token_id": encoder.pad_id,
        "tie_word_embeddings": True,
    }
    if architecture == "gemma2":
        shape["head_dim"] = settings.hidden // settings.heads
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(architecture, **shape))
