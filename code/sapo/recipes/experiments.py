"""The benches of a stage that looks at the seeds of a model and task: at all of them, or at the first one only."""

import dataclasses

from sapo.recipes.experiment import Experiment
from sapo.runtime.workspace import Workspace
from sapo.settings import Settings, seeds_of


def experiments_of(settings: Settings, workspace: Workspace, model: str, task: str) -> dict[int, Experiment]:
    """One for every seed that methods of the model and task run with, by the seed, in their order."""
    seeds = seeds_of(settings, model, task)
    return {seed: Experiment(dataclasses.replace(settings, seed=seed), workspace, model, task) for seed in seeds}


def first_experiment(settings: Settings, workspace: Workspace, model: str, task: str) -> Experiment:
    """Of the first of these seeds."""
    return next(iter(experiments_of(settings, workspace, model, task).values()))
