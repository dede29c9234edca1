"""Stage `start`: M_0, D_0 and V_0 of a model and task, for every seed that its methods use."""

import dataclasses

from sapo.methods.bench import Bench, copy_output
from sapo.methods.start import begin
from sapo.settings import Settings, seeds_of
from sapo.stages.workers import Work, share
from sapo.workspace import StageArguments, Workspace, stage_directory


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    seeds = seeds_of(settings, place.model, place.task)
    benches = [bench_of(settings, workspace, place, seed) for seed in seeds]
    title = f"start {place.model} {place.task}"
    share([Work(f"{title} seed {s}", begin, (b,)) for s, b in zip(seeds, benches, strict=True)], settings.workers)
    with stage_directory(workspace.starts(place.model, place.task)) as folder:
        for seed, bench in zip(seeds, benches, strict=True):
            copy_output(begin(bench), folder / str(seed))


def bench_of(settings: Settings, workspace: Workspace, place: StageArguments, seed: int) -> Bench:
    return Bench(dataclasses.replace(settings, seed=seed), workspace, place.model, place.task)
