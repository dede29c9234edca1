"""A device whose memory is too small ends the work in one line that says which setting to lower."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import LineTask, question
from tiny_models import tiny_reasoner

from sapo.methods.bench import Roomy
from sapo.models.hardware import OutOfMemory
from sapo.models.local import LocalSampler
from sapo.models.sampling import Request
from sapo.records import BadInput, PreferencePair
from sapo.settings import DpoSettings, FitSettings, GrpoSettings, OrpoSettings, VerifierSettings
from sapo.train.dpo import train_dpo
from sapo.train.grpo import Practice, train_grpo
from sapo.train.orpo import train_orpo
from sapo.train.sft import train_sft
from sapo.train.verifier import VerifierExample, train_verifier

FIT = FitSettings(1e-3, 1, 2, 0.0)
PAIRS = [PreferencePair("q", "Ben has 3.\n", "a", "b", 1.0, 0.0)]


def sft(model: Any, encoder: Any, folder: Path) -> object:
    return train_sft(model, encoder, [("q", "a")], FIT, 1, folder)


def orpo(model: Any, encoder: Any, folder: Path) -> object:
    return train_orpo(model, encoder, PAIRS, OrpoSettings(0.1, "completion", FIT), 1)


def dpo(model: Any, encoder: Any, folder: Path) -> object:
    return train_dpo(model, encoder, PAIRS, DpoSettings(0.1, 0.0, FIT), 1, folder)


def verifier(model: Any, encoder: Any, folder: Path) -> object:
    example = VerifierExample("t", "Ben has 3.\n", ("a\n",), (1,))
    return train_verifier(model, encoder, [example], VerifierSettings("mse", FIT), 1)


def grpo(model: Any, encoder: Any, folder: Path) -> object:
    practice = Practice(LineTask(), [question()], 2)
    return train_grpo(model, encoder, practice, GrpoSettings(0.0, 2, 1.0, 1, 1, 1e-3), 1, folder)


def sampling(model: Any, encoder: Any, folder: Path) -> object:
    return Roomy(LocalSampler(model, encoder, 2)).complete([Request("Ben has 3.\n", "", 1)], 1.0, 2)


@pytest.mark.parametrize(
    ("work", "remedy"),
    [
        (sft, "lower sft.micro_batch or set tuning.gradient_checkpointing=true"),
        (orpo, "lower orpo.fit.micro_batch or set tuning.gradient_checkpointing=true"),
        (dpo, "lower dpo.fit.micro_batch or set tuning.gradient_checkpointing=true"),
        (verifier, "lower verifier.fit.micro_batch or set tuning.gradient_checkpointing=true"),
        (grpo, "lower grpo.questions_per_step or grpo.group or set tuning.gradient_checkpointing=true"),
        (sampling, "lower sampling.rows or rollouts.cached_tokens"),
    ],
)
def test_too_little_memory_names_the_setting(tmp_path: Path, work: Callable[..., object], remedy: str) -> None:
    model, encoder = tiny_reasoner()

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has 1.00 GiB free")

    model.get_input_embeddings().register_forward_pre_hook(full)
    with pytest.raises(OutOfMemory) as caught:
        work(model, encoder, tmp_path)
    said = str(caught.value)
    assert said.startswith(f"{work.__name__}: the device has too little memory (CUDA out of memory. Tried to")
    assert f"; {remedy}; what is finished is kept, and the same command goes on" in said
    assert "\n" not in said and isinstance(caught.value, BadInput)
    assert list(tmp_path.iterdir()) == []


def test_other_errors_are_left_alone(tmp_path: Path) -> None:
    model, encoder = tiny_reasoner()

    def wrong(*_: Any) -> None:
        raise RuntimeError("a bug")

    model.get_input_embeddings().register_forward_pre_hook(wrong)
    with pytest.raises(RuntimeError, match=r"^a bug$"):
        orpo(model, encoder, tmp_path)
