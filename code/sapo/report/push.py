"""A checkpoint with its model card as a folder, and from there to the Hugging Face hub.

The token is that of `hf auth login` or HF_TOKEN.
"""

import shutil
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HTTPError  # pyright: ignore[reportPrivateImportUsage]
from huggingface_hub.utils import HFValidationError, validate_repo_id

from sapo.models.loading import PICKLES, SEAL, check_seal
from sapo.records import BadInput, write_text
from sapo.report.load_run import read_benchmarks
from sapo.report.model_card import Subject, model_card
from sapo.runtime.workspace import Workspace, stage_directory
from sapo.settings import Settings, method_settings


class PushError(BadInput):
    """There is no such checkpoint or repository name, or the hub did not take it."""


def prepare(settings: Settings, workspace: Workspace, subject: Subject, weights: Path | None, out: Path) -> None:
    """Copy a checkpoint and its card to `out`, which may be there from an earlier call.

    Args:
        weights: the checkpoint's folder; None where the run has none.

    Raises:
        PushError: there is no such checkpoint, or `out` is in use. LoadingError: its files are not what was saved.
        RecordError: it was not evaluated.
    """
    if weights is None or not weights.is_dir():
        place = f"{subject.model}, {subject.task}"
        raise PushError(f"{place}: no checkpoint {subject.path} of profile {settings.profile} is there")
    if out.exists() and not all((out / name).is_file() for name in ("README.md", SEAL)):
        raise PushError(f"{out}: holds something else; name another folder with --out")
    check_seal(weights)
    answers = {subject.checkpoint: [subject.seed]}
    benchmarks = read_benchmarks(settings, workspace, subject.model, subject.task, answers)
    method = subject.checkpoint.method
    own = method_settings(settings, method, subject.seed) if method in settings.methods else settings
    with stage_directory(out) as folder:
        for path in weights.iterdir():
            if path.is_file() and not any(path.match(pattern) for pattern in PICKLES):
                shutil.copy2(path, folder / path.name)
        write_text(folder / "README.md", model_card(own, subject, benchmarks))


def upload_folder(repo: str, folder: Path, private: bool) -> str:
    """Upload a folder in one commit, to a repository that is made if need be; the commit's URL. Raises PushError."""
    api = HfApi()
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        made = api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Checkpoint and model card")
    except (HTTPError, OSError) as error:
        raise PushError(f"{repo}: the hub did not take it: {' '.join(str(error).split())[:500]}") from None
    return made.commit_url


def check_repo(repo: str) -> None:
    """Raise PushError where `repo` is not of the form OWNER/NAME."""
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise PushError(f"--repo: {' '.join(str(error).split())}") from error
    if "/" not in repo:
        raise PushError(f"--repo: {repo!r} is not of the form OWNER/NAME")
