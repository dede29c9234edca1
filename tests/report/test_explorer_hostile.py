"""The explorer's page against hostile texts, in headless Chromium; skipped where there is none.

What a reasoner or a data set writes is shown letter for letter. Should that ever fail, the page's policy still lets
nothing run and nobody be called. Not promised: a browser that ignores Content Security Policies.
"""

import dataclasses
import http.server
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from chromium import BROWSER, DRIVER, Browser, chromium
from explorer_runs import made_up

from sapo.records import Question
from sapo.report.explorer.render import write_page
from sapo.report.explorer.views import Explored, Round, Shown, Step

pytestmark = pytest.mark.skipif(not (DRIVER and BROWSER), reason="no chromium with chromedriver on this machine")

EXPLORED = made_up(40)


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """Someone on the network that a page might be made to call: its address, and what it was asked for."""
    asked: list[str] = []

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}", asked
        found.shutdown()
        thread.join()


def hostile(address: str) -> list[str]:
    attack = f"<img src={address}/img onerror=\"window.hacked=1;fetch('{address}/fetch')\">"
    return [
        f"</script>{attack}",
        f"</script><script>window.hacked=1</script><!-- <script> {attack}",
        f"'\"><svg/onload=window.hacked=1>{attack}</textarea></title></style>",
        "\u202eright to left\u202c \u0000 \u2028 \ufeff e\u0301 🙂 數學 \ud83d \uffff \x1b[31m",
        "${window.hacked=1} {{7*7}} javascript:window.hacked=1 &lt;b&gt; &#x3c;",
    ]


def spoilt(text: str) -> Explored:
    """A run in which everything that a reasoner or a data set writes is `text`."""
    places = ((own.number, shown) for own in EXPLORED.rounds for shown in own.shown)
    number, shown = next((n, s) for n, s in places if s.labelling and s.labelling.rollouts)
    assert shown.labelling
    rollouts = tuple(dataclasses.replace(one, steps=saying(text, one.steps)) for one in shown.labelling.rollouts)
    labelling = dataclasses.replace(shown.labelling, rollouts=rollouts)
    name = f"a/{text}"
    own = Shown(name, text, shown.verdict, 1, saying(text, shown.steps), shown.first_error, labelling)
    rounds = (Round(number, "saps", "scores", 1, (own,)),)
    return dataclasses.replace(EXPLORED, questions=(Question(name, text, text),), rounds=rounds)


def saying(text: str, steps: Sequence[Step]) -> tuple[Step, ...]:
    return tuple(dataclasses.replace(step, text=text) for step in steps)


def test_hostile_texts_stay_texts(window: Browser, tmp_path: Path, server: tuple[str, list[str]]) -> None:
    """They are shown letter for letter, run nothing, make no element, and call nobody."""
    address, asked = server
    for number, text in enumerate(hostile(address)):
        write_page(spoilt(text), path := tmp_path / f"{number}.html")
        window.open(path)
        window.press("o")
        assert window.run("return [window.hacked, document.querySelectorAll('img, svg, iframe').length]") == [None, 0]
        steps = window.run("return [...document.querySelectorAll('.step')].map(e => JSON.stringify(e.textContent))")
        assert len(steps) > 7
        assert {json.loads(step) for step in steps} == {text}
        assert window.run("return document.querySelectorAll('script').length") == 2
        assert window.complaints() == []
        assert all(not found.startswith("http") for found in window.requests())
    assert asked == []


def test_the_policy_refuses_the_network_even_to_the_page_itself(
    window: Browser, tmp_path: Path, server: tuple[str, list[str]]
) -> None:
    """Should a hole be found all the same: scripts, images, requests and inline handlers do nothing."""
    address, asked = server
    write_page(EXPLORED, tmp_path / "page.html")
    window.open(tmp_path / "page.html")
    window.run(
        "document.body.insertAdjacentHTML('beforeend', `<img src='${arguments[0]}/img' onerror='window.hacked=1'>`);"
        "const s = document.createElement('script'); s.src = arguments[0] + '/js'; document.body.append(s);"
        "const t = document.createElement('script'); t.textContent = 'window.hacked = 1'; document.body.append(t);"
        "window.refused = fetch(arguments[0] + '/fetch').then(() => 'fetched', () => 'refused');",
        address,
    )
    assert window.run("return window.refused") == "refused"
    assert window.run("return window.hacked") is None
    assert asked == []
    complaints = window.complaints()
    assert len([one for one in complaints if "Content Security Policy" in one]) >= 4
