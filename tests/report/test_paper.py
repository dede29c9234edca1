"""The paper is set from the committed results: the same bytes again, its pages, and no number typed by hand."""

import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from sapo.runtime.workspace import StageArguments, Workspace
from sapo.settings import load_settings
from sapo.settings.configure import PARAMS
from sapo.stages import paper

ROOT = Path(__file__).parents[2]
SOURCE = (ROOT / paper.SOURCE).read_text(encoding="utf-8")
LENGTHS = r"(?:pt|em|cm)\b"


@pytest.fixture
def copy(tmp_path: Path) -> Workspace:
    for name in ("paper", "results", "figures"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("nano.pdf", "*.png", "*.svg"))
    return Workspace(tmp_path, "nano")


def test_the_same_results_give_the_same_pages(copy: Workspace) -> None:
    settings = load_settings(ROOT / PARAMS)
    path = copy.root / "paper" / "nano.pdf"
    paper.run(settings, copy, StageArguments())
    first = path.read_bytes()
    assert first.startswith(b"%PDF-") and b"CreationDate" not in first
    paper.run(settings, copy, StageArguments())
    assert path.read_bytes() == first
    assert 6 <= len(re.findall(rb"/Type\s*/Page\b", first)) <= 10


def test_what_cannot_be_set_is_one_error_that_names_the_file(copy: Workspace) -> None:
    (copy.root / "results" / "claims.json").unlink()
    with pytest.raises(paper.PaperError, match=r"paper/main\.typ: .*claims\.json"):
        paper.run(load_settings(ROOT / PARAMS), copy, StageArguments())


def test_another_profile_reads_its_own_results(copy: Workspace) -> None:
    settings = load_settings(ROOT / PARAMS)
    shutil.move(copy.root / "results", copy.root / "elsewhere")
    report = dataclasses.replace(settings.report, results="elsewhere")
    paper.run(dataclasses.replace(settings, profile="other", report=report), copy, StageArguments())
    assert (copy.root / "paper" / "other.pdf").is_file()


def test_no_result_is_typed_by_hand() -> None:
    """Decimals and percentages in the source are lengths, or arguments of code; every other number is read."""
    decimals = re.findall(rf"\d+\.\d+(?!\d*\s*{LENGTHS})", SOURCE)
    assert decimals == ["1.1"], decimals  # the numbering of headings
    shares = set(re.findall(r"\d+(?:\.\d+)?\s*%", SOURCE))
    assert shares <= {"84%", "100%", "95 %"}  # widths, and the level of intervals
