"""Stage `round0`: the first samples and the first verifier (method.md §7, first line).

D_0 = Sample(M_0) ∪ D_org; V_0 = fit(M_0, omega(subset of D_0)).
"""

from sapo.records import Trajectory, write_records
from sapo.settings import Settings
from sapo.stages.job import Job, write_costs
from sapo.stages.supervision import choose_subset, fit_verifier, label_subset
from sapo.supervise.sampling import distinct, gold_trajectories, sample
from sapo.workspace import StageArguments, Workspace, stage_directory, write_manifest


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    job = Job(settings, workspace, place, "round0")
    reasoner = workspace.sft(place.model, place.task)
    sampler = job.sampler(reasoner, "sampling")
    drawn, sampling_cost = sample(
        job.task, sampler, job.train_questions(), settings.sampling, job.limits.max_new_tokens, job.seed("sample")
    )
    sampler.what = f"{job.title}: rollouts"
    pool = distinct(job.task, [*drawn, *gold_trajectories(job.task, job.gold_questions())])
    subset = choose_subset(pool, settings.labels.bootstrap_trajectories, job.seed("subset"))
    labelled, labelling_cost = label_subset(job, "omega", sampler, subset, None)
    with stage_directory(workspace.sapo(place.model, place.task, 0)) as folder:
        fit_verifier(job, reasoner, labelled, settings.expansion.max_per_trajectory, folder)
        write_records(folder / "sampled.jsonl", drawn, Trajectory)
        write_records(folder / "pool.jsonl", pool, Trajectory)
        write_costs(folder, {"sampling": sampling_cost, "labelling": labelling_cost})
        sections = {"sampling": settings.sampling, "labels": settings.labels, "verifier": settings.verifier}
        write_manifest(folder, settings.seed, sections, {"sft": reasoner})
