"""`python -m sapo dry-run [--model M] …`: one step of every phase of params.yaml on random weights of the real shape.

Prints seconds and the peak of memory by phase, beside the plan's estimate for the same lengths. Nothing is fetched and
nothing is kept. With `--layers` and `--vocabulary` the same architecture is smaller: shapes are tested in seconds.
"""

import argparse
import dataclasses
from pathlib import Path

from sapo.configure import PARAMS
from sapo.plan.architecture import config_of
from sapo.plan.dry_run import Measured, dry_run, reduced
from sapo.plan.memory import GIB, Lengths, Shape, peaks
from sapo.report.rendering import show
from sapo.report.tables import Table
from sapo.settings import Settings, SettingsError, load_settings


def main(arguments: list[str]) -> None:
    """Run every phase once.

    Raises:
        SettingsError: params.yaml has no such model.
        NoShape, NoDevice, ExtraMissing, OutOfMemory: the machine lacks something; see `plan/dry_run.py`.
    """
    parser = argparse.ArgumentParser(prog="python -m sapo dry-run", description=__doc__)
    parser.add_argument("--model", help="of params.yaml; without: its first one")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="instead of tuning.device")
    parser.add_argument("--prompt", type=int, default=96, metavar="N", help="tokens of a prompt (96)")
    parser.add_argument("--completion", type=int, default=32, metavar="N", help="tokens of a completion (32)")
    parser.add_argument("--rows", type=int, default=8, metavar="N", help="drawn together (8); 0: sampling.rows")
    parser.add_argument("--layers", type=int, default=0, metavar="N", help="instead of the model's own")
    parser.add_argument("--vocabulary", type=int, default=0, metavar="N", help="instead of the model's own")
    given = parser.parse_args(arguments)
    settings = load_settings(PARAMS)
    name = given.model or next(iter(settings.models))
    if name not in settings.models:
        raise SettingsError(f"{PARAMS}: models: {name!r} is not one of {', '.join(settings.models)}")
    if min(given.prompt, given.completion) < 4 or min(given.rows, given.layers, given.vocabulary) < 0:
        raise SettingsError("dry run: prompts and completions have 4 tokens or more, other numbers are 0 or more")
    if given.device:
        settings = dataclasses.replace(settings, tuning=dataclasses.replace(settings.tuning, device=given.device))
    config = reduced(config_of(name, settings.models[name], settings.scratch, Path()), given.layers, given.vocabulary)
    rows, lengths = given.rows or settings.sampling.rows, Lengths(given.prompt, given.completion)
    measured = list(dry_run(settings, config, lengths, rows))
    show([table(settings, name, Shape.of(config), lengths, measured, rows)])


def table(settings: Settings, name: str, shape: Shape, lengths: Lengths, measured: list[Measured], rows: int) -> Table:
    """Seconds, measured peak, and the plan's estimate for the same lengths and rows."""
    drawing = dataclasses.replace(settings, sampling=dataclasses.replace(settings.sampling, rows=rows))
    planned = peaks(drawing, shape, lengths)
    cells = [
        (
            one.phase,
            f"{one.seconds:,.1f}",
            f"{one.peak / GIB:,.2f}",
            f"{planned[one.phase] / GIB:,.2f}" if one.phase in planned else "–",
        )
        for one in measured
    ]
    of = "the process, libraries included" if settings.tuning.device == "cpu" else "the device"
    note = (
        f"{shape.weights:,} random weights, {settings.tuning.kind} in {settings.tuning.dtype} on "
        f"{settings.tuning.device}; prompts of {lengths.prompt} tokens, completions of {lengths.completion}, {rows} "
        f"rows drawn together. Peaks are of {of}."
    )
    return Table(f"Dry run of {name}", ("Phase", "Seconds", "Peak GiB", "Planned GiB"), tuple(cells), note)
