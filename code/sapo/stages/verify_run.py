"""Command `verify-run [REVISION]`: is the run in this folder the one that is committed, and if not, why?

Compares dvc.lock and the result files with those of a git revision (HEAD unless given): what could make them differ,
which outputs do, which numbers by how much, and how many verdicts agree. Exit status 0: equal, or, where the machines
cannot have the same bytes, all verdicts agree; 1: different; 2: there is nothing to compare.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from sapo.configure import PARAMS
from sapo.records import BadInput
from sapo.report import verify_run as verify
from sapo.report.environment import here
from sapo.report.rendering import show
from sapo.report.verify_run import ENVIRONMENT, Run
from sapo.settings import Settings, load_settings

LOCK = "dvc.lock"
SUFFIXES = (".json", ".md", ".tex", ".html")


class VerifyError(BadInput):
    """There is no such revision, or one side has no run."""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m sapo verify-run", description=__doc__)
    parser.add_argument("revision", nargs="?", default="HEAD", metavar="REVISION")
    parser.add_argument("--show", type=int, default=5, metavar="N", help="differences of a kind to show")
    given = parser.parse_args(arguments)
    settings = load_settings(PARAMS)
    folder = Path(settings.report.results)
    commit = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{given.revision}^{{commit}}")
    then, now = committed(commit.decode().strip(), folder), present(folder, settings)
    changed = verify.changed_values(then, now)
    outputs = verify.outputs(then, now, settings.profile)
    aspects = [*verify.causes(then, now, settings.profile, folder), outputs]
    tables = [verify.aspects_table(aspects, given.show)]
    show([*tables, *([verify.values_table(changed, given.show)] if changed else [])])
    differ, by_verdicts = bool(changed or outputs.changes), verify.compared_by_verdicts(then, now, folder)
    found = verify.verdict(aspects, differ, by_verdicts)
    sys.stdout.write(f"{given.revision} ({commit.decode()[:12]}), profile {settings.profile}: {found}\n")
    agreed = verify.verdicts_agree(then, now, folder) if differ else None
    if agreed:
        sys.stdout.write("".join(f"{line}\n" for line in (*agreed.differing[: given.show], agreed)))
    alike = by_verdicts and agreed is not None and agreed.complete
    alike = alike and verify.changed_aspects(aspects) <= {*verify.REASONS["another machine"]}
    if differ and not alike:
        raise SystemExit(1)


def present(folder: Path, settings: Settings) -> Run:
    """The run in the working folder, on this machine. Raises VerifyError where there is none."""
    paths = [path for path in sorted(folder.glob("*")) if path.suffix in SUFFIXES]
    if not paths or not Path(LOCK).is_file():
        raise VerifyError(f"{folder if not paths else LOCK}: no run is here; `dvc repro` makes one")
    results = {path.as_posix(): path.read_bytes() for path in paths}
    results.setdefault(
        (folder / ENVIRONMENT).as_posix(), json.dumps(here(settings.tuning.device, settings.engine.kind)).encode()
    )
    return Run(verify.parsed_lock(LOCK, Path(LOCK).read_bytes()), results)


def committed(commit: str, folder: Path) -> Run:
    """The run of a commit. Raises VerifyError where it has none."""
    listed = _git("ls-tree", "-r", "-z", "--name-only", commit, "--", LOCK, f"{folder.as_posix()}/").decode()
    names = [name for name in listed.split("\0") if name]
    wanted = [name for name in names if Path(name).parent == folder and Path(name).suffix in SUFFIXES]
    if not wanted or LOCK not in names:
        raise VerifyError(f"{commit[:12]}: no run is committed there ({LOCK} and files in {folder} are needed)")
    results = {name: _git("show", f"{commit}:./{name}") for name in wanted}
    return Run(verify.parsed_lock(f"{commit[:12]}:{LOCK}", _git("show", f"{commit}:./{LOCK}")), results)


def _git(*arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    except FileNotFoundError as error:
        raise VerifyError("git is not installed") from error
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise VerifyError(f"git {' '.join(arguments[:1])}: {reason[0] if reason else 'no such revision'}")
    return done.stdout
