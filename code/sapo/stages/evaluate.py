"""Stage `evaluate`: every checkpoint of one model and task on the task's test split and on its out-of-domain partner.

Writes `METHOD/BENCHMARK.jsonl` with one outcome a question. Methods, in the order of the tables: `cot` (the
pretrained model), `sft`, `orpo_outcome`, `orpo_mc`, `sapo1` … (the reasoner that round i made).
"""

from pathlib import Path

from sapo.evaluate.solve import solve
from sapo.records import Outcome, write_records
from sapo.settings import Settings
from sapo.stages.job import Job, write_costs
from sapo.tasks.catalog import find_task
from sapo.tasks.protocols import describe
from sapo.workspace import StageArguments, Workspace, stage_directory, write_manifest


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    job = Job(settings, workspace, place, "evaluate")
    limits = job.limits
    benchmarks = {place.task: limits.test_questions, limits.ood: limits.ood_questions}
    reasoners = checkpoints(settings, workspace, place)
    costs = {}
    with stage_directory(workspace.evaluation(place.model, place.task)) as folder:
        for method, reasoner in reasoners.items():
            sampler = job.sampler(reasoner, method)
            for name, count in benchmarks.items():
                questions = job.questions(name, "test", count)
                outcomes, costs[f"{method}/{name}"] = solve(find_task(name), sampler, questions, limits.max_new_tokens)
                write_records(folder / method / f"{name}.jsonl", outcomes, Outcome)
        write_costs(folder, costs)
        write_manifest(folder, settings.seed, {"task": limits, "protocol": describe(settings.data.protocol)}, reasoners)


def checkpoints(settings: Settings, workspace: Workspace, place: StageArguments) -> dict[str, Path]:
    """Directory of every method's reasoner."""
    return {
        "cot": workspace.base(place.model),
        "sft": workspace.sft(place.model, place.task),
        "orpo_outcome": workspace.orpo_outcome(place.model, place.task) / "model",
        "orpo_mc": workspace.orpo_mc(place.model, place.task) / "model",
        **{f"sapo{r.i}": workspace.sapo(place.model, place.task, r.i) / "model" for r in settings.rounds},
    }
