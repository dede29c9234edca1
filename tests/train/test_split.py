"""Training by configuration files of accelerate's: two processes, with the whole model or a part each, train as one."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from test_jobs import FIT, ONE, TWO, flat, job, settled
from tiny_models import tiny_reasoner

from sapo.models.adapters import ExtraMissing
from sapo.models.loading import load_reasoner, save_reasoner
from sapo.records import BadInput
from sapo.settings import TuningSettings
from sapo.train import distributed
from sapo.train.checkpoints import Checkpoints
from sapo.train.fit import RunContext
from sapo.train.launch import Job
from sapo.train.launch import run as run_job

FILES = {
    "cpu": "distributed_type: MULTI_CPU\nuse_cpu: true\n",
    "zero0": "distributed_type: DEEPSPEED\ndeepspeed_config: {zero_stage: 0}\n",
    "zero2": "distributed_type: DEEPSPEED\ndeepspeed_config: {zero_stage: 2, gradient_accumulation_steps: 4}\n",
    "zero3": "distributed_type: DEEPSPEED\ndeepspeed_config: {zero_stage: 3, gradient_clipping: 9.0}\n",
    "fsdp": "distributed_type: FSDP\nfsdp_config: {fsdp_version: 2, fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP}\n",
    "fsdp1": "distributed_type: FSDP\nfsdp_config: {fsdp_version: 1}\n",
}
MACHINE = "compute_environment: LOCAL_MACHINE\nnum_machines: 1\nnum_processes: 2\n"

NAMED = r"tuning: accelerate: .*way\.yaml"


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("start")
    save_reasoner(*tiny_reasoner(), place)
    return place


def launch_script(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The processes of a job run this script of tests instead of the module of jobs."""
    run = subprocess.run

    def launch(command: list[str], **options: Any) -> Any:
        return run([*command[:-3], str(Path(__file__).parents[1] / "support" / name), command[-1]], **options)

    monkeypatch.setattr(subprocess, "run", launch)


@pytest.fixture
def on_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    launch_script(monkeypatch, "fsdp_on_cpu.py")


def by_file(way: str, place: Path, kind: Any = "full") -> TuningSettings:
    file = place / f"{way}.yaml"
    file.write_text(MACHINE + FILES[way])
    return dataclasses.replace(TWO, kind=kind, accelerate=str(file))


def uneven(own: Job) -> Job:
    """Batches of 5 and 3 rows, 2 at a time: the second process has no part of its own in the second turn of the 5."""
    if own.trainer not in ("orpo", "verifier"):
        return own
    return dataclasses.replace(
        own, settings=dataclasses.replace(own.settings, fit=dataclasses.replace(FIT, batch_size=5))
    )


def check_same(own: Job, tuning: TuningSettings, place: Path) -> None:
    """Losses, norms and measures of one process and of two agree to 1e-4 of themselves, weights to 1e-3."""
    if tuning.kind == "lora":
        pytest.importorskip("peft")
    one = dataclasses.replace(ONE, kind=tuning.kind)
    made, log, _ = run_job(own, load_reasoner(own.start), one, RunContext(None, place / "one"))
    again, curve, _ = run_job(own, load_reasoner(own.start), tuning, RunContext(None, place / "two"))
    assert len(log) == len(curve)
    for one, two in zip(log, curve, strict=True):
        assert (two.step, two.epoch, two.lr) == (one.step, one.epoch, one.lr)
        assert two.loss == pytest.approx(one.loss, rel=1e-4)
        assert two.gradient_norm == pytest.approx(one.gradient_norm, rel=1e-3)
        # TRL takes the mean over what it computes at once, whose rows are others.
        assert settled(two) == pytest.approx(settled(one), rel=1e-3, abs=0.02 if own.trainer == "sft" else 1e-6)
    assert log[-1].loss < log[0].loss
    assert torch.allclose(flat(made), flat(again), atol=1e-3)
    if own.trainer != "verifier":
        assert not torch.allclose(flat(made), flat(load_reasoner(own.start)[0]), atol=1e-3)


