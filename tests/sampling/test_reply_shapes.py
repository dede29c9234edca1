"""Answers in the shapes that real servers send: what is an answer is kept, what is none is never stored as one."""

import itertools
import json
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fake_endpoint import Answer, Clock, Response, completion, failure, serve
from hypothesis import given
from hypothesis import strategies as st
from model_draws import EVENTS

from sapo.sampling.http.answer_cache import AnswerCache, read_answers
from sapo.sampling.http.endpoint import Endpoint, EndpointError, Limits, Refused
from sapo.sampling.http.paid_requests import PaidRequest, ask_all, sha256
from sapo.sampling.http.replies import CHAT, TEXT, Key, NoCompletion, Reply, parse_reply, read_stream

LIMITS = Limits(per_minute=60_000, concurrency=2, attempts=3, timeout=5)
BODY = {"model": "m", "messages": [{"role": "user", "content": "?"}], "seed": 1, "max_tokens": 10}
USAGE = {"prompt_tokens": 10, "completion_tokens": 5}
GOOD = completion("first error: 2", (10, 5))
VOTE = Reply("first error: 2", True, 10, 5)


def answer_of(*responses: Response, path: str = CHAT) -> tuple[Reply, int]:
    """The reply, and how many requests the server saw."""
    with serve(lambda body, number: responses[number]) as server:
        reply = Endpoint(server.url, Key(""), LIMITS, Clock().time(), path).complete(BODY, threading.Event())
        return reply, len(server.bodies)


def chat(message: Any, finish: Any = "stop", **more: Any) -> Response:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return Response(json.dumps({"choices": [choice], "usage": USAGE} | more).encode())


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"role": "assistant"}, ""),
        ({"role": "assistant", "content": None}, ""),
        ({}, ""),
        (None, ""),
        ({"content": None, "reasoning_content": "Step 1 is"}, "Step 1 is"),
        ({"content": "", "reasoning": "Step 1 is"}, "Step 1 is"),
        ({"reasoning_content": None, "reasoning": "Step 1 is"}, "Step 1 is"),
        ({"content": "so: 2", "reasoning_content": "Step 1 is"}, "so: 2"),
        ({"content": None, "refusal": "I cannot."}, "I cannot."),
        ({"content": []}, ""),
        ({"content": [{"type": "text", "text": "so: "}, {"type": "text", "text": "2"}]}, "so: 2"),
        ({"content": ["so: ", "2"]}, "so: 2"),
        ({"content": {"type": "output_text", "text": "so: 2"}}, "so: 2"),
        ({"content": [{"type": "text", "text": {"value": "so: 2", "annotations": []}}]}, "so: 2"),
        ({"content": [{"type": "thinking", "thinking": [{"text": "hm"}]}, {"type": "text", "text": "so: 2"}]}, "so: 2"),
        ({"content": [{"text": "hm", "thought": True}, {"text": "so: 2"}]}, "so: 2"),
        ({"content": [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "so: 2"}]}, "so: 2"),
    ],
)
def test_content_of_any_shape_is_read_and_asked_for_once(message: Any, text: str) -> None:
    assert answer_of(chat(message)) == (Reply(text, True, 10, 5), 1)
    assert answer_of(chat(message, "length")) == (Reply(text, False, 10, 5), 1)


CUT_OFF = """length LENGTH Length max_tokens MAX_TOKENS max_output_tokens model_length max_length max_new_tokens
model_context_window_exceeded context_length token_limit limit truncated incomplete FINISH_REASON_MAX_TOKENS
FinishReason.MAX_TOKENS length_limit max_tokens_reached stopped_limit content_filter SAFETY recitation repetition"""
ENDED = "stop STOP eos eos_token end_turn stop_sequence FINISH_REASON_STOP COMPLETE completed endoftext tool_calls"


@pytest.mark.parametrize("name", CUT_OFF.split())
def test_every_spelling_of_a_limit_and_every_filter_is_cut_off(name: str) -> None:
    assert parse_reply(chat({"content": "Step 1 is"}, name).body, Key("")) == Reply("Step 1 is", False, 10, 5)


@pytest.mark.parametrize("name", ENDED.split())
def test_natural_ends_are_complete(name: str) -> None:
    assert parse_reply(chat({"content": "so: 2"}, name).body, Key("")).complete


