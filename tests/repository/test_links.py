"""Links of the documents and notebooks: those within the repository lead somewhere, and so do their anchors; the files
that documents name are there; what the paper cites is in its bibliography, and the other way round."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS_OF_DOCUMENTS = ("", "docs", "results", "benchmarks", "tests/attacks")
MARKDOWN = [path for folder in FOLDERS_OF_DOCUMENTS for path in (ROOT / folder).glob("*.md")]
DOCUMENTS = sorted([*MARKDOWN, *(ROOT / "notebooks").glob("*.ipynb")])
FOLDERS = "assets|benchmarks|code|docs|figures|notebooks|paper|results|tests|\\.ci"  # of files in git, that prose names


def anchor(heading: str) -> str:
    """What GitHub makes of a heading: `What labels cost` → `what-labels-cost`."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def text_of(path: Path) -> str:
    """The document without its blocks of code; of a notebook, its prose."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.sub(r"```.*?```", "", text, flags=re.S)


def links(path: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", text_of(path))


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
            headings = re.findall(r"^#+ (.*)$", text_of(file), flags=re.M)
            if name not in map(anchor, headings):
                broken.append(link)
    assert not broken, f"{path.name}: {broken}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=[path.name for path in DOCUMENTS])
def test_files_that_prose_names_are_there(path: Path) -> None:
    """`code/sapo/records.py` in a document is a file of the repository; capitals and braces stand for others."""
    named = re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", text_of(path))
    assert [name for name in named if not (ROOT / name).exists() and not re.search(r"[A-Z]{3}", name)] == []


def test_citations_of_the_method_lead_to_its_sections() -> None:
    """Code cites `docs/method.md §N`; no other spelling, and every N is a heading there."""
    sections = set(re.findall(r"^## §(\d+) ", (ROOT / "docs" / "method.md").read_text(encoding="utf-8"), flags=re.M))
    files = [*ROOT.glob("code/**/*.py"), *ROOT.glob("code/conf/**/*.yaml"), *ROOT.glob("benchmarks/*.py")]
    texts = {path: path.read_text(encoding="utf-8") for path in files}
    cited = [number for text in texts.values() for number in re.findall(r"docs/method\.md §(\d+)", text)]
    assert len(cited) > 15 and set(cited) <= sections
    odd = {path.name for path, text in texts.items() if re.search(r"method\.md(?! §\d)|\(method,? (§|section)", text)}
    assert odd == set()


def test_the_paper_cites_what_its_bibliography_has() -> None:
    source = (ROOT / "paper" / "main.typ").read_text(encoding="utf-8")
    entries = re.findall(r"^@\w+\{(\w+),", (ROOT / "paper" / "references.bib").read_text(encoding="utf-8"), flags=re.M)
    drawn = {*re.findall(r'#drawing\("(\w+)"', source), *re.findall(r"<(\w+)>$", source, flags=re.M)}
    cited = set(re.findall(r"(?<![\w\\])@([a-z]\w*)", source))
    assert len(entries) == len(set(entries)) and cited - drawn == set(entries)


def test_commands_that_documents_name_exist() -> None:
    """Every `sapo COMMAND` is a stage or a command; the tools page names every script of benchmarks/."""
    from sapo.cli.main import COMMANDS

    texts = {
        path.name: path.read_text(encoding="utf-8") for path in MARKDOWN if path.parent.name not in ("results", "tests")
    }
    named = {
        name for text in texts.values() for name in re.findall(r"(?:^|`|&& )sapo ([a-z][a-z_-]*)", text, flags=re.M)
    }
    assert named <= {*COMMANDS}, named - {*COMMANDS}
    assert {"configure", "explore", "plan", "score"} <= named
    scripts = set(re.findall(r"python (benchmarks/\w+\.py)", texts["tools.md"]))
    assert scripts == {f"benchmarks/{path.name}" for path in (ROOT / "benchmarks").glob("*.py")}
