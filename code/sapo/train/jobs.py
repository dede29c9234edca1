"""One training run, in this process or, where `tuning.devices` is more than 1, in as many that accelerate launches.

A run on several devices is a folder: `job.json`, with everything that decides the run, goes in; `made/` (a reasoner or
a verifier), `log.json` and `cost.json` come out. `accelerate launch … -m sapo.train.jobs FOLDER` is one of
its processes. Every process has the whole model (data parallel), unless the configuration file of accelerate's that
`tuning.accelerate` names splits it (DeepSpeed, FSDP; `split.py`).
"""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import yaml
from transformers import PreTrainedModel

from sapo.models.adapters import begin_training, end_training, optional
from sapo.models.encoding import Encoder
from sapo.models.hardware import NoDevice, arithmetic
from sapo.models.loading import load_encoder, load_reasoner, save_reasoner
from sapo.models.verifier import Verifier
from sapo.records import BadInput, Cost, PreferencePair, Question, read_json, write_json, write_text
from sapo.settings import DpoSettings, FitSettings, GrpoSettings, OrpoSettings, TuningSettings, VerifierSettings
from sapo.settings.typed_values import build
from sapo.tasks.catalog import find_task
from sapo.train.dpo import train_dpo
from sapo.train.grpo import Practice, share_of, train_grpo
from sapo.train.loop import StepLog, Watch
from sapo.train.orpo import train_orpo
from sapo.train.processes import join, splits
from sapo.train.sft import train_sft
from sapo.train.verifier import VerifierExample, train_verifier

Made = PreTrainedModel | Verifier
SETTINGS = {"sft": FitSettings, "orpo": OrpoSettings, "dpo": DpoSettings, "verifier": VerifierSettings}
SETTINGS |= {"grpo": GrpoSettings}


@dataclass(frozen=True, slots=True)
class Job:
    """What is trained on what.

    Args:
        start: the saved reasoner to train, or whose backbone the verifier starts from.
        rows: (prompt, completion) texts, preference pairs, labelled trajectories, or the one `Practice` of GRPO.
        adapters: seed of the adapters' first weights.
    """

    kind: Literal["sft", "orpo", "dpo", "verifier", "grpo"]
    start: Path
    rows: Sequence[Any]
    settings: Any
    seed: int
    adapters: int


class Trained(NamedTuple):
    """What a job made, an ordinary reasoner (or `Verifier`), with a log a step.

    Args:
        cost: of GRPO, which draws what it trains on; of the others nothing, since theirs follows from the rows.
    """

    made: Any
    log: list[StepLog]
    cost: Cost


def carry_out(job: Job, loaded: tuple[PreTrainedModel, Encoder], tuning: TuningSettings, watch: Watch) -> Trained:
    """Train.

    Args:
        loaded: what `job.start` holds; trained in place on one device.
        watch: with a folder for checkpoints, which also holds the job of several devices; those show no progress.

    Raises:
        BadInput: what the training raises, also in another process; the devices cannot share GRPO's steps; or the
            launcher failed.
    """
    if tuning.devices == 1:
        return _train(job, loaded, tuning, watch)
    if watch.checkpoints is None:
        raise BadInput(f"{job.kind}: training on {tuning.devices} devices needs a folder")
    if job.kind == "grpo":
        share_of(job.settings, tuning.devices)
    folder = watch.checkpoints / "job"
    _launch(job, tuning, folder)
    log = [StepLog(**entry) for entry in read_json(folder / "log.json", list)]
    made: Made = Verifier.load(folder / "made") if job.kind == "verifier" else load_reasoner(folder / "made")[0]
    return Trained(made, log, Cost(**read_json(folder / "cost.json")))


