"""Asks an OpenAI-compatible endpoint (`…/chat/completions` or `…/completions`), at its pace and until it answers.

1. 408, 409, 425, 429, 499, every 5xx (520, 522, 524 included), time-outs, broken connections, errors inside an HTTP 200
   and bodies that are no completion are tried again: after what `Retry-After` says, which holds all requests back, else
   after 1, 2, 4 … 60 seconds and up to one more at random. After `attempts` of them, or if the endpoint wants a longer
   wait than `longest_wait`, an EndpointError ends the work.
2. 400, 413 and 422 are about this one request (too long, filtered): `Refused`, and others go on. Every other status is
   an EndpointError at once. Redirects are not followed: the key would go with them.
3. Where the endpoint refuses the field `seed`, the request is sent without it, and so are all later ones.
4. Requests start evenly spaced, never more than `per_minute` in a minute, those that are tried again included.
5. The key comes from an environment variable, stays out of every text that leaves this module, is cut out of what the
   endpoint sends back, and is never sent in the clear except to this machine.

An endpoint may charge for a request whose answer never arrived, and it is asked again.
"""

import json
import os
import re
import ssl
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from urllib.parse import urlsplit

import httpx2
import tenacity

from sapo.records import BadInput
from sapo.sampling.http.pace import Pace, Time
from sapo.sampling.http.replies import CHAT, Enough, Key, NoCompletion, Reply, parse_reply, read_stream, shown

AGAIN = {408, 409, 425, 429, 499}
REFUSALS = {400, 413, 422}
LOOPBACK = ("localhost", "127.0.0.1", "::1")
BACK_OFF = tenacity.wait_exponential_jitter(max=60)
LARGEST_BODY = 2**23
STREAM = "text/event-stream"
# An error that names `seed` and says that it is not taken; statuses that never mean that.
SEED = re.compile(r"(?i)\bseed\b")
NOT_TAKEN = re.compile("(?i)support|recogni|unknown|unexpected|extra|permit|allow|forbid|valid|must|range|less|greater")
NOT_THE_SEED = {None, 401, 402, 403, 408, 429}


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


@cache
def _certificates() -> ssl.SSLContext:
    """Those of the system; they take 0.2 s to load."""
    return httpx2.create_ssl_context()


