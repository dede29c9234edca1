"""The explorer's page in headless Chromium; skipped where there is none (Debian: chromium, chromium-driver).

2,000 made-up trajectories (explorer_runs.made_up); the right numbers of every filter are counted here, in Python.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import ARROW_DOWN, BROWSER, DRIVER, END, ENTER, ESCAPE, HOME, PAGE_DOWN, Browser, chromium
from explorer_runs import made_up

from sapo.report.explorer.render import write_page
from sapo.report.explorer.views import Round, Shown, Step

pytestmark = pytest.mark.skipif(not (DRIVER and BROWSER), reason="no chromium with chromedriver on this machine")

EXPLORED = made_up(2000)
ALL = [(own.number, shown) for own in EXPLORED.rounds for shown in own.shown]
COUNT = "return document.getElementById('count').textContent"
SET = "const s = document.getElementById(arguments[0]); s.value = arguments[1];"
SET += "s.dispatchEvent(new Event('input', {bubbles: true}))"
HAS_ROLLOUTS = "return document.querySelector('details.rollouts') !== null"
CHOSEN = "return Number(document.querySelector('.row[aria-selected=true]').dataset.place)"
FOCUS = "return document.activeElement.id"


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    write_page(EXPLORED, path := tmp_path_factory.mktemp("page") / "explorer.html")
    return path


@pytest.fixture
def page(window: Browser, file: Path) -> Iterator[Browser]:
    """The page just loaded, wide and light; whatever a test does, the console stays silent and nothing is fetched."""
    window.resize(1280, 800)
    window.scheme("light")
    window.requests()  # those of other tests
    window.open(file)
    yield window
    assert window.complaints() == []
    assert {address.split("#")[0] for address in window.requests()} <= {"about:blank", file.as_uri(), "data:,"}


def kinds(number: int, shown: Shown) -> dict[str, set[str]]:
    """By filter: the choices that a trajectory belongs to."""
    own = shown.labelling
    agreement = {own.agreement, *(["differs"] if own.agreement != "agrees" else [])} if own and own.agreement else set()
    flawed = {"flawed"} if shown.verdict == "right" and shown.first_error else set()
    return {
        "round": {str(number)},
        "outcome": {shown.verdict, *flawed},
        "case": {own.case if own else "none"},
        "truth": {str(one) for one in agreement},
    }


def right_number(**filters: str) -> int:
    return sum(all(value in kinds(n, shown)[name] for name, value in filters.items()) for n, shown in ALL)


def counted(number: int) -> str:
    return f"{number:,} of 2,000 trajectories"


def test_it_loads_with_rows_for_the_view_alone(page: Browser) -> None:
    assert page.run(COUNT) == counted(2000)
    assert page.run("return document.title") == "SAPO on lines: trajectories"
    assert 14 <= page.run("return document.querySelectorAll('.row').length") <= 40
    assert page.run("return document.querySelectorAll('*').length") < 1000
    page.wait("return performance.getEntriesByName('first-contentful-paint').length === 1")


CHOICES = sorted({(name, value) for place in ALL for name, values in kinds(*place).items() for value in values})


def test_every_choice_of_every_filter_leaves_the_right_number(page: Browser) -> None:
    """The number stands in the choice, and behind `of` once it is made."""
    assert len(CHOICES) == 4 + 4 + 5 + 6
    for name, value in CHOICES:
        option = f"return document.querySelector('#{name} option[value=\"{value}\"]').textContent"
        assert page.run(option).endswith(f" ({right_number(**{name: value}):,})")
        page.run(SET, name, value)
        assert page.run(COUNT) == counted(right_number(**{name: value})), (name, value)
        page.run(SET, name, "")
    assert page.run(COUNT) == counted(2000)


def test_filters_add_up_and_their_choices_count_what_the_others_leave(page: Browser) -> None:
    page.run(SET, "round", "2")
    page.run(SET, "case", "c")
    assert page.run(COUNT) == counted(right_number(round="2", case="c"))
    options = "return [...document.querySelectorAll('#truth option')].map(o => [o.value, o.textContent])"
    for chosen in ("", "early"):  # a choice does not change the numbers of the other choices beside it
        page.run(SET, "truth", chosen)
        found = page.run(options)
        assert len(found) == 7
        for value, text in found:
            filters = {"round": "2", "case": "c"} | ({"truth": value} if value else {})
            assert text.endswith(f"({right_number(**filters)})")
    number = right_number(round="2", case="c", truth="early")
    assert 0 < number < right_number(round="2", case="c")
    assert page.run(COUNT) == counted(number)
    page.click("#reset")
    assert page.run(COUNT) == counted(2000)


def test_words_are_typed_and_must_all_be_there(page: Browser) -> None:
    """In question, name or steps; ZOË is Zoë."""

    def holds(shown: Shown, *words: str) -> bool:
        question = next(q for q in EXPLORED.questions if q.id == shown.question_id)
        text = "\n".join([question.id, shown.name, question.prompt, *(step.text for step in shown.steps)]).lower()
        return all(word in text for word in words)

    page.press("/", *"KIWI")
    assert page.run(FOCUS) == "words"
    assert page.run(COUNT) == counted(sum(holds(shown, "kiwi") for _, shown in ALL))
    page.press(*" train/12")
    assert page.run(COUNT) == counted(sum(holds(shown, "kiwi", "train/12") for _, shown in ALL))
    page.run(SET, "words", "ZOË")
    assert page.run(COUNT) == counted(2000)
    page.run(SET, "words", "nowhere")
    assert page.run(COUNT) == counted(0)
    assert "No trajectory passes" in page.run("return document.getElementById('trajectory').textContent")


def test_keys_move_through_the_list(page: Browser) -> None:
    assert page.run(CHOSEN) == 0
    page.press("j", "j", ARROW_DOWN)
    assert page.run(CHOSEN) == 3
    page.press("k")
    assert page.run(CHOSEN) == 2
    page.press(PAGE_DOWN)
    assert page.run(CHOSEN) == 12
    page.press(END)
    assert page.run(CHOSEN) == 1999
    last = ALL[-1][1]
    assert (
        page.run("return document.querySelector('#trajectory h2').textContent") == f"{last.question_id} · {last.name}"
    )
    chosen = "document.getElementById(document.getElementById('list').getAttribute('aria-activedescendant'))"
    assert page.run(f"return {chosen}.getAttribute('aria-posinset')") == "2000"
    page.press("j", HOME, "k")
    assert page.run(CHOSEN) == 0


def test_keys_reach_everything_and_leave_text_fields_alone(page: Browser) -> None:
    page.press(ENTER)
    assert page.run(FOCUS) == "trajectory"
    page.press("j", ESCAPE)
    assert (page.run(FOCUS), page.run(CHOSEN)) == ("list", 1)
    page.press("/", "j", "k")
    assert page.run("return document.getElementById('words').value") == "jk"
    page.press(ESCAPE, "x")
    assert page.run(COUNT) == counted(2000)
    page.press("?")
    assert page.run("return document.getElementById('help').open") is True
    page.press("j", ESCAPE)
    assert page.run("return document.getElementById('help').open") is False
    page.press("/", ENTER)
    assert page.run(FOCUS) == "list"
    ring = "return getComputedStyle(document.activeElement).outlineStyle"
    assert page.run(ring) == "solid", "where the focus is must be seen"


def test_a_click_chooses_and_scrolling_brings_other_rows(page: Browser) -> None:
    page.click(".row[data-place='5']")
    assert page.run(CHOSEN) == 5
    page.run("document.getElementById('list').scrollTop = 56 * 1000")
    page.wait("return document.querySelector('.row[data-place=\"1003\"]')")
    assert page.run("return document.querySelectorAll('.row').length") <= 40
    assert page.run("return document.querySelector('.row[data-place=\"5\"]')") is None


def test_a_trajectory_says_all_that_is_known_of_it(page: Browser) -> None:
    """Its scores with their numbers, detection, truth and labels at their steps, in words."""
    own = [(n, s) for n, s in ALL if s.labelling and s.labelling.case == "b" and len(s.labelling.rollouts) == 3]
    number, shown = next((n, s) for n, s in own if s.labelling and s.labelling.agreement == "early" and n)
    page.run("location.hash = arguments[0]", f"#at={number}:{shown.question_id}/{shown.name}")
    page.wait(f"return document.querySelector('#trajectory h2').textContent.includes('{shown.name}')")
    rows = page.run("return [...document.querySelectorAll('#steps .scored-row')].map(row => row.innerText)")
    assert len(rows) == 7 and shown.first_error and shown.labelling
    labelled = next(j for j, step in enumerate(shown.steps, start=1) if step.label == 0)
    for j, (row, step) in enumerate(zip(rows, shown.steps, strict=True), start=1):
        assert step.text.strip() in row and f"{step.score:.2f}" in row
        assert ("✖ true first error" in row) == (j == shown.first_error)
        assert ("● labelled first error" in row) == (j == labelled)
        assert ("t^ last step believed good" in row) == (j == 3)
        assert ("suspect" in row) == (j == 4)
        assert ("rollouts asked" in row) == (j in (3, 4))
        assert ("≠" in row) == (labelled <= j < shown.first_error)
        assert ("✗ bad" in row) == (j >= shown.first_error)
    told = page.run("return document.getElementById('trajectory').innerText")
    assert "Case (b)" in told and "behind steps 3 and 4" in told and "first error named too early" in told


def test_without_a_verifier_there_are_no_scores(window: Browser, tmp_path: Path) -> None:
    steps = (Step("so\n", None, None), Step("no\n", None, None))
    shown = Shown("lines/train/0", "seed/0", "wrong", 1, steps, 2, None)
    write_page(dataclasses.replace(EXPLORED, rounds=(Round(1, "", "", 1, (shown,)),)), tmp_path / "page.html")
    window.open(tmp_path / "page.html")
    heads = window.run("return [...document.querySelectorAll('#steps th[scope=col]')].map(head => head.textContent)")
    assert heads == ["", "Step", "Truth"]
    assert window.run("return document.querySelectorAll('.chip, .scored').length - 11") == 0, "those of the legend"
    assert "no verifier" in window.run("return document.querySelector('#steps caption').textContent")
    assert (window.complaints(), window.run(COUNT)) == ([], "1 of 1 trajectory")


def test_rollouts_unfold(page: Browser) -> None:
    page.run(SET, "case", "a")
    while not page.run(HAS_ROLLOUTS):
        page.press("j")
    opened = "return document.querySelector('details.rollouts').open"
    seen = "return document.querySelector('.rollout .step').checkVisibility()"
    assert (page.run(opened), page.run(seen)) == (False, False)
    page.click("details.rollouts summary")
    assert (page.run(opened), page.run(seen)) == (True, True)
    summary = page.run("return document.querySelector('details.rollouts summary').textContent")
    blocks = page.run("return document.querySelectorAll('.rollout').length")
    assert summary.startswith(f"{blocks} rollout") and "on file behind step 3" in summary
    page.press("o")
    assert page.run(opened) is False
    page.press("o")
    assert page.run(opened) is True


def test_light_and_dark(page: Browser) -> None:
    """As the system at first; the switch overrules it."""
    back = "return getComputedStyle(document.body).backgroundColor"
    light = page.run(back)
    page.scheme("dark")
    dark = page.run(back)
    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(21, 24, 28)")
    page.click("#theme")
    assert (page.run(back), page.run("return document.getElementById('theme').textContent")) == (
        light,
        "Colours: light",
    )
    page.press("t")
    page.scheme("light")
    assert page.run(back) == dark
    page.press("t")
    assert page.run(back) == light


def test_a_phone_shows_the_list_or_one_trajectory(page: Browser) -> None:
    page.resize(390, 844)
    wide = "return document.documentElement.scrollWidth <= innerWidth && [...document.querySelectorAll('main > *')]"
    wide += ".every(e => e.scrollWidth <= e.clientWidth)"
    seen = "return ['list', 'trajectory'].map(id => document.getElementById(id).checkVisibility())"
    assert page.run(seen) == [True, False] and page.run(wide)
    page.click(".row[data-place='3']")
    page.press("o")
    assert page.run(seen) == [False, True] and page.run(wide)
    page.click("#back")
    assert page.run(seen) == [True, False] and page.run(CHOSEN) == 3


def test_the_address_remembers_filters_and_trajectory(page: Browser, file: Path) -> None:
    page.run(SET, "round", "3")
    page.run(SET, "truth", "late")
    page.press("/", *"apple", ENTER, "j", "j")
    name = page.run("return document.querySelector('#trajectory h2').textContent")
    page.wait("return location.hash.includes('at=3')")
    fragment = page.run("return location.hash")
    page.open(file, fragment)
    assert page.run(COUNT) == counted(right_number(round="3", truth="late"))
    assert page.run(CHOSEN) == 2
    assert page.run("return document.querySelector('#trajectory h2').textContent") == name
    page.open(file, "#round=9&case=%3Cimg%3E&at=nothing")
    assert page.run(COUNT) == counted(2000)
