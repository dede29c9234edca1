"""A headless Chromium for tests, driven by chromedriver over the WebDriver protocol: HTTP and JSON, no library."""

import base64
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

DRIVER = shutil.which("chromedriver")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WAIT = 30.0  # seconds until a page that has not become what it should be is an error

DRAWN = "return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"

ARROW_DOWN, ARROW_UP, PAGE_DOWN, HOME, END = "\ue015", "\ue013", "\ue00f", "\ue011", "\ue010"
ENTER, ESCAPE, TAB = "\ue007", "\ue00c", "\ue004"


class Browser:
    """One window. `run` is the body of a JavaScript function; what it returns, or promises, comes back."""

    def __init__(self, session: str) -> None:
        self._session = session

    def open(self, page: Path, fragment: str = "") -> None:
        """Load a file from the start, even if only the fragment has changed, and until it has drawn itself.

        Before that, key strokes may still go to the page before.
        """
        self._ask("POST", "/url", {"url": "about:blank"})
        self._ask("POST", "/url", {"url": page.resolve().as_uri() + fragment})
        self.run(DRAWN)

    def run(self, script: str, *arguments: Any) -> Any:
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, script: str) -> None:
        """Until the script returns something true. Raises AssertionError when it takes too long."""
        end = time.monotonic() + WAIT
        while not self.run(script):
            assert time.monotonic() < end, f"never became true: {script}"
            time.sleep(0.02)

    def press(self, *keys: str) -> None:
        """Real key strokes, one after another, to whatever has the focus."""
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": strokes}]})

    def click(self, selector: str) -> None:
        """A real click into the middle of the first such element."""
        found = self._ask("POST", "/element", {"using": "css selector", "value": selector})
        self._ask("POST", f"/element/{next(iter(found.values()))}/click", {})

    def resize(self, width: int, height: int) -> None:
        """Another size in CSS pixels, and until the page has drawn itself anew."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._devtools("Emulation.setDeviceMetricsOverride", size)
        self.run(DRAWN)

    def scheme(self, name: str) -> None:
        """What the system is said to prefer: `light` or `dark`."""
        self._devtools("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": name}]})

    def complaints(self) -> list[str]:
        """What the console has said since the last call: errors, warnings, refused requests."""
        return [entry["message"] for entry in self._ask("POST", "/se/log", {"type": "browser"})]

    def requests(self) -> list[str]:
        """Addresses asked for since the last call."""
        entries = self._ask("POST", "/se/log", {"type": "performance"})
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]

    def picture(self) -> bytes:
        """What the window shows, as PNG."""
        return base64.b64decode(self._ask("GET", "/screenshot"))

    def _devtools(self, command: str, parameters: dict[str, Any]) -> None:
        self._ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return ask(method, self._session + path, body)


def ask(method: str, address: str, body: dict[str, Any] | None = None) -> Any:
    """The `value` that chromedriver answers. Raises AssertionError with its message where it refuses."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(address, data, {"Content-Type": "application/json"}, method=method), timeout=60) as answer:
            return json.load(answer)["value"]
    except HTTPError as error:
        with error:
            raise AssertionError(f"{address}: {error.read().decode()[:800]}") from None


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with an empty profile of its own; it ends with the block."""
    assert DRIVER and BROWSER
    with subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as driver:
        try:
            assert driver.stdout is not None
            started = (re.search(r"successfully on port (\d+)", line) for line in driver.stdout)
            port = next(found[1] for found in started if found)
            yield from _session(f"http://127.0.0.1:{port}/session")
        finally:
            driver.terminate()


def _session(address: str) -> Iterator[Browser]:
    # The sandbox of Chromium needs privileges that containers lack; the pages here are our own.
    flags = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"]
    options = {"binary": BROWSER, "args": [*flags, "--window-size=1280,800"]}
    wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
    made = ask("POST", address, {"capabilities": {"alwaysMatch": wanted}})
    session = f"{address}/{made['sessionId']}"
    try:
        yield Browser(session)
    finally:
        ask("DELETE", session)
