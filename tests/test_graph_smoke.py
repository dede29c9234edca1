"""The whole graph, tiny: a copy of the working tree, profile smoke, `dvc repro`, and again."""

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from sapo.__main__ import STAGES
from sapo.settings import load_settings

ROOT = Path(__file__).parents[1]
WRITTEN_BY_STAGES = ("dvc.lock", "params.yaml", "README.md", "results/", "figures/")

if not ((ROOT / "code" / "sapo" / "stages" / "report.py").is_file() and (ROOT / "data.dvc").is_file()):
    pytest.skip("the stages are not all written", allow_module_level=True)


def run(folder: Path, *command: str) -> str:
    """Run a command in `folder` with its own code and this interpreter's environment; returns its output."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(folder / "code"), "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


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
    run(folder, "git", "init", "-q")
    commit(folder)


def test_the_graph_runs_cold_and_then_has_nothing_to_do(tmp_path: Path) -> None:
    copy_tree(tmp_path)
    run(tmp_path, sys.executable, "-m", "sapo", "configure", "profile=smoke")
    run(tmp_path, "dvc", "repro")
    assert [name for name in changed(tmp_path) if not name.startswith(WRITTEN_BY_STAGES)] == []

    settings = load_settings(tmp_path / "params.yaml")
    stages = yaml.safe_load((tmp_path / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    smoke = {name: stage for name, stage in stages.items() if "smoke" in str(stage)}
    made = Counter(name.split("@")[0] for name in smoke)
    pairs = len(settings.models) * len(settings.tasks)
    assert (made["start"], made["methods"], made["evaluate"]) == (pairs, len(settings.cells), pairs)
    assert set(made) == {*STAGES, "simulate"}
    outs = [out["path"] for stage in smoke.values() for out in stage["outs"]]
    assert [out for out in outs if not (tmp_path / out).exists()] == []

    commit(tmp_path)
    start = time.monotonic()
    assert "Running stage" not in run(tmp_path, "dvc", "repro")
    assert time.monotonic() - start < 30
    assert changed(tmp_path) == []
