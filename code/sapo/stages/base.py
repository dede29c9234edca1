"""Stage `base`: the pretrained model M of a run, from where its kind says: shipped, made from scratch, or the hub."""

import shutil
from pathlib import Path

from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from sapo.methods.bench import Bench
from sapo.models.encoding import Encoder
from sapo.models.loading import LoadingError, load_reasoner, save_reasoner, seal
from sapo.settings import ModelSettings, Settings
from sapo.train.scratch import train_scratch
from sapo.workspace import StageArguments, Workspace, stage_directory


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    model = settings.models[place.model]
    with stage_directory(workspace.base(place.model)) as folder:
        if model.kind == "nano":
            _copy(workspace.data / "models" / place.model, folder)
        elif model.kind == "scratch":
            _from_scratch(Bench(settings, workspace, place.model, ""), model, folder)
        else:
            _from_hub(model, folder)


def _copy(shipped: Path, folder: Path) -> None:
    """Copy a shipped model's files, not their read-only modes or hard links into DVC's cache, and try it."""
    if not shipped.is_dir():
        raise LoadingError(f"{shipped}: no such base model; `python -m sapo pretrain {shipped.name}` makes it")
    for file in sorted(shipped.iterdir()):
        shutil.copyfile(file, folder / file.name)
    load_reasoner(folder)
    seal(folder)


def _from_scratch(bench: Bench, model: ModelSettings, folder: Path) -> None:
    texts = []
    for name, task in bench.settings.tasks.items():
        questions = bench.questions(name, "train", task.train_questions)
        texts += [(question.prompt, question.solution) for question in questions if question.solution]
    made, encoder = train_scratch(model.architecture, texts, bench.settings.scratch, bench.seed())
    save_reasoner(made, encoder, folder)


def _from_hub(model: ModelSettings, folder: Path) -> None:
    """Copy a hub model at its pinned revision. Raises LoadingError with what to do where it is not to be had."""
    try:
        weights = AutoModelForCausalLM.from_pretrained(
            model.hub_id, revision=model.revision, use_safetensors=True, trust_remote_code=False
        )
        tokenizer = PreTrainedTokenizerFast.from_pretrained(model.hub_id, revision=model.revision)
    except OSError as error:
        raise LoadingError(
            f"{model.hub_id} at revision {model.revision} cannot be loaded: {error}. Gated models need access granted "
            "on their hub page and `hf auth login`; without a network, fill the hub's cache first"
        ) from error
    save_reasoner(weights, Encoder(tokenizer), folder)
