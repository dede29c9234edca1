"""Completions from an OpenAI-compatible endpoint (`POST …/completions`): vLLM, SGLang, llama.cpp, `transformers serve`.

1. Every request names the reasoner's folder as its model. A server that loads models by path draws from it; one that
   serves a single model must serve it under that name, and refuses others. llama.cpp checks no name: give each
   reasoner a server of its own.
2. Answers are on the disk before they are used (`answer_cache`), in a file named by reasoner and requests: whatever
   ends the work, it goes on from there. Two processes that ask the same ask once.
3. Pace, retries and back-pressure are those of `endpoint`. A request that is refused ends the work.
4. The seed of a request decides its completion as far as the server keeps that promise.
5. Where the embedded sampler would stop (`until`), the text is cut and the server is told to stop, by closing the
   connection over which it sends its tokens. vLLM and SGLang stop there; llama.cpp says how many tokens it drew only at
   the end, which is waited for. `transformers serve` is not told: it seeds one generator for all its work, into which a
   completion that is still ending would reach. So texts are those of the embedded sampler everywhere, costs are not.

Departures from the embedded sampler: with `dialect: transformers` prompt and prefix are tokenised together, because
that server reads texts only; and a completion whose end token is the last one allowed counts as not finished. A server
that counts other tokens in a prompt than the reasoner's tokenizer does is refused.
"""

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sapo.engines.answer_cache import AnswerCache
from sapo.engines.endpoint import Endpoint, EndpointError, Limits, Refused, key_from
from sapo.engines.pace import Stopped
from sapo.engines.prompts import Ask, Drawn, first_complete, read_shape
from sapo.engines.replies import TEXT, Enough, Key, Reply
from sapo.models.sampling import Completion, Request, Until
from sapo.progress import Progress
from sapo.records import Cost
from sapo.settings import EngineSettings
from sapo.workspace import digest

PER_MINUTE = 60_000.0  # a server of one's own is not to be spared; what it asks for is done all the same
TIMEOUT = 600.0

# Servers fill what a request leaves open from the model's own generation settings, or with defaults of theirs.
UNTOUCHED: dict[str, object] = {"top_p": 1.0, "top_k": -1, "min_p": 0.0}
# Token by token, each with the count so far (an extension that vLLM and SGLang share).
STREAMED: dict[str, object] = {
    "stream": True,
    "stream_options": {"include_usage": True, "continuous_usage_stats": True},
}


@dataclass(frozen=True, slots=True)
class Call:
    """What to draw, and how it is asked for."""

    ask: Ask
    body: Mapping[str, object]


