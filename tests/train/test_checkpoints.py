"""Training that was killed goes on from its last checkpoint, and ends with the bytes of one that was not killed."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fakes import LineTask
from safetensors.torch import load_file
from tiny_models import tiny_reasoner
from torch import Tensor, nn

from sapo.models.adapters import begin_training, end_training
from sapo.models.encoding import Size
from sapo.records import PreferencePair, Question, Verdict
from sapo.runtime.cache import cached, training
from sapo.runtime.workspace import StageArguments
from sapo.settings import (
    AdapterSettings,
    DpoSettings,
    FitSettings,
    GrpoSettings,
    OrpoSettings,
    TuningSettings,
    VerifierSettings,
)
from sapo.train import checkpoints as module
from sapo.train.checkpoints import Checkpoints
from sapo.train.dpo import train_dpo
from sapo.train.fit import RunContext, StepLog, fit
from sapo.train.grpo import train_grpo
from sapo.train.orpo import train_orpo
from sapo.train.rl_task import RlTask
from sapo.train.sft import train_sft
from sapo.train.verifier import VerifierExample, train_verifier

TEXTS = [(f"Ben has {n}.\n", f"{n} + 3 = {n + 3}\nanswer {n + 3}\n"[: 9 + n]) for n in range(7)]
PAIRS = [PreferencePair(f"q{n}", prompt, text, f"so {n}" + "." * n, 1.0, 0.0) for n, (prompt, text) in enumerate(TEXTS)]
EXAMPLES = [VerifierExample(f"t{n}", prompt, (f"{n}\n", text), (1, n % 2)) for n, (prompt, text) in enumerate(TEXTS)]
FIT = FitSettings(lr=1e-2, epochs=3, batch_size=3, warmup=0.1)  # 3 steps an epoch, 9 in all
Run = tuple[nn.Module, list[StepLog], object]
Arm = Callable[[nn.Module], None]


class Killed(Exception):
    """Stands for SIGKILL: nothing in between catches it."""


class LetterTask(LineTask):
    """Right is what begins with a letter."""

    def grade(self, questions: Sequence[Question], completions: Sequence[str]) -> list[Verdict]:
        return ["right" if text[:1].isalpha() else "wrong" for text in completions]


def sft(place: Path, arm: Arm, settings: FitSettings = FIT) -> Run:
    arm((loaded := tiny_reasoner())[0])
    return loaded[0], train_sft(*loaded, TEXTS, settings, 2**40 + 1, RunContext(None, place)).log, None


def dpo(place: Path, arm: Arm) -> Run:
    """Two forward passes a step."""
    model, encoder = tiny_reasoner()
    arm(model)
    settings = DpoSettings(0.1, 0.5, FitSettings(1e-2, 2.5, 4, 0.1, micro_batch=2))
    return model, train_dpo(model, encoder, PAIRS, settings, 1, RunContext(None, place)).log, None


def orpo(place: Path, arm: Arm) -> Run:
    arm((loaded := tiny_reasoner())[0])
    return *train_orpo(*loaded, PAIRS, OrpoSettings(0.5, "completion", FIT), 1, RunContext(None, place))[:2], None


def verifier(place: Path, arm: Arm) -> Run:
    model, encoder = tiny_reasoner()
    arm(model)
    return *train_verifier(model, encoder, EXAMPLES, VerifierSettings("mse", FIT), 1, RunContext(None, place))[:2], None


def grpo(place: Path, arm: Arm) -> Run:
    """The completions that it draws, and the bill, are those of one run; 2 steps go through the 4 questions."""
    model, encoder = tiny_reasoner()
    arm(model)
    questions = [Question(f"q{n}", f"Say {n}:\n", "a", tests=("assert True",)) for n in range(4)]
    given = [RlTask(LetterTask(), questions, 3)], GrpoSettings(0.04, 4, 1.0, 5, 2, 1e-2)
    _, log, cost = train_grpo(model, encoder, *given, 1, RunContext(None, place))
    return model, log, (cost.rollouts, cost.prompt_tokens, cost.generated_tokens, cost.flops, cost.programs)


def adapters(place: Path, arm: Arm) -> Run:
    """SFT of adapters that drop out; the frozen weights are no part of the checkpoint."""
    pytest.importorskip("peft")
    model, encoder = tiny_reasoner()
    sizes = AdapterSettings(rank=4, alpha=8.0, dropout=0.2)
    tuning = TuningSettings("lora", "cpu", "float32", False, sizes, sizes)
    begin_training(model, tuning, sizes, 1)
    arm(model)
    log = train_sft(model, encoder, TEXTS, FIT, 1, RunContext(None, place)).log
    names = [name for path in place.glob("*/tensors.safetensors") for name in load_file(path)]
    assert all("lora_" in name for name in names if name.startswith("weight."))
    end_training(model, tuning)
    return model, log, None


def nothing(model: nn.Module) -> None:
    """Of a run that nobody kills."""


class Trap:
    """Makes attention drop weights at random, and kills the run in forward pass number `fatal`."""

    def __init__(self, fatal: int) -> None:
        self.passes, self.fatal = 0, fatal

    def __call__(self, model: Any) -> None:
        for layer in model.modules():
            if "attention_dropout" in vars(layer):
                layer.attention_dropout = 0.1
        self.counted = model.get_decoder()
        self.counted.register_forward_pre_hook(self.count, with_kwargs=True)

    def __deepcopy__(self, memo: dict[int, object]) -> "Trap":
        return self  # a verifier is a copy

    def count(self, module: nn.Module, *_: Any) -> None:
        self.passes += module.training
        if self.passes == self.fatal:
            raise Killed


def flat(model: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


Dues = Callable[..., None]


@pytest.fixture
def dues(monkeypatch: pytest.MonkeyPatch) -> Dues:
    """Say after which steps a checkpoint is due, by the steps that one run makes."""

    def set_steps(*steps: int) -> None:
        counted = itertools.count(1)
        monkeypatch.setattr(Checkpoints, "due", lambda self: next(counted) in steps)

    return set_steps


# A run, the step after which it has its checkpoint, and the forward pass in which it is killed: amid the first epoch of
# three steps, at its end, amid the second; of two passes a step, between the two; of 5 steps of GRPO, the fourth.
CASES = [(sft, 3, 5), (adapters, 5, 7), (dpo, 3, 8), (orpo, 4, 6), (verifier, 4, 6), (grpo, 3, 14)]
CASES += [pytest.param(sft, step, fatal, marks=pytest.mark.nightly) for step, fatal in ((2, 4), (5, 7))]


@pytest.mark.parametrize(("train", "step", "fatal"), CASES)
def test_a_killed_run_goes_on_to_the_same_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dues: Dues, train: Callable[..., Run], step: int, fatal: int
) -> None:
    """Weights, log and bill; the third run has no checkpoints at all."""
    dues(step)
    with pytest.raises(Killed):
        train(tmp_path / "a", Trap(fatal))
    assert [path.name for path in (tmp_path / "a").iterdir()] == [f"{step:08d}"]
    assert capsys.readouterr().err == ""
    dues()
    again, whole = Trap(1000), Trap(1000)
    model, log, bill = train(tmp_path / "a", again)
    assert f"training goes on from step {step}: " in capsys.readouterr().err
    expected, whole_log, whole_bill = train(tmp_path / "b", whole)
    assert torch.equal(flat(model), flat(expected))
    assert (log, bill) == (whole_log, whole_bill)
    assert again.passes < whole.passes


@pytest.mark.parametrize("train", [sft, orpo])
def test_checkpoints_change_nothing_and_the_last_stays(tmp_path: Path, dues: Dues, train: Callable[..., Run]) -> None:
    dues(*range(10))
    model, log, _ = train(tmp_path / "a", nothing)
    last = {sft: "00000008", orpo: "00000009"}[train]  # a trainer of TRL cannot go on from its last step
    assert [path.name for path in (tmp_path / "a").iterdir()] == [last]
    dues()
    expected, whole_log, _ = train(tmp_path / "b", nothing)
    assert torch.equal(flat(model), flat(expected)) and log == whole_log
    assert list((tmp_path / "b").glob("*")) == []


def test_a_run_that_was_done_trains_no_more(tmp_path: Path, dues: Dues) -> None:
    dues(9)
    model, log, _ = orpo(tmp_path, nothing)
    trap = Trap(1)
    again, same, _ = orpo(tmp_path, trap)
    assert trap.passes == 0 and torch.equal(flat(model), flat(again)) and log == same


def flip(folder: Path) -> None:
    """One bit of the last tensor."""
    path = folder / "tensors.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(content)


def cut(folder: Path) -> None:
    path = folder / "state.json"
    path.write_bytes(path.read_bytes()[:-20])


def unseal(folder: Path) -> None:
    (folder / "sha256.json").unlink()


def lose(folder: Path) -> None:
    (folder / "tensors.safetensors").unlink()


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (flip, "tensors.safetensors: damaged or replaced"),
        (cut, "state.json: damaged or replaced"),
        (unseal, "sha256.json is missing"),
        (lose, "tensors.safetensors: no such file"),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dues: Dues, damage: Callable[[Path], None], line: str
) -> None:
    dues(4)
    model, log, _ = orpo(tmp_path, nothing)
    damage(tmp_path / "00000004")
    again, same, _ = orpo(tmp_path, nothing)
    said = capsys.readouterr().err
    assert said.startswith("checkpoint not used: ") and line in said and said.count("\n") == 1
    assert torch.equal(flat(model), flat(again)) and log == same


@pytest.mark.parametrize("other", ["settings", "rows", "weights"])
def test_the_checkpoint_of_another_run_is_not_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dues: Dues, other: str
) -> None:
    """A row's size is the same where only its text differs."""
    line = nn.Linear(2, 1)
    rows = {"settings": 0, "rows": 0, "weights": 0} | {other: 1}

    def train(run: dict[str, int]) -> list[StepLog]:
        with torch.no_grad():
            line.weight.fill_(1.0 + run["weights"])
        settings, watch = FitSettings(0.1 + run["settings"], 3, 1, 0.0), RunContext(None, tmp_path, (run["rows"],))
        return fit(line, lambda _: (line.weight.square().sum(), {}), [Size(1)], settings, 1, watch)

    dues(2)
    train(dict.fromkeys(rows, 0))
    assert len(train(rows)) == 3
    assert "checkpoint not used: " in (said := capsys.readouterr().err) and "the checkpoint of another run" in said


