"""Parses what an OpenAI-compatible endpoint sends, a JSON body or server-sent events, into a `Reply`.

Servers depart from the protocol; what is accepted, and what is not:

1. An error object (at the top, in a choice, `object: error`) or a finish reason such as `error` or `abort` is never an
   answer, whatever the HTTP status.
2. The text is `text`, or `content` of `message` or `delta`: a string, nothing, or a list of parts, of which thinking is
   left out. Where it is empty, the text is the reasoning (`reasoning_content`, `reasoning`), else the refusal.
3. An answer is complete if its finish reason names a natural end. Limits of any spelling, filters and unknown names are
   not. Without a reason it is complete unless it has as many tokens as were allowed.
4. A stream may lack `[DONE]` or its last blank line, hold comments and events without choices, end lines with CR LF. It
   must name a finish reason; a failure after that, and after the token counts, loses nothing.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import httpx2

CHAT, TEXT = "/chat/completions", "/completions"
"""Paths of the two kinds of completions."""

SHORTEST_SECRET = 8
SHOWN = 200  # characters of remote text in a message
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

FINISH_FIELDS = ("finish_reason", "finishReason", "finish_details", "stop_reason", "incomplete_details")
COUNT_FIELDS = (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))
FAILED = re.compile(r"error|abort|cancel|insufficient|unavailable|overload|fail")
CUT_OFF = re.compile(r"length|max|limit|trunc|incomplete|exceed|window|budget|filter")
ENDED = re.compile(r"stop|eos|\bend|complete|finish|done|tool|function|refus")

# The HTTP status that an error amounts to which states none as a number, by the words of its code and type.
ERROR_WORDS = (
    (401, re.compile(r"(?i)api.?key|auth|permission|insufficient.?(quota|balance|credit)|billing|not.?found")),
    (400, re.compile(r"(?i)(invalid|bad).?request|context.?length|content.?(filter|policy)|unsupported")),
)

Enough = Callable[[str], bool]
"""Given the text so far: whether no more of it is wanted."""


class NoCompletion(Exception):
    """What came is no completion.

    `said`: the text that came. `status`: the HTTP status of an error that came instead, None: no error. `wait`: seconds
    for which the endpoint wants no request, None: it does not say.
    """

    def __init__(self, reason: str, said: str = "", status: int | None = None) -> None:
        super().__init__(f"{reason}: {shown(said)}" if said or status else reason)
        self.said, self.status = said, status
        self.wait: float | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """A secret; "" for an endpoint that needs none."""

    value: str = field(repr=False)

    def hide(self, text: str) -> str:
        """`text` without the key. Shorter ones are no secrets, and would be found in innocent texts."""
        if len(self.value) < SHORTEST_SECRET:
            return text
        return text.replace(self.value, "[key]").replace(self.value.replace("/", "\\/"), "[key]")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its text ("" where there is none), whether it ended by itself, and the endpoint's count of tokens."""

    text: str
    complete: bool
    prompt_tokens: int | None
    completion_tokens: int | None


def parse_reply(raw: bytes, key: Key, limit: int | None = None) -> Reply:
    """The first choice of a whole completion; `limit`: the tokens that it may have. Raises NoCompletion."""
    draft = _Draft(key)
    draft.add(raw)
    if not draft.text and draft.finish is None:
        raise draft.no_completion(raw)
    tokens = draft.counts[1]
    full = draft.finish is None and limit is not None and tokens is not None and tokens >= limit
    return draft.reply(complete=False if full else None)


def read_stream(chunks: Iterable[bytes], key: Key, enough: Enough) -> Reply:
    """A completion that arrives as server-sent events, read until it ends or there is enough of it.

    `enough` is asked after every event that brings a newline and the number of tokens so far. Where a server counts
    only at the end, the end is waited for. A completion left early did not end by itself. Raises NoCompletion.
    """
    draft = _Draft(key)
    try:
        for name, data in _fields(chunks):
            if data == b"[DONE]":
                break
            if name == b"error":  # llama.cpp
                raise draft.no_completion(data, 500)
            part, counted = draft.add(data)
            if "\n" in part and draft.finish is None and counted and enough(draft.content):
                return draft.reply(complete=False)
    except (NoCompletion, httpx2.RequestError):
        if draft.finish is None or None in draft.counts:
            raise
    if draft.finish is None:
        raise NoCompletion(f"the answer is no completion: it broke off after {len(draft.text)} characters")
    return draft.reply()


