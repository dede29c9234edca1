"""Answers that arrive as server-sent events, in the forms that real servers send."""

import itertools
import json
from contextlib import suppress
from typing import Any

import pytest
from fake_endpoint import Response
from hypothesis import given
from hypothesis import strategies as st
from model_draws import EVENTS
from test_reply_shapes import USAGE, answer_of

from sapo.sampling.http.replies import TEXT, Key, NoCompletion, Reply, parse_reply, read_stream


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
