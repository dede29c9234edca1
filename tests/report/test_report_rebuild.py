"""What is deleted comes back byte for byte from the runs alone: figures, results, paper and the README's blocks."""

import contextlib
import io
import shutil
from pathlib import Path

import matplotlib
import pytest
from report_runs import README, ROOT, tiny_settings, write_runs

from sapo.runtime.workspace import StageArguments, Workspace
from sapo.stages import paper, report

MADE = ("figures", "results", "paper")


def build(workspace: Workspace) -> dict[str, bytes]:
    """Stages `report` and `paper`; what they wrote, by path."""
    with contextlib.redirect_stdout(io.StringIO()):
        report.run(tiny_settings(), workspace, StageArguments())
        paper.run(tiny_settings(), workspace, StageArguments())
    files = [path for folder in MADE for path in (workspace.root / folder).rglob("*") if path.is_file()]
    return {
        path.relative_to(workspace.root).as_posix(): path.read_bytes()
        for path in [*files, workspace.root / "README.md"]
    }


def test_deleted_results_come_back_byte_for_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time from copied runs, with another working directory, locale, time zone and style of matplotlib."""
    workspace = write_runs(tmp_path, tiny_settings())
    (tmp_path / "paper").mkdir()
    for name in ("main.typ", "references.bib"):
        shutil.copy(ROOT / "paper" / name, tmp_path / "paper" / name)
    first = build(workspace)
    assert {"paper/tiny.pdf", "results/claims.md", "results/summary/claims.json", "figures/sweeps.svg"} <= set(first)

    for folder in ("figures", "results"):
        shutil.rmtree(tmp_path / folder)
    (tmp_path / "paper" / "tiny.pdf").unlink()
    (tmp_path / "README.md").write_text(README, encoding="utf-8")
    shutil.copytree(workspace.runs, tmp_path / "copy")
    shutil.rmtree(workspace.runs)
    (tmp_path / "copy").rename(workspace.runs)
    monkeypatch.chdir(tmp_path / "paper")
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    with matplotlib.rc_context({"lines.linewidth": 9, "svg.hashsalt": None, "savefig.dpi": 30}):
        second = build(workspace)
        assert matplotlib.rcParams["lines.linewidth"] == 9
    assert set(first) == set(second)
    assert [name for name, content in first.items() if content != second[name]] == []
    for name, content in first.items():
        assert not [word for word in (b"CreationDate", b"dc:date", b"Software", b"/Type3") if word in content], name
