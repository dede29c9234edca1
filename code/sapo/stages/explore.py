"""Command `explore`: the trajectories of one method as a page to walk through, in one file that any browser opens.

Steps with the verifier's scores, the detected and the true first error, labels, and rollouts, from the last run. Model
and task are the first that ran the method, the seed is its first, unless named.
"""

import argparse
from pathlib import Path

from sapo.configure import PARAMS
from sapo.methods.bench import Bench
from sapo.report.explorer.collect import collect
from sapo.report.explorer.labels import ExplorerError
from sapo.report.explorer.render import write_page
from sapo.settings import CellSettings, Settings, load_settings, method_settings
from sapo.workspace import Workspace


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m sapo explore", description=__doc__)
    parser.add_argument("--model", help="default: the first that runs the method")
    parser.add_argument("--task", help="default: the first that runs the method")
    parser.add_argument("--method", default="sapo", help="default: sapo")
    parser.add_argument("--seed", type=int, help="default: the first of the method")
    parser.add_argument("--most", type=int, default=2500, metavar="N", help="trajectories a round (default: 2500)")
    parser.add_argument(
        "--out", type=Path, default=Path("explorer.html"), metavar="FILE", help="default: explorer.html"
    )
    given = parser.parse_args(arguments)
    if given.out.is_dir():
        raise ExplorerError(f"--out {given.out}: that is a folder, name a file in it")
    settings = load_settings(PARAMS)
    cell = find_cell(settings, given.method, given.model, given.task)
    seed = _seed(settings, cell, given.seed)
    own = method_settings(settings, given.method, seed)
    bench = Bench(own, Workspace(Path(), settings.profile), cell.model, cell.task)
    write_page(collect(bench, given.method, given.most), given.out)


def find_cell(settings: Settings, method: str, model: str | None, task: str | None) -> CellSettings:
    """The first cell of params.yaml that runs the method, on that model and task if they are named.

    Raises:
        ExplorerError: there is none.
    """
    for what, name, known in (
        ("method", method, settings.methods),
        ("model", model, settings.models),
        ("task", task, settings.tasks),
    ):
        if name is not None and name not in known:
            raise ExplorerError(f"{PARAMS}: {what}s: {name!r} is not one of {', '.join(known)}")
    cells = [cell for cell in settings.cells.values() if method in settings.groups[cell.group].methods]
    for cell in cells:
        if model in (None, cell.model) and task in (None, cell.task):
            return cell
    ran = ", ".join(f"{cell.model} on {cell.task}" for cell in cells) or "nothing"
    raise ExplorerError(f"{PARAMS}: cells: {method} runs {ran}, not what --model and --task name")


def _seed(settings: Settings, cell: CellSettings, seed: int | None) -> int:
    seeds = settings.groups[cell.group].seeds
    if seed is None:
        return seeds[0]
    if seed not in seeds:
        raise ExplorerError(
            f"{PARAMS}: groups: {cell.group}: {seed} is not one of its seeds {', '.join(map(str, seeds))}"
        )
    return seed
