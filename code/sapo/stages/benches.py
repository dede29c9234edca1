"""The bench of a stage that looks at one seed only."""

import dataclasses

from sapo.methods.bench import Bench
from sapo.settings import Settings, seeds_of
from sapo.workspace import Workspace


def first_bench(settings: Settings, workspace: Workspace, model: str, task: str) -> Bench:
    """Of the first seed that methods of the model and task run with."""
    seed = seeds_of(settings, model, task)[0]
    return Bench(dataclasses.replace(settings, seed=seed), workspace, model, task)
