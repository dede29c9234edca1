"""Stage `base`: the pretrained model M of a run, from where its kind says: shipped, made from scratch, or the hub."""

import re
import shutil
from pathlib import Path
from typing import cast, get_args

from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from sapo.models.encoding import Encoder
from sapo.models.loading import LoadingError, load_reasoner, save_reasoner, seal
from sapo.recipes.experiment import Experiment
from sapo.runtime.workspace import StageArguments, Workspace, stage_directory
from sapo.settings import ModelSettings, Settings, SettingsError
from sapo.train.from_scratch import Architecture, train_scratch


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    model = settings.models[place.model]
    with stage_directory(workspace.base(place.model)) as folder:
        if model.kind == "nano":
            _copy(workspace.data / "models" / place.model, folder)
        elif model.kind == "scratch":
            _from_scratch(Experiment(settings, workspace, place.model, ""), model, folder)
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


def _from_scratch(experiment: Experiment, model: ModelSettings, folder: Path) -> None:
    if model.architecture not in get_args(Architecture):
        raise SettingsError(
            f"models: {experiment.model}: a scratch model is one of {', '.join(get_args(Architecture))}"
        )
    texts = []
    for name, task in experiment.settings.tasks.items():
        questions = experiment.questions(name, "train", task.train_questions).items
        texts += [(question.prompt, question.solution) for question in questions if question.solution]
    architecture, seed = cast(Architecture, model.architecture), experiment.case.derive()
    made, encoder = train_scratch(architecture, texts, experiment.settings.scratch, seed)
    save_reasoner(made, encoder, folder)


def _from_hub(model: ModelSettings, folder: Path) -> None:
    """Copy a hub model at its pinned revision, from the hub's cache where it is there already.

    Raises:
        LoadingError: the revision is no commit; the model is not to be had (with what to do); it is of another
            architecture than the settings say; or its tokenizer is another model's.
    """
    where = f"{model.hub_id} at revision {model.revision}"
    if not re.fullmatch(r"[0-9a-f]{40}", model.revision):
        raise LoadingError(f"{where}: a revision is a commit of 40 hexadecimal digits, or results would change with it")
    try:
        weights = AutoModelForCausalLM.from_pretrained(
            model.hub_id, revision=model.revision, use_safetensors=True, trust_remote_code=False
        )
        tokenizer = PreTrainedTokenizerFast.from_pretrained(model.hub_id, revision=model.revision)
    except OSError as error:
        raise LoadingError(
            f"{where} cannot be loaded: {' '.join(str(error).split())}. Gated models need access granted on "
            f"https://huggingface.co/{model.hub_id} and `hf auth login`; without a network, fill the hub's cache where "
            f"there is one: `hf download {model.hub_id} --revision {model.revision}`"
        ) from error
    if weights.config.model_type != model.architecture:
        raise LoadingError(f"{where} is of architecture {weights.config.model_type}, not {model.architecture}")
    rows = int(cast(Tensor, weights.get_input_embeddings().weight).shape[0])
    largest = max(tokenizer.get_vocab().values())
    if largest >= rows:
        raise LoadingError(f"{where}: the tokenizer's largest id is {largest}, the model embeds ids below {rows}")
    save_reasoner(weights, _encoder(tokenizer, where), folder)


def _encoder(tokenizer: PreTrainedTokenizerFast, where: str) -> Encoder:
    try:
        return Encoder(tokenizer)
    except ValueError as error:
        raise LoadingError(f"{where}: {error}") from error