def _fields(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Name and value of every line of an event stream that can hold an answer.

    Not `httpx2.EventSource`: it drops a last event without its blank line, and joins events that have none.
    """
    rest = b""
    for chunk in chain(chunks, [b"\n"]):
        *lines, rest = re.split(rb"\r\n|\n|\r", rest + chunk)
        for line in lines:
            name, _, data = line.removeprefix(BYTE_ORDER_MARK).partition(b":")
            if name in (b"data", b"error") and data.strip():
                yield name, data.strip()


@dataclass(slots=True)
class _Draft:
    """A completion as far as it has arrived; a whole body is a single event."""

    key: Key
    content: str = ""
    instead: str = ""
    finish: str | None = None
    counts: tuple[int | None, int | None] = (None, None)

    @property
    def text(self) -> str:
        return self.content or self.instead

    def add(self, raw: bytes) -> tuple[str, bool]:
        """Take an event; the part of the content that it brings, and whether it counts tokens. Raises NoCompletion."""
        try:
            value = json.loads(raw)
            choice = (value.get("choices") or [{}])[0]  # an event may hold counts only
            for holder in (value, choice):
                if error := holder.get("error") or (holder.get("object") == "error" and holder):
                    raise self.no_completion(raw, _status(error))
            message = choice.get("message") or choice.get("delta") or {}
            part = _text(choice.get("text")) or _text(message.get("content"))
            self.content += part
            others = (message.get(name) for name in ("reasoning_content", "reasoning", "refusal"))
            self.instead += _text(next(filter(None, others), None))
            counts = _counts(value, choice)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self.no_completion(raw) from None
        self.finish = _finish(choice, value) or self.finish
        if self.finish and FAILED.search(self.finish):
            raise NoCompletion("the answer failed with finish reason", self.key.hide(self.finish))
        self.counts = self.counts if None in counts else counts
        return part, None not in counts

    def no_completion(self, raw: bytes, status: int | None = None) -> NoCompletion:
        said = self.key.hide(raw.decode("utf-8", "replace"))
        return NoCompletion("an error inside the answer" if status else "the answer is no completion", said, status)

    def reply(self, complete: bool | None = None) -> Reply:
        """`complete` None: as the finish reason says."""
        if complete is None:
            name = self.finish or "stop"
            complete = ENDED.search(name) is not None and CUT_OFF.search(name) is None
        return Reply(self.key.hide(self.text), complete, *self.counts)


def _text(value: object) -> str:
    """The text of a string, a part, or a list of them. Raises TypeError."""
    match value:
        case None:
            return ""
        case str():
            return value
        case list():
            return "".join(map(_text, value))
        case {"thought": True}:
            return ""
        case dict():
            thinking = re.search("think|reason|refus", str(value.get("type")))
            return "" if thinking else _text(value.get("text", value.get("content", value.get("value"))))
    raise TypeError(f"text of type {type(value).__name__}")


def _finish(*holders: dict[str, Any]) -> str | None:
    """The finish reason in lower case; None where there is none yet (some streams say "" or "null" until the end)."""
    for value in (holder.get(name) for holder in holders for name in FINISH_FIELDS):
        name = (value.get("type") or value.get("reason")) if isinstance(value, dict) else value
        if isinstance(name, str) and name.lower() not in ("", "null", "none"):
            return re.sub(r"^finish_?reason\W?_?", "", name.lower())
    return None


def _status(error: Any) -> int:
    """The HTTP status that an error object amounts to; 500, which is asked again, where nothing says otherwise."""
    given = error if isinstance(error, dict) else {}
    words = " ".join(str(given.get(name, "")) for name in ("code", "type"))
    for name in ("code", "status", "status_code", "http_status"):
        if re.fullmatch("[45][0-9]{2}", str(given.get(name))):
            return int(given[name])
    return next((status for status, pattern in ERROR_WORDS if pattern.search(words)), 500)


def _counts(*holders: dict[str, Any]) -> tuple[int | None, int | None]:
    """Tokens of prompt and completion; None where the endpoint does not say, or says no number."""
    usage: Any = next((holder["usage"] for holder in holders if isinstance(holder.get("usage"), dict)), {})
    found = [usage.get(name, usage.get(other)) for name, other in COUNT_FIELDS]
    prompt, completion = (count if type(count) is int and 0 <= count < 2**53 else None for count in found)
    return prompt, completion


def shown(text: str) -> str:
    """Remote text for a message: its beginning, with everything but plain characters escaped."""
    return ascii(text[:SHOWN]) + ("…" if len(text) > SHOWN else "")
