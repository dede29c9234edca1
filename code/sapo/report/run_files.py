"""What is on file of a run: its dvc.lock and the files of its results folder, from here or from a git commit."""

import json
import subprocess
from pathlib import Path

from sapo.records import BadInput
from sapo.report.environment import here
from sapo.report.verify_run import ENVIRONMENT, Run, parsed_lock
from sapo.settings import Settings

LOCK = "dvc.lock"
SUFFIXES = (".json", ".md", ".tex", ".html")


class VerifyError(BadInput):
    """There is no such revision, or one side has no run."""


def find_commit(revision: str) -> str:
    """The hash of a git revision. Raises VerifyError where there is none."""
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    return found.decode().strip()


def present(folder: Path, settings: Settings) -> Run:
    """The run in the working folder, on this machine. Raises VerifyError where there is none."""
    paths = [path for path in sorted(folder.glob("*")) if path.suffix in SUFFIXES]
    if not paths or not Path(LOCK).is_file():
        raise VerifyError(f"{folder if not paths else LOCK}: no run is here; `dvc repro` makes one")
    results = {path.as_posix(): path.read_bytes() for path in paths}
    environment = here(settings.tuning.device, settings.engine.kind)
    results.setdefault((folder / ENVIRONMENT).as_posix(), json.dumps(environment).encode())
    return Run(parsed_lock(LOCK, Path(LOCK).read_bytes()), results)


def committed(commit: str, folder: Path) -> Run:
    """The run of a commit. Raises VerifyError where it has none."""
    listed = _git("ls-tree", "-r", "-z", "--name-only", commit, "--", LOCK, f"{folder.as_posix()}/").decode()
    names = [name for name in listed.split("\0") if name]
    wanted = [name for name in names if Path(name).parent == folder and Path(name).suffix in SUFFIXES]
    if not wanted or LOCK not in names:
        raise VerifyError(f"{commit[:12]}: no run is committed there ({LOCK} and files in {folder} are needed)")
    results = {name: _git("show", f"{commit}:./{name}") for name in wanted}
    return Run(parsed_lock(f"{commit[:12]}:{LOCK}", _git("show", f"{commit}:./{LOCK}")), results)


def _git(*arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    except FileNotFoundError as error:
        raise VerifyError("git is not installed") from error
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise VerifyError(f"git {' '.join(arguments[:1])}: {reason[0] if reason else 'no such revision'}")
    return done.stdout
