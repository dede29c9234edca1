"""`python -m sapo STAGE [--model M] [--task T]` runs one stage of dvc.yaml; `dvc repro` runs them all.

Known kinds of bad input end as one line `error: …` and exit code 2; anything else is a bug and shows its trace.
"""

import argparse
import gc
import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

from safetensors import SafetensorError

from sapo import __doc__ as about
from sapo.arithmetic import apply, chosen
from sapo.configure import PARAMS, configure
from sapo.pins import pin_assets
from sapo.records import BadInput
from sapo.settings import Settings, SettingsError, load_settings
from sapo.stages.tracked import tracked
from sapo.stages.tracking import check_tracker, send
from sapo.workspace import StageArguments, Workspace, timed

# Stages in story order: module below sapo/stages with `run`, and the arguments that name an instance.
STAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "verify_data": ("verify_data", ()),
    "base": ("base", ("model",)),
    "start": ("start", ("model",)),
    "methods": ("methods", ("model",)),
    "evaluate": ("evaluate", ("model",)),
    "leaks": ("leaks", ("model", "task")),
    "efficiency": ("efficiency", ("model",)),
    "process": ("process", ("task",)),
    "verifiers": ("verifiers", ("model", "task")),
    "report": ("report", ()),
    "paper": ("paper", ()),
}
# Commands outside the graph: module below sapo/stages with `main(arguments)`.
COMMANDS = {
    "compare": "compare",
    "score": "score",
    "annotate": "annotate",
    "explore": "explore",
    "verify-run": "verify_run",
    "questions": "questions",
    "pretrain": "pretrain",
    "lab-report": "lab_report",
    "doctor": "doctor",
    "simulate": "simulate",
    "plan": "plan",
    "dry-run": "dry_run",
    "push": "push",
}


# What the machine may refuse in the middle of a stage, in the system's words.
DISK = ("No space left on device", "Disk quota exceeded", "Read-only file system", "Permission denied")
MEMORY = ("out of memory", "can't allocate memory", "Cannot allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
# What draws and scores; trainings name their own setting (models/hardware.py).
LOWER = "lower sampling.rows or workers, or engine.memory where vLLM draws; `python -m sapo plan` says what fits"
GO_ON = "what is finished is kept, and the same command goes on from there"


def main(arguments: list[str]) -> int:
    """Run one stage or command; 0: it went well, 2: bad input, or no room on disk or in memory, 130: an interrupt."""
    try:
        _dispatch(arguments)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (OSError, SafetensorError, RuntimeError, MemoryError) as error:
        said = _refusal(error)
        if not said:
            raise
        print(f"error: {said}; {GO_ON}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"interrupted: {GO_ON}", file=sys.stderr)
        return 130
    return 0


def _refusal(error: Exception) -> str:
    """What the machine refused, on one line; "" for a bug. PyTorch's errors of memory are told by their words."""
    words = " ".join(str(error).split())
    if isinstance(error, MemoryError) or any(reason in words for reason in MEMORY):
        return f"too little memory{': ' if words else ''}{words[:300]}; {LOWER}"
    full = isinstance(error, OSError | SafetensorError) and next((reason for reason in DISK if reason in words), "")
    return f"{full}: {words[:300]}" if full else ""


def _dispatch(arguments: list[str]) -> None:
    apply(chosen(PARAMS))  # before anything imports torch or numpy
    names = [*STAGES, "configure", "pin-assets", *COMMANDS]
    parser = argparse.ArgumentParser(prog="python -m sapo", description=about)
    parser.add_argument("command", choices=names, metavar="COMMAND", help=", ".join(names))
    command, rest = parser.parse_args(arguments[:1]).command, arguments[1:]
    if command in STAGES:
        _run_stage(command, rest)
    elif command == "configure":
        settings = configure(Path(), rest)
        print(f"{PARAMS}: profile {settings.profile}, seed {settings.seed}")
    elif command == "pin-assets":
        argparse.ArgumentParser(prog="python -m sapo pin-assets").parse_args(rest)
        print(f"pinned {pin_assets(Path())} files of assets/")
    else:
        importlib.import_module(f"sapo.stages.{COMMANDS[command]}").main(rest)


def _run_stage(stage: str, rest: list[str]) -> None:
    module, needed = STAGES[stage]
    parser = argparse.ArgumentParser(prog=f"python -m sapo {stage}")
    for name in needed:
        parser.add_argument(f"--{name}", required=True)
    place = StageArguments(**vars(parser.parse_args(rest)))
    settings = load_settings(PARAMS)
    _check_instance(settings, needed, place)
    workspace = Workspace(Path(), settings.profile)
    os.environ["OMP_NUM_THREADS"] = str(settings.threads)  # read when a stage imports torch
    check_tracker(settings.tracking)  # before hours of work
    with timed(workspace, stage, place):
        _imported(module).run(settings, workspace, place)
    if settings.tracking != "none":
        send(settings.tracking, tracked(settings, workspace, stage, place), workspace.root / "runs" / ".tracking")


def _imported(module: str) -> ModuleType:
    """A stage's module. What it imports (PyTorch and more) stays, so garbage is not looked for in it, then or later."""
    gc.disable()
    found = importlib.import_module(f"sapo.stages.{module}")
    gc.freeze()
    gc.enable()
    return found


def _check_instance(settings: Settings, needed: tuple[str, ...], place: StageArguments) -> None:
    """Refuse a model or task that params.yaml does not name."""
    named = {"model": list(settings.models), "task": list(settings.tasks)}
    for name in needed:
        value = getattr(place, name)
        if value not in named[name]:
            raise SettingsError(f"{PARAMS}: {name}s: {value!r} is not one of {', '.join(named[name])}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
