"""Stage `sft`: the pretrained model learns from the gold rationales, M_0 = SFT(M, D_org) (method.md §7)."""

from sapo.models.loading import load_reasoner, save_reasoner
from sapo.settings import Settings
from sapo.stages.job import Job
from sapo.train.sft import train_sft
from sapo.workspace import StageArguments, Workspace, stage_directory, write_manifest


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    job = Job(settings, workspace, place, "sft")
    base = workspace.base(place.model)
    texts = [(question.prompt, question.solution) for question in job.gold_questions()]
    model, encoder = load_reasoner(base)
    with stage_directory(workspace.sft(place.model, place.task)) as folder:
        train_sft(model, encoder, texts, settings.sft, job.seed(), folder)
        save_reasoner(model, encoder, folder)
        write_manifest(folder, settings.seed, {"sft": settings.sft, "task": job.limits}, {"base": base})
