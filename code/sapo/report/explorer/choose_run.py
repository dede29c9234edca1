"""Which run the explorer shows: the first model, task and seed that ran a method, unless they are named."""

from sapo.report.explorer.labels import ExplorerError
from sapo.settings import CellSettings, Settings
from sapo.settings.configure import PARAMS


def find_cell(settings: Settings, method: str, model: str | None, task: str | None) -> CellSettings:
    """The first cell of params.yaml that runs the method, on that model and task if they are named.

    Raises:
        ExplorerError: there is none.
    """
    cells = [cell for cell in settings.cells.values() if method in settings.groups[cell.group].methods]
    for cell in cells:
        if model in (None, cell.model) and task in (None, cell.task):
            return cell
    ran = ", ".join(f"{cell.model} on {cell.task}" for cell in cells) or "nothing"
    raise ExplorerError(f"{PARAMS}: cells: {method} runs {ran}, not what --model and --task name")


def find_seed(settings: Settings, cell: CellSettings, seed: int | None) -> int:
    """The seed, if the cell's group has it, or the group's first one. Raises ExplorerError."""
    seeds = settings.groups[cell.group].seeds
    if seed is not None and seed not in seeds:
        known = ", ".join(map(str, seeds))
        raise ExplorerError(f"{PARAMS}: groups: {cell.group}: {seed} is not one of its seeds {known}")
    return seeds[0] if seed is None else seed