def _train(job: Job, loaded: tuple[PreTrainedModel, Encoder], tuning: TuningSettings, watch: Watch) -> Trained:
    model, encoder = loaded
    made: Made = model
    cost = Cost()
    begin_training(model, tuning, tuning.verifier if job.kind == "verifier" else tuning.reasoner, job.adapters)
    with arithmetic(tuning):
        if job.kind == "verifier":
            made, log = train_verifier(model, encoder, job.rows, job.settings, job.seed, watch)
        elif job.kind == "orpo":
            log = train_orpo(model, encoder, job.rows, job.settings, job.seed, watch)
        else:
            if watch.checkpoints is None:
                raise BadInput(f"{job.kind}: training needs a folder")
            if job.kind == "grpo":
                (practice,) = job.rows
                log, cost = train_grpo(model, encoder, practice, job.settings, job.seed, watch.checkpoints)
            else:
                train = train_dpo if job.kind == "dpo" else train_sft
                log = train(model, encoder, job.rows, job.settings, job.seed, watch.checkpoints)
    end_training(made.backbone if isinstance(made, Verifier) else made, tuning)
    return Trained(made, log, cost)


def _launch(job: Job, tuning: TuningSettings, folder: Path) -> None:
    if tuning.device == "cuda" and torch.cuda.device_count() < tuning.devices:
        raise NoDevice(f"tuning: devices is {tuning.devices}, but PyTorch sees {torch.cuda.device_count()} GPUs")
    shutil.rmtree(folder, ignore_errors=True)
    rows = [_plain(row) for row in job.rows]
    content = {"kind": job.kind, "start": str(job.start.resolve()), "rows": rows, "settings": asdict(job.settings)}
    write_json(
        folder / "job.json",
        content | {"seed": job.seed, "adapters": job.adapters, "tuning": asdict(tuning), "owner": os.getpid()},
    )
    command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", str(tuning.devices)]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    command += _options(tuning) if tuning.accelerate else ["--multi_gpu", "--num_machines", "1"]
    command += ["-m", "sapo.train.jobs", str(folder.resolve())]
    paths = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}, check=False)
    if (folder / "error.txt").is_file():
        raise BadInput((folder / "error.txt").read_text(encoding="utf-8"))
    if done.returncode:
        raise BadInput(f"{job.kind} on {tuning.devices} devices ended with {done.returncode}; what it said is above")


def _plain(row: Any) -> Any:
    """A row for JSON."""
    if isinstance(row, Practice):
        questions = [asdict(question) for question in row.questions]
        return {"task": row.task.NAME, "questions": questions, "max_new_tokens": row.max_new_tokens}
    return asdict(row) if isinstance(row, PreferencePair) else list(row)


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
    kind, rows = content["kind"], content["rows"]
    if kind in ("orpo", "dpo"):
        rows = [PreferencePair(**row) for row in rows]
    elif kind == "grpo":
        rows = [_practice(row, f"{folder}: question") for row in rows]
    elif kind == "verifier":
        rows = [VerifierExample(name, prompt, tuple(steps), tuple(labels)) for name, prompt, steps, labels in rows]
    else:
        rows = [(prompt, completion) for prompt, completion in rows]
    settings = build(SETTINGS[kind], content["settings"], f"{folder}: settings")
    tuning = build(TuningSettings, content["tuning"], f"{folder}: tuning")
    return Job(kind, Path(content["start"]), rows, settings, content["seed"], content["adapters"]), tuning


def _practice(row: Any, where: str) -> Practice:
    questions = [build(Question, question, where) for question in row["questions"]]
    return Practice(find_task(row["task"]), questions, row["max_new_tokens"])


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
    made, log, cost = _train(job, load_reasoner(job.start), tuning, Watch(None, folder.parent))
    if state.is_main_process:
        if isinstance(made, Verifier):
            made.save(folder / "made")
        else:
            save_reasoner(made, load_encoder(job.start), folder / "made")
        write_json(folder / "log.json", [asdict(entry) for entry in log])
        write_json(folder / "cost.json", asdict(cost))
    state.wait_for_everyone()
    state.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
