"""A reasoner's directory to a model and its encoder, and back: safetensors only, no remote code, the same bytes always.

What is saved here is sealed with the SHA-256 of every file, and refused where a file has changed since. Directories
that others made have no seal and are loaded as they are.
Departure from the papers: weights are float32.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from sapo.models.encoding import Encoder
from sapo.models.fast_linear import use_fast_linears
from sapo.records import BadInput, RecordError, read_json, write_json
from sapo.runtime.workspace import digest

# None lets transformers choose: sdpa where the architecture has it, else eager (Gemma 2). Measured on one core with a
# 0.46M Qwen2: sdpa trains 10-25 % faster than eager.
ATTENTION: str | None = None
SEAL = "sha256.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl")
# What the libraries make of a damaged config.json, tokenizer.json or weights.
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError)
UNREADABLE += (SafetensorError, StrictDataclassError)


class LoadingError(BadInput):
    """A model directory is missing, incomplete, damaged or inconsistent; the message names it."""


def load_reasoner(directory: Path, attention: str | None = ATTENTION) -> tuple[PreTrainedModel, Encoder]:
    """Load a causal language model and its tokenizer from `directory`, ready for inference.

    Raises:
        LoadingError: files are missing, unreadable or altered, or the tokenizer has ids that the model lacks.
    """
    encoder = load_encoder(directory)
    return load_weights(AutoModelForCausalLM, directory, encoder, attention), encoder


def load_weights(kind: type[Any], directory: Path, encoder: Encoder, attention: str | None) -> PreTrainedModel:
    """Load weights as the automatic class `kind`, and check them against the tokenizer. Raises LoadingError."""
    _refuse_pickles(directory)
    try:
        with _no_progress_bars():
            model, found = kind.from_pretrained(
                directory,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                attn_implementation=attention,
                output_loading_info=True,
            )
    except UNREADABLE as error:
        raise LoadingError(f"{directory}: no model can be loaded: {_said(error)}") from error
    if missing := sorted(found["missing_keys"]):  # transformers would draw them at random
        raise LoadingError(f"{directory}: no model can be loaded: its files lack {', '.join(missing[:3])}")
    _check_vocabulary(model, encoder.tokenizer, directory)
    use_fast_linears(model)
    return model.eval()


def load_encoder(directory: Path) -> Encoder:
    """Check the seal of `directory`, load its tokenizer and read the model's positions. Raises LoadingError."""
    if not (directory / "config.json").is_file():
        raise LoadingError(f"{directory}: no such model directory (config.json is missing)")
    if not (directory / "tokenizer.json").is_file():
        raise LoadingError(f"{directory}: the model has no fast tokenizer (tokenizer.json is missing)")
    check_seal(directory)
    try:
        # Not AutoTokenizer: it goes by the model's type, and Qwen2's own class would replace parts of tokenizer.json.
        tokenizer = PreTrainedTokenizerFast.from_pretrained(directory, local_files_only=True)
        for trace in ("is_local", "local_files_only"):  # of how it was loaded; they would be saved with it
            tokenizer.init_kwargs.pop(trace, None)
        config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        return Encoder(tokenizer, getattr(config.get_text_config(), "max_position_embeddings", None))
    except Exception as error:
        # The tokenizers library raises Exception itself for a tokenizer.json that it cannot read.
        if type(error) is not Exception and not isinstance(error, UNREADABLE):
            raise
        raise LoadingError(f"{directory}: no tokenizer can be loaded: {_said(error)}") from error


def _check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, directory: Path) -> None:
    """Raise LoadingError if the tokenizer can produce an id that the model has no embedding for."""
    rows = cast(Tensor, model.get_input_embeddings().weight).shape[0]
    largest = max(tokenizer.get_vocab().values())
    if largest >= int(rows):
        raise LoadingError(f"{directory}: the tokenizer's largest id is {largest}, the model embeds ids below {rows}")


def save_reasoner(model: PreTrainedModel, encoder: Encoder, directory: Path) -> None:
    """Save weights, config and tokenizer to `directory`, and seal it: the same bytes for the same weights."""
    directory.mkdir(parents=True, exist_ok=True)
    with _no_progress_bars():
        model.save_pretrained(directory, max_shard_size="5GB")
    encoder.tokenizer.save_pretrained(directory)
    seal(directory)


def load_into(module: nn.Module, path: Path) -> None:
    """Give `module` the tensors of a safetensors file. Raises LoadingError naming the file."""
    try:
        module.load_state_dict(load_file(path))
    except UNREADABLE as error:
        raise LoadingError(f"{path}: no tensors of this {type(module).__name__}: {_said(error)}") from error


def seal(directory: Path) -> None:
    """Write the SHA-256 of every file that is now in `directory` beside them; hidden ones are not the model's."""
    files = sorted(path for path in directory.iterdir() if path.is_file() and not path.name.startswith("."))
    write_json(directory / SEAL, {path.name: digest(path) for path in files if path.name != SEAL})


def check_seal(directory: Path) -> None:
    """Refuse sealed files that are gone or not what was saved; files that came later do not count.

    Raises:
        LoadingError: names the file. Nothing is checked where there is no seal.
    """
    if not (directory / SEAL).is_file():
        return
    try:
        sealed = read_json(directory / SEAL)
    except RecordError as error:
        raise LoadingError(str(error)) from error
    for name, expected in sealed.items():
        path = directory / name
        if not path.is_file():
            raise LoadingError(f"{path}: no such file, but {SEAL} beside it has it")
        if digest(path) != expected:
            raise LoadingError(f"{path}: damaged or replaced: its SHA-256 is not the one in {SEAL}")


def _refuse_pickles(directory: Path) -> None:
    """Weights that can run code are not read, and transformers does not say so plainly. Raises LoadingError."""
    pickles = sorted(path.name for pattern in PICKLES for path in directory.glob(pattern))
    if pickles and not any(directory.glob("model*.safetensors")):
        raise LoadingError(
            f"{directory}: weights are there only as pickle ({', '.join(pickles)}), which can run code when it is "
            "read; save them as safetensors"
        )


def _said(error: Exception) -> str:
    """One line, whatever the library wrote."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Turn transformers' progress bars off: the stages show their own."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
