"""A device whose memory is too small ends the work in one line that says which setting to lower."""

from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import LineTask, question
from tiny_models import tiny_reasoner

from sapo.models.hardware import OutOfMemory
from sapo.recipes.inputs import OomHintSampler
from sapo.records import BadInput, PreferencePair
from sapo.sampling.hf_engine import LocalSampler
from sapo.sampling.protocol import Request
from sapo.settings import DpoSettings, FitSettings, GrpoSettings, OrpoSettings, VerifierSettings, load_settings
from sapo.settings.configure import PARAMS
from sapo.train.fit import RunContext
from sapo.train.launch import Job, run
from sapo.train.rl_task import RlTask
from sapo.train.verifier import VerifierExample

ROOT = Path(__file__).parents[2]
FIT = FitSettings(1e-3, 1, 2, 0.0)
PAIRS = [PreferencePair("q", "Ben has 3.\n", "a", "b", 1.0, 0.0)]


EXAMPLE = VerifierExample("t", "Ben has 3.\n", ("a\n",), (1,))
PLAIN = load_settings(ROOT / PARAMS).tuning
JOBS: dict[str, tuple[list[Any], object]] = {
    "sft": ([("q", "a")], FIT),
    "orpo": (PAIRS, OrpoSettings(0.1, "completion", FIT)),
    "dpo": (PAIRS, DpoSettings(0.1, 0.0, FIT)),
    "verifier": ([EXAMPLE], VerifierSettings("mse", FIT)),
    "grpo": ([RlTask(LineTask(), [question()], 2)], GrpoSettings(0.0, 2, 1.0, 1, 1, 1e-3)),
}


def train(name: str, model: Any, encoder: Any, folder: Path) -> object:
    return run(Job(name, folder, *JOBS[name], 1, 1), (model, encoder), PLAIN, RunContext(None, folder))


def sample(_: str, model: Any, encoder: Any, folder: Path) -> object:
    return OomHintSampler(LocalSampler(model, encoder, 2)).complete([Request("Ben has 3.\n", "", 1)], 1.0, 2)


@pytest.mark.parametrize(
    ("work", "remedy"),
    [
        ("sft", "lower sft.micro_batch or set tuning.gradient_checkpointing=true"),
        ("orpo", "lower orpo.fit.micro_batch or set tuning.gradient_checkpointing=true"),
        ("dpo", "lower dpo.fit.micro_batch or set tuning.gradient_checkpointing=true"),
        ("verifier", "lower verifier.fit.micro_batch or set tuning.gradient_checkpointing=true"),
        ("grpo", "lower grpo.questions_per_step or grpo.group or set tuning.gradient_checkpointing=true"),
        ("sampling", "lower sampling.rows or rollouts.cached_tokens"),
    ],
)
def test_too_little_memory_names_the_setting(tmp_path: Path, work: str, remedy: str) -> None:
    model, encoder = tiny_reasoner()

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has 1.00 GiB free")

    model.get_input_embeddings().register_forward_pre_hook(full)
    with pytest.raises(OutOfMemory) as caught:
        (sample if work == "sampling" else train)(work, model, encoder, tmp_path)
    said = str(caught.value)
    assert said.startswith(f"{work}: the device has too little memory (CUDA out of memory. Tried to")
    assert f"; {remedy}; what is finished is kept, and the same command goes on" in said
    assert "\n" not in said and isinstance(caught.value, BadInput)
    assert list(tmp_path.iterdir()) == []


def test_other_errors_are_left_alone(tmp_path: Path) -> None:
    model, encoder = tiny_reasoner()

    def wrong(*_: Any) -> None:
        raise RuntimeError("a bug")

    model.get_input_embeddings().register_forward_pre_hook(wrong)
    with pytest.raises(RuntimeError, match=r"^a bug$"):
        train("orpo", model, encoder, tmp_path)
