"""Stage `methods`: a group of methods on one model and task, each for every seed of the group.

Writes `SEED/METHOD/ROUND/` with the reasoner (`model/`), its samples, labels, verifier, log and costs. A method that
has nothing left to train on, or whose training diverges, leaves `stopped.json` with the reason and the round; the
others go on, and the tables name it.
"""

from pathlib import Path

from sapo.methods.bench import Bench, copy_output
from sapo.methods.loop import run as run_method
from sapo.methods.rounds import NothingLeft
from sapo.records import write_json
from sapo.settings import Settings, method_settings
from sapo.stages.workers import Work, share
from sapo.train.loop import TrainingDiverged
from sapo.train.pairs import PairError
from sapo.workspace import StageArguments, Workspace, stage_directory


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    group = settings.groups[place.group]
    with stage_directory(workspace.group(place.model, place.task, place.group)) as folder:
        works = []
        for method in sorted(group.methods, key=lambda name: -rounds(settings, name)):  # the longest first
            for seed in group.seeds:
                bench = Bench(method_settings(settings, method, seed), workspace, place.model, place.task)
                name = f"{place.model} {place.task}: {method} seed {seed}"
                works.append(Work(name, run_one, (bench, folder / str(seed) / method)))
        share(works, settings.workers)


def rounds(settings: Settings, method: str) -> int:
    return len(method_settings(settings, method, settings.seed).loop.updates)


def run_one(bench: Bench, folder: Path) -> None:
    """All rounds of a method; one that must stop says so in a file, and the rounds before it stay."""
    folder.mkdir(parents=True)
    finished: list[int] = []

    def done(number: int, made: Path) -> None:
        copy_output(made, folder / str(number))
        finished.append(number)

    try:
        run_method(bench, done)
    except (NothingLeft, PairError, TrainingDiverged) as error:
        write_json(folder / "stopped.json", {"round": len(finished) + 1, "reason": str(error)})