def test_when_a_checkpoint_is_due_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first after 60 s. One that takes 5 s, from 60 to 65, is followed by 20 * 5 s without: the next is at 165."""
    now = [0.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(module, "seal", lambda folder: now.__setitem__(0, now[0] + 5.0))
    cached, none = Checkpoints(tmp_path, nn.Linear(1, 1)), Checkpoints(None, nn.Linear(1, 1))

    def due_at(second: float) -> bool:
        now[0] = second
        return cached.due()

    assert [due_at(second) for second in (0.0, 59.9, 60.0)] == [False, False, True]
    cached.write(1, {"weight.x": torch.ones(1)}, {})
    assert [due_at(second) for second in (65.0, 164.9, 165.0)] == [False, False, True]
    assert not none.due()


def test_what_a_kill_left_half_written_goes_with_the_next_checkpoint(tmp_path: Path, dues: Dues) -> None:
    half = tmp_path / ".1.tmp"
    half.mkdir()
    (half / "tensors.safetensors").write_bytes(b"half")
    dues(5)
    orpo(tmp_path, nothing)
    assert [path.name for path in tmp_path.iterdir()] == ["00000005"]


def test_in_kept_work_it_survives_the_kill_and_goes_with_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dues: Dues
) -> None:
    def make(folder: Path) -> None:
        orpo(training(folder), trap)

    dues(4)
    trap = Trap(6)
    with pytest.raises(Killed):
        cached(tmp_path, StageArguments("round"), make)
    assert [path.name for path in tmp_path.glob(".*.parts/training/*")] == ["00000004"]
    trap = Trap(1000)
    cached(tmp_path, StageArguments("round"), make)
    assert "training goes on from step 4" in capsys.readouterr().err
    assert list(tmp_path.glob(".*.parts")) == []
