"""`python -m sapo doctor`: is this machine ready? One line a check; exit through an error where it is not."""

import argparse
import platform
import shutil
from importlib import metadata
from pathlib import Path

from sapo.configure import PARAMS
from sapo.pins import verify
from sapo.settings import load_settings
from sapo.tasks.sandbox import sandbox_report
from sapo.workspace import LIBRARIES, WorkspaceError

CONSTRAINTS = Path("constraints.txt")


def main(arguments: list[str]) -> None:
    """Check interpreter, pinned libraries, tools, parameters and, once there, the embedded data."""
    argparse.ArgumentParser(prog="python -m sapo doctor", description=main.__doc__).parse_args(arguments)
    print(f"python     {platform.python_version()} on {platform.system()} {platform.machine()}")
    print(f"libraries  {', '.join(_libraries())}")
    missing = [tool for tool in ("dvc", "git", "python") if shutil.which(tool) is None]
    if missing:
        raise WorkspaceError(f"PATH: no {', '.join(missing)}; activate the environment (`. .venv/bin/activate`)")
    settings = load_settings(PARAMS)
    models, tasks = ", ".join(settings.models), ", ".join(settings.tasks)
    print(f"settings   {PARAMS}, profile {settings.profile}: {models} on {tasks}")
    data = Path("data")
    for line in sandbox_report():
        print(line)
    print(f"data       {f'{len(verify(data))} files as pinned' if data.is_dir() else 'not yet there: `dvc repro`'}")


def _libraries() -> list[str]:
    """Installed versions of what results depend on; a version other than the pinned one is refused."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines() if CONSTRAINTS.is_file() else []
    pinned = dict(line.split("==") for line in lines if "==" in line)
    for name in LIBRARIES:
        version = metadata.version(name).partition("+")[0]
        if version != pinned.get(name, version):
            raise WorkspaceError(f"{name}: version {version} is installed, {CONSTRAINTS} pins {pinned[name]}")
    return [f"{name} {metadata.version(name)}" for name in LIBRARIES]
