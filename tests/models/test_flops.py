import pytest
import torch
from tiny_models import tiny_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache, LlamaConfig, PreTrainedModel

from sapo.models.flops import TRAINING, decode_flops, generation_flops, head_flops, prefill_flops, token_flops

ARCHITECTURES = ["qwen2", "gemma2", "gemma", "llama", "phi"]


def dense(architecture: str) -> PreTrainedModel:
    """Eager attention: PyTorch's counter does not know the fused kernels of the CPU."""
    model = tiny_model(architecture, 300)
    model.set_attn_implementation("eager")
    return model


def test_by_hand() -> None:
    """Hidden 8, 2 heads of 4, 1 key-value head, MLP 16, 1 layer, vocabulary 10.

    A token: q 8x8, k and v 8x4 each, o 8x8, gate, up, down 8x16 each: 64+32+32+64+384 = 576 products, 1,152 FLOPs.
    Its logits: 2 * 8 * 10 = 160. Attention of 3 tokens over 3: 2 products * 2 FLOPs * 2 heads * 4 * 9 = 288.
    Decoding 2 after 3: 2 * (1,152 + 160) + 4 * 2 * 4 * (4 + 5) = 2,912.
    """
    config = LlamaConfig(
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        vocab_size=10,
        bos_token_id=1,
        eos_token_id=2,
    )
    assert token_flops(config) == 1152
    assert head_flops(config) == 160
    assert prefill_flops(config, 3, with_head=False) == 3 * 1152 + 288
    assert prefill_flops(config, 3, with_head=True) == 3 * 1152 + 288 + 480
    assert decode_flops(config, 3, 2) == 2912
    assert generation_flops(config, 3, 3) == 3 * 1152 + 288 + 160 + 2912
    assert generation_flops(config, 3, 0) == 0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("length", [7, 50])
def test_prefill_within_one_percent_of_the_counter(architecture: str, length: int) -> None:
    model = dense(architecture)
    ids = torch.randint(0, 300, (1, length))
    with torch.no_grad(), FlopCounterMode(display=False) as whole:
        model(ids, use_cache=False)
    with torch.no_grad(), FlopCounterMode(display=False) as body:
        model.get_decoder()(ids, use_cache=False)
    assert prefill_flops(model.config, length, True) == pytest.approx(whole.get_total_flops(), rel=0.01)
    assert prefill_flops(model.config, length, False) == pytest.approx(body.get_total_flops(), rel=0.01)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_decoding_within_one_percent_of_the_counter(architecture: str) -> None:
    """12 tokens in the cache, then 5 fed one at a time."""
    model = dense(architecture)
    ids = torch.randint(0, 300, (1, 17))
    cache = DynamicCache(config=model.config)
    with torch.no_grad():
        model(ids[:, :12], past_key_values=cache)
        with FlopCounterMode(display=False) as counter:
            for token in range(12, 17):
                model(ids[:, token : token + 1], past_key_values=cache)
    assert decode_flops(model.config, 12, 5) == pytest.approx(counter.get_total_flops(), rel=0.01)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_training_costs_three_forward_passes(architecture: str) -> None:
    """Forward and backward together; the input of the first layer needs no gradient, hence the wider margin."""
    model = dense(architecture)
    ids = torch.randint(0, 300, (1, 40))
    with FlopCounterMode(display=False) as counter:
        model(ids, use_cache=False).logits.sum().backward()
    assert TRAINING * prefill_flops(model.config, 40, True) == pytest.approx(counter.get_total_flops(), rel=0.02)
