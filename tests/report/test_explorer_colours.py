"""The explorer's colours, measured in headless Chromium; skipped where there is none."""

import itertools
from collections.abc import Iterator

import pytest
from chromium import BROWSER, DRIVER, Browser, chromium
from explorer_runs import made_up

from sapo.report.explorer.render import write_page

pytestmark = pytest.mark.skipif(not (DRIVER and BROWSER), reason="no chromium with chromedriver on this machine")


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A page that is open."""
    write_page(made_up(200), path := tmp_path_factory.mktemp("page") / "explorer.html")
    with chromium() as browser:
        browser.open(path, "#case=b")
        yield browser


def test_scores_are_read_in_grey_and_numbers_on_them(window: Browser) -> None:
    """Luminance rises with every hundredth, and black or white on it has a contrast of 4.5 or more (WCAG AA)."""
    found = window.run(
        "return Array.from({length: 101}, (_, i) => { const [back, ink] = colours(10 * i);"
        "return [luminance(back.match(/\\d+/g).map(Number)), ink]; })"
    )
    lights = [light for light, _ in found]
    assert all(one < other for one, other in itertools.pairwise(lights))
    for light, ink in found:
        other = 0.0 if ink == "#000" else 1.0
        assert (max(light, other) + 0.05) / (min(light, other) + 0.05) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out(window: Browser, scheme: str) -> None:
    """Every colour of text that is used has a contrast of 4.5 or more to what is behind it."""
    window.scheme(scheme)
    texts = window.run(CONTRAST)
    assert len(texts) > 10
    assert [text for text, contrast in texts if contrast < 4.5] == []


CONTRAST = """
const bytes = (colour) => colour.match(/[\\d.]+/g).map(Number);
const behind = (e) => { const b = getComputedStyle(e).backgroundColor;
  return /^rgba.*, 0\\)$/.test(b) && e.parentElement ? behind(e.parentElement) : b; };
return [...document.querySelectorAll('body *')].filter(
  (e) => e.checkVisibility() && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())
).map((e) => { const [a, b] = [getComputedStyle(e).color, behind(e)].map((c) => luminance(bytes(c).slice(0, 3)) + 0.05);
  return [e.className + ': ' + e.textContent.slice(0, 40), Math.max(a, b) / Math.min(a, b)]; });
"""