def test_a_finish_reason_elsewhere_or_as_an_object_counts() -> None:
    for more in ({"finishReason": "MAX_TOKENS"}, {"finish_details": {"type": "max_tokens"}}, {"stop_reason": "length"}):
        choice = {"message": {"content": "x"}, **more}
        assert not parse_reply(json.dumps({"choices": [choice]}).encode(), Key("")).complete
    incomplete = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    assert not parse_reply(chat({"content": "x"}, None, **incomplete).body, Key("")).complete


def test_without_a_finish_reason_as_many_tokens_as_allowed_are_cut_off() -> None:
    """5 of 10 tokens are a whole answer, 5 of 5 are not."""
    for finish in (None, "", "null"):
        body = chat({"content": "x"}, finish).body
        assert [parse_reply(body, Key(""), limit).complete for limit in (10, 5, None)] == [True, False, True]


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"input_tokens": 10, "output_tokens": 5}, (10, 5)),
        ({"prompt_tokens": 10}, (None, None)),
        ({"prompt_tokens": "10", "completion_tokens": True}, (None, None)),
        (None, (None, None)),
        ([], (None, None)),
    ],
)
def test_usage_of_any_shape(usage: Any, counts: tuple[int | None, int | None]) -> None:
    reply = parse_reply(chat({"content": "x"}, usage=usage).body, Key(""))
    assert (reply.prompt_tokens, reply.completion_tokens) == counts


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "overloaded"}},
        {"error": "overloaded"},
        {"error": {"message": "slow down", "code": 429}},
        {"error": {"message": "bad gateway", "code": "502"}},
        {"object": "error", "message": "out of memory", "code": 503},
        {"error": {"message": "cut"}, "choices": [{"message": {"content": "first"}, "finish_reason": "stop"}]},
        {"choices": [{"error": {"code": 502, "message": "down"}, "message": {"content": ""}, "finish_reason": "stop"}]},
        {"choices": [{"message": {"content": "first"}, "finish_reason": "error"}]},
        {"choices": [{"message": {"content": "first"}, "finish_reason": "abort"}]},
        {"choices": [{"message": {"content": "first"}, "finish_reason": {"type": "abort", "message": "killed"}}]},
        {"choices": [{"message": {"content": ""}, "finish_reason": "insufficient_system_resource"}]},
        {"choices": [{"message": {"content": ""}, "finish_reason": "network_error"}]},
        {"choices": None},
        {"choices": [None]},
        {"choices": [{}]},
        {"choices": {"0": {"message": {"content": "x"}}}},
        {"choices": [{"message": "x", "finish_reason": "stop"}]},
        {"detail": "model is loading"},
        ["x"],
        "x",
        None,
    ],
)
def test_an_error_or_rubbish_inside_a_200_is_asked_again(body: Any) -> None:
    assert answer_of(Response(json.dumps(body).encode()), GOOD) == (VOTE, 2)


def test_a_null_error_beside_an_answer_is_none() -> None:
    assert answer_of(chat({"content": "first error: 2"}, error=None)) == (VOTE, 1)


@pytest.mark.parametrize("cut", [0, 1, 30, len(GOOD.body) - 1])
def test_truncated_json_is_asked_again(cut: int) -> None:
    assert answer_of(Response(GOOD.body[:cut]), GOOD) == (VOTE, 2)
    whole = {"Content-Length": str(len(GOOD.body))}  # the connection ends before the body does
    assert answer_of(Response(GOOD.body[:cut] or b" ", headers=whole), GOOD) == (VOTE, 2)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "prompt is too long", "type": "invalid_request_error"}, Refused),
        ({"message": "too long", "code": "context_length_exceeded"}, Refused),
        ({"message": "too long", "code": 400}, Refused),
        ({"message": "no", "type": "invalid_request_error", "code": "invalid_api_key"}, EndpointError),
        ({"message": "pay", "code": 402}, EndpointError),
        ({"message": "pay", "type": "insufficient_quota"}, EndpointError),
    ],
)
def test_an_error_inside_a_200_that_will_not_go_away_is_not_asked_again(error: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="an error inside the answer"):
        answer_of(Response(json.dumps({"error": error}).encode()))


@pytest.mark.parametrize(
    "status", [408, 409, 425, 429, 499, 500, 501, 502, 503, 504, 520, 521, 522, 524, 529, 530, 598]
)
def test_a_status_that_passes_is_asked_again_after_retry_after(status: int) -> None:
    clock = Clock()
    answers = [Response(status=status, headers={"Retry-After": "7"}), GOOD]
    with serve(lambda body, number: answers[number]) as server:
        found = Endpoint(server.url, Key(""), LIMITS, clock.time()).complete(BODY, threading.Event())
    assert (found, clock.waits) == (VOTE, [7.0])


