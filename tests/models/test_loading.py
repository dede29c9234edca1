import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import byte_level, tiny_model, tiny_reasoner
from torch.testing import assert_close

from sapo.models.encoding import Encoder
from sapo.models.fast_linear import FastLinear, use_fast_linears
from sapo.models.loading import SEAL, LoadingError, load_reasoner, save_reasoner


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


@pytest.mark.parametrize("architecture", ["qwen2", "gemma2", "gemma", "llama", "phi"])
def test_what_is_saved_is_loaded_and_saves_the_same_bytes(tmp_path: Path, architecture: str) -> None:
    model, encoder = tiny_reasoner(architecture)
    save_reasoner(model, encoder, tmp_path / "a")
    loaded, again = load_reasoner(tmp_path / "a")
    save_reasoner(loaded, again, tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert not [name for name in contents(tmp_path / "a") if name.endswith((".bin", ".pt"))]
    ids = torch.tensor([encoder.encode("Ben has 3.\n", "3 + 2").ids])
    assert_close(loaded(ids).logits, model(ids).logits, atol=1e-4, rtol=1e-4)
    assert loaded.dtype == torch.float32 and not loaded.training


def test_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(LoadingError, match=r"nowhere: no such model directory"):
        load_reasoner(tmp_path / "nowhere")


def test_missing_tokenizer_and_weights_are_named(tmp_path: Path) -> None:
    save_reasoner(*tiny_reasoner(), tmp_path / "whole")
    for missing, message in (("tokenizer.json", "no fast tokenizer"), ("model.safetensors", "no model can be loaded")):
        partial = tmp_path / f"no-{missing}"
        shutil.copytree(tmp_path / "whole", partial)
        (partial / missing).unlink()
        (partial / SEAL).unlink()
        with pytest.raises(LoadingError, match=f"no-{missing}: .*{message}"):
            load_reasoner(partial)


def test_truncated_weights_are_named(tmp_path: Path) -> None:
    save_reasoner(*tiny_reasoner(), tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(LoadingError, match=r"model.safetensors: damaged or replaced: its SHA-256 is not the one in"):
        load_reasoner(tmp_path)
    (tmp_path / SEAL).unlink()
    with pytest.raises(LoadingError, match="no model can be loaded: SafetensorError"):
        load_reasoner(tmp_path)


def test_a_sealed_file_that_is_gone_is_named_and_one_that_came_later_is_not(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    save_reasoner(*tiny_reasoner(), tmp_path)
    (tmp_path / ".lock").unlink()
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    load_reasoner(tmp_path)
    (tmp_path / "generation_config.json").unlink()
    with pytest.raises(LoadingError, match=r"generation_config.json: no such file, but sha256.json beside it has it"):
        load_reasoner(tmp_path)


def test_weights_that_are_not_all_there_are_refused(tmp_path: Path) -> None:
    """Transformers would draw what is missing at random and only warn."""
    save_reasoner(*tiny_reasoner(), tmp_path)
    (tmp_path / SEAL).unlink()
    tensors = load_file(tmp_path / "model.safetensors")
    tensors.pop("model.layers.1.mlp.up_proj.weight")
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(LoadingError, match=r"its files lack model.layers.1.mlp.up_proj.weight"):
        load_reasoner(tmp_path)


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    model, encoder = tiny_reasoner()
    save_reasoner(model, encoder, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / SEAL).unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(LoadingError, match=r"only as pickle \(pytorch_model.bin\), which can run code"):
        load_reasoner(tmp_path)


def test_tokenizer_larger_than_the_model_is_refused(tmp_path: Path) -> None:
    """The tokenizer's 320 tokens have ids up to 319; a model of 300 has no embedding for the last ones."""
    save_reasoner(tiny_model("qwen2", 300), Encoder(byte_level()), tmp_path)
    with pytest.raises(LoadingError, match=r"largest id is \d+, the model embeds ids below 300"):
        load_reasoner(tmp_path)


def test_remote_code_is_not_run(tmp_path: Path) -> None:
    save_reasoner(*tiny_reasoner(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "foreign", "auto_map": {"AutoModelForCausalLM": "evil.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / SEAL).unlink()
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(LoadingError):
        load_reasoner(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(300, 24), (5, 40, 24), (3, 24)])
def test_fast_linear_gives_the_same_values_and_gradients(bias: bool, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    plain = torch.nn.Linear(24, 17, bias=bias)
    fast = torch.nn.Linear(24, 17, bias=bias)
    fast.load_state_dict(plain.state_dict())
    use_fast_linears(fast)
    assert type(fast) is FastLinear
    results = []
    for layer in (plain, fast):
        x = torch.linspace(-1, 1, torch.Size(shape).numel()).reshape(shape).requires_grad_()
        y = layer(x)
        (y.square().sum() + y.mean()).backward()
        results.append([y, x.grad, *(weight.grad for weight in layer.parameters())])
    assert_close(results[0], results[1], atol=2e-4, rtol=1e-4)


def test_fast_linear_takes_an_expanded_gradient() -> None:
    """The gradient of a mean is one number expanded over the output."""
    layer = torch.nn.Linear(8, 4)
    use_fast_linears(layer)
    layer(torch.ones(100, 8)).mean().backward()
    assert_close(layer.weight.grad, torch.full((4, 8), 0.25))
