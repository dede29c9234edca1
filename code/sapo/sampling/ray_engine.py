"""Requests → completions by Ray actors, on this machine or a cluster, each with an engine of its own.

A request's seed decides its completion whichever actor draws it: what a lost actor was drawing is drawn again by the
one that Ray starts in its place. Requests with equal prompts stay together, in pieces whose size does not
depend on the number of actors, so costs do not either (an embedded sampler sees one piece at a time).

Plain actors, not `ray.data`: requests and completions are a few megabytes that fit in memory and must keep their
order, and the engine must outlive one call.

On a cluster every machine needs this package, and the reasoner's folder under the same path.
"""

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import ray  # pyright: ignore[reportMissingImports]
from ray.exceptions import RayActorError, RayTaskError  # pyright: ignore[reportMissingImports]
from ray.util import ActorPool  # pyright: ignore[reportMissingImports]

from sapo.records import BadInput, Cost
from sapo.runtime.progress import Progress
from sapo.sampling.protocol import Completion, Request, Sampler, Until
from sapo.sampling.token_requests import EngineError
from sapo.settings import EngineSettings

PIECE = 64  # requests; small enough that a lost actor costs little, large enough for a batch
RESTARTS = 3  # of an actor, and tries of a piece, before the work ends with Ray's own error


OpenEngine = Callable[[], Callable[[], Sampler]]
"""Loads a reasoner; what it gives makes a sampler that remembers nothing of what others drew."""


class Drawer:
    """What runs in an actor: an engine over one reasoner."""

    def __init__(self, open_engine: OpenEngine) -> None:
        self._new_sampler = open_engine()

    def draw(
        self, requests: Sequence[Request], temperature: float, max_new_tokens: int, until: Until | None
    ) -> tuple[list[Completion], Cost]:
        return self._new_sampler().complete(requests, temperature, max_new_tokens, until)


class RaySampler:
    """A `Sampler` over `engine.actors` actors, which end with it."""

    def __init__(self, open_engine: OpenEngine, engine: EngineSettings, cuda: bool, what: str = "") -> None:
        """Start the actors.

        Args:
            open_engine: called in every actor; paths in it are absolute.
            cuda: models compute on a GPU, one for each actor unless a server draws.
            what: names the work in the one progress line of all actors; silent when empty.

        Raises:
            EngineError: there is no such cluster.
        """
        self.what = what
        connect(engine.cluster, engine.actors)
        options: dict[str, Any] = {"max_restarts": RESTARTS, "max_task_retries": RESTARTS, "num_cpus": 1}
        if cuda and engine.kind != "server":
            options["num_gpus"] = 1
        kind = ray.remote(Drawer).options(**options)
        self.actors = [kind.remote(open_engine) for _ in range(engine.actors)]

    def complete(
        self, requests: Sequence[Request], temperature: float, max_new_tokens: int, until: Until | None = None
    ) -> tuple[list[Completion], Cost]:
        """See `Sampler.complete`. Raises what the engine does."""
        order = sorted(range(len(requests)), key=lambda i: (requests[i].prompt, requests[i].prefix, i))
        pieces = [order[start : start + PIECE] for start in range(0, len(order), PIECE)]

        def draw(actor: Any, piece: list[int]) -> Any:
            return actor.draw.remote([requests[i] for i in piece], temperature, max_new_tokens, until)

        found: dict[int, Completion] = {}
        cost = Cost()
        progress = Progress(self.what, len(requests)) if self.what and requests else nullcontext()
        try:
            with progress as shown:
                for piece, (completions, spent) in zip(pieces, ActorPool(self.actors).map(draw, pieces), strict=True):
                    found |= zip(piece, completions, strict=True)
                    cost += spent
                    if shown:
                        shown.advance(len(piece))
        except RayTaskError as error:
            if isinstance(error.cause, BadInput):
                raise EngineError(str(error.cause)) from None
            raise
        except RayActorError as error:
            raise EngineError(f"ray: an actor was lost {RESTARTS + 1} times: {' '.join(str(error).split())}") from error
        return [found[i] for i in range(len(requests))], cost


def connect(cluster: str, actors: int) -> None:
    """Join a cluster, or start one of this machine's own that ends with the process. Raises EngineError."""
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    common: dict[str, Any] = {"include_dashboard": False} if cluster == "local" else {}
    if cluster == "local":  # room for the actors of two samplers: one may still be ending while the next begins
        common["num_cpus"] = 2 * actors
    try:
        ray.init(address=cluster, logging_level=logging.WARNING, **common)
    except ConnectionError as error:
        raise EngineError(f"engine: no Ray cluster at {cluster!r}: {' '.join(str(error).split())}") from error
