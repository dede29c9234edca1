"""One training run, in this process or, where `tuning.devices` is more than 1, in as many that accelerate launches.

A run on several devices is a folder: `job.json`, with everything that decides the run, goes in; `made/` (a reasoner or
a verifier), `log.json` and `cost.json` come out. `accelerate launch … -m sapo.train.launch FOLDER` is one of
its processes. Every process has the whole model (data parallel), unless the configuration file of accelerate's that
`tuning.accelerate` names splits it (DeepSpeed, FSDP; `split.py`).
"""

import os
import shutil
import subprocess
import sys
import threading
import time
import typing
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import PreTrainedModel

from sapo.models.adapters import begin_training, end_training, optional
from sapo.models.encoding import Encoder
from sapo.models.hardware import CHECKPOINTING, NoDevice, arithmetic, enough_memory
from sapo.models.loading import load_encoder, load_reasoner, save_reasoner
from sapo.models.verifier import Verifier
from sapo.records import BadInput, Cost, read_json, write_json, write_text
from sapo.settings import Settings, TuningSettings
from sapo.settings.typed_values import build
from sapo.train.distributed import join, splits
from sapo.train.fit import RunContext, StepLog
from sapo.train.registry import trainer_of
from sapo.train.trainer import Trained


@dataclass(frozen=True, slots=True)
class Job:
    """What is trained on what.

    Args:
        trainer: its name in the registry.
        start: the saved reasoner to train, or whose backbone the verifier starts from.
        rows: of the trainer's kind.
        settings: the trainer's section.
        adapters: seed of the adapters' first weights.
        tokens: to train on, instead of the settings' epochs; 0: as the settings say.
    """

    trainer: str
    start: Path
    rows: Sequence[Any]
    settings: Any
    seed: int
    adapters: int
    tokens: float = 0.0


def run(job: Job, loaded: tuple[PreTrainedModel, Encoder], tuning: TuningSettings, context: RunContext) -> Trained:
    """Train.

    Args:
        loaded: what `job.start` holds; trained in place on one device.
        watch: with a folder for checkpoints, which also holds the job of several devices; those show no progress.

    Raises:
        BadInput: no such trainer; what the training raises, also in another process; the devices cannot share GRPO's
            steps; or the launcher failed.
        OutOfMemory: the device's memory is too small; names the setting to lower.
    """
    trainer = trainer_of(job.trainer)
    if tuning.devices == 1:
        return _train(job, loaded, tuning, context)
    if context.checkpoints is None:
        raise BadInput(f"{job.trainer}: training on {tuning.devices} devices needs a folder")
    if trainer.check_devices:
        trainer.check_devices(job.settings, tuning.devices)
    folder = context.checkpoints / "job"
    _launch(job, tuning, folder)
    log = [StepLog(**entry) for entry in read_json(folder / "log.json", list)]
    made = Verifier.load(folder / "made") if trainer.verifier else load_reasoner(folder / "made")[0]
    return Trained(made, log, Cost(**read_json(folder / "cost.json")))


def _train(job: Job, loaded: tuple[PreTrainedModel, Encoder], tuning: TuningSettings, context: RunContext) -> Trained:
    trainer = trainer_of(job.trainer)
    begin_training(loaded[0], tuning, tuning.verifier if trainer.verifier else tuning.reasoner, job.adapters)
    remedies = f"lower {' or '.join(trainer.lower)}", CHECKPOINTING
    with arithmetic(tuning), enough_memory(job.trainer, *remedies):
        trained = trainer.train(*loaded, job.rows, job.settings, job.seed, replace(context, tokens=job.tokens))
    end_training(trained.made.backbone if trainer.verifier else trained.made, tuning)
    return trained


