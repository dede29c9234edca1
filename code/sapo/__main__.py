"""`python -m sapo STAGE [--model M] [--task T]` runs one stage of dvc.yaml; `dvc repro` runs them all.

Known kinds of bad input end as one line `error: …` and exit code 2; anything else is a bug and shows its trace.
"""

import argparse
import importlib
import os
import sys
from pathlib import Path

from safetensors import SafetensorError

from sapo import __doc__ as about
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
    "start": ("start", ("model", "task")),
    "methods": ("methods", ("model", "task")),
    "evaluate": ("evaluate", ("model", "task")),
    "leaks": ("leaks", ("model", "task")),
    "efficiency": ("efficiency", ("model", "task")),
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
GO_ON = "what is finished is kept, and the same command goes on from there"


def main(arguments: list[str]) -> int:
    """Run one stage or command; 0 when it went well, 2 on bad input or a disk that refuses, 130 on an interrupt."""
    try:
        _dispatch(arguments)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (OSError, SafetensorError) as error:
        reason = next((reason for reason in DISK if reason in str(error)), "")
        if not reason:
            raise
        print(f"error: {reason}: {' '.join(str(error).split())[:300]}; {GO_ON}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"interrupted: {GO_ON}", file=sys.stderr)
        return 130
    return 0


def _dispatch(arguments: list[str]) -> None:
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
        importlib.import_module(f"sapo.stages.{module}").run(settings, workspace, place)
    if settings.tracking != "none":
        send(settings.tracking, tracked(settings, workspace, stage, place), workspace.root / "runs" / ".tracking")


def _check_instance(settings: Settings, needed: tuple[str, ...], place: StageArguments) -> None:
    """Refuse a model or task that params.yaml does not name."""
    named = {"model": list(settings.models), "task": list(settings.tasks)}
    for name in needed:
        value = getattr(place, name)
        if value not in named[name]:
            raise SettingsError(f"{PARAMS}: {name}s: {value!r} is not one of {', '.join(named[name])}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
