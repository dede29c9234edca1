"""LoRA, QLoRA, bfloat16, gradient checkpointing and micro-batches: what is trained, and what comes out of it."""

import copy
import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import tiny_reasoner
from torch import Tensor, nn
from transformers import PreTrainedModel

from sapo.models.adapters import ExtraMissing, begin_training, end_training
from sapo.models.encoding import Encoder, Size
from sapo.models.hardware import NoDevice, arithmetic, for_inference, verifier_for_inference
from sapo.models.loading import load_reasoner, save_reasoner
from sapo.models.verifier import Verifier
from sapo.records import PreferencePair
from sapo.settings import AdapterSettings, DpoSettings, FitSettings, OrpoSettings, TuningSettings, VerifierSettings
from sapo.train.dpo import train_dpo
from sapo.train.fit import RunContext, fit
from sapo.train.orpo import build_pair_trees, pair_loss, train_orpo
from sapo.train.sft import train_sft
from sapo.train.verifier import VerifierExample, train_verifier

SIZES = AdapterSettings(rank=4, alpha=8.0, dropout=0.0)
PLAIN = TuningSettings("full", "cpu", "float32", False, SIZES, SIZES)
LORA = TuningSettings("lora", "cpu", "float32", False, SIZES, SIZES)
TEXTS = [("Ben has 15 coins.\n", "15 + 3 = 18\nanswer 18\n"), ("Cy : Ben + 3\n", "answer 18\n")] * 2
PAIRS = [
    PreferencePair("q1", "Ben has 15 coins.\n", "15 + 3 = 18\nanswer 18\n", "answer 3\n", 1.0, 0.0),
    PreferencePair("q1", "Ben has 15 coins.\n", "answer 18\n", "15 + 3 = 3\n", 1.0, 0.0),
    PreferencePair("q2", "Cy : Ben + 3\n", "answer 18\n", "answer 42\n", 1.0, 0.0),
]
ORPO = OrpoSettings(0.5, "completion", FitSettings(lr=1e-2, epochs=3, batch_size=4, warmup=0.0))
IDS = torch.tensor([[5, 6, 7, 8, 9, 10]])


@pytest.fixture
def reasoner() -> tuple[PreTrainedModel, Encoder]:
    return tiny_reasoner()


def logits(model: PreTrainedModel) -> Tensor:
    with torch.no_grad():
        return model.eval()(IDS).logits


def peft() -> Any:
    return pytest.importorskip("peft")


def test_all_weights_are_trained_in_place_and_nothing_else_changes(reasoner: tuple[PreTrainedModel, Encoder]) -> None:
    model, _ = reasoner
    before = list(model.modules())
    begin_training(model, PLAIN, SIZES, 1)
    assert all(weight.requires_grad and weight.dtype is torch.float32 for weight in model.parameters())
    end_training(model, PLAIN)
    assert list(model.modules()) == before


def test_adapters_begin_as_nothing_are_all_that_is_trained_and_merge_into_the_weights(
    reasoner: tuple[PreTrainedModel, Encoder],
) -> None:
    """B is 0 at first. The merged model has the names of before, and computes what the adapted one did."""
    peft()
    model, encoder = reasoner
    names, first, frozen = list(model.state_dict()), logits(model), copy.deepcopy(model.state_dict())
    begin_training(model, LORA, SIZES, 1)
    assert torch.equal(logits(model), first)
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert len(trained) == 2 * 7 * model.config.num_hidden_layers  # A and B of q, k, v, o, gate, up, down
    assert all("lora_" in name for name in trained)
    train_orpo(model, encoder, PAIRS, ORPO, 1)
    adapted = logits(model)
    assert (adapted - first).abs().max() > 1e-2
    end_training(model, LORA)
    assert list(model.state_dict()) == names
    assert all(weight.requires_grad for weight in model.parameters())
    assert not [name for name, module in model.named_modules() if "peft_config" in vars(module)]
    assert torch.allclose(logits(model), adapted, atol=1e-4)
    changed = {name for name, weight in model.state_dict().items() if not torch.equal(weight, frozen[name])}
    assert changed == {name for name in names if "proj.weight" in name}


def test_a_merged_weight_by_hand(reasoner: tuple[PreTrainedModel, Encoder]) -> None:
    """Rank 4, alpha 8: W + 8 / 4 * B A. With A all 1 and B all 0.5 every entry of B A is 4 * 0.5 = 2, so W gains 4."""
    peft()
    model, _ = reasoner
    decoder: Any = model.get_decoder()
    layer = decoder.layers[0].self_attn
    before = layer.q_proj.weight.detach().clone()
    begin_training(model, LORA, SIZES, 1)
    with torch.no_grad():
        layer.q_proj.lora_A["default"].weight.fill_(1.0)
        layer.q_proj.lora_B["default"].weight.fill_(0.5)
    end_training(model, LORA)
    assert torch.allclose(layer.q_proj.weight, before + 4)


