"""A reasoner's directory to a model and its encoder, and back: safetensors only, no remote code, the same bytes always.

Departure from the papers: weights are float32.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.utils import logging

from sapo.models.encoding import Encoder
from sapo.models.fast_linear import use_fast_linears
from sapo.records import BadInput

# None lets transformers choose: sdpa where the architecture has it, else eager (Gemma 2). Measured on one core with a
# 0.46M Qwen2: sdpa trains 10-25 % faster than eager.
ATTENTION: str | None = None


class LoadingError(BadInput):
    """A model directory is missing, incomplete or inconsistent; the message names it."""


def load_reasoner(directory: Path, attention: str | None = ATTENTION) -> tuple[PreTrainedModel, Encoder]:
    """Load a causal language model and its tokenizer from `directory`, ready for inference.

    Raises:
        LoadingError: files are missing or unreadable, or the tokenizer has ids that the model lacks.
    """
    encoder = load_encoder(directory)
    return load_weights(AutoModelForCausalLM, directory, encoder, attention), encoder


def load_weights(kind: type[Any], directory: Path, encoder: Encoder, attention: str | None) -> PreTrainedModel:
    """Load weights as the automatic class `kind`, and check them against the tokenizer. Raises LoadingError."""
    try:
        with _no_progress_bars():
            model = kind.from_pretrained(
                directory,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                attn_implementation=attention,
            )
    except (OSError, ValueError, SafetensorError) as error:
        raise LoadingError(f"{directory}: no model can be loaded: {error}") from error
    _check_vocabulary(model, encoder.tokenizer, directory)
    use_fast_linears(model)
    return model.eval()


def load_encoder(directory: Path) -> Encoder:
    """Load only the tokenizer of `directory`. Raises LoadingError."""
    if not (directory / "config.json").is_file():
        raise LoadingError(f"{directory}: no such model directory (config.json is missing)")
    if not (directory / "tokenizer.json").is_file():
        raise LoadingError(f"{directory}: the model has no fast tokenizer (tokenizer.json is missing)")
    try:
        # Not AutoTokenizer: it goes by the model's type, and Qwen2's own class would replace parts of tokenizer.json.
        tokenizer = PreTrainedTokenizerFast.from_pretrained(directory, local_files_only=True)
        for trace in ("is_local", "local_files_only"):  # of how it was loaded; they would be saved with it
            tokenizer.init_kwargs.pop(trace, None)
        return Encoder(tokenizer)
    except (OSError, ValueError) as error:
        raise LoadingError(f"{directory}: no tokenizer can be loaded: {error}") from error


def _check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, directory: Path) -> None:
    """Raise LoadingError if the tokenizer can produce an id that the model has no embedding for."""
    rows = cast(Tensor, model.get_input_embeddings().weight).shape[0]
    largest = max(tokenizer.get_vocab().values())
    if largest >= int(rows):
        raise LoadingError(f"{directory}: the tokenizer's largest id is {largest}, the model embeds ids below {rows}")


def save_reasoner(model: PreTrainedModel, encoder: Encoder, directory: Path) -> None:
    """Save weights, config and tokenizer to `directory`: the same bytes for the same weights."""
    directory.mkdir(parents=True, exist_ok=True)
    with _no_progress_bars():
        model.save_pretrained(directory, max_shard_size="5GB")
    encoder.tokenizer.save_pretrained(directory)


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Models of a megabyte need no bars of their own between the stages'."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