def test_the_wait_without_retry_after_grows_and_varies() -> None:
    clock = Clock()
    answers = [failure(522), failure(524, Retry_After="0"), GOOD]
    with serve(lambda body, number: answers[number]) as server:
        Endpoint(server.url, Key(""), LIMITS, clock.time()).complete(BODY, threading.Event())
    assert {headers["Accept"] for headers in server.headers} == {"application/json"}
    assert [int(wait) for wait in clock.waits] in ([1, 2], [1, 3], [2, 2], [2, 3])


SEED_REFUSED = [
    failure(500, "ollama does not support parameters: {'seed': 1}, for model=m."),
    failure(400, "Unrecognized request argument supplied: seed"),
    failure(400, "Unsupported parameter: 'seed' is not supported with this model."),
    failure(400, 'Invalid JSON payload received. Unknown name "seed": Cannot find field.'),
    Response(b'{"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs"}]}', 422),
    failure(400, "x" * 500 + " seed: must be less than 2147483647"),
    Response(b'{"error": {"message": "seed is not supported", "type": "invalid_request_error"}}'),
]


@pytest.mark.parametrize("refusal", SEED_REFUSED)
def test_a_refused_seed_is_left_out_from_then_on(refusal: Response, capsys: pytest.CaptureFixture[str]) -> None:
    with serve(lambda body, number: refusal if "seed" in body else GOOD) as server:
        endpoint = Endpoint(server.url, Key(""), LIMITS, Clock().time())
        assert [endpoint.complete(BODY, threading.Event()) for _ in range(2)] == [VOTE] * 2
    assert ["seed" in body for body in server.bodies] == [True, False, False]
    assert (endpoint.sent, endpoint.retried, endpoint.seedless) == (3, 1, True)
    assert capsys.readouterr().err.count("refuses `seed`") == 1


@pytest.mark.parametrize("refusal", [failure(400, "too long"), failure(422, "the question about a seed is filtered")])
def test_another_refusal_keeps_the_seed(refusal: Response) -> None:
    with serve(lambda body, number: refusal) as server:
        endpoint = Endpoint(server.url, Key(""), LIMITS, Clock().time())
        with pytest.raises(Refused):
            endpoint.complete(BODY, threading.Event())
    assert not endpoint.seedless and all("seed" in body for body in server.bodies)


def events(*values: Any, finish: str = "length", usage: bool = True) -> list[str]:
    """Data of a text stream whose parts are `values`, with the counts in an event of their own without choices."""
    made = [json.dumps({"choices": [{"text": text, "finish_reason": None}]}, ensure_ascii=False) for text in values]
    made.append(json.dumps({"choices": [{"finish_reason": finish}]}))
    return [*made, json.dumps({"usage": {"prompt_tokens": 3, "completion_tokens": 2}})] if usage else made


TEXTS = ("4 + 1\u2028", "= 5\n", "ä")
WHOLE = Reply("".join(TEXTS), False, 3, 2)


def lines(data: list[str], start: str = "data: ", between: str = "\n\n", end: str = "data: [DONE]\n\n") -> bytes:
    return "".join(start + one + between for one in data).encode() + end.encode()


@pytest.mark.parametrize(
    "body",
    [
        lines(events(*TEXTS)),
        lines(events(*TEXTS), end=""),
        lines(events(*TEXTS), end="").rstrip(b"\n"),
        lines(events(*TEXTS), start="data:"),
        lines(events(*TEXTS), between="\r\n\r\n", end="data: [DONE]\r\n\r\n"),
        lines(events(*TEXTS), between="\r\r", end=""),
        lines(events(*TEXTS), between="\n", end="data: [DONE]\n"),
        lines(events(*TEXTS), start=": keep-alive\n\n:\n\nevent: completion\nid: 7\nretry: 10\ndata: "),
        b"\xef\xbb\xbf" + lines(events(*TEXTS)),
        lines(
            [*events(*TEXTS)[:-1], json.dumps({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})]
        ),
        lines(
            [*events(*TEXTS)[:-1], json.dumps({"choices": None, "usage": {"prompt_tokens": 3, "completion_tokens": 2}})]
        ),
        lines(["{}", *events(*TEXTS)]),
        lines(events(*TEXTS, finish="MAX_TOKENS"), end='data: {"choi'),
        lines(events(*TEXTS), end='data: {"error": "too late"}\n\n'),
    ],
)
def test_streams_of_every_form_are_one_answer(body: bytes) -> None:
    assert answer_of(Response(body, headers=EVENTS), path=TEXT) == (WHOLE, 1)


