"""No misspelling that the spell checker knows, in documents, docstrings, comments, notebooks and the paper."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "paper/main.typ", "results/claims.md", "notebooks/03_results.ipynb")


def spelled(*names: str, where: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The checker with the settings of pyproject.toml."""
    command = [sys.executable, "-m", "codespell_lib", "--toml", str(ROOT / "pyproject.toml"), *names]
    return subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)


def test_everything_is_spelled_right() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    assert set(DOCUMENTS) <= set(names)
    found = spelled(*names)
    assert found.returncode == 0, found.stdout + found.stderr


def test_a_misspelling_in_any_of_them_is_found(tmp_path: Path) -> None:
    """The same settings refuse a wrong word and let the field's own words pass."""
    wrong = "rec" + "ieve"
    for name in DOCUMENTS:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"A verifier will {wrong} its warmup iff asked.\n", encoding="utf-8")
    found = spelled(*DOCUMENTS, where=tmp_path)
    assert [line.split(": ")[1] for line in found.stdout.splitlines()] == [f"{wrong} ==> receive"] * len(DOCUMENTS)
