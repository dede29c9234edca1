"""Answers in the shapes that real servers send: what is an answer is kept, what is none is never stored as one."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from fake_endpoint import Answer, Clock, Response, completion, failure, serve

from sapo.sampling.http.answer_cache import AnswerCache, read_answers
from sapo.sampling.http.endpoint import Endpoint, EndpointError, Limits, Refused
from sapo.sampling.http.paid_requests import PaidRequest, ask_all, sha256
from sapo.sampling.http.replies import CHAT, Key, Reply, parse_reply

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
