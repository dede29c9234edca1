"""Everything of one plan: work and seconds by stage, peaks of memory, disk, and what is measured of it."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sapo.plan.architecture import config_of
from sapo.plan.devices import BYTES, Device, Part, seconds
from sapo.plan.graph import all_parts
from sapo.plan.memory import Lengths, Shape, peaks, too_large
from sapo.plan.texts import texts_of
from sapo.settings import Settings, method_settings, seeds_of
from sapo.train.cost import Bill

LONGEST = 3  # times the mean prompt: a batch may be full of long ones


@dataclass(frozen=True, slots=True)
class Row:
    """One stage: trajectories drawn for training, rollouts for labels and answers, the bill, seconds of one device."""

    samples: float
    rollouts: float
    bill: Bill
    seconds: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """Rows by stage, their parts; bytes by (model, phase); bytes of disk; phases that do not fit, with what would."""

    rows: dict[str, Row]
    parts: tuple[Part, ...]
    peaks: dict[tuple[str, str], float]
    disk: float
    unfit: dict[tuple[str, str], tuple[float, str]]

    @property
    def seconds(self) -> float:
        return sum(row.seconds for row in self.rows.values())


def forecast(settings: Settings, device: Device, root: Path) -> Forecast:
    """What a run of these settings takes on a device.

    Raises:
        NoShape, UnknownTexts: a model's shape or a task's texts are not known.
        SimulationError: the rollouts' settings describe no world.
    """
    parts = all_parts(settings, root)
    configs = {name: config_of(name, model, settings.scratch, root) for name, model in settings.models.items()}
    shapes = {name: Shape.of(config) for name, config in configs.items()}
    longest = _longest(settings)
    rows: dict[str, Row] = {}
    for part in parts:
        took = seconds(part, settings, configs[part.model], shapes[part.model].weights, device)
        rows[part.stage] = _with(rows.get(part.stage, Row(0.0, 0.0, Bill(), 0.0)), part, took)
    for stage, row in rows.items():
        judged = row.bill.programs * max(texts_of(task).judging for task in settings.tasks)
        rows[stage] = Row(row.samples, row.rollouts, row.bill, row.seconds + judged / settings.workers)
    return Forecast(
        rows,
        tuple(parts),
        {(m, phase): size for m, shape in shapes.items() for phase, size in peaks(settings, shape, longest).items()},
        _disk(settings, {name: shape.weights for name, shape in shapes.items()}, parts),
        {
            (name, phase): found
            for name, shape in shapes.items()
            if device.memory
            for phase, found in too_large(settings, shape, longest, device).items()
        },
    )


def _with(row: Row, part: Part, took: float) -> Row:
    sampled = part.bill.rollouts if part.what == "sampling" else 0.0
    return Row(
        row.samples + sampled,
        row.rollouts + part.bill.rollouts - sampled,
        row.bill + part.bill,
        row.seconds + took,
    )


def _longest(settings: Settings) -> Lengths:
    prompt = max(LONGEST * texts_of(task).prompt for task in settings.tasks)
    return Lengths(round(prompt), max(task.max_new_tokens for task in settings.tasks.values()))


def _disk(settings: Settings, weights: dict[str, int], parts: list[Part]) -> float:
    """Reasoners and verifiers: kept below runs/.scratch, and copied to the outputs of every method that has them.

    DVC's cache shares the outputs' bytes where the file system knows links; where it does not, they count twice.
    """
    merged = BYTES["float32" if settings.tuning.kind == "full" else settings.tuning.dtype]
    kept = Counter(part.model for part in parts if part.what in ("sft", "update"))
    # A verifier is kept with its labels and in its round.
    kept.update(model for part in parts if part.what == "verifier" for model in (part.model, part.model))
    copied = Counter[str]()
    for model in settings.models:
        for task in settings.tasks:
            for seed in seeds_of(settings, model, task):
                copied[model] += 2  # M_0 and V_0
                copied[model] += sum(_models(settings, method) for method in _methods(settings, model, task, seed))
    return sum(merged * weights[model] * (kept[model] + copied[model] + 1) for model in weights)


def _models(settings: Settings, method: str) -> int:
    loop = method_settings(settings, method, settings.seed).loop
    return len(loop.updates) * (2 if loop.reward == "verifier" else 1)


def _methods(settings: Settings, model: str, task: str, seed: int) -> list[str]:
    cells = [cell for cell in settings.cells.values() if (cell.model, cell.task) == (model, task)]
    groups = [settings.groups[cell.group] for cell in cells]
    return [method for group in groups if seed in group.seeds for method in group.methods]
