"""Stage `sapo`: one round of Algorithm 1 (method.md §7).

S = Sample(M_i); D_i = S ∪ D_{i-1}; labels = saps(V_{i-1}, M_i, subset of S); V_i = fit(M_i, labels + expansion);
M_{i+1} = ORPO(M, pairs(score(V_i, D_i))). "SAPO-iter i" in the tables is M_{i+1}.
"""

from pathlib import Path

from sapo.models.verifier import Verifier
from sapo.records import StepScores, Trajectory, read_records, write_records
from sapo.settings import Settings
from sapo.stages.job import Job, write_costs
from sapo.stages.supervision import align, choose_subset, fit_verifier, label_subset, score
from sapo.supervise.sampling import distinct, sample
from sapo.workspace import StageArguments, Workspace, stage_directory, write_manifest


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    job = Job(settings, workspace, place, "sapo")
    previous = workspace.sapo(place.model, place.task, previous_round(settings, place.round))
    reasoner = reasoner_before(settings, workspace, place)
    sampler = job.sampler(reasoner, "sampling")
    drawn, sampling_cost = sample(
        job.task, sampler, job.train_questions(), settings.sampling, job.limits.max_new_tokens, job.seed("sample")
    )
    sampler.what = f"{job.title}: rollouts"
    own = distinct(job.task, drawn)
    pool = distinct(job.task, [*own, *read_records(previous / "pool.jsonl", Trajectory)])
    subset = choose_subset(own, settings.labels.round_trajectories, job.seed("subset"))
    scorer = Verifier.load(previous / "verifier")
    labelled, labelling_cost = label_subset(job, "saps", sampler, subset, scorer)
    start = workspace.base(place.model) if settings.align.from_ == "base" else reasoner
    with stage_directory(workspace.sapo(place.model, place.task, place.round)) as folder:
        verifier = fit_verifier(job, reasoner, labelled, settings.expansion.max_per_trajectory, folder)
        scores = score(verifier, {q.id: q for q in job.train_questions()}, pool)
        align(job, start, pool, [s.reward for s in scores], folder)
        write_records(folder / "sampled.jsonl", drawn, Trajectory)
        write_records(folder / "pool.jsonl", pool, Trajectory)
        write_records(folder / "scores.jsonl", scores, StepScores)
        costs = {"sampling": sampling_cost, "labelling": labelling_cost, "detection": scorer.cost}
        write_costs(folder, {**costs, "scoring": verifier.cost})
        write_manifest(folder, settings.seed, _sections(job), {"base": start, "previous": previous})


def previous_round(settings: Settings, number: int) -> int:
    return next(r.prev for r in settings.rounds if r.i == number)


def reasoner_before(settings: Settings, workspace: Workspace, place: StageArguments) -> Path:
    """M_i, which round i samples from: the SFT model in round 1, else what the round before aligned."""
    previous = previous_round(settings, place.round)
    if previous == 0:
        return workspace.sft(place.model, place.task)
    return workspace.sapo(place.model, place.task, previous) / "model"


def _sections(job: Job) -> dict[str, object]:
    names = ("sampling", "rollouts", "labels", "detect", "saps", "expansion", "verifier", "pairs", "orpo", "align")
    return {name: getattr(job.settings, name) for name in names}
