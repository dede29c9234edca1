"""Command `push METHOD --model M --task T --repo OWNER/NAME`: a checkpoint with its model card, ready for the hub.

METHOD is one of params.yaml, `cot` or `sft`, at its last round, or at another as METHOD@ROUND. The folder that would be
uploaded is written to `--out` and listed; nothing leaves this machine. `--upload` does: in one commit, to a repository
that is private unless `--public` is given, with the token of `hf auth login` or HF_TOKEN.
"""

import argparse
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HTTPError  # pyright: ignore[reportPrivateImportUsage]
from huggingface_hub.utils import HFValidationError, validate_repo_id

from sapo.configure import PARAMS
from sapo.models.loading import PICKLES, SEAL, check_seal
from sapo.records import BadInput, write_text
from sapo.report.reading import read_benchmarks
from sapo.settings import Settings, load_settings, method_settings
from sapo.stages.compare import find_checkpoint, known_rounds
from sapo.stages.evaluate import checkpoints
from sapo.stages.model_card import Subject, model_card
from sapo.workspace import Workspace, stage_directory


class PushError(BadInput):
    """There is no such checkpoint or repository name, or the hub did not take it."""


def main(arguments: list[str]) -> None:
    """Write the folder, and upload it when told.

    Raises:
        BadInput: no such method, model, task or checkpoint; its files are damaged; the hub refused.
    """
    parser = argparse.ArgumentParser(prog="python -m sapo push", description=__doc__)
    parser.add_argument("method", metavar="METHOD", help="METHOD or METHOD@ROUND")
    parser.add_argument("--model", required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--seed", type=int, help="default: that of params.yaml")
    parser.add_argument("--repo", required=True, metavar="OWNER/NAME")
    parser.add_argument("--out", type=Path, help="default: a folder below runs/.push")
    parser.add_argument("--upload", action="store_true", help="without it nothing leaves this machine")
    parser.add_argument("--public", action="store_true", help="of a repository that is made for it")
    given = parser.parse_args(arguments)
    _check_repo(given.repo)
    settings = load_settings(PARAMS)
    for name, known in (("model", settings.models), ("task", settings.tasks)):
        if getattr(given, name) not in known:
            raise PushError(f"{PARAMS}: {name}s: {getattr(given, name)!r} is not one of {', '.join(known)}")
    seed = settings.seed if given.seed is None else given.seed
    subject = Subject(given.model, given.task, find_checkpoint(given.method, known_rounds(settings)), seed)
    workspace = Workspace(Path(), settings.profile)
    out = given.out or workspace.root / "runs" / ".push" / given.repo.replace("/", "--")
    prepare(settings, workspace, subject, out)
    _say(f"{path.stat().st_size:>12,} {path}" for path in sorted(out.iterdir()))
    if not given.upload:
        _say([f"nothing was uploaded; --upload sends {out} to {given.repo}"])
        return
    _say([f"uploaded to {upload(HfApi(), given.repo, out, not given.public)}"])


def prepare(settings: Settings, workspace: Workspace, subject: Subject, out: Path) -> None:
    """Copy the checkpoint and its card to `out`, which may be there from an earlier call.

    Raises:
        PushError: there is no such checkpoint, or `out` is in use. LoadingError: its files are not what was saved.
        RecordError: it was not evaluated.
    """
    checkpoint = subject.checkpoint
    name = f"{subject.seed}/{checkpoint.method}/{checkpoint.round}"
    found = dict(checkpoints(settings, workspace, subject.model, subject.task))
    if name not in found or not found[name].is_dir():
        raise PushError(f"{subject.model}, {subject.task}: no checkpoint {name} of profile {settings.profile} is there")
    if out.exists() and not all((out / name).is_file() for name in ("README.md", SEAL)):
        raise PushError(f"{out}: holds something else; name another folder with --out")
    check_seal(found[name])
    answers = {checkpoint: [subject.seed]}
    benchmarks = read_benchmarks(settings, workspace, subject.model, subject.task, answers)
    method = checkpoint.method
    own = method_settings(settings, method, subject.seed) if method in settings.methods else settings
    with stage_directory(out) as folder:
        for path in found[name].iterdir():
            if path.is_file() and not any(path.match(pattern) for pattern in PICKLES):
                shutil.copy2(path, folder / path.name)
        write_text(folder / "README.md", model_card(own, subject, benchmarks))


def upload(api: HfApi, repo: str, folder: Path, private: bool) -> str:
    """Make the repository where it is not there yet, and upload all of the folder; its URL. Raises PushError."""
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        made = api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Checkpoint and model card")
    except (HTTPError, OSError) as error:
        raise PushError(f"{repo}: the hub did not take it: {' '.join(str(error).split())[:500]}") from None
    return made.commit_url


def _check_repo(repo: str) -> None:
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise PushError(f"--repo: {' '.join(str(error).split())}") from error
    if "/" not in repo:
        raise PushError(f"--repo: {repo!r} is not of the form OWNER/NAME")


def _say(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
