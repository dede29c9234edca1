"""Stage `start`: M_0, D_0 and V_0 of a model on every task, for every seed that its methods use.

Writes `TASK/SEED/`.
"""

from sapo.recipes.bootstrap import begin, start_inputs
from sapo.recipes.experiment import Bench, copy_output
from sapo.recipes.experiments import benches_of
from sapo.runtime.process_pool import Work, share
from sapo.runtime.workspace import StageArguments, Workspace, stage_directory
from sapo.settings import Settings


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    benches = [
        bench for task in settings.tasks for bench in benches_of(settings, workspace, place.model, task).values()
    ]
    given = [(start_inputs(bench), bench.tools) for bench in benches]
    works = [Work(f"start {_title(bench)}", begin, own) for bench, own in zip(benches, given, strict=True)]
    share(works, settings.workers)
    with stage_directory(workspace.starts_of(place.model)) as folder:
        for task in settings.tasks:
            (folder / task).mkdir()  # empty where no method runs
        for bench, own in zip(benches, given, strict=True):
            copy_output(begin(*own), folder / bench.task_name / str(bench.settings.seed))


def _title(bench: Bench) -> str:
    return f"{bench.model} {bench.task_name} seed {bench.settings.seed}"
