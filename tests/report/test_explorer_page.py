"""The explorer's file and its command: how the data is packed, and what the page may do."""

import base64
import dataclasses
import hashlib
import json
import re
from pathlib import Path

import click
import pytest
import yaml
from command_line import run as run_command
from explorer_runs import WRONG, experiment, made_up, settings, write_run
from hypothesis import given
from hypothesis import strategies as st

from sapo.records import BadInput
from sapo.report.explorer import render as rendering
from sapo.report.explorer.choose_run import find_cell
from sapo.report.explorer.collect import collect
from sapo.report.explorer.render import LIMIT, packed, render, script_json
from sapo.settings.configure import PARAMS

CELL = settings().cells["tiny-lines-headline"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of method `sapo`; the workspace is the current folder."""
    monkeypatch.chdir(tmp_path)
    return write_run(monkeypatch)


def test_the_data_is_packed_as_the_page_reads_it(run: Path) -> None:
    """Thousandths, digits, and -1 for what is not there."""
    data = packed(collect(experiment(), "sapo", 10))
    assert data["rounds"] == [[0, "omega", "", 1], [1, "saps", "scores", 3], [2, "", "", 1]]
    assert data["questions"] == [["q0", "Prompt of q0.\n", "win"], ["q1", "Prompt of q1.\n", "win"]]
    known_correct = ["known_correct", [], -1, [], "agrees", []]
    rollout = [2, 5, "wrong", ["lose\n"], [0], "0", 2]
    case = ["c", [2, 3], 2, [900, 800, 100, 100], "agrees", [rollout]]
    assert data["trajectories"] == [
        [0, 0, "s/1", "right", 1, ["ok\n", "win\n"], [900, 900], "11", 0, known_correct],
        [1, 0, "s/0", "wrong", 2, [*WRONG.steps], [1000, 250, 500, 0], "1000", 2, case],
        [1, 0, "s/1", "right", 1, ["ok\n", "win\n"], [1000, 750], "11", 0, known_correct],
        [1, 1, "s/0", "right", 1, ["bad\n", "win\n"], [250, 750], "", 1, None],
        [2, 1, "s/0", "right", 1, ["bad\n", "win\n"], [], "", 1, None],
    ]


@given(st.recursive(st.text(st.characters()), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_any_text_survives_in_a_script_element(value: object) -> None:
    """Nothing ends the element or opens a comment in it, UTF-8 holds it, and JSON gives the same value back."""
    text = script_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text.encode().decode()) == value


def test_half_a_character_survives_too() -> None:
    assert script_json("a\ud83d") == '"a\\ud83d"'
    assert json.loads(script_json(["\udc00x"]).encode()) == ["\udc00x"]


def test_the_page_allows_its_own_script_and_style_and_no_others() -> None:
    """The policy has the SHA-256 of what stands between the tags, by our own count."""
    page = render(made_up(40))
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        hashed = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{rule} 'sha256-{hashed}';" in policy
    assert policy.startswith("default-src 'none';")
    assert not re.search(r"unsafe|http|\*", policy)


def test_the_page_has_no_way_to_make_text_into_code_or_to_reach_out() -> None:
    shell = render(made_up(0))
    assert not re.search(r"https?:|//www|@import|url\(", shell)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(|\.on[a-z]+ ?=", shell)
    assert not re.search(r"<[^>]+\son[a-z]+=", shell), "an inline handler"
    assert not re.search(r"fetch\(|XMLHttp|WebSocket|sendBeacon|import\(", shell)


def test_equal_input_gives_equal_bytes(run: Path) -> None:
    assert render(collect(experiment(), "sapo", 10)) == render(collect(experiment(), "sapo", 10))


def test_two_thousand_trajectories_are_small_and_more_than_a_page_holds_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    explored = made_up(2000)
    size = len(render(explored).encode())
    assert size < LIMIT == 5_000_000
    monkeypatch.setattr(rendering, "LIMIT", size - 1)
    with pytest.raises(
        (BadInput, click.BadParameter), match=rf"{size:,} bytes, more than {size - 1:,}: show fewer .* with --most"
    ):
        render(explored)


def test_the_title_is_text() -> None:
    page = render(dataclasses.replace(made_up(0), task="</title><script>alert(1)</script>"))
    assert "<title>SAPO on &lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;: trajectories</title>" in page
    assert page.count("</script>") == 2


def test_the_page_names_a_dollar_and_an_unknown_method() -> None:
    page = render(dataclasses.replace(made_up(0), task="$style", method="mine"))
    assert "<title>mine on $style: trajectories</title>" in page


@pytest.fixture
def params(run: Path) -> Path:
    PARAMS.write_text(
        yaml.safe_dump(json.loads(json.dumps(dataclasses.asdict(settings()))), sort_keys=False), encoding="utf-8"
    )
    return run


def test_the_command_writes_one_file(params: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_command("explore", ["--out", "out/page.html"])
    assert capsys.readouterr().out == "out/page.html: 5 trajectories of sapo, tiny, lines, seed 1; 0.0 MB\n"
    page = Path("out/page.html").read_text(encoding="utf-8")
    assert page == render(collect(experiment(), "sapo", 2500))
    assert [path.name for path in Path("out").iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "sappo"], "params.yaml: methods: 'sappo' is not one of sapo, "),
        (["--model", "gpt"], "params.yaml: models: 'gpt' is not one of tiny"),
        (["--task", "chess"], "params.yaml: tasks: 'chess' is not one of lines"),
        (["--method", "grpo"], "params.yaml: cells: grpo runs nothing, not what --model and --task name"),
        (["--seed", "3"], "params.yaml: groups: headline: 3 is not one of its seeds 1, 2"),
        (["--out", "runs"], "runs is a folder, name a file in it"),
        (["--seed", "2"], "methods/lines/2/sapo: no round of sapo is on file"),
    ],
)
def test_what_does_not_exist_is_named(params: Path, arguments: list[str], message: str) -> None:
    with pytest.raises((BadInput, click.BadParameter), match=re.escape(message)):
        run_command("explore", arguments)


def test_the_first_cell_that_fits_is_shown() -> None:
    cells = {"headline": "sapo", "rivals": "sipf"}
    own = dataclasses.replace(
        settings(),
        models={"one": settings().models["tiny"], "two": settings().models["tiny"]},
        cells={f"{m}-lines-{g}": dataclasses.replace(CELL, model=m, group=g) for g in cells for m in ("one", "two")},
        groups={g: dataclasses.replace(settings().groups["headline"], methods=(m,)) for g, m in cells.items()},
    )
    assert find_cell(own, "sapo", None, None) == dataclasses.replace(CELL, model="one")
    assert find_cell(own, "sipf", "two", "lines") == dataclasses.replace(CELL, model="two", group="rivals")
