"""A copy of the working tree in a folder of its own, with its own history, and commands that run in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def begin(folder: Path, *command: str) -> subprocess.Popen[str]:
    """Start a command in `folder` with its own code and this interpreter's environment, in a group of processes."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(folder / "code"), "GIT_CONFIG_GLOBAL": os.devnull}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(folder: Path, *command: str) -> str:
    """What the command says, to both streams; it has to go well."""
    process = begin(folder, *command)
    said, _ = process.communicate(timeout=1800)
    assert process.returncode == 0, said[-8000:]
    return said


def commit(folder: Path) -> None:
    run(folder, "git", "add", "-A")
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "all")


def changed(folder: Path) -> list[str]:
    return [line[3:] for line in run(folder, "git", "status", "--porcelain").splitlines()]


def copy_tree(folder: Path) -> None:
    names = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    folder.mkdir(parents=True, exist_ok=True)
    run(folder, "git", "init", "-q")
    commit(folder)