def test_the_seed_decides_the_adapters_and_the_callers_chance_is_left_alone() -> None:
    peft()
    drawn = []
    for seed in (1, 1, 2):
        model, _ = tiny_reasoner()
        state = torch.random.get_rng_state()
        begin_training(model, LORA, SIZES, seed)
        assert torch.equal(torch.random.get_rng_state(), state)
        decoder: Any = model.get_decoder()
        drawn.append(decoder.layers[0].mlp.up_proj.lora_A["default"].weight)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_a_saved_merged_reasoner_is_an_ordinary_one(tmp_path: Path, reasoner: tuple[PreTrainedModel, Encoder]) -> None:
    """Through TRL's trainer, in bfloat16 and with checkpointing: frozen weights are bfloat16, adapters float32."""
    peft()
    model, encoder = reasoner
    tuning = TuningSettings("lora", "cpu", "bfloat16", True, SIZES, SIZES)
    begin_training(model, tuning, SIZES, 1)
    kinds = {(weight.requires_grad, weight.dtype) for weight in model.parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}
    with arithmetic(tuning):
        log = train_sft(
            model, encoder, TEXTS, FitSettings(1e-2, 4, 4, 0.0, micro_batch=2), 1, RunContext(None, tmp_path)
        ).log
    assert log[-1].loss < log[0].loss
    end_training(model, tuning)
    save_reasoner(model, encoder, tmp_path / "model")
    loaded, _ = load_reasoner(tmp_path / "model")
    assert type(loaded) is type(model)
    assert torch.allclose(logits(loaded), logits(model.float()), atol=1e-5)


def test_a_verifier_learns_by_adapters_of_its_own(reasoner: tuple[PreTrainedModel, Encoder], tmp_path: Path) -> None:
    """The copy that becomes the verifier is merged; its head is trained whole, and it is saved and loaded as ever."""
    peft()
    model, encoder = reasoner
    example = VerifierExample("t", "Ben has 15 coins.\n", ("15 + 3 = 18\n", "answer 3\n"), (1, 0))
    begin_training(model, LORA, SIZES, 1)
    settings = VerifierSettings("mse", FitSettings(2e-2, 30, 1, 0.0))
    verifier, log, _ = train_verifier(model, encoder, [example], settings, 1)
    end_training(verifier.backbone, LORA)
    assert log[-1].measures["accuracy"] == 1.0
    scores = verifier.score([(example.prompt, example.steps)])
    verifier.save(tmp_path / "v")
    assert Verifier.load(tmp_path / "v").score([(example.prompt, example.steps)])[0] == pytest.approx(
        scores[0], abs=1e-5
    )
    halved = verifier_for_inference(verifier, TuningSettings("lora", "cpu", "bfloat16", False, SIZES, SIZES))
    assert halved.head.weight.dtype is torch.float32
    assert halved.score([(example.prompt, example.steps)])[0] == pytest.approx(scores[0], abs=0.05)


def test_checkpointing_changes_no_gradient(reasoner: tuple[PreTrainedModel, Encoder]) -> None:
    model, encoder = reasoner
    trees = build_pair_trees(encoder, PAIRS, 8)
    gradients = []
    for checkpointing in (False, True):
        own = copy.deepcopy(model)
        begin_training(own, TuningSettings("full", "cpu", "float32", checkpointing, SIZES, SIZES), SIZES, 1)
        assert own.is_activation_checkpointing == checkpointing
        pair_loss(own.train(), trees, encoder.pad_id, ORPO)[0].backward()
        gradients.append([weight.grad for weight in own.parameters()])
    for plain, again in zip(*gradients, strict=True):
        assert plain is not None and again is not None
        assert torch.allclose(plain, again, atol=1e-6)


def test_trl_turns_checkpointing_off_and_on_without_a_word(
    reasoner: tuple[PreTrainedModel, Encoder], tmp_path: Path
) -> None:
    """Warnings are errors here: TRL does it, for the reference of DPO, by names that transformers will drop."""
    model, encoder = reasoner
    tuning = TuningSettings("full", "cpu", "float32", True, SIZES, SIZES)
    logs = []
    for own in (PLAIN, tuning):
        trained = copy.deepcopy(model)
        begin_training(trained, own, SIZES, 1)
        settings = DpoSettings(0.1, 0.0, FitSettings(1e-2, 2, 4, 0.0))
        logs.append(train_dpo(trained, encoder, PAIRS, settings, 1, RunContext(None, tmp_path)).log)
        end_training(trained, own)
    assert [entry.loss for entry in logs[1]] == pytest.approx([entry.loss for entry in logs[0]], abs=1e-5)


