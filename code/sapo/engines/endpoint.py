"""Asks an OpenAI-compatible endpoint (`…/chat/completions` or `…/completions`), at its pace and until it answers.

1. 408, 429, 5xx, time-outs, broken connections and bodies that are no completion are tried again: after what
   `Retry-After` says, which holds all requests back, else after 1, 2, 4 … seconds, times 0.5 to 1.5 at random.
   After `attempts` of them, or if the endpoint wants a longer wait than `longest_wait`, an EndpointError ends the work.
2. 400, 413 and 422 speak of the one request (too long, filtered): `Refused`, and others go on. Every other status is an
   EndpointError at once. Redirects are not followed: the key would go with them.
3. Requests start evenly spaced, never more than `per_minute` in a minute, those that are tried again included.
4. The key comes from an environment variable, stays out of every text that leaves this module, is cut out of what the
   endpoint sends back, and is never sent in the clear but to this machine itself.

What cannot be promised: an endpoint may charge for a request whose answer never arrived, and it is asked again.
"""

import http.client
import json
import os
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from sapo.engines.pace import Pace, Time
from sapo.engines.replies import CHAT, Enough, Key, Kind, NoCompletion, Reply, parse_reply, read_stream, shown
from sapo.records import BadInput

AGAIN = {408, 429, 500, 502, 503, 504, 529}
REFUSALS = {400, 413, 422}
LOOPBACK = ("localhost", "127.0.0.1", "::1")
LONGEST_BACK_OFF = 60.0
LARGEST_BODY = 2**23
STREAM = "text/event-stream"


class EndpointError(BadInput):
    """The endpoint cannot be used, or not any more."""


class Refused(Exception):
    """The endpoint will not answer this one request; the text says why."""


def key_from(variable: str) -> Key:
    """The key in an environment variable. Raises EndpointError, which names the variable only."""
    value = os.environ.get(variable, "").strip()
    if not value:
        raise EndpointError(f"environment variable {variable} holds no key; an endpoint without keys takes --no-key")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise EndpointError(f"environment variable {variable} holds blanks or characters that no key has")
    return Key(value)


@dataclass(frozen=True, slots=True)
class Limits:
    """Pace and patience: requests a minute and at once, attempts for one answer, seconds for one and between two."""

    per_minute: float = 60.0
    concurrency: int = 4
    attempts: int = 6
    timeout: float = 120.0
    longest_wait: float = 300.0

    def __post_init__(self) -> None:
        for name in ("per_minute", "concurrency", "attempts", "timeout"):
            if not 0 < getattr(self, name) < float("inf"):
                raise EndpointError(f"{name.replace('_', ' ')} is {getattr(self, name)}, it must be above 0")


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str
    retry_after: float | None = None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **named: Any) -> None:
        """Leave the redirect an error."""


