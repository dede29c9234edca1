"""Stage `start`: M_0, D_0 and V_0 of a model on every task, for every seed that its methods use.

Writes `TASK/SEED/`.
"""

from sapo.recipes.bootstrap import begin, start_inputs
from sapo.recipes.experiment import Experiment, copy_output
from sapo.recipes.experiments import experiments_of
from sapo.runtime.process_pool import Work, run_all
from sapo.runtime.workspace import StageArguments, Workspace, stage_directory
from sapo.settings import Settings


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    experiments = [
        experiment
        for task in settings.tasks
        for experiment in experiments_of(settings, workspace, place.model, task).values()
    ]
    given = [(start_inputs(experiment), experiment.tools) for experiment in experiments]
    works = [
        Work(f"start {_title(experiment)}", begin, own) for experiment, own in zip(experiments, given, strict=True)
    ]
    run_all(works, settings.workers)
    with stage_directory(workspace.starts_of(place.model)) as folder:
        for task in settings.tasks:
            (folder / task).mkdir()  # empty where no method runs
        for experiment, own in zip(experiments, given, strict=True):
            copy_output(begin(*own), folder / experiment.task_name / str(experiment.settings.seed))


def _title(experiment: Experiment) -> str:
    return f"{experiment.model} {experiment.task_name} seed {experiment.settings.seed}"
