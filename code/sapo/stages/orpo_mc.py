"""Stage `orpo_mc`: ORPO with Monte Carlo supervision, the baseline that labels every step (Wang 2024).

Shepherd labels a subset of the samples of M_0, a verifier learns from them, and the pool D_0 is paired by its reward.
"""

from sapo.records import StepScores, Trajectory, read_records, write_records
from sapo.settings import Settings
from sapo.stages.job import Job, write_costs
from sapo.stages.supervision import align, choose_subset, fit_verifier, label_subset, score
from sapo.workspace import StageArguments, Workspace, stage_directory, write_manifest


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    job = Job(settings, workspace, place, "orpo_mc")
    base, reasoner = workspace.base(place.model), workspace.sft(place.model, place.task)
    samples = workspace.sapo(place.model, place.task, 0)
    pool = read_records(samples / "pool.jsonl", Trajectory)
    subset = choose_subset(pool, settings.labels.mc_trajectories, job.seed("subset"))
    labelled, cost = label_subset(job, "shepherd", job.sampler(reasoner, "rollouts"), subset, None)
    with stage_directory(workspace.orpo_mc(place.model, place.task)) as folder:
        verifier = fit_verifier(job, reasoner, labelled, 0, folder)
        scores = score(verifier, {q.id: q for q in job.train_questions()}, pool)
        align(job, base, pool, [s.reward for s in scores], folder)
        write_records(folder / "scores.jsonl", scores, StepScores)
        write_costs(folder, {"labelling": cost, "scoring": verifier.cost})
        sections = {name: getattr(settings, name) for name in ("rollouts", "labels", "verifier", "pairs", "orpo")}
        write_manifest(folder, settings.seed, sections, {"base": base, "sft": reasoner, "samples": samples})