@pytest.mark.nightly
@pytest.mark.parametrize(("kind", "tuned"), [("orpo", "full"), ("verifier", "lora"), ("sft", "lora"), ("dpo", "full")])
def test_a_file_for_processors_trains_as_one_process_does(kind: str, tuned: str, start: Path, tmp_path: Path) -> None:
    check_same(uneven(job(kind, start)), by_file("cpu", tmp_path, tuned), tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("way", ["zero2", "zero3"])
@pytest.mark.parametrize(("kind", "tuned"), [("orpo", "full"), ("verifier", "lora"), ("sft", "full"), ("dpo", "full")])
@pytest.mark.usefixtures("on_cpus")
def test_deepspeed_trains_as_one_process_does(way: str, kind: str, tuned: str, start: Path, tmp_path: Path) -> None:
    pytest.importorskip("deepspeed")
    check_same(uneven(job(kind, start)), by_file(way, tmp_path, tuned), tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize(("kind", "tuned"), [("orpo", "full"), ("verifier", "lora"), ("sft", "full"), ("dpo", "full")])
@pytest.mark.usefixtures("on_cpus")
def test_fsdp_trains_as_one_process_does(kind: str, tuned: str, start: Path, tmp_path: Path) -> None:
    check_same(uneven(job(kind, start)), by_file("fsdp", tmp_path, tuned), tmp_path)


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (None, "full", rf"{NAMED}: no configuration of accelerate's \(.*"),
        ("- a\n", "full", rf"{NAMED}: no configuration of accelerate's \(.*"),
        ("shoes: 2\n" + FILES["cpu"], "full", rf"{NAMED}: no configuration of accelerate's \(.*shoes.*"),
        (MACHINE + FILES["fsdp"], "qlora", rf"{NAMED}: weights in 4 bits are not split; .*"),
        (MACHINE + FILES["fsdp1"], "full", rf"{NAMED}: only fsdp_version: 2 is supported"),
    ],
)
def test_a_file_that_cannot_serve_is_refused(
    content: str | None, kind: Any, said: str, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is launched."""
    monkeypatch.setattr(subprocess, "run", None)
    file = tmp_path / "way.yaml"
    if content is not None:
        file.write_text(content)
    tuning = dataclasses.replace(TWO, kind=kind, accelerate=str(file))
    with pytest.raises(BadInput, match=f"^{said}$"):
        run_job(job("orpo", start), load_reasoner(start), tuning, RunContext(None, tmp_path / "two"))


def test_deepspeed_that_is_not_installed_is_asked_for(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    with pytest.raises(ExtraMissing, match=r"zero2\.yaml needs the package deepspeed.*sapo-replication\[deepspeed\]"):
        run_job(
            job("orpo", start), load_reasoner(start), by_file("zero2", tmp_path), RunContext(None, tmp_path / "two")
        )


@pytest.mark.nightly
def test_deepspeed_that_splits_nothing_is_refused(start: Path, tmp_path: Path) -> None:
    pytest.importorskip("deepspeed")
    with pytest.raises(BadInput, match="zero_stage 0 splits nothing"):
        run_job(
            job("orpo", start), load_reasoner(start), by_file("zero0", tmp_path), RunContext(None, tmp_path / "two")
        )


@pytest.mark.nightly
def test_fsdp_wants_gpus(start: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"fsdp\.yaml: FSDP splits models over GPUs, and device is cpu$"):
        run_job(job("orpo", start), load_reasoner(start), by_file("fsdp", tmp_path), RunContext(None, tmp_path / "two"))


def test_of_a_model_in_parts_there_are_no_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone nothing is split, whatever the environment says; a second process makes the difference."""
    model = torch.nn.Linear(2, 2)
    for number, kept in ((1, True), (2, False)):
        monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
        monkeypatch.setattr(distributed, "this_process", lambda number=number: distributed.Process(0, number))
        Checkpoints(tmp_path / str(number), model).write(1, {"random.cpu": torch.zeros(1)}, {})
        assert (Checkpoints(tmp_path / str(number), model).read() is not None) == kept
