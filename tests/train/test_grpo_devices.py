"""GRPO on several devices: two processes on the CPU draw, grade and learn a share each of what one does."""

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from shared_chance import FAKES, HalfBroken, Letters, shared_chance
from test_grpo import flat, letters
from test_jobs import ONE, TWO
from test_split import by_file, launch_script
from tiny_models import tiny_reasoner

from sapo.models.loading import load_reasoner, save_reasoner
from sapo.records import BadInput, Question
from sapo.settings import GrpoSettings
from sapo.tasks.catalog import TASKS
from sapo.tasks.nano import nano_code
from sapo.train import launch
from sapo.train.fit import RunContext
from sapo.train.grpo import share_of
from sapo.train.launch import Job
from sapo.train.launch import run as run_job
from sapo.train.rl_task import RlTask

# Nine completions a process: the second question's group is in both.
THREE_SIXES = GrpoSettings(beta=0.04, group=6, temperature=1.0, steps=6, questions_per_step=3, lr=1e-3)
SHORT = dataclasses.replace(THREE_SIXES, beta=0.0, steps=2)
CODE = [Question(f"c{n}", f"Write f {n}:\n", "x", tests=(f"assert f({n}) == {n}",), entry_point="f") for n in range(6)]


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("start")
    save_reasoner(*tiny_reasoner(), place)
    return place


@pytest.fixture(autouse=True)
def _known_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, task in FAKES.items():
        monkeypatch.setitem(TASKS, name, task)


@pytest.fixture
def fakes_in_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    launch_script(monkeypatch, "shared_chance.py")


def grpo(start: Path, settings: GrpoSettings = THREE_SIXES, rl_task: RlTask | None = None) -> Job:
    return Job("grpo", start, [rl_task or RlTask(Letters(), letters(), 3)], settings, 3, 4)


def test_a_job_comes_back_from_its_folder_as_it_was(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: type("Done", (), {"returncode": 7}))
    own = grpo(start, rl_task=RlTask(nano_code, CODE, 3))
    with pytest.raises(BadInput, match="grpo on 2 devices ended with 7; what it said is above"):
        run_job(own, load_reasoner(start), TWO, RunContext(None, tmp_path))
    read, tuning = launch._read(tmp_path / "job")
    assert read == own and tuning == TWO


def test_on_one_device_a_job_has_its_cost(start: Path, tmp_path: Path) -> None:
    """Two steps of 18 completions."""
    _, log, cost = run_job(grpo(start, SHORT), load_reasoner(start), ONE, RunContext(None, tmp_path))
    assert len(log) == 2 and cost.rollouts == 36


def test_devices_that_cannot_share_a_step_are_refused(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is launched. Four devices share 18 completions as little as they do one."""
    monkeypatch.setattr(subprocess, "run", None)
    assert [share_of(THREE_SIXES, devices) for devices in (1, 2, 3, 18)] == [18, 9, 6, 1]
    tuning = dataclasses.replace(TWO, devices=4)
    said = r"^grpo: tuning\.devices 4 .* 18 completions of a step, .*grpo\.group 6 .*grpo\.questions_per_step 3$"
    with pytest.raises(BadInput, match=said):
        run_job(grpo(start), load_reasoner(start), tuning, RunContext(None, tmp_path))


def check_same(own: Job, tuning: Any, place: Path) -> None:
    """Losses agree to 1e-4 of themselves or 1e-7, norms and measures to 1e-3, weights to 1e-3, and costs exactly."""
    if tuning.kind == "lora":
        pytest.importorskip("peft")
    with shared_chance():
        alone = dataclasses.replace(ONE, kind=tuning.kind)
        made, log, cost = run_job(own, load_reasoner(own.start), alone, RunContext(None, place / "one"))
    again, curve, both = run_job(own, load_reasoner(own.start), tuning, RunContext(None, place / "two"))
    for one, two in zip(log, curve, strict=True):
        assert (two.step, two.epoch, two.lr) == (one.step, one.epoch, one.lr)
        assert two.loss == pytest.approx(one.loss, rel=1e-4, abs=1e-7)
        assert two.gradient_norm == pytest.approx(one.gradient_norm, rel=1e-3)
        assert two.measures == pytest.approx(one.measures, rel=1e-3, abs=1e-6)
    assert sum(entry.measures["reward"] for entry in log) > 1 and log[-1].measures["kl"] > 0
    assert dataclasses.replace(both, seconds=0) == dataclasses.replace(cost, seconds=0)
    assert both.rollouts == 6 * 18 and both.seconds > 0
    assert torch.allclose(flat(made), flat(again), atol=1e-3)
    assert not torch.allclose(flat(made), flat(load_reasoner(own.start)[0]), atol=1e-3)
    assert not list((place / "two").glob("trl-*"))


@pytest.mark.nightly
@pytest.mark.usefixtures("fakes_in_processes")
@pytest.mark.parametrize("tuned", ["full", "lora"])
def test_two_processes_have_the_loss_curve_the_weights_and_the_cost_of_one(
    tuned: Any, start: Path, tmp_path: Path
) -> None:
    check_same(grpo(start), dataclasses.replace(TWO, kind=tuned), tmp_path)


@pytest.mark.nightly
@pytest.mark.usefixtures("fakes_in_processes")
def test_answers_that_no_process_alone_could_see_are_counted_together(start: Path, tmp_path: Path) -> None:
    """2 steps of 9 completions in each of two processes, of which the second cannot judge any."""
    own = grpo(start, SHORT, RlTask(HalfBroken(), letters(), 3))
    with pytest.raises(BadInput, match=r"^18 of 36 answers could not be judged"):
        run_job(own, load_reasoner(start), TWO, RunContext(None, tmp_path))


@pytest.mark.nightly
def test_processes_draw_otherwise_than_each_other_and_the_same_again(start: Path, tmp_path: Path) -> None:
    """One question and temperature 1: were both processes' random numbers the same, so would be their completions.

    Programs run in the sandbox of each process: 2 steps of 8 completions with one test.
    """
    settings = GrpoSettings(0.0, 8, 1.0, 2, 1, 1e-3)
    own = grpo(start, settings, RlTask(nano_code, CODE[:1], 6))
    runs = [run_job(own, load_reasoner(start), TWO, RunContext(None, tmp_path / name)) for name in "ab"]
    (made, log, cost), (again, curve, both) = runs
    assert torch.equal(flat(made), flat(again)) and log == curve
    assert cost.programs == both.programs == cost.rollouts == 16


@pytest.mark.nightly
@pytest.mark.usefixtures("fakes_in_processes")
@pytest.mark.parametrize("way", ["zero2", "zero3", "fsdp"])
@pytest.mark.parametrize("tuned", ["full", "lora"])
def test_a_model_in_parts_trains_as_one_process_does(way: str, tuned: str, start: Path, tmp_path: Path) -> None:
    if way != "fsdp":
        pytest.importorskip("deepspeed")
    check_same(grpo(start), by_file(way, tmp_path, tuned), tmp_path)
