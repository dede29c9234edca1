"""What `sapo plan` and `sapo dry-run` print: work, time and memory of a run, and where these figures are from."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from sapo.plan.devices import Device
from sapo.plan.dry_run import Measured
from sapo.plan.forecast import Forecast, Row
from sapo.plan.memory import GIB, Lengths, Shape, peaks
from sapo.plan.texts import texts_of
from sapo.report.tables.method_tables import Table
from sapo.settings import Settings
from sapo.train.cost import Bill

HEADER = ("Stage", "Samples", "Rollouts", "Read tokens", "Generated", "Trained", "FLOPs", "Hours", "US $")


def plan_tables(settings: Settings, name: str, device: Device, found: Forecast) -> list[Table]:
    """Work, memory, and where the figures are from, for a run on the device of that name."""
    return [_work(settings, name, device, found), _memory(name, device, found), _sources(settings, name, device)]


def texts_table(file: Path, sources: dict[str, str]) -> Table:
    """The tasks whose texts were measured, and the run that they were measured in."""
    return Table(f"Texts measured, in {file}", ("Task", "From"), (*sources.items(),), "Tests compare plan and run.")


def dry_run_table(settings: Settings, name: str, shape: Shape, lengths: Lengths, measured: Iterable[Measured]) -> Table:
    """Seconds, measured peak, and the plan's estimate for the same lengths and rows."""
    planned = {phase: f"{size / GIB:,.2f}" for phase, size in peaks(settings, shape, lengths).items()}
    rows = [
        (one.phase, f"{one.seconds:,.1f}", f"{one.peak / GIB:,.2f}", planned.get(one.phase, "–")) for one in measured
    ]
    tuning = settings.tuning
    note = (
        f"{shape.weights:,} random weights, {tuning.kind} in {tuning.dtype} on {tuning.device}; prompts of "
        f"{lengths.prompt} tokens, completions of {lengths.completion}, {settings.sampling.rows} rows drawn together. "
        f"Peaks are of {'the process, libraries included' if tuning.device == 'cpu' else 'the device'}."
    )
    return Table(f"Dry run of {name}", ("Phase", "Seconds", "Peak GiB", "Planned GiB"), tuple(rows), note)


def _work(settings: Settings, name: str, device: Device, found: Forecast) -> Table:
    rows = [_row(settings, device, stage, row) for stage, row in found.rows.items()]
    total = Row(0.0, 0.0, Bill(), 0.0)
    for row in found.rows.values():
        sums = (getattr(total, one.name) + getattr(row, one.name) for one in dataclasses.fields(Row))
        total = Row(*sums)
    note = f"Work that methods share is counted once. Disk: {found.disk / GIB:,.1f} GiB below runs/."
    return Table(f"Plan of {settings.profile} on {name}", HEADER, (*rows, _row(settings, device, "total", total)), note)


def _row(settings: Settings, device: Device, stage: str, row: Row) -> tuple[str, ...]:
    side_by_side = settings.workers if not device.memory else 1  # processes on cores, or one GPU
    hours, bill = row.seconds / 3600 / side_by_side, row.bill
    counts = (row.samples, row.rollouts, bill.prompt_tokens, bill.generated_tokens, bill.trained_tokens)
    price = f"{hours * device.price:,.2f}" if device.price else "–"
    return (stage, *(f"{count:,.0f}" for count in counts), f"{bill.flops:.2e}", f"{hours:,.2f}", price)


def _memory(name: str, device: Device, found: Forecast) -> Table:
    rows = []
    for (model, phase), size in found.peaks.items():
        unfit = found.unfit.get((model, phase))
        said = "–" if not device.memory else "fits" if unfit is None else f"does not fit; would: {unfit[1]}"
        rows.append((model, phase, f"{size / GIB:,.2f}", said))
    room = f"{name} has {device.memory:,.0f} GiB" if device.memory else f"{name} has what the machine has"
    note = f"{room}. Estimates for a batch full of long rows; `python -m sapo dry-run` measures them."
    return Table("Peak memory", ("Model", "Phase", "GiB", "On this device"), tuple(rows), note)


def _sources(settings: Settings, name: str, device: Device) -> Table:
    rows = [(f"texts of {task}", texts_of(task).source) for task in settings.tasks]
    rows += [
        (f"throughput of {name}", device.source),
        ("rollouts a label", "computed: the labellers' own strategies over a simple world (evaluate/simulation.py)"),
        ("FLOPs", "computed: the ledger's formulas (models/flops.py)"),
        ("memory", "computed: weights, optimiser, activations and logits (plan/memory.py)"),
    ]
    return Table("Measured, computed, assumed", ("Figure", "From"), tuple(rows))