def test_a_stream_that_calls_itself_json_is_read() -> None:
    assert answer_of(Response(lines(events(*TEXTS))), path=TEXT) == (WHOLE, 1)


def test_chat_streams_count_in_their_last_choice_and_think_first() -> None:
    deltas = [
        {"role": "assistant"},
        {"content": None, "reasoning_content": "hm"},
        {"content": "so: "},
        {"content": "2"},
    ]
    data = [json.dumps({"choices": [{"delta": delta, "finish_reason": ""}]}) for delta in deltas]
    data.append(json.dumps({"choices": [{"delta": {}, "finish_reason": "stop", "usage": USAGE}]}))
    assert answer_of(Response(lines(data), headers=EVENTS)) == (Reply("so: 2", True, 10, 5), 1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        lines(events(*TEXTS)[:2]),
        lines(events(*TEXTS)[:2], end='data: {"choices": [{"te'),
        lines(events(*TEXTS)[:2], end='data: {"error": {"message": "out of memory"}}\n\n'),
        lines(events(*TEXTS)[:2], end='error: {"message": "out of memory"}\n\n'),
        lines(events(*TEXTS)[:2], end='event: error\ndata: {"message": "out of memory"}\n\n'),
        lines(events(*TEXTS, finish="error")),
        lines(events(*TEXTS, usage=False), end='data: {"error": "before the counts"}\n\n'),
    ],
)
def test_a_stream_that_is_no_whole_answer_is_asked_again(body: bytes) -> None:
    good = Response(lines(events(*TEXTS)), headers=EVENTS)
    assert answer_of(Response(body, headers=EVENTS), good, path=TEXT) == (WHOLE, 2)


@given(st.lists(st.integers(0, 400), max_size=6), st.sampled_from(["\n\n", "\r\n\r\n", "\n"]))
def test_where_a_stream_is_cut_into_pieces_does_not_matter(cuts: list[int], between: str) -> None:
    body = lines(events(*TEXTS), between=between)
    ends = [0, *sorted(cuts), len(body)]
    chunks = [body[start:end] for start, end in itertools.pairwise(ends)]
    assert read_stream(chunks, Key(""), lambda text: False) == WHOLE


FIELDS = ["choices", "message", "delta", "content", "text", "error", "usage", "finish_reason", "type", "object", "code"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
)


@given(st.binary(max_size=60) | JSON.map(lambda value: b"data: " + json.dumps(value).encode()))
def test_any_bytes_are_a_reply_or_no_completion(raw: bytes) -> None:
    whole = raw.removeprefix(b"data: ")
    for read in (lambda: parse_reply(whole, Key("")), lambda: read_stream([raw], Key(""), lambda text: True)):
        with suppress(NoCompletion):
            assert isinstance(read(), Reply)


def test_what_was_paid_is_kept_and_only_the_rest_is_asked_again(tmp_path: Path) -> None:
    """Of four requests one gets an error inside a 200 until the work ends: it is asked for again in the next run."""
    requests = [PaidRequest(sha256(body), body) for body in (BODY | {"seed": seed} for seed in range(4))]
    broken = Response(b'{"error": {"message": "overloaded"}, "usage": {"prompt_tokens": 1, "completion_tokens": 1}}')

    def run(answer: Answer) -> list[int]:
        with serve(answer) as server, AnswerCache(tmp_path / "cache") as cache:
            ask_all(Endpoint(server.url, Key(""), LIMITS, Clock().time()), requests, cache, lambda request, reply: None)
        return [body["seed"] for body in server.bodies]

    with pytest.raises(EndpointError, match=r"gave up after 3 attempts: an error inside.* of 4 answers are kept in"):
        run(lambda body, number: broken if body["seed"] == 3 else GOOD)
    kept = read_answers(tmp_path / "cache")
    assert set(kept.values()) == {VOTE} and requests[3].key not in kept
    assert 3 in run(lambda body, number: GOOD) and run(lambda body, number: GOOD) == []
    assert read_answers(tmp_path / "cache") == {request.key: VOTE for request in requests}
