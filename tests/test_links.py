"""Links of the documents: those within the repository lead somewhere, and so do their anchors."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "results").glob("*.md")])
MADE = {"raw"}  # folders that a user makes


def anchor(heading: str) -> str:
    """What GitHub makes of a heading: `What labels cost` → `what-labels-cost`."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def links(path: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    return re.findall(r"\]\(([^)\s]+)\)", text)


@pytest.mark.parametrize("path", DOCUMENTS, ids=[path.name for path in DOCUMENTS])
def test_links_lead_somewhere(path: Path) -> None:
    broken = []
    for link in links(path):
        if re.match(r"https?://", link):
            continue
        target, _, name = link.partition("#")
        file = (path.parent / target) if target else path
        if not file.exists():
            broken.append(link)
        elif name:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), flags=re.M)
            if name not in map(anchor, headings):
                broken.append(link)
    assert not broken, f"{path.name}: {broken}"


def test_commands_in_the_readme_exist() -> None:
    """Every `python -m sapo COMMAND` is a stage or a command; every script of benchmarks/ is there."""
    from sapo.__main__ import COMMANDS, STAGES

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"python -m sapo ([a-z][a-z_-]*)", text))
    assert named <= {*STAGES, *COMMANDS, "configure", "pin-assets"}, named
    scripts = set(re.findall(r"python (benchmarks/\w+\.py)", text))
    assert scripts == {f"benchmarks/{path.name}" for path in (ROOT / "benchmarks").glob("*.py")}
