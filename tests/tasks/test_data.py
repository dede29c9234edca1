"""Embedded inputs: a clean clone gets them, edits of data/ are undone, edits of assets/ stop everything."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sapo.records import write_plain_json
from sapo.runtime.pins import verify
from sapo.runtime.workspace import WorkspaceError

ROOT = Path(__file__).parents[2]
HOUSE = (".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore", "dvc.yaml", "params.yaml")
QUESTION = "questions/nano.jsonl"


def run(folder: Path, *command: str, code: int = 0) -> str:
    """Run a command in `folder` with its own code; returns what it wrote to both streams."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(folder / "code"), "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def commit(folder: Path) -> None:
    run(folder, "git", "add", "-A")
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "all")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh clone of a project with this house and a tiny assets/."""
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    shutil.copytree(ROOT / "code", origin / "code", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in HOUSE:
        (origin / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, origin / name)
    (origin / "assets" / "questions").mkdir(parents=True)
    (origin / "assets" / QUESTION).write_text("1\n", encoding="utf-8")
    run(origin, "git", "init", "-q")
    assert "pinned 1 files" in run(origin, sys.executable, "-m", "sapo", "pin-assets")
    run(origin, "dvc", "repro", "verify_data")
    commit(origin)
    run(tmp_path, "git", "clone", "-q", "origin", "clone")
    return clone


def test_the_way_of_the_data(clone: Path) -> None:
    status = ["git", "status", "--porcelain"]
    run(clone, "dvc", "repro", "verify_data")
    assert run(clone, *status) == ""

    (clone / "data" / QUESTION).unlink()  # DVC's copy may be a link into its cache
    (clone / "data" / QUESTION).write_text("2\n", encoding="utf-8")
    run(clone, "dvc", "repro", "verify_data")
    assert (clone / "data" / QUESTION).read_text(encoding="utf-8") == "1\n"
    assert run(clone, *status) == ""

    (clone / "assets" / QUESTION).write_text("2\n", encoding="utf-8")
    said = run(clone, "dvc", "repro", "verify_data", code=255)
    assert f"error: data/{QUESTION}: SHA-256 is 53c234e5" in said
    assert "pinned 4355a46b" in said

    run(clone, sys.executable, "-m", "sapo", "pin-assets")
    run(clone, "dvc", "repro", "verify_data")
    assert run(clone, *status).split() == [
        "M",
        "assets/questions/nano.jsonl",
        "M",
        "code/sapo/runtime/pins.json",
        "M",
        "data.dvc",
        "M",
        "dvc.lock",
    ]


def test_missing_and_unpinned_files_are_named_with_both_hashes(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "new").write_text("1\n", encoding="utf-8")
    write_plain_json(tmp_path / "pins.json", {"gone": "ab12"})
    with pytest.raises(WorkspaceError) as caught:
        verify(tmp_path / "data", tmp_path / "pins.json")
    gone, new, advice = str(caught.value).splitlines()
    assert gone.endswith("data/gone: SHA-256 is (no such file), pinned ab12")
    assert "data/new: SHA-256 is 4355a46b" in new
    assert new.endswith("pinned (not pinned)")
    assert "pin-assets" in advice
