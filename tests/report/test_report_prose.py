"""No result is typed by hand: in the prose of documents, docstrings of claims and the paper's source.

The rule: outside blocks that a command writes, and outside code, a number with a unit of results (%, points, minutes,
times …), and every decimal number, is an error unless it stands on the short list below with the reason why it is no
result: a setting, a requirement, or something that a paper prints. In the paper's source no such number may stand at
all: every number is read.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORDS = "one|two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|thirty|forty|fifty|sixty|hundred"
UNITS = "%|per ?cent|points?|seconds?|minutes?|hours?|days?|times|×|fold|x faster|GB|GiB|MB|MiB"
QUANTITY = rf"(?:\d[\d,]*(?:\.\d+)?|{WORDS})[ \u00a0-]?(?:{UNITS})"
TYPED = re.compile(rf"(?<![\w/.]){QUANTITY}(?!\w)", re.IGNORECASE)
DECIMAL = re.compile(r"(?<![\w/.-])(?:\d+)?\.\d+(?![\w.])")

ALLOWED = {
    "README.md": {
        "3.11": "the oldest Python",
        "4.0": "the version of a licence",
    },
    "CONTRIBUTING.md": {},
    "docs/results.md": {},
    "docs/profiles.md": {},
    "docs/laboratory.md": {},
    "docs/labelling_cost.md": {},
    "docs/reliability.md": {},
    "docs/tools.md": {},
}


def prose(text: str) -> str:
    """A document without what commands write, code, and targets of links."""
    for pattern in (r"<!-- (\w+):begin -->.*?<!-- \1:end -->", r"```.*?```", r"`[^`\n]*`", r"\]\([^)]*\)"):
        text = re.sub(pattern, " ", text, flags=re.S)
    return re.sub(r"\[arXiv [\d.]+\s*", "[", text)


def typed(text: str) -> list[str]:
    """Numbers that look like results, as they stand."""
    return [found[0] for pattern in (TYPED, DECIMAL) for found in pattern.finditer(text)]


@pytest.mark.parametrize("name", ALLOWED)
def test_documents_have_no_typed_results(name: str) -> None:
    found = typed(prose((ROOT / name).read_text(encoding="utf-8")))
    assert [number for number in found if number not in ALLOWED[name]] == []
    assert set(ALLOWED[name]) <= set(found)  # the list has no more than it needs


@pytest.mark.parametrize(
    "text",
    ["It took 28 minutes.", "SAPO gains 3 points", "in 41 %", "four times cheaper", "2× faster", "AUC of .85"],
)
def test_what_looks_like_a_result_is_found(text: str) -> None:
    assert len(typed(prose(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "<!-- results:begin -->\n41.5 %\n<!-- results:end -->",
        "```\nsleep 20 minutes\n```",
        "`--verifier .7` with [it](a/2.5.png), [arXiv 2601.20312](x), 400 questions, profile nano on two cores",
    ],
)
def test_what_is_no_result_passes(text: str) -> None:
    assert typed(prose(text)) == []


@pytest.mark.parametrize(("name", "blocks"), [("README.md", {"answer", "results"}), ("docs/laboratory.md", {"lab"})])
def test_every_block_that_a_command_writes_is_there_and_filled(name: str, blocks: set[str]) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    found = dict(re.findall(r"<!-- (\w+):begin -->\n(.*?)<!-- \1:end -->", text, flags=re.S))
    assert set(found) == blocks
    assert all(re.search(r"\d", block) for block in found.values())


def test_the_readme_is_short() -> None:
    assert (ROOT / "README.md").read_text(encoding="utf-8").count("\n") <= 150
