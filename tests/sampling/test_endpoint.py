"""An endpoint is asked at its pace and until it answers, and the key goes nowhere but to it."""

import dataclasses
import json
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import tenacity
from fake_endpoint import Answer, Clock, Response, completion, failure, serve
from hypothesis import given
from hypothesis import strategies as st

from sapo.sampling.http import endpoint
from sapo.sampling.http.endpoint import (
    Endpoint,
    EndpointError,
    Limits,
    Refused,
    completions_url,
    key_from,
    seconds_of,
)
from sapo.sampling.http.pace import Pace, Stopped
from sapo.sampling.http.replies import Key, Reply

CANARY = "sk-canary/4711+abcdef"
BODY = {"model": "m", "messages": [{"role": "user", "content": "Grüße"}], "temperature": 0.7, "seed": 1}
FAST = Limits(per_minute=6000, attempts=3, timeout=5)
GOOD = completion("first error: 0")


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of exactly 1, 2, 4 … seconds."""
    monkeypatch.setattr(endpoint, "BACK_OFF", tenacity.wait_exponential_jitter(max=60, jitter=0))


def script(*responses: Response) -> Answer:
    """Each response once, in order."""
    return lambda body, number: responses[number]


def ask(answer: Answer, limits: Limits = FAST, key: str = CANARY) -> tuple[Reply, list[float], int]:
    """The reply, the waits, and how many requests the server saw."""
    clock = Clock()
    with serve(answer) as server:
        reply = Endpoint(server.url, Key(key), limits, clock.time()).complete(BODY, threading.Event())
        return reply, clock.waits, len(server.bodies)


def test_a_request_is_a_chat_completion_with_the_key_as_bearer() -> None:
    with serve(script(completion("first error: 2", (120, 30)))) as server:
        reply = Endpoint(server.url, Key(CANARY), FAST).complete(BODY, threading.Event())
    assert reply == Reply("first error: 2", True, 120, 30)
    assert server.bodies == [BODY]
    assert server.paths == ["/v1/chat/completions"]
    assert server.headers[0]["Authorization"] == f"Bearer {CANARY}"


def test_an_endpoint_without_keys_gets_no_authorization() -> None:
    with serve(script(GOOD)) as server:
        Endpoint(server.url, Key(""), FAST).complete(BODY, threading.Event())
    assert "Authorization" not in server.headers[0]


def test_usage_that_is_missing_or_no_number_is_unknown_and_a_cut_off_answer_is_not_complete() -> None:
    assert ask(script(completion("x", None)))[0] == Reply("x", True, None, None)
    odd = json.loads(completion("x").body) | {"usage": {"prompt_tokens": True, "completion_tokens": -1}}
    assert ask(script(Response(json.dumps(odd).encode())))[0] == Reply("x", True, None, None)
    assert ask(script(completion("x", finish="length")))[0] == Reply("x", False, 100, 10)
    assert ask(script(completion(None)))[0].text == ""


def test_too_many_requests_wait_as_long_as_the_endpoint_says() -> None:
    """Retry-After 7: one wait of 7 s, longer than the 0.01 s between requests."""
    reply, waits, sent = ask(script(failure(429, Retry_After="7"), GOOD))
    assert (reply.text, waits, sent) == ("first error: 0", [7.0], 2)


def test_a_server_error_is_tried_again_after_seconds_that_double() -> None:
    """1 s, then 2 s; the third attempt is answered."""
    reply, waits, sent = ask(script(failure(500), failure(503), GOOD))
    assert (reply.text, waits, sent) == ("first error: 0", [1.0, 2.0], 3)


@pytest.mark.parametrize(
    "first",
    [
        Response(b"<html>Bad gateway</html>"),
        Response(b'{"choices": []}'),
        Response(b'{"error": {"message": "overloaded"}}'),
        Response(b"[" * 100_000),
        Response(b"\xff\xfe{"),
        Response(b'{"choices": [{"message": {"content": 5}, "finish_reason": "stop"}]}'),
        Response(cuts=True),
        failure(408),
        failure(502),
        failure(504),
        failure(529),
    ],
)
def test_what_is_no_completion_is_tried_again(first: Response) -> None:
    reply, waits, sent = ask(script(first, GOOD))
    assert (reply.text, waits, sent) == ("first error: 0", [1.0], 2)


def test_an_endpoint_that_does_not_answer_in_time_is_asked_again() -> None:
    limits = dataclasses.replace(FAST, timeout=0.3)
    assert ask(script(Response(hangs=True), GOOD), limits)[2] == 2


def test_it_gives_up_after_the_set_number_of_attempts() -> None:
    with pytest.raises(EndpointError, match=r"gave up after 3 attempts: status 500: .*on fire"):
        ask(lambda body, number: failure(500, "on fire"))


def test_nobody_listening_is_tried_again_and_then_an_error() -> None:
    with serve(script()) as server:
        url = server.url
    clock = Clock()
    with pytest.raises(EndpointError, match=r"gave up after 3 attempts: .*refused"):
        Endpoint(url, Key(CANARY), FAST, clock.time()).complete(BODY, threading.Event())
    assert clock.waits == pytest.approx([1.0, 2.0])


def test_a_wait_beyond_patience_ends_at_once() -> None:
    with pytest.raises(EndpointError, match="asks to wait 86400 s"):
        ask(script(failure(429, "daily quota", Retry_After="86400")))


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_request_is_not_sent_again(status: int) -> None:
    with pytest.raises(Refused, match=f"status {status}: .*too long"):
        ask(script(failure(status, "too long")))


@pytest.mark.parametrize("status", [401, 403, 404])
def test_other_statuses_end_the_work_at_once(status: int) -> None:
    with pytest.raises(EndpointError, match=f"status {status}: .*no such model"):
        ask(script(failure(status, "no such model")))


def test_a_redirect_is_not_followed() -> None:
    with (
        serve(script(GOOD)) as other,
        serve(script(failure(302, Location=f"{other.url}/x"))) as server,
        pytest.raises(EndpointError, match="status 302"),
    ):
        Endpoint(server.url, Key(CANARY), FAST).complete(BODY, threading.Event())
    assert other.headers == []


@pytest.mark.parametrize("respond", [failure(401, CANARY), failure(500, CANARY), failure(400, CANARY)])
def test_no_error_holds_the_key_that_the_endpoint_repeats(respond: Response) -> None:
    escaped = dataclasses.replace(respond, body=respond.body + CANARY.replace("/", "\\/").encode())
    with pytest.raises((EndpointError, Refused)) as caught:
        ask(lambda body, number: escaped)
    assert "[key]" in str(caught.value)
    chain = [caught.value, caught.value.__cause__, caught.value.__context__]
    assert not [error for error in chain if "canary" in repr(error)]


def test_no_answer_and_no_repr_holds_the_key() -> None:
    assert ask(script(completion(f"{CANARY}\nfirst error: 1")))[0].text == "[key]\nfirst error: 1"
    assert "canary" not in repr(Key(CANARY))
    with pytest.raises(EndpointError) as caught:
        ask(lambda body, number: Response(b"no JSON " + CANARY.encode()))
    assert "no JSON [key]" in str(caught.value)


def test_a_short_key_of_a_local_server_leaves_answers_alone() -> None:
    assert ask(script(completion("first error: 1")), key="1")[0].text == "first error: 1"


def test_remote_text_is_shown_with_its_control_characters_escaped_and_cut() -> None:
    with pytest.raises(EndpointError) as caught:
        ask(script(failure(403, "\x1b[2J" + "x" * 1000)))
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", f" {CANARY}\n")
    assert key_from("MY_KEY") == Key(CANARY)
    monkeypatch.setenv("MY_KEY", "")
    with pytest.raises(EndpointError, match="MY_KEY holds no key"):
        key_from("MY_KEY")
    monkeypatch.setenv("MY_KEY", "sk-can\nary")
    with pytest.raises(EndpointError, match="MY_KEY holds blanks") as caught:
        key_from("MY_KEY")
    assert "ary" not in str(caught.value).replace("variable", "")


@pytest.mark.parametrize(
    ("url", "full"),
    [
        ("https://h", "https://h/v1/chat/completions"),
        ("https://h:8000/", "https://h:8000/v1/chat/completions"),
        ("https://h/v1/", "https://h/v1/chat/completions"),
        ("https://h/api/v2", "https://h/api/v2/chat/completions"),
        ("https://h/v1/chat/completions", "https://h/v1/chat/completions"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1/chat/completions"),
    ],
)
def test_a_base_url_is_completed(url: str, full: str) -> None:
    assert completions_url(url, Key(CANARY)) == full


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h/v1",
        "ftp://h",
        "file:///etc/passwd",
        "https://",
        "https://[h",
        "https://h:x",
        "https://h/ä",
        "https://h h",
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(EndpointError, match="no http"):
        completions_url(url, Key(CANARY))


@pytest.mark.parametrize("url", ["https://me:pw@h/v1", "https://h/v1?api-key=secret", "https://h/v1#secret"])
def test_secrets_in_a_url_are_refused_and_not_shown(url: str) -> None:
    with pytest.raises(EndpointError, match="no password, query or fragment") as caught:
        completions_url(url, Key(""))
    assert "secret" not in str(caught.value)


def test_the_key_is_not_sent_in_the_clear() -> None:
    with pytest.raises(EndpointError, match="in the clear"):
        completions_url("http://example.org/v1", Key(CANARY))
    assert completions_url("http://example.org/v1", Key("")) == "http://example.org/v1/chat/completions"


@pytest.mark.parametrize("name", ["per_minute", "concurrency", "attempts", "timeout"])
def test_limits_are_above_zero(name: str) -> None:
    with pytest.raises(EndpointError, match=f"{name.replace('_', ' ')} is 0"):
        Limits(**{name: 0})


def test_retry_after_is_seconds_milliseconds_or_a_date() -> None:
    def seconds(text: str) -> float | None:
        return seconds_of({"retry-after": text})

    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 90 < (seconds(soon) or 0) <= 100
    assert (seconds("7"), seconds("1.5")) == (7, 1.5)
    assert seconds_of({"retry-after-ms": "1500", "retry-after": "2"}) == 1.5
    past = ["Thu, 01 Jan 1970 00:00:00 GMT", "0"]
    assert [seconds(text) for text in ("", "soon", "-3", "²", "1e9", *past)] == [None] * 7
    assert seconds_of({}) is None


@given(st.integers(1, 50), st.integers(1, 100))
def test_never_more_requests_in_a_minute_than_allowed(per_minute: int, count: int) -> None:
    """Starts lie 60 / r apart, so that of any r + 1 the last begins a minute after the first, or later."""
    clock = Clock()
    pace, starts = Pace(per_minute, clock.time()), []
    for _ in range(count):
        pace.take(threading.Event())
        starts.append(clock.seconds)
    spans = [last - first for first, last in zip(starts, starts[per_minute:], strict=False)]
    assert all(span >= 60 - 1e-6 for span in spans)
    assert starts[-1] == pytest.approx((count - 1) * 60 / per_minute)


def test_a_held_pace_holds_everybody_and_a_stopped_one_lets_nobody_start() -> None:
    """30 a minute are 2 s apart: starts at 0, 2; held for 9 s at 2: the next at 11, then 13."""
    clock, stop = Clock(), threading.Event()
    pace = Pace(30, clock.time())
    starts: list[float] = []
    for number in range(4):
        pace.take(stop)
        starts.append(clock.seconds)
        if number == 1:
            pace.hold(9)
    assert starts == [0, 2, 11, 13]
    stop.set()
    with pytest.raises(Stopped):
        pace.take(stop)
    assert clock.seconds == 13
