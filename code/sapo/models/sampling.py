"""The sampler's protocol: prompts in, completions and their cost out.

Every way to decode (the embedded sampler, and later vLLM, servers or Ray) implements `Sampler`; labellers
and stages know nothing else of models. A request's seed alone decides its completion: batch size and
company do not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sapo.records import Cost


@dataclass(frozen=True, slots=True)
class Request:
    """One completion to draw: what the reasoner reads, the steps it goes on from, the seed of its randomness."""

    prompt: str
    prefix: str
    seed: int


@dataclass(frozen=True, slots=True)
class Completion:
    """What was drawn. `finished` is false where the token limit cut it off."""

    text: str
    tokens: int
    finished: bool


class Sampler(Protocol):
    """Draws completions; temperature 0 is greedy."""

    def complete(
        self, requests: Sequence[Request], temperature: float, max_new_tokens: int
    ) -> tuple[list[Completion], Cost]:
        """Completions in the order of the requests, and what they cost (rollouts = len(requests))."""
        ...
