"""Stage `orpo_outcome`: ORPO on outcomes alone, the baseline "w/o RM" (SIPF calls it SIOF).

The pairs come from D_0, the same samples that SAPO starts from; a trajectory's reward is 1 if it ends right, else 0.
"""

from sapo.records import Trajectory, read_records
from sapo.settings import Settings
from sapo.stages.job import Job
from sapo.stages.supervision import align
from sapo.train.pairs import outcome_rewards
from sapo.workspace import StageArguments, Workspace, stage_directory, write_manifest


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    job = Job(settings, workspace, place, "orpo_outcome")
    base, samples = workspace.base(place.model), workspace.sapo(place.model, place.task, 0)
    pool = read_records(samples / "pool.jsonl", Trajectory)
    with stage_directory(workspace.orpo_outcome(place.model, place.task)) as folder:
        align(job, base, pool, outcome_rewards(pool), folder)
        sections = {"pairs": settings.pairs, "orpo": settings.orpo}
        write_manifest(folder, settings.seed, sections, {"base": base, "samples": samples})
