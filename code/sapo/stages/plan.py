"""`python -m sapo plan [--gpu NAME]`: what a run of params.yaml will take, before it starts.
`python -m sapo plan --measure`: how long the texts of its finished run are and how they end, for plans to come.

Prints by stage and in total: trajectories, rollouts, tokens, FLOPs, hours, dollars; peaks of memory and what does not
fit, with the setting that would make it fit; disk; and which of these figures were measured. Runs no model.
"""

import argparse
import dataclasses
import datetime
from pathlib import Path

from sapo.configure import PARAMS
from sapo.plan.calibration import measured_texts
from sapo.plan.devices import DEVICES, Device, device_of
from sapo.plan.forecast import Forecast, Row, forecast
from sapo.plan.memory import GIB
from sapo.plan.texts import MEASURED, texts_of
from sapo.records import read_plain_json, write_plain_json
from sapo.report.rendering import show
from sapo.report.tables import Table
from sapo.settings import Settings, load_settings
from sapo.train.cost import Bill
from sapo.workspace import Workspace

HEADER = ("Stage", "Samples", "Rollouts", "Read tokens", "Generated", "Trained", "FLOPs", "Hours", "US $")


def main(arguments: list[str]) -> None:
    """Plan the run of params.yaml.

    Raises:
        UnknownDevice: no such device. NoShape, UnknownTexts: the plan does not know a model's shape or a task's texts.
    """
    parser = argparse.ArgumentParser(prog="python -m sapo plan", description=__doc__)
    parser.add_argument("--gpu", metavar="NAME", help=f"one of {', '.join(DEVICES)}; without: cpu, or a100 for cuda")
    parser.add_argument("--measure", action="store_true", help="from the run below runs/, into the plan's own code")
    given = parser.parse_args(arguments)
    settings = load_settings(PARAMS)
    if given.measure:
        measure(settings, Workspace(Path(), settings.profile), MEASURED)
        return
    name = given.gpu or ("cpu" if settings.tuning.device == "cpu" else "a100")
    device = device_of(name)
    show(tables(settings, name, device, forecast(settings, device, Path())))


def measure(settings: Settings, workspace: Workspace, file: Path) -> None:
    """Put what a finished run says of the texts of its tasks into `file`; what that knows of other tasks stays.

    Raises:
        NotMeasured: the run is not finished.
    """
    source = f"measured: {settings.profile}, {' and '.join(settings.models)}, one seed, {datetime.date.today()}"
    found = {task: measured_texts(settings, workspace, task, source) for task in settings.tasks}
    known = read_plain_json(file) if file.is_file() else {}
    write_plain_json(file, known | {task: dataclasses.asdict(texts) for task, texts in found.items()})
    rows = [(task, source) for task in found]
    show([Table(f"Texts measured, in {file}", ("Task", "From"), tuple(rows), "Tests compare the plan with the run.")])


def tables(settings: Settings, name: str, device: Device, found: Forecast) -> list[Table]:
    """Work, memory, and where the figures are from."""
    return [_work(settings, name, device, found), _memory(name, device, found), _sources(settings, name, device)]


def devices_of(settings: Settings, device: Device) -> int:
    """That work side by side: workers on cores, or one GPU."""
    return settings.workers if not device.memory else 1


def _work(settings: Settings, name: str, device: Device, found: Forecast) -> Table:
    rows = [_row(settings, device, stage, row) for stage, row in found.rows.items()]
    total = Row(0.0, 0.0, Bill(), 0.0)
    for row in found.rows.values():
        total = Row(
            total.samples + row.samples,
            total.rollouts + row.rollouts,
            total.bill + row.bill,
            total.seconds + row.seconds,
        )
    note = f"Work that methods share is counted once. Disk: {found.disk / GIB:,.1f} GiB below runs/."
    return Table(f"Plan of {settings.profile} on {name}", HEADER, (*rows, _row(settings, device, "total", total)), note)


def _row(settings: Settings, device: Device, stage: str, row: Row) -> tuple[str, ...]:
    hours, bill = row.seconds / 3600 / devices_of(settings, device), row.bill
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
