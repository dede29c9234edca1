"""A model's shape from its settings, without its weights: the shipped, bundled or made config, and its parameters.

Configs of the profiles' hub models are bundled (`configs/`), so that a plan needs no network and no access to gated
models. They hold what the hub's config.json says of the shape; tests check their numbers of parameters.
"""

import json
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from sapo.records import BadInput
from sapo.settings import ModelSettings, ScratchSettings

BUNDLED = Path(__file__).parent / "configs"


class NoShape(BadInput):
    """Nothing here says what shape a model has; the message names it."""


def config_of(name: str, model: ModelSettings, scratch: ScratchSettings, root: Path) -> PretrainedConfig:
    """The config of a model of the settings.

    Args:
        root: the repository, where shipped models are.

    Raises:
        NoShape: a hub model is neither bundled nor in the hub's cache, or a shipped one is not there.
    """
    if model.kind == "scratch":
        return _of_scratch(model, scratch)
    if model.kind == "hub":
        return _of_hub(name, model)
    for folder in ("data", "assets"):
        path = root / folder / "models" / name / "config.json"
        if path.is_file():
            return _read(path)
    raise NoShape(f"models: {name}: {root / 'assets' / 'models' / name}: no config.json of a shipped model")


def _of_hub(name: str, model: ModelSettings) -> PretrainedConfig:
    path = BUNDLED / f"{model.hub_id.replace('/', '--')}.json"
    if path.is_file():
        return _read(path)
    try:
        return AutoConfig.from_pretrained(model.hub_id, revision=model.revision, local_files_only=True)
    except OSError as error:
        raise NoShape(
            f"models: {name}: no config of {model.hub_id} at revision {model.revision} is bundled or in the hub's "
            f"cache; fetch it with `hf download {model.hub_id} config.json --revision {model.revision}`"
        ) from error


def _read(path: Path) -> PretrainedConfig:
    values = json.loads(path.read_text(encoding="utf-8"))
    return AutoConfig.for_model(**values)


def _of_scratch(model: ModelSettings, scratch: ScratchSettings) -> PretrainedConfig:
    return AutoConfig.for_model(
        model.architecture,
        vocab_size=scratch.vocabulary,
        hidden_size=scratch.hidden,
        intermediate_size=3 * scratch.hidden,
        num_hidden_layers=scratch.layers,
        num_attention_heads=scratch.heads,
        num_key_value_heads=max(1, scratch.heads // 2),
        max_position_embeddings=scratch.context,
        head_dim=scratch.hidden // scratch.heads,
        tie_word_embeddings=True,
    )


def parameters(config: PretrainedConfig) -> int:
    """Weights of the causal model, tied ones once; nothing is allocated."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return sum(weight.numel() for weight in model.parameters())


def linear_layers(config: PretrainedConfig) -> list[tuple[int, int]]:
    """(in, out) of every linear layer of the backbone: what adapters and 4 bits are for."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    layers = [module for module in model.get_decoder().modules() if isinstance(module, torch.nn.Linear)]
    return [(layer.in_features, layer.out_features) for layer in layers]
