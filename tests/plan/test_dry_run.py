"""The dry run: every architecture of the profiles through every phase, at reduced depth."""

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from sapo.cli import main as command
from sapo.models.hardware import OutOfMemory
from sapo.plan import dry_run as module
from sapo.plan.architecture import config_of
from sapo.plan.dry_run import dry_run, reduced, stand_in
from sapo.plan.memory import Lengths
from sapo.settings import Settings
from sapo.settings.configure import PARAMS, compose
from sapo.train import registry
from sapo.train.sft import SFT

ROOT = Path(__file__).parents[2]
# Qwen2 goes through by nano's own model below, Gemma 2 with adapters.
LATE = ("qwen25_05b", "llama32_1b", "gemma2_2b", "sipf_gemma_2b", "sipf_tinyllama")
PROFILES = ["sipf_phi_15", *(pytest.param(name, marks=pytest.mark.nightly) for name in LATE)]
SMALL = ["grpo.group=2", "grpo.questions_per_step=1", "verifier.fit.micro_batch=2", "sft.micro_batch=2"]
LENGTHS = Lengths(8, 12)


@cache
def settings_of(profile: str, *arguments: str) -> Settings:
    settings = compose(ROOT, [f"profile={profile}", *SMALL, *arguments])[1]
    return dataclasses.replace(settings, tuning=dataclasses.replace(settings.tuning, device="cpu"))


def small(settings: Settings) -> Any:
    """Two layers, as Gemma 2 takes turns, few rows of the vocabulary, and narrow; the ratios of heads stay."""
    ((name, model),) = settings.models.items()
    config = reduced(config_of(name, model, settings.scratch, ROOT), layers=2, vocabulary=300)
    heads = config.num_attention_heads
    config.hidden_size, config.intermediate_size = 8 * heads, 96
    if getattr(config, "head_dim", None):
        config.head_dim = 8
    return config


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_goes_through_all_of_its_phases(profile: str) -> None:
    """With all weights in bfloat16 and checkpointing: adapters have tests of their own, and 4 bits need a GPU."""
    settings = settings_of(profile, "tuning.kind=full")
    phases = [one.phase for one in dry_run(settings, small(settings), LENGTHS, rows=2)]
    expected = ["sampling", "labelling", "verifier", "sft", "orpo", "dpo"]
    assert phases == expected + (["grpo"] if not profile.startswith("sipf") else [])


def test_a_qlora_profile_runs_with_lora_on_a_cpu() -> None:
    pytest.importorskip("peft")
    settings = settings_of("gemma2_2b", "tuning.kind=lora", "tuning.reasoner.rank=2", "tuning.verifier.rank=2")
    found = list(dry_run(settings, small(settings), LENGTHS, rows=2))
    assert len(found) == 7
    assert all(one.peak > 2**20 and one.seconds > 0 for one in found)


def test_the_stand_in_tokenizer_has_a_token_for_every_digit_and_line_end() -> None:
    """Lengths are then what is asked for, and every step ends with a token of its own."""
    encoder = stand_in()
    assert len(encoder.completion_ids("0123456789\n")) == 11
    assert max(encoder.tokenizer.get_vocab().values()) < 300
    made = module._Texts(encoder, Lengths(8, 12))
    assert len(encoder.prompt_ids(made.prompt())) == 8
    assert len(encoder.completion_ids("".join(made.steps()))) == 12
    assert made.prompt() != made.prompt()


def test_a_reduced_model_is_of_the_same_architecture() -> None:
    settings = settings_of("gemma2_2b")
    ((name, model),) = settings.models.items()
    whole = config_of(name, model, settings.scratch, ROOT)
    less = reduced(whole, layers=2, vocabulary=300)
    assert (less.model_type, less.num_hidden_layers, less.vocab_size) == ("gemma2", 2, 300)
    assert (less.hidden_size, less.head_dim) == (2304, 256)
    assert len(less.layer_types) == 2
    assert reduced(whole).num_hidden_layers == 26


def test_out_of_memory_names_the_phase_and_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    exhausting = dataclasses.replace(SFT, train=exhausted)
    monkeypatch.setitem(registry.TRAINERS, "sft", exhausting)
    settings = settings_of("sipf_tinyllama", "tuning.kind=full")
    found = dry_run(settings, small(settings), LENGTHS, rows=2)
    done = [next(found).phase for _ in range(3)]
    assert done == ["sampling", "labelling", "verifier"]
    with pytest.raises(OutOfMemory, match=r"phase sft does not fit into the memory of cpu: lower sft\.micro_batch"):
        next(found)


def written(folder: Path, *arguments: str) -> None:
    (folder / PARAMS).write_text(compose(ROOT, list(arguments))[0], encoding="utf-8")


def test_the_command_prints_measured_beside_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nano's own model, at its full size: 0.46 million weights; nothing is left in the folder."""
    written(
        tmp_path,
        "profile=nano",
        "sft.micro_batch=2",
        "verifier.fit.micro_batch=2",
        "orpo.fit.micro_batch=2",
        "dpo.fit.micro_batch=2",
        "grpo.group=2",
        "grpo.questions_per_step=1",
    )
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    monkeypatch.chdir(tmp_path)
    assert command.main(["dry-run", "--prompt", "8", "--completion", "8", "--rows", "2"]) == 0
    said = capsys.readouterr().out
    assert "Dry run of qwen2_nano" in said
    assert "grpo" in said and "Planned GiB" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["assets", PARAMS.name]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "none"], "params.yaml: models: 'none' is not one of qwen25_05b"),
        (["--prompt", "1"], "Invalid value for '--prompt': 1 is not in the range x>=4."),
        ([], "tuning: device is cuda, but PyTorch"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    written(tmp_path, "profile=qwen25_05b")
    monkeypatch.chdir(tmp_path)
    assert command.main(["dry-run", *arguments]) == 2
    assert f"error: {message}" in capsys.readouterr().err