class Endpoint:
    """One endpoint; threads may share it.

    `sent` counts requests, `retried` those that repeated a failed one; `seedless`: it refuses `seed`.
    """

    def __init__(self, url: str, key: Key, limits: Limits, time: Time | None = None, path: str = CHAT) -> None:
        """Raises EndpointError: the URL is none, has a password or a query, or would send the key in the clear."""
        self.url, self.limits = completions_url(url, key, path), limits
        self.sent = self.retried = 0
        self.seedless = False
        self._key, self._time = key, time or Time()
        self._pace = Pace(limits.per_minute, self._time)
        self._lock = threading.Lock()
        headers = {"Content-Type": "application/json", "User-Agent": "sapo", "Accept-Encoding": "identity"}
        if key.value:
            headers["Authorization"] = f"Bearer {key.value}"
        self._client = httpx2.Client(
            headers=headers,
            timeout=limits.timeout,
            trust_env=urlsplit(self.url).hostname not in LOOPBACK,  # proxies
            verify=_certificates(),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
        )

    def complete(self, body: Mapping[str, object], stop: threading.Event, enough: Enough | None = None) -> Reply:
        """The answer to one request.

        Args:
            enough: of a body that asks for a stream: ends it early, as `read_stream` says.

        Raises:
            Refused: not to this request. EndpointError: not to any. Stopped: `stop` was set before it was asked.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._may_answer_later),
            stop=tenacity.stop_after_attempt(self.limits.attempts),
            wait=self._wait,
            before_sleep=self._count_again,
            sleep=lambda seconds: self._time.wait(seconds, stop),
            reraise=True,
        )
        try:
            return retrying(self._attempt, body, stop, enough)
        except NoCompletion as error:
            if error.status in REFUSALS:
                raise Refused(str(error)) from None
            said = f"{self.url}: {error}"
            if self._may_answer_later(error):
                said = f"{self.url}: gave up after {self.limits.attempts} attempts: {error}"
            elif error.wait:
                said += f": asks to wait {error.wait:.0f} s; go on later"
            raise EndpointError(said) from None

    def _may_answer_later(self, error: BaseException) -> bool:
        if not isinstance(error, NoCompletion) or (error.wait or 0) > self.limits.longest_wait:
            return False
        return error.status is None or error.status >= 500 or error.status in AGAIN

    def _count_again(self, state: tenacity.RetryCallState | None = None) -> None:
        with self._lock:
            self.retried += 1

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """Seconds until the next attempt; what the endpoint asks for holds back all other requests too."""
        failure = state.outcome.exception() if state.outcome else None
        if isinstance(failure, NoCompletion) and failure.wait:
            self._pace.hold(failure.wait)
            return failure.wait
        return BACK_OFF(state)

    def _attempt(self, body: Mapping[str, object], stop: threading.Event, enough: Enough | None) -> Reply:
        without = {name: value for name, value in body.items() if name != "seed"}
        try:
            return self._send(without if self.seedless else body, stop, enough)
        except NoCompletion as error:
            refused = SEED.search(error.said) and NOT_TAKEN.search(error.said) and error.status not in NOT_THE_SEED
            if not refused or self.seedless or without == body:
                raise
        self._count_again()
        reply = self._send(without, stop, enough)
        with self._lock:
            if not self.seedless:
                sys.stderr.write(f"{self.url}: refuses `seed`, is asked without; its answers cannot be repeated\n")
            self.seedless = True
        return reply

    def _send(self, body: Mapping[str, object], stop: threading.Event, enough: Enough | None) -> Reply:
        self._pace.take(stop)
        with self._lock:
            self.sent += 1
        wait, data = None, json.dumps(body).encode("ascii")
        accepted = {"Accept": f"application/json, {STREAM}" if enough else "application/json"}
        try:
            with self._client.stream("POST", self.url, content=data, headers=accepted) as response:
                wait = seconds_of(response.headers)
                return self._read(response, body, enough)
        except NoCompletion as error:
            error.wait = wait
            raise
        except httpx2.RequestError as error:
            reason = self._key.hide(str(error) or type(error).__name__)
            raise NoCompletion("no answer", reason, 403 if "CERTIFICATE_VERIFY_FAILED" in reason else None) from None

    def _read(self, response: httpx2.Response, body: Mapping[str, object], enough: Enough | None) -> Reply:
        """Raises NoCompletion, httpx2.RequestError."""
        chunks, code = self._chunks(response), response.status_code
        if not response.is_success:
            try:
                said = b"".join(chunks).decode("utf-8", "replace")
            except (NoCompletion, httpx2.RequestError):
                said = ""
            raise NoCompletion(f"status {code}", self._key.hide(said), code)
        if response.headers.get("Content-Type", "").lower().startswith(STREAM):
            return read_stream(chunks, self._key, enough or (lambda text: False))
        raw, limit = b"".join(chunks), body.get("max_tokens", body.get("max_completion_tokens"))
        if raw.startswith(b"data:"):  # a stream that does not say so
            return read_stream([raw], self._key, lambda text: False)
        return parse_reply(raw, self._key, limit if isinstance(limit, int) else None)

    def _chunks(self, response: httpx2.Response) -> Iterator[bytes]:
        """What arrives, within the time limit as a whole and not only for each part of it. Raises NoCompletion."""
        end, size = self._time.now() + self.limits.timeout, 0
        for part in response.iter_bytes():
            size += len(part)
            if size > LARGEST_BODY:
                raise NoCompletion(f"the answer has more than {LARGEST_BODY} bytes")
            if self._time.now() > end:
                raise NoCompletion("timed out while the body arrived")
            yield part


def completions_url(url: str, key: Key, path: str = CHAT) -> str:
    """`…/chat/completions`, or another path, of a base URL; a bare host gets `/v1` too. Raises EndpointError."""
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
    if bare.endswith(path):
        return bare
    return f"{bare}{path}" if parts.path.strip("/") else f"{bare}/v1{path}"


def seconds_of(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by `retry-after-ms` or `retry-after` (a number or a date); None: neither says a time to come."""
    text = headers.get("retry-after", "").strip()
    for number, unit in ((headers.get("retry-after-ms", "").strip(), 1000), (text, 1)):
        if re.fullmatch(r"[0-9]{1,15}(\.[0-9]*)?", number) and float(number):
            return float(number) / unit
    try:
        seconds = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return seconds if seconds > 0 else None
