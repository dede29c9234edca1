"""Seconds per labelled trajectory of shepherd, omega, saps and ours, on those that figure 6 counts costs of.

All labellers run in this one process and in alternating order, on the reasoner and the samples of an existing run;
medians over the repetitions count. The time of saps and ours includes the verifier's pass that detects.
Run alone, from the repository's root: python benchmarks/labelling.py [--repetitions 3] [--trajectories 60] [--write]
prints a table; `--write` also leaves `benchmarks/labelling_seconds.json` for the report.
"""

import argparse
import datetime
import os
import platform
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from sapo.evaluate.efficiency import RIGHT, Length
from sapo.labelling.labellers import LabelItem
from sapo.recipes.experiment import Experiment
from sapo.recipes.experiments import first_experiment
from sapo.records import write_plain_json
from sapo.report.efficiency import SECONDS
from sapo.report.figures.labelling_cost import SHOWN
from sapo.report.tables.method_tables import Table
from sapo.report.tables.rendering import show
from sapo.runtime.workspace import Workspace
from sapo.settings import load_settings
from sapo.settings.configure import PARAMS
from sapo.stages.efficiency import Comparison, answer_of, efficiency_inputs, prepare

Taken = dict[str, list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--trajectories", type=int, default=60, help="of each model and task, at most")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    if given.repetitions < 1 or given.trajectories < 1:
        raise SystemExit(f"{given.repetitions} repetitions on {given.trajectories} trajectories measure nothing")
    settings = load_settings(PARAMS)
    torch.set_num_threads(settings.threads)
    workspace = Workspace(Path(), settings.profile)
    settings = replace(settings, workers=2)  # no progress lines
    places = [(model, task) for model in settings.models for task in settings.tasks]
    experiments = {f"{model}/{task}": first_experiment(settings, workspace, model, task) for model, task in places}
    taken: dict[str, Taken] = {name: {labeller: [] for labeller in SHOWN} for name in experiments}
    for number in range(given.repetitions):
        for name, experiment in experiments.items():
            for labeller, seconds in one_repetition(experiment, given.trajectories, number % 2 == 1).items():
                taken[name][labeller].append(seconds)
    medians = {name: {k: statistics.median(v) for k, v in own.items()} for name, own in taken.items()}
    show([table(medians, taken)])
    if given.write:
        write_plain_json(SECONDS, report(settings.profile, settings.threads, given.repetitions, medians))
        sys.stdout.write(f"{SECONDS}\n")


def one_repetition(experiment: Experiment, most: int, backwards: bool) -> dict[str, float]:
    """Seconds per trajectory of each labeller; preparing anew also measures detection anew."""
    comparison, detection = only_long(prepare(efficiency_inputs(experiment), experiment.tools), most)
    count = sum(map(len, comparison.items.values()))
    found = {}
    for name in reversed(SHOWN) if backwards else SHOWN:
        start = time.perf_counter()
        answer_of(comparison, name)
        found[name] = (time.perf_counter() - start) / count + (detection if name in ("saps", "ours") else 0.0)
    return found


def only_long(comparison: Comparison, most: int) -> tuple[Comparison, float]:
    """The first `most` trajectories of the length whose costs the figure shows, and the detection seconds of one."""
    length: Length = "long" if comparison.items["long"] else "short"
    detection = comparison.detection[length].seconds / len(comparison.items[length])
    nothing: dict[str, list[LabelItem]] = {"long": [], "short": [], RIGHT: []}
    return replace(comparison, items=nothing | {length: comparison.items[length][:most]}), detection


def table(medians: dict[str, dict[str, float]], taken: dict[str, Taken]) -> Table:
    """Medians with the fastest and slowest repetition, and ratios to shepherd and saps."""
    rows = [
        (
            place,
            name,
            f"{seconds:.4f}",
            f"{min(taken[place][name]):.4f} to {max(taken[place][name]):.4f}",
            f"{seconds / own['shepherd']:.2f}",
            f"{seconds / own['saps']:.2f}",
        )
        for place, own in medians.items()
        for name, seconds in own.items()
    ]
    header = ("Place", "Labeller", "Seconds", "Fastest to slowest", "Of shepherd", "Of saps")
    return Table("Seconds per labelled trajectory", header, tuple(rows))


def report(profile: str, threads: int, repetitions: int, medians: dict[str, dict[str, float]]) -> dict[str, object]:
    return {
        "profile": profile,
        "machine": {"cpu": cpu_name(), "cores": os.cpu_count()},
        "threads": threads,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": "python benchmarks/labelling.py --write",
        "repetitions": repetitions,
        "seconds": {place: {k: round(v, 5) for k, v in own.items()} for place, own in medians.items()},
    }


def cpu_name() -> str:
    """The processor's name as Linux tells it, else as Python does."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