class Endpoint:
    """One endpoint; threads may share it. `sent` counts requests, `retried` those that were tried again."""

    def __init__(self, url: str, key: Key, limits: Limits, time: Time | None = None, kind: Kind = CHAT) -> None:
        """Raises EndpointError: the URL is none, has a password or a query, or would send the key in the clear."""
        self.url, self.limits, self.kind = completions_url(url, key, kind), limits, kind
        self.sent = self.retried = 0
        self._key, self._time = key, time or Time()
        self._pace = Pace(limits.per_minute, self._time)
        self._lock = threading.Lock()
        here = [urllib.request.ProxyHandler({})] if urlsplit(self.url).hostname in LOOPBACK else []
        self._opener = urllib.request.build_opener(_NoRedirects, *here)

    def complete(self, body: Mapping[str, object], stop: threading.Event, enough: Enough | None = None) -> Reply:
        """The answer to one request.

        Args:
            enough: of a body that asks for a stream: ends it early, as `read_stream` says.

        Raises:
            Refused: not to this request. EndpointError: not to any. Stopped: `stop` was set before it was asked.
        """
        data = json.dumps(body).encode("ascii")
        attempt = 0
        while True:
            self._pace.take(stop)
            with self._lock:
                self.sent += 1
                self.retried += attempt > 0
            found = self._send(data, enough)
            if isinstance(found, Reply):
                return found
            if attempt + 1 >= self.limits.attempts:
                raise EndpointError(f"{self.url}: gave up after {attempt + 1} attempts: {found.reason}")
            self._wait(attempt, found, stop)
            attempt += 1

    def _wait(self, attempt: int, failure: _Failure, stop: threading.Event) -> None:
        if failure.retry_after is None:
            self._time.wait(min(2.0**attempt, LONGEST_BACK_OFF) * (0.5 + self._time.jitter()), stop)
        elif failure.retry_after > self.limits.longest_wait:
            raise EndpointError(f"{self.url}: {failure.reason}: asks to wait {failure.retry_after:.0f} s; go on later")
        else:
            self._pace.hold(failure.retry_after)

    def _send(self, data: bytes, enough: Enough | None) -> Reply | _Failure:
        kinds = f"application/json, {STREAM}" if enough else "application/json"
        headers = {"Content-Type": "application/json", "Accept": kinds, "User-Agent": "sapo"}
        if self._key.value:
            headers["Authorization"] = f"Bearer {self._key.value}"
        request = urllib.request.Request(self.url, data, headers, method="POST")
        try:
            with self._opener.open(request, timeout=self.limits.timeout) as response:
                if enough and response.headers.get_content_type() == STREAM:
                    return read_stream(self._parts(lambda: response.readline(LARGEST_BODY)), self._key, enough)
                return parse_reply(self._read(response), self._key, self.kind)
        except urllib.error.HTTPError as error:
            return self._status(error)
        except NoCompletion as error:
            return _Failure(f"the answer is no completion: {error}")
        except (OSError, http.client.HTTPException) as error:
            if isinstance(getattr(error, "reason", error), ssl.SSLCertVerificationError):
                raise EndpointError(f"{self.url}: {self._shown(str(error))}") from None
            return _Failure(self._shown(str(error) or type(error).__name__))

    def _status(self, error: urllib.error.HTTPError) -> _Failure:
        """What a status other than 2xx means. Raises Refused or EndpointError."""
        with error:
            try:
                body = self._read(error).decode("utf-8", "replace")
            except (OSError, http.client.HTTPException, NoCompletion):
                body = ""
        reason = f"status {error.code}: {self._shown(body)}"
        if error.code in AGAIN:
            return _Failure(reason, seconds_of(error.headers.get("Retry-After")))
        if error.code in REFUSALS:
            raise Refused(reason) from None
        raise EndpointError(f"{self.url}: {reason}") from None

    def _read(self, response: Any) -> bytes:
        return b"".join(self._parts(lambda: response.read1(2**16)))

    def _parts(self, take: Callable[[], bytes]) -> Iterator[bytes]:
        """What arrives, within the time limit as a whole and not only for each part of it."""
        end, size = self._time.now() + self.limits.timeout, 0
        while part := take():
            size += len(part)
            if size > LARGEST_BODY:
                raise NoCompletion(f"more than {LARGEST_BODY} bytes")
            if self._time.now() > end:
                raise TimeoutError("timed out while the body arrived")
            yield part

    def _shown(self, text: str) -> str:
        return shown(self._key.hide(text))


def completions_url(url: str, key: Key, kind: Kind = CHAT) -> str:
    """`…/chat/completions`, or another kind's path, of a base URL; a bare host gets `/v1` too. Raises EndpointError."""
    try:
        parts = urlsplit(url)
        sound = parts.hostname and parts.port != 0  # both refuse what is none
    except ValueError:
        parts, sound = urlsplit(""), False
    if parts.scheme not in ("http", "https") or not sound or not url.isascii() or not url.isprintable() or " " in url:
        raise EndpointError(f"endpoint {shown(key.hide(url))} is no http(s) URL")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise EndpointError(f"endpoint of host {parts.hostname}: the URL may hold no password, query or fragment")
    if key.value and parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise EndpointError(f"endpoint {parts.hostname}: http would send the key in the clear; use https, or --no-key")
    bare = url.rstrip("/")
    if bare.endswith(kind.path):
        return bare
    return f"{bare}{kind.path}" if parts.path.strip("/") else f"{bare}/v1{kind.path}"


def seconds_of(retry_after: str | None) -> float | None:
    """`Retry-After` in seconds, from a number or a date; None where it is missing or neither."""
    if retry_after is None:
        return None
    if retry_after.strip().isascii() and retry_after.strip().isdigit():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
