"""The 11 stages as commands `sapo STAGE [--model M] [--task T]`: what dvc.yaml calls, one instance at a time."""

import gc
import importlib
from functools import partial
from types import ModuleType

import click

from sapo.cli.options import MODEL, TASK, command, opened
from sapo.report.tracker_rows import tracked
from sapo.report.trackers import check_tracker, send
from sapo.runtime.workspace import StageArguments, timed

# Stages in the order of the graph: module below sapo/stages, what it makes, and the options that name an instance.
STAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "verify_data": ("Check the embedded questions and models against their pins.", ()),
    "base": ("Fetch or make the pretrained model M of a run.", ("model",)),
    "start": ("SFT on gold rationales, first samples, labels and verifier V_0.", ("model",)),
    "methods": ("Self-improvement rounds of every method on every seed.", ("model",)),
    "evaluate": ("Greedy answers of every reasoner to the test questions.", ("model",)),
    "leaks": ("Look for test questions in what the methods learned from.", ("model", "task")),
    "efficiency": ("Compare labellers on the same trajectories: agreement, cost.", ("model",)),
    "process": ("Process benchmark: trajectories with their first wrong step.", ("task",)),
    "verifiers": ("Judge every verifier on the process benchmark.", ("model", "task")),
    "report": ("Metrics, tables, figures, claims, and the README's results.", ()),
    "paper": ("Typeset the paper with the report's numbers.", ()),
}
TYPES = {"model": MODEL, "task": TASK}
EXAMPLES = {"model": "qwen2_nano", "task": "nano_math"}


def run_stage(stage: str, model: str = "", task: str = "") -> None:
    """Run one instance of a stage, note its seconds, and send its logs to the tracker of the settings."""
    settings, workspace = opened()
    place = StageArguments(model, task)
    check_tracker(settings.tracking)  # before hours of work
    with timed(workspace, stage, place):
        _import_stage(stage).run(settings, workspace, place)
    if settings.tracking != "none":
        send(settings.tracking, tracked(settings, workspace, stage, place), workspace.root / "runs" / ".tracking")


def _import_stage(stage: str) -> ModuleType:
    """The module of a stage. What it imports stays in memory, so the garbage collector need not look through it."""
    gc.disable()
    module = importlib.import_module(f"sapo.stages.{stage}")
    gc.freeze()
    gc.enable()
    return module


def _command(stage: str, text: str, needed: tuple[str, ...]) -> click.Command:
    example = " ".join(["sapo", stage, *(f"--{name} {EXAMPLES[name]}" for name in needed)])
    made = command(stage, example)(partial(run_stage, stage))
    made.params = [click.Option([f"--{name}"], type=TYPES[name], required=True) for name in needed]
    made.help = text
    return made


COMMANDS = tuple(_command(stage, *declared) for stage, declared in STAGES.items())
