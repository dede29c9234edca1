"""The sampler's protocol: prompts in, completions and their cost out.

Every way to decode (the embedded sampler, and later vLLM, servers or Ray) implements `Sampler`; labellers
and stages know nothing else of models. A request's seed alone decides its completion: batch size and
company do not.
"""

from collections.abc import Callable, Sequence
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
    """What was drawn, and how many tokens. `finished` is false where the token limit cut it off."""

    text: str
    tokens: int
    finished: bool


Until = Callable[[str], int | None]
"""Given what has been drawn so far (without the prefix): the length at which it is complete, or None."""


class Sampler(Protocol):
    """Draws completions; temperature 0 is greedy."""

    def complete(
        self, requests: Sequence[Request], temperature: float, max_new_tokens: int, until: Until | None = None
    ) -> tuple[list[Completion], Cost]:
        """Completions in the order of the requests, and what they cost (rollouts = len(requests)).

        Args:
            until: ends a completion early; asked after every token that holds a newline, and at the end. The text is
                cut at the length it names and is finished; tokens and cost are those really drawn. It changes
                nothing that is drawn before.
        """
        ...


def cut(text: str, until: Until | None) -> str | None:
    """The complete part of what has been drawn so far, if there is one. Raises ValueError on a length beyond it."""
    length = until(text) if until else None
    if length is None:
        return None
    if not 0 <= length <= len(text):
        raise ValueError(f"`until` names a length of {length} in a text of {len(text)} characters: {text[:80]!r}")
    return text[:length]
