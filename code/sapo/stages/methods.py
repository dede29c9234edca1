"""Stage `methods`: all methods of one model on its tasks, each for every seed of its group.

Writes `TASK/SEED/METHOD/ROUND/` with the reasoner (`model/`), its samples, labels, verifier, log and costs. A method
that has nothing left to train on, or whose training diverges, leaves `stopped.json` with the reason and the round; the
others go on, and the tables name it.
"""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

from sapo.recipes.experiment import Experiment, copy_output
from sapo.recipes.self_improvement import run as run_method
from sapo.records import write_json
from sapo.runtime.process_pool import Work, run_all
from sapo.runtime.workspace import StageArguments, Workspace, stage_directory
from sapo.settings import Settings, method_settings
from sapo.train.fit import TrainingDiverged
from sapo.train.pairs import PairError
from sapo.train.registry import trainer_of
from sapo.train.trainer import NothingLeft


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    with stage_directory(workspace.methods_of(place.model)) as folder:
        for task in settings.tasks:
            (folder / task).mkdir()  # empty where no method runs
        works = list(_works(settings, workspace, place.model, folder))
        # The longest first: the processes end together, and rounds that methods share are made before they are asked.
        run_all([own for _, own in sorted(works, key=lambda entry: -entry[0])], settings.workers)


def _works(settings: Settings, workspace: Workspace, model: str, folder: Path) -> Iterator[tuple[float, Work]]:
    """Every method and seed, with about how long it takes."""
    for cell in settings.cells.values():
        if cell.model != model:
            continue
        group = settings.groups[cell.group]
        for method, seed in product(group.methods, group.seeds):
            experiment = Experiment(method_settings(settings, method, seed), workspace, model, cell.task)
            name = f"{model} {cell.task}: {method} seed {seed}"
            yield (
                length(experiment.settings),
                Work(name, run_one, (experiment, folder / cell.task / str(seed) / method)),
            )


def length(settings: Settings) -> float:
    """About how many rounds of SAPO a method is as long as: GRPO draws anew at every step, shepherd at every prefix."""
    updates = settings.loop.updates
    labelled = settings.labels.by == "shepherd" and settings.loop.reward == "verifier"
    return (2 if labelled else 1) * len(updates) + sum(trainer_of(name).length - 1 for name in updates)


def run_one(experiment: Experiment, folder: Path) -> None:
    """All rounds of a method; one that must stop says so in a file, and the rounds before it stay."""
    folder.mkdir(parents=True)
    finished: list[int] = []

    def done(number: int, made: Path) -> None:
        copy_output(made, folder / str(number))
        finished.append(number)

    try:
        run_method(experiment, done)
    except (NothingLeft, PairError, TrainingDiverged) as error:
        write_json(folder / "stopped.json", {"round": len(finished) + 1, "reason": str(error)})