class ServerSampler:
    """A `Sampler` over an endpoint.

    Args:
        reasoner: folder that the server draws from; its tokenizer and shape are read here.
        answers: folder for the answers that have arrived.
        what: names the work in the progress line; silent when empty.

    Raises:
        EndpointError: no usable URL or key. LoadingError: no such reasoner.
    """

    def __init__(self, reasoner: Path, settings: EngineSettings, answers: Path, what: str = "") -> None:
        key = key_from(settings.key) if settings.key else Key("")
        limits = Limits(PER_MINUTE, settings.concurrency, timeout=TIMEOUT)
        self.endpoint = Endpoint(settings.url, key, limits, kind=TEXT)
        self.dialect: Literal["ids", "transformers"] = settings.dialect
        self.reader = read_shape(reasoner)
        self.model = str(reasoner.resolve())
        self.what = what
        self._digest = digest(reasoner)
        self._answers = answers

    def complete(
        self, requests: Sequence[Request], temperature: float, max_new_tokens: int, until: Until | None = None
    ) -> tuple[list[Completion], Cost]:
        """See `Sampler.complete`. Raises EndpointError; finished answers are kept."""
        asks = self.reader.asks(requests, max_new_tokens)
        stops = STREAMED if until and self.dialect == "ids" else {}
        bodies = [request_body(ask, temperature, self.dialect, self.reader.encoder.eos_id) | stops for ask in asks]
        keys = [_sha256(body) for body in bodies]  # the folder may move, its content is in the name of the file
        calls = {
            key: Call(ask, {"model": self.model, **body}) for key, ask, body in zip(keys, asks, bodies, strict=True)
        }
        enough = (lambda text: first_complete(text, until) is not None) if stops else None
        rule = f"{until.__module__}.{until.__qualname__}" if until and stops else ""  # it decides what is drawn
        with AnswerCache(self._answers / f"{_sha256([self._digest, rule, keys])}.jsonl", waits=True) as cache:
            self._collect(calls, cache, enough)
        drawn = [_drawn(cache.answers[key]) for key in keys]
        return self.reader.completions_and_cost(len(requests), asks, drawn, until)

    def _collect(self, calls: Mapping[str, Call], cache: AnswerCache, enough: Enough | None) -> None:
        """Ask for what the cache does not hold. Raises EndpointError, which says how much is kept."""
        try:
            self._ask({key: call for key, call in calls.items() if key not in cache.answers}, cache, enough)
        except EndpointError as error:
            done = len(calls.keys() & cache.answers.keys())
            said = f"{done} of {len(calls)} completions of this call are kept in {cache.path}; the same command goes on"
            raise EndpointError(f"{error}. {said}") from error

    def _ask(self, missing: Mapping[str, Call], cache: AnswerCache, enough: Enough | None) -> None:
        stop = threading.Event()

        def ask(key: str) -> None:
            try:
                reply = self.endpoint.complete(missing[key].body, stop, enough)
            except Refused as reason:
                raise EndpointError(f"{self.endpoint.url}: refused a request for {self.model}: {reason}") from None
            except Stopped:
                return
            self._check(missing[key].ask, reply)
            cache.add(key, reply, self.model, "", 0)

        progress = Progress(self.what, len(missing)) if self.what and missing else nullcontext()
        with ThreadPoolExecutor(self.endpoint.limits.concurrency) as pool, progress as shown:
            jobs = [pool.submit(ask, key) for key in missing]
            try:
                for job in as_completed(jobs):
                    job.result()
                    if shown:
                        shown.advance()
            finally:
                stop.set()  # whatever happened: those on their way are waited for, no other starts

    def _check(self, ask: Ask, reply: Reply) -> None:
        """Raises EndpointError: the server counts no tokens, other ones than the reasoner's tokenizer, or too many."""
        where, encoder = self.endpoint.url, self.reader.encoder
        if reply.prompt_tokens is None or reply.completion_tokens is None:
            raise EndpointError(f"{where}: an answer does not say how many tokens it took (`usage`)")
        read = len(ask.ids) if self.dialect == "ids" else len(encoder.prompt_ids(ask.text))
        if reply.prompt_tokens != read:
            raise EndpointError(
                f"{where}: counts {reply.prompt_tokens} tokens where the tokenizer of {self.model} counts {read}: "
                f"another model, or another tokenizer; the prompt begins {ask.text[:60]!r}"
            )
        if reply.completion_tokens > ask.limit:
            raise EndpointError(f"{where}: drew {reply.completion_tokens} tokens of at most {ask.limit}")


def _drawn(reply: Reply) -> Drawn:
    """Of a checked reply."""
    return Drawn(reply.text, reply.completion_tokens or 0, reply.complete)


def request_body(
    ask: Ask, temperature: float, dialect: Literal["ids", "transformers"], eos_id: int
) -> dict[str, object]:
    """One request, without the model's name.

    Greedy at temperature 0, else drawn from the model's own distribution: no top-p, top-k or min-p.
    """
    body: dict[str, object] = {"max_tokens": ask.limit, "seed": ask.seed}
    if dialect == "ids":
        return body | {"prompt": list(ask.ids), "n": 1, "temperature": temperature, **UNTOUCHED}
    # This server samples only if its generation settings say so, and takes those of a request whole or not at all.
    sampling: dict[str, object] = {"do_sample": temperature > 0, "eos_token_id": eos_id, "pad_token_id": eos_id}
    if temperature:
        sampling |= {"temperature": temperature, "top_k": 0, "top_p": 1.0}
    return body | {"prompt": ask.text, "generation_config": json.dumps(sampling)}


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("ascii")).hexdigest()
