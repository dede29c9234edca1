"""Completions that arrive in parts: read to their end, or as far as is wanted."""

import dataclasses
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_endpoint import Clock, Response, failure, serve
from model_draws import event, stream
from tiny_models import tiny_reasoner

from sapo.models.loading import save_reasoner
from sapo.records import BadInput
from sapo.sampling.http.endpoint import Endpoint, EndpointError, Limits
from sapo.sampling.http.replies import TEXT, Enough, Key, Reply
from sapo.sampling.http.server_engine import ServerSampler
from sapo.sampling.protocol import Completion, Request
from sapo.settings.configure import compose

SECRET = "sk-canary/4711+abcdef"
LIMITS = Limits(per_minute=6000, attempts=2, timeout=5)
PARTS = ["4 + 1", " = 5\n", "answer", " 5\n", "Ben", " has"]
SETTINGS = compose(Path(__file__).parents[2], ["profile=nano", "engine.kind=server"])[1]


def counted(parts: Sequence[str], finish: str = "length", prompt: int = 7) -> list[dict[str, Any]]:
    """One token a part, counted as they come."""
    ends = [*[None] * (len(parts) - 1), finish]
    return [event(part, end, prompt, number) for number, (part, end) in enumerate(zip(parts, ends, strict=True), 1)]


def ask(*responses: Response, enough: Enough = lambda text: False) -> tuple[Reply, int]:
    """The reply, and how many requests the server saw."""
    with serve(lambda body, number: responses[number]) as server:
        endpoint = Endpoint(server.url, Key(SECRET), LIMITS, Clock().time(), TEXT)
        return endpoint.complete({"stream": True}, threading.Event(), enough), len(server.bodies)


def test_what_nobody_wants_is_not_waited_for() -> None:
    """The server sends nothing after its fourth token, and does not close; each of two newlines is asked about."""
    seen: list[str] = []

    def enough(text: str) -> bool:
        seen.append(text)
        return "answer" in text

    found = ask(stream(counted(PARTS)[:4], end="", hangs=True), enough=enough)
    assert found == (Reply("4 + 1 = 5\nanswer 5\n", False, 7, 4), 1)
    assert seen == ["4 + 1 = 5\n", "4 + 1 = 5\nanswer 5\n"]


@pytest.mark.parametrize(("finish", "ended"), [("stop", True), ("length", False)])
def test_a_stream_of_which_all_is_wanted_is_a_completion(finish: str, ended: bool) -> None:
    """Comments and events without text lie between the parts, as servers send them to keep a connection open."""
    first, *rest = counted(PARTS, finish)
    events = [first, {"choices": [], "usage": None}, *rest]
    reply, _ = ask(stream(events, end=": ping\nevent: end\ndata: [DONE]\n\n"))
    assert reply == Reply("".join(PARTS), ended, 7, 6)


def test_without_counts_on_the_way_the_end_is_waited_for() -> None:
    """llama.cpp says only in a last event of its own how many tokens there were."""
    events = [event(part, None, 7, None) for part in PARTS]
    last = [event("", "length", 7, None), {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 6}}]
    reply, _ = ask(stream([*events, *last]), enough=lambda text: True)
    assert reply == Reply("".join(PARTS), False, 7, 6)


def test_a_server_that_does_not_stream_is_understood() -> None:
    whole = Response(json.dumps(event("4 + 1 = 5\n", "stop", 7, 3)).encode())
    assert ask(whole, enough=lambda text: True)[0] == Reply("4 + 1 = 5\n", True, 7, 3)


@pytest.mark.parametrize(
    "first",
    [
        stream(counted(PARTS)[:3]),
        stream(counted(PARTS)[:3], end=""),
        stream(counted(PARTS)[:1], end='data: {"error": "out of memory"}\n\n'),
        stream(counted(PARTS)[:1], end='data: {"choices": [{"text": 5}]}\n\n'),
        stream(counted(PARTS)[:1], end="data: [1]\n\n"),
        stream(counted(PARTS)[:1], end="data: \xff{\n\n"),
        Response(b'{"usage": {"prompt_tokens": 7, "completion_tokens": 3}}'),
        failure(503),
    ],
)
def test_a_stream_that_breaks_off_or_is_none_is_asked_for_again(first: Response) -> None:
    assert ask(first, stream(counted(PARTS))) == (Reply("".join(PARTS), False, 7, 6), 2)


def test_no_error_and_no_text_holds_the_key() -> None:
    assert ask(stream(counted(["x ", SECRET[:9], SECRET[9:]])))[0].text == "x [key]"
    broken = stream(counted(PARTS)[:1], end=f'data: {{"error": "{SECRET}"}}\n\n')
    with pytest.raises(EndpointError, match=r"gave up after 2 attempts.*\[key\]") as caught:
        ask(broken, broken)
    assert "canary" not in str(caught.value)


@pytest.fixture(scope="module")
def reasoner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "reasoner"
    save_reasoner(*tiny_reasoner("llama"), folder)
    return folder


def first_line(text: str) -> int | None:
    return text.find("\n") + 1 or None


def answer_line(text: str) -> int | None:
    return text.find("\n", text.find("answer")) + 1 if "answer" in text and text.endswith("\n") else None


def parts_for(body: dict[str, Any], number: int) -> Response:
    return stream(counted(PARTS, prompt=len(body["prompt"])))


def test_answers_that_one_rule_ended_are_not_those_of_another_rule(reasoner: Path, tmp_path: Path) -> None:
    """What was drawn up to the first line holds no answer: the second call asks, the third is a repetition."""
    requests = [Request("Ben has 15 coins.\n", "", 5)]
    with serve(parts_for) as fake:
        sampler = ServerSampler(reasoner, dataclasses.replace(SETTINGS.engine, url=fake.url), tmp_path)
        found = [sampler.complete(requests, 1.0, 6, rule)[0] for rule in (first_line, answer_line, first_line)]
    assert found[0] == found[2] == [Completion("4 + 1 = 5\n", 2, True)]
    assert found[1] == [Completion("4 + 1 = 5\nanswer 5\n", 4, True)]
    assert [body["stream"] for body in fake.bodies] == [True, True]


def test_a_server_with_another_tokenizer_is_refused_where_its_stream_is_left_early(
    reasoner: Path, tmp_path: Path
) -> None:
    """And its answers are not kept: the right server, asked next, is believed."""
    requests = [Request("Ben has 15 coins.\n", "", 5)]
    with serve(lambda body, number: stream(counted(PARTS, prompt=4711))) as fake:
        wrong = ServerSampler(reasoner, dataclasses.replace(SETTINGS.engine, url=fake.url), tmp_path)
        with pytest.raises(BadInput, match="counts 4711 tokens where"):
            wrong.complete(requests, 1.0, 6, first_line)
    with serve(parts_for) as fake:
        right = ServerSampler(reasoner, dataclasses.replace(SETTINGS.engine, url=fake.url), tmp_path)
        assert right.complete(requests, 1.0, 6, first_line)[0] == [Completion("4 + 1 = 5\n", 2, True)]
