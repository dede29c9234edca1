"""What an endpoint sends back, without the key: a whole completion, or one that arrives in parts."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

SHORTEST_SECRET = 8
SHOWN = 200  # characters of remote text in a message


class NoCompletion(Exception):
    """A body that is no completion of the kind asked for."""


Enough = Callable[[str], bool]
"""Given the text so far: whether no more of it is wanted."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Of completions: where they are asked for, and where a choice holds its text."""

    path: str
    text: Callable[[Any], object]


CHAT = Kind("/chat/completions", lambda choice: choice["message"]["content"])
TEXT = Kind("/completions", lambda choice: choice["text"])


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


def parse_reply(raw: bytes, key: Key, kind: Kind = CHAT) -> Reply:
    """The first choice of a completion. Raises NoCompletion."""
    try:
        value = json.loads(raw)
        choice = value["choices"][0]
        text = kind.text(choice)
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise NoCompletion(shown(key.hide(raw.decode("utf-8", "replace")))) from None
    if not isinstance(text, str | None):
        raise NoCompletion(f"its text is a {type(text).__name__}")
    return Reply(key.hide(text or ""), choice.get("finish_reason") != "length", *_counts(value))


def read_stream(lines: Iterable[bytes], key: Key, enough: Enough) -> Reply:
    """A text completion that arrives as server-sent events, read until it ends or there is enough of it.

    `enough` is asked after every part that holds a newline and says how many tokens there are by then. Where a server
    says so only at the end, the end is waited for. A completion left early did not end by itself. Raises NoCompletion.
    """
    text, finish, counts = "", None, (None, None)
    for line in lines:
        name, _, data = line.partition(b":")
        if name != b"data" or not data.strip():
            continue  # a comment that keeps the connection open, or the blank line between events
        if data.strip() == b"[DONE]":
            break
        try:
            value = json.loads(data)
            choice = value["choices"][0] if value["choices"] else {"text": ""}  # the last event may hold counts only
            part = choice["text"] or ""
            text += part
            finish = choice.get("finish_reason") or finish
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            raise NoCompletion(shown(key.hide(data.decode("utf-8", "replace")))) from None
        now = _counts(value)
        counts = counts if None in now else now
        if "\n" in part and finish is None and None not in now and enough(text):
            return Reply(key.hide(text), False, *now)
    if finish is None:
        raise NoCompletion(f"it broke off after {len(text)} characters")
    return Reply(key.hide(text), finish != "length", *counts)


def _counts(value: Any) -> tuple[int | None, int | None]:
    """Tokens of prompt and completion; None where the endpoint does not say, or says no number."""
    usage = value.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    return _count(counts.get("prompt_tokens")), _count(counts.get("completion_tokens"))


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 2**53 else None


def shown(text: str) -> str:
    """Remote text for a message: its beginning, with everything but plain characters escaped."""
    return ascii(text[:SHOWN]) + ("…" if len(text) > SHOWN else "")