def test_checkpointing_ends_with_the_training(reasoner: tuple[PreTrainedModel, Encoder]) -> None:
    model, _ = reasoner
    tuning = TuningSettings("full", "cpu", "float32", True, SIZES, SIZES)
    begin_training(model, tuning, SIZES, 1)
    end_training(model, tuning)
    assert not model.is_activation_checkpointing


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))


def test_micro_batches_by_hand() -> None:
    """Rows 0…3 with losses w * row: the mean of a batch of 4 is 1.5 w, whether 4, 2 or 3 + 1 are computed at once.

    3 + 1: (0 + 1 + 2) / 3 * 3/4 + 3 * 1/4 = 1.5. The gradient is 1.5 too, clipped to norm 1; the log has it before.
    """
    for at_once in (0, 2, 3):
        line, parts = Line(), []

        def loss(batch: Any, line: Line = line, parts: list[int] = parts) -> Any:
            parts.append(len(batch))
            mean = line.weight.sum() * sum(batch) / len(batch)
            return mean, {"row": mean.detach()}

        (entry,) = fit(line, loss, [Size(1)] * 4, FitSettings(0.1, 1, 4, 0.0, micro_batch=at_once), 1)
        assert parts == {0: [4], 2: [2, 2], 3: [3, 1]}[at_once]
        if at_once != 3:  # which rows come first is the seed's choice, and a share of 3/4 is exact for any of them
            assert entry.loss == entry.measures["row"] == entry.gradient_norm == 1.5
        else:
            assert entry.loss == pytest.approx(1.5)


def test_trl_takes_as_many_steps_whatever_is_computed_at_once(
    tmp_path: Path, reasoner: tuple[PreTrainedModel, Encoder]
) -> None:
    """6 pairs in batches of 4 are 2 steps; one entry a step in the log, although a step has 2 forward passes."""
    model, encoder = reasoner
    logs = []
    for at_once in (0, 2):
        settings = DpoSettings(0.1, 0.0, FitSettings(1e-3, 1, 4, 0.0, micro_batch=at_once))
        logs.append(train_dpo(copy.deepcopy(model), encoder, PAIRS * 2, settings, 1, RunContext(None, tmp_path)).log)
    assert [len(log) for log in logs] == [2, 2]
    whole, parts = (log[0].measures for log in logs)
    assert parts["chosen_logp"] == pytest.approx(whole["chosen_logp"], abs=1e-5)


def test_bfloat16_is_of_the_arithmetic_and_trained_weights_stay_float32(
    reasoner: tuple[PreTrainedModel, Encoder],
) -> None:
    """The losses of a few steps are those of float32 to a few parts in a hundred."""
    model, encoder = reasoner
    half = TuningSettings("full", "cpu", "bfloat16", False, SIZES, SIZES)
    logs = []
    for tuning in (PLAIN, half):
        own = copy.deepcopy(model)
        begin_training(own, tuning, SIZES, 1)
        with arithmetic(tuning):
            logs.append(train_orpo(own, encoder, PAIRS, ORPO, 1).log)
        assert {weight.dtype for weight in own.parameters()} == {torch.float32}
    assert [entry.loss for entry in logs[1]] == pytest.approx([entry.loss for entry in logs[0]], rel=0.05)
    assert logs[0][0].loss != logs[1][0].loss
    assert for_inference(model, half).dtype is torch.bfloat16


def test_a_profile_for_a_gpu_says_that_there_is_none(
    reasoner: tuple[PreTrainedModel, Encoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    model, _ = reasoner
    gpu = TuningSettings("full", "cuda", "bfloat16", False, SIZES, SIZES)
    for use in (lambda: begin_training(model, gpu, SIZES, 1), lambda: for_inference(model, gpu)):
        with pytest.raises(NoDevice, match=r"tuning: device is cuda, but PyTorch .* sees no GPU .* tuning\.device=cpu"):
            use()


@pytest.mark.parametrize(("kind", "package", "extra"), [("lora", "peft", "lora"), ("qlora", "bitsandbytes", "gpu")])
def test_a_missing_extra_is_one_line_with_the_command(
    reasoner: tuple[PreTrainedModel, Encoder], monkeypatch: pytest.MonkeyPatch, kind: Any, package: str, extra: str
) -> None:
    def missing(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    tuning = TuningSettings(kind, "cpu", "float32", False, SIZES, SIZES)
    with pytest.raises(ExtraMissing, match=rf"kind {kind}.* needs the package {package}.*sapo-replication\[{extra}\]"):
        begin_training(reasoner[0], tuning, SIZES, 1)
