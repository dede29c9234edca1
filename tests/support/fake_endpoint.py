"""A local server that speaks the chat-completions protocol and answers as a test says; it keeps what it was asked."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sapo.sampling.http.pace import Time


@dataclass(frozen=True)
class Response:
    """What the server sends. `hangs`: nothing after the body (or at all, without one) until the server is closed.

    `cuts`: the connection, without a word.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    cuts: bool = False


def completion(text: str | None, tokens: tuple[int, int] | None = (100, 10), finish: str = "stop") -> Response:
    """A chat completion; `tokens` of prompt and answer, None: no usage."""
    usage = None if tokens is None else {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return Response(json.dumps({"object": "chat.completion", "choices": [choice], "usage": usage}).encode())


def failure(status: int, message: str = "", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(json.dumps({"error": {"message": message}}).encode(), status, named)


Answer = Callable[[dict[str, Any], int], Response]


@dataclass
class FakeEndpoint:
    """Answers with `answer(body, number)`, requests counted from 0 as they arrive."""

    answer: Answer
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)

    def respond(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Response:
        with self.lock:
            number = len(self.bodies)
            self.bodies.append(body)
            self.headers.append(headers)
            self.paths.append(path)
        return self.answer(body, number)


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for them

    def __init__(self, fake: FakeEndpoint) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.fake = fake


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        response = self.server.fake.respond(self.path, dict(self.headers.items()), body)
        if not response.cuts and (response.body or not response.hangs):
            self._send(response)
        if response.hangs:
            self.server.fake.closing.wait()
        if response.hangs or response.cuts:
            self.close_connection = True

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        length = {} if response.hangs else {"Content-Length": str(len(response.body))}
        for name, value in (length | response.headers).items():
            self.send_header(name, value)
        with suppress(ConnectionError):  # who asked is gone
            self.end_headers()
            self.wfile.write(response.body)

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serve(answer: Answer) -> Iterator[FakeEndpoint]:
    """The server on a port of its own; afterwards connections to `url` are refused."""
    fake = FakeEndpoint(answer)
    server = _Server(fake)
    fake.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        fake.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Clock:
    """Seconds that pass only while somebody waits; `waits` keeps how long."""

    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, seconds: float, stop: threading.Event) -> None:
        with self.lock:
            self.seconds += seconds
            self.waits.append(seconds)

    def time(self) -> Time:
        return Time(lambda: self.seconds, self.wait)
