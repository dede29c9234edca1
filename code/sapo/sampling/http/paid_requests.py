"""Asks an endpoint for all answers that a cache does not hold, several at once, and stores each as it arrives."""

import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from sapo.runtime.progress import Progress
from sapo.sampling.http.answer_cache import AnswerCache
from sapo.sampling.http.endpoint import Endpoint, EndpointError, Refused
from sapo.sampling.http.pace import Stopped
from sapo.sampling.http.replies import Enough, Reply


def sha256(value: object) -> str:
    """The hash of a JSON value; of a request's body it is the key of its answer."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("ascii")).hexdigest()


@dataclass(frozen=True, slots=True)
class PaidRequest:
    """What is sent (`body`), the key of its answer, and what it is about: an item and the number of its vote."""

    key: str
    body: Mapping[str, Any]
    item: str = ""
    vote: int = 0


Judge = Callable[[PaidRequest, Reply | str], None]
"""Given an answer before it is stored, or why a request was refused. Raises EndpointError, which ends the work."""


def ask_all(
    endpoint: Endpoint,
    requests: Sequence[PaidRequest],
    cache: AnswerCache,
    judge: Judge,
    progress: Progress | None = None,
    enough: Enough | None = None,
) -> None:
    """Ask, in this order, for what the cache does not hold; requests with equal keys are asked once.

    Raises:
        EndpointError: the endpoint's or `judge`'s, which says how much is kept. Requests that are on their way by then
            are waited for, and their answers kept.
    """
    every = {request.key: request for request in requests}
    missing = [request for key, request in every.items() if key not in cache.answers]
    stop = threading.Event()

    def ask(request: PaidRequest) -> str | None:
        try:
            reply = endpoint.complete(request.body, stop, enough)
        except Refused as reason:
            return str(reason)
        except Stopped:
            return None
        judge(request, reply)
        cache.add(request.key, reply, str(request.body["model"]), request.item, request.vote)
        return None

    try:
        with ThreadPoolExecutor(endpoint.limits.concurrency) as pool, progress or nullcontext():
            jobs = {pool.submit(ask, request): request for request in missing}
            try:
                for job in as_completed(jobs):
                    if (refusal := job.result()) is not None:
                        judge(jobs[job], refusal)
                    if progress:
                        progress.advance()
            finally:
                stop.set()  # no other request starts
    except EndpointError as error:
        done = len(every.keys() & cache.answers.keys())
        raise EndpointError(
            f"{error}. {done} of {len(every)} answers are kept in {cache.path}: "
            "the same command goes on from there and asks for none of them again"
        ) from error
