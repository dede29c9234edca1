"""Training on several devices: two processes on the CPU, launched by accelerate, train as one does."""

import dataclasses
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import tiny_reasoner
from torch import nn

from sapo.models.loading import load_reasoner, save_reasoner
from sapo.records import BadInput, PreferencePair
from sapo.settings import AdapterSettings, DpoSettings, FitSettings, OrpoSettings, TuningSettings, VerifierSettings
from sapo.train import distributed, launch
from sapo.train.fit import RunContext, StepLog
from sapo.train.launch import Job
from sapo.train.launch import run as run_job
from sapo.train.verifier import VerifierExample

SIZES = AdapterSettings(rank=4, alpha=8.0, dropout=0.0)
ONE = TuningSettings("full", "cpu", "float32", False, SIZES, SIZES)
TWO = dataclasses.replace(ONE, devices=2)
TEXTS = [(f"Ben has {n}.\n", f"{n} + 3 = {n + 3}\nanswer {n + 3}\n"[: 9 + n]) for n in range(8)]
PAIRS = [PreferencePair(f"q{n}", prompt, text, f"so {n}" + "." * n, 1.0, 0.0) for n, (prompt, text) in enumerate(TEXTS)]
EXAMPLES = [VerifierExample(f"t{n}", prompt, (f"{n}\n", text), (1, n % 2)) for n, (prompt, text) in enumerate(TEXTS)]
FIT = FitSettings(lr=5e-3, epochs=3, batch_size=4, warmup=0.1, micro_batch=2)
# One batch an epoch: with two processes TRL draws the order of rows otherwise.
WHOLE = FitSettings(lr=5e-3, epochs=4, batch_size=8, warmup=0.1, micro_batch=4)


@pytest.fixture
def start(tmp_path: Path) -> Path:
    save_reasoner(*tiny_reasoner(), tmp_path / "start")
    return tmp_path / "start"


def job(kind: Any, start: Path) -> Job:
    rows = {"sft": TEXTS, "orpo": PAIRS, "dpo": PAIRS, "verifier": EXAMPLES}[kind]
    settings = {"sft": WHOLE, "orpo": OrpoSettings(0.5, "completion", FIT), "verifier": VerifierSettings("mse", FIT)}
    settings |= {"dpo": DpoSettings(0.1, 0.0, WHOLE)}
    return Job(kind, start, rows, settings[kind], 3, 4)


def flat(model: nn.Module) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def settled(entry: StepLog) -> dict[str, float]:
    """Measures; without DPO's `accuracy` while margins are 0, for it is the sign of their rounding."""
    unmoved = abs(entry.measures.get("margin", 1.0)) < 1e-5
    return {name: value for name, value in entry.measures.items() if not (unmoved and name == "accuracy")}


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["sft", "orpo", "dpo", "verifier"])
def test_two_processes_have_the_loss_curve_and_the_weights_of_one(kind: str, start: Path, tmp_path: Path) -> None:
    """The same sums in another order: losses, norms and measures agree to 1e-4 of themselves, weights to 1e-3."""
    made, log, _ = run_job(job(kind, start), load_reasoner(start), ONE, RunContext(None, tmp_path / "one"))
    again, curve, _ = run_job(job(kind, start), load_reasoner(start), TWO, RunContext(None, tmp_path / "two"))
    assert len(log) == len(curve) == {"sft": 4, "orpo": 6, "dpo": 4, "verifier": 6}[kind]
    for one, two in zip(log, curve, strict=True):
        assert (two.step, two.epoch, two.lr) == (one.step, one.epoch, one.lr)
        assert two.loss == pytest.approx(one.loss, rel=1e-4)
        assert two.gradient_norm == pytest.approx(one.gradient_norm, rel=1e-3)
        # TRL takes the mean over what it computes at once, whose rows are others.
        assert settled(two) == pytest.approx(settled(one), rel=1e-3, abs=0.02 if kind == "sft" else 1e-6)
    assert log[-1].loss < log[0].loss
    assert torch.allclose(flat(made), flat(again), atol=1e-3)
    assert not torch.allclose(flat(made), flat(carry_out_nothing(kind, start)), atol=1e-3)


def carry_out_nothing(kind: str, start: Path) -> nn.Module:
    """What a run with a learning rate of next to nothing makes."""
    own = job(kind, start)
    fit = dataclasses.replace(WHOLE if kind in ("sft", "dpo") else FIT, lr=1e-12)
    settings = fit if kind == "sft" else dataclasses.replace(own.settings, fit=fit)
    made, _, _ = run_job(
        dataclasses.replace(own, settings=settings), load_reasoner(start), ONE, RunContext(None, start.parent / "none")
    )
    return made


@pytest.mark.nightly
def test_what_is_wrong_in_a_process_is_said_by_the_command(start: Path, tmp_path: Path) -> None:
    own = dataclasses.replace(job("orpo", start), rows=[])
    with pytest.raises(BadInput, match=r"^there is nothing to train on: no rows$"):
        run_job(own, load_reasoner(start), TWO, RunContext(None, tmp_path / "two"))


@pytest.mark.parametrize("kind", ["sft", "orpo", "dpo", "verifier"])
def test_a_job_comes_back_from_its_folder_as_it_was(
    kind: str, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a launcher that fails without a word is one line."""
    commands: list[list[str]] = []

    def start_nothing(command: list[str], **_: Any) -> Any:
        commands.append(command)
        return type("Done", (), {"returncode": 7})

    monkeypatch.setattr(subprocess, "run", start_nothing)
    file = tmp_path / "cluster.yaml"
    file.write_text("compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_GPU\n")
    own, tuning = job(kind, start), dataclasses.replace(TWO, accelerate=str(file))
    with pytest.raises(BadInput, match=f"{kind} on 2 devices ended with 7; what it said is above"):
        run_job(own, load_reasoner(start), tuning, RunContext(None, tmp_path / "two"))
    read, same = launch._read(tmp_path / "two" / "job")
    assert read == own and same == tuning
    (command,) = commands
    assert command[command.index("--num_processes") + 1] == "2"
    assert command[command.index("--config_file") + 1] == str(file) and "--multi_gpu" in command
    assert command[-2:] == ["sapo.train.launch", str(tmp_path / "two" / "job")]


def test_a_process_ends_with_the_command_that_launched_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the owner is there, then it is not."""
    looks: list[int] = []

    def kill(owner: int, signal: int) -> None:
        looks.append(owner)
        if len(looks) == 3:
            raise ProcessLookupError

    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises(SystemExit, match="1"):
        launch._end_with(77)
    assert looks == [77, 77, 77]


def test_more_devices_than_there_are_is_refused(start: Path, tmp_path: Path) -> None:
    tuning = dataclasses.replace(TWO, device="cuda", devices=torch.cuda.device_count() + 2)
    with pytest.raises(BadInput, match=r"devices is \d+, but PyTorch sees \d+ GPUs"):
        run_job(job("orpo", start), load_reasoner(start), tuning, RunContext(None, tmp_path / "two"))


def test_alone_a_process_is_the_only_one() -> None:
    assert distributed.this_process() == (0, 1)