def _launch(job: Job, tuning: TuningSettings, folder: Path) -> None:
    if tuning.device == "cuda" and torch.cuda.device_count() < tuning.devices:
        raise NoDevice(f"tuning: devices is {tuning.devices}, but PyTorch sees {torch.cuda.device_count()} GPUs")
    shutil.rmtree(folder, ignore_errors=True)
    rows = [trainer_of(job.trainer).data.to_json(row) for row in job.rows]
    content = {"trainer": job.trainer, "start": str(job.start.resolve()), "rows": rows}
    content |= {"settings": asdict(job.settings), "seed": job.seed, "adapters": job.adapters, "tokens": job.tokens}
    write_json(folder / "job.json", content | {"tuning": asdict(tuning), "owner": os.getpid()})
    command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", str(tuning.devices)]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    command += _options(tuning) if tuning.accelerate else ["--multi_gpu", "--num_machines", "1"]
    command += ["-m", "sapo.train.launch", str(folder.resolve())]
    paths = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}, check=False)
    if (folder / "error.txt").is_file():
        raise BadInput((folder / "error.txt").read_text(encoding="utf-8"))
    if done.returncode:
        said = f"{job.trainer} on {tuning.devices} devices ended with {done.returncode}; what it said is above"
        raise BadInput(said)


def _options(tuning: TuningSettings) -> list[str]:
    """Of the launcher, for a configuration file. Raises BadInput where no job can be trained by it."""
    from accelerate.commands.config.config_args import load_config_from_file

    name = f"tuning: accelerate: {tuning.accelerate}"
    try:
        config: Any = load_config_from_file(tuning.accelerate)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        raise BadInput(f"{name}: no configuration of accelerate's ({' '.join(str(error).split())[:300]})") from error
    way, options = config.distributed_type, ["--config_file", tuning.accelerate]
    if way not in ("DEEPSPEED", "FSDP"):
        return [*options, "--multi_gpu"]  # for MULTI_CPU the launcher would want MPI, and start one process without
    if tuning.kind == "qlora":
        raise BadInput(f"{name}: weights in 4 bits are not split; tuning.kind is qlora")
    if way == "FSDP" and (config.fsdp_config or {}).get("fsdp_version") != 2:
        raise BadInput(f"{name}: only fsdp_version: 2 is supported")
    if way == "DEEPSPEED":
        optional("deepspeed", "deepspeed", name)
    return options


def _read(folder: Path) -> tuple[Job, TuningSettings]:
    content = read_json(folder / "job.json")
    trainer = trainer_of(content["trainer"])
    section = typing.get_type_hints(Settings)[trainer.section]
    tuning = build(TuningSettings, content["tuning"], f"{folder}: tuning")
    job = Job(
        trainer.name,
        Path(content["start"]),
        [trainer.data.from_json(row) for row in content["rows"]],
        build(section, content["settings"], f"{folder}: settings"),
        content["seed"],
        content["adapters"],
        content["tokens"],
    )
    return job, tuning


def _end_with(owner: int) -> None:
    """End this process when the one that launched the job is gone: a killed command leaves nobody training."""
    while True:
        time.sleep(1)
        try:
            os.kill(owner, 0)
        except ProcessLookupError:
            os._exit(1)


def main(folder: Path) -> None:
    """One of the processes of a job; the first leaves what they made, any of them what is wrong."""
    try:
        _take_part(folder)
    except BadInput as error:
        write_text(folder / "error.txt", str(error))
        sys.exit(2)


def _take_part(folder: Path) -> None:
    job, tuning = _read(folder)
    threading.Thread(target=_end_with, args=(read_json(folder / "job.json")["owner"],), daemon=True).start()
    state = join(tuning.device)
    if splits() and state.distributed_type in ("NO", "MULTI_CPU"):
        raise NoDevice(f"tuning: accelerate: {tuning.accelerate}: FSDP splits models over GPUs, and device is cpu")
    made, log, cost = _train(job, load_reasoner(job.start), tuning, RunContext(None, folder.parent))
    if state.is_main_process:
        if trainer_of(job.trainer).verifier:
            made.save(folder / "made")
        else:
            save_reasoner(made, load_encoder(job.start), folder / "made")
        write_json(folder / "log.json", [asdict(entry) for entry in log])
        write_json(folder / "cost.json", asdict(cost))
    state.wait_for_everyone()
    state.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
