"""Completions from an OpenAI-compatible server (`POST …/completions`): vLLM, SGLang, llama.cpp, `transformers serve`.

1. Every request names the reasoner's folder as its model. A server that loads models by path draws from it; one that
   serves a single model must serve it under that name, and refuses others. llama.cpp checks no name: give each
   reasoner a server of its own.
2. Answers are on the disk before they are used (`answer_cache`), in a file named by reasoner and requests: an
   interrupted run goes on from there. Two processes that ask the same ask once.
3. Pace, retries and back-pressure are those of `endpoint`. A request that is refused ends the work.
4. The seed of a request decides its completion as far as the server keeps that promise; one that refuses seeds is
   asked without them, with a warning.
5. Where the embedded sampler would stop (`until`), the text is cut, and the connection over which tokens arrive is
   closed. vLLM and SGLang stop there; llama.cpp says how many tokens it drew only at the end, which is waited for.
   `transformers serve` is not told: it seeds one generator for all its work, which a completion that is still ending
   would disturb. So texts are those of the embedded sampler everywhere, costs are not.

Departures from the embedded sampler: with `dialect: transformers` prompt and prefix are tokenised together, because
that server reads texts only; and a completion whose end token is the last one allowed counts as not finished. A server
that counts other tokens in a prompt than the reasoner's tokenizer does is refused.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from sapo.records import Cost
from sapo.runtime.progress import Progress
from sapo.runtime.workspace import digest
from sapo.sampling.http.answer_cache import AnswerCache
from sapo.sampling.http.endpoint import Endpoint, EndpointError, Limits, key_from
from sapo.sampling.http.paid_requests import PaidRequest, ask_all, sha256
from sapo.sampling.http.replies import TEXT, Key, Reply
from sapo.sampling.protocol import Completion, Request, Until
from sapo.sampling.token_requests import Ask, Drawn, first_complete, read_shape
from sapo.settings import EngineSettings

PER_MINUTE = 60_000.0  # effectively unlimited
TIMEOUT = 600.0

# Servers fill what a request leaves open from the model's own generation settings, or with defaults of theirs.
UNTOUCHED: dict[str, object] = {"top_p": 1.0, "top_k": -1, "min_p": 0.0}
# Token by token, each with the count so far (an extension that vLLM and SGLang share).
STREAMED: dict[str, object] = {
    "stream": True,
    "stream_options": {"include_usage": True, "continuous_usage_stats": True},
}


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
        self.endpoint = Endpoint(settings.url, key, limits, path=TEXT)
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
        keys = [sha256(body) for body in bodies]  # the folder may move; its digest is in the file's name
        requested = [PaidRequest(key, {"model": self.model, **body}) for key, body in zip(keys, bodies, strict=True)]
        ask_of = dict(zip(keys, asks, strict=True))
        enough = (lambda text: first_complete(text, until) is not None) if stops else None
        rule = f"{until.__module__}.{until.__qualname__}" if until and stops else ""  # it decides what is drawn

        def judge(request: PaidRequest, answer: Reply | str) -> None:
            if isinstance(answer, str):
                raise EndpointError(f"{self.endpoint.url}: refused a request for {self.model}: {answer}")
            self._check(ask_of[request.key], answer)

        with AnswerCache(self._answers / f"{sha256([self._digest, rule, keys])}.jsonl", waits=True) as cache:
            missing = len(set(keys) - cache.answers.keys())
            progress = Progress(self.what, missing) if self.what and missing else None
            ask_all(self.endpoint, requested, cache, judge, progress, enough)
        replies = [cache.answers[key] for key in keys]
        drawn = [Drawn(reply.text, reply.completion_tokens or 0, reply.complete) for reply in replies]
        return self.reader.completions_and_cost(len(requests), asks, drawn, until)

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
