"""A loaded model to one that is trained as the settings say, and back: all weights, LoRA or QLoRA.

`begin_training` changes the model in place, `end_training` makes an ordinary model of it again: adapters are merged,
activations are kept again. So every reasoner and verifier on disk is a whole model, whatever trained it.

1. QLoRA (Dettmers 2023): the linear layers of the backbone are frozen in NF4 with quantised scales; adapters are in
   float32. Merging adds the adapters to the weights from before the rounding, as sampling in 16 bits does.
2. Adapters sit on every linear layer of the backbone, as QLoRA's paper found best; embeddings and head are frozen.
"""

import importlib
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from sapo.models.hardware import cast, on_device
from sapo.records import BadInput
from sapo.settings import AdapterSettings, TuningSettings

NAME = "default"  # of the adapter, within one training run
WHOLE = "whole_weight"  # attribute of a layer in 4 bits: its weight before the rounding, in main memory


class ExtraMissing(BadInput):
    """An optional package is not installed; the message has the command."""


def optional(name: str, extra: str, what: str) -> Any:
    """Import a package of an extra. Raises ExtraMissing naming `what` wants it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ExtraMissing(
            f"{what} needs the package {name}, which cannot be imported ({error}); "
            f"install it with `pip install 'sapo-replication[{extra}]'`"
        ) from error


def begin_training(model: PreTrainedModel, tuning: TuningSettings, sizes: AdapterSettings, seed: int) -> None:
    """Move a model to its device and make exactly those weights trainable that `tuning` says.

    Args:
        seed: of the adapters' first weights.

    Raises:
        NoDevice: there is no such device here.
        ExtraMissing: peft or bitsandbytes is not installed.
    """
    if tuning.kind != "full":
        model.requires_grad_(False)
        cast(model, tuning)
    if tuning.kind == "qlora":
        _quantise(model)
    on_device(model, tuning)
    if tuning.kind != "full":
        _adapt(model, sizes, seed)
    if tuning.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
        model.disable_input_require_grads()  # owed to reentrant checkpointing alone


def end_training(model: PreTrainedModel, tuning: TuningSettings) -> None:
    """Make an ordinary model of a trained one: adapters are merged, all weights may be trained again."""
    model.activation_checkpointing_disable()
    if tuning.kind != "full":
        _merge(model, tuning.kind == "qlora")
    model.requires_grad_(True)
    model.eval()


def _adapt(model: PreTrainedModel, sizes: AdapterSettings, seed: int) -> None:
    peft = _peft()
    backbone = model.get_decoder()
    layers = [name for name, module in backbone.named_modules() if isinstance(module, nn.Linear)]
    config = peft.LoraConfig(
        r=sizes.rank, lora_alpha=sizes.alpha, lora_dropout=sizes.dropout, target_modules=layers, bias="none"
    )
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        peft.inject_adapter_in_model(config, backbone, NAME)
    for weight in backbone.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()


def _merge(model: nn.Module, quantised: bool) -> None:
    adapted = _peft().tuners.lora.LoraLayer
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, adapted):
                setattr(parent, name, _merged(layer, quantised))
        vars(parent).pop("peft_config", None)  # injected; peft would take the model for an adapted one


@torch.no_grad()
def _merged(layer: Any, quantised: bool) -> nn.Module:
    """W + alpha / rank * B A as a plain layer; the sum is taken in float32."""
    base = layer.get_base_layer()
    weight: Tensor = getattr(base, WHOLE) if quantised else base.weight.data
    delta: Tensor = layer.get_delta_weight(NAME)
    merged = (weight.to(delta.device, torch.float32) + delta.float()).to(weight.dtype)
    if not quantised:
        base.weight.data = merged
        return base
    with torch.device("meta"):
        plain = nn.Linear(base.in_features, base.out_features, base.bias is not None)
    plain.weight, plain.bias = nn.Parameter(merged), base.bias
    return plain


def _peft() -> Any:
    return optional("peft", "lora", "tuning: kind lora or qlora")


def _quantise(model: PreTrainedModel) -> None:
    """Linear layers of the backbone in NF4; rounding happens when the model is moved to the GPU."""
    layers = optional("bitsandbytes", "gpu", "tuning: kind qlora").nn
    for parent in list(model.get_decoder().modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Linear):
                setattr(parent, name, _in_4_bits(layers, layer))


def _in_4_bits(layers: Any, linear: nn.Linear) -> nn.Module:
    biased = linear.bias is not None
    small = layers.Linear4bit(
        linear.in_features, linear.out_features, biased, compute_dtype=torch.bfloat16, quant_type="nf4"
    )
    weight = linear.weight.data
    small.weight = layers.Params4bit(weight, requires_grad=False, quant_type="nf4", compress_statistics=True)
    if biased:
        small.bias = linear.bias
    setattr(small, WHOLE, weight.cpu())
    return small
