"""Requests → token ids within a model's context, and drawn texts → completions with their cost, for all engines.

Prompt and prefix are tokenised apart, as the embedded sampler does it, so that all engines read the same ids. Costs
count every prompt in full: what an engine's own cache saves is not known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import AutoConfig, PretrainedConfig

from sapo.models.encoding import Encoder
from sapo.models.flops import generation_flops
from sapo.models.loading import load_encoder
from sapo.records import BadInput, Cost
from sapo.sampling.protocol import Completion, Request, Until, cut


class EngineError(BadInput):
    """An engine is not installed, or did not answer what it was asked."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One completion to draw: its number among the requests, what is read, the seed, and how many tokens at most."""

    number: int
    text: str
    ids: tuple[int, ...]
    seed: int
    limit: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """What an engine gave for an ask. `ended` by the end token, which `tokens` counts."""

    text: str
    tokens: int
    ended: bool


@dataclass(frozen=True, slots=True)
class Reader:
    """A reasoner's tokenizer and shape, without its weights."""

    encoder: Encoder
    config: PretrainedConfig

    @property
    def context(self) -> int:
        return self.config.max_position_embeddings

    def asks(self, requests: Sequence[Request], limit: int) -> list[Ask]:
        """What to draw; requests without room for a token are left out. Raises BadInput: a prompt has no tokens."""
        found = []
        for number, request in enumerate(requests):
            ids = self.encoder.prompt_ids(request.prompt) + self.encoder.completion_ids(request.prefix)
            if not ids:
                raise BadInput(f"prompt of 0 tokens: {request.prompt[:80]!r}")
            room = min(limit, self.context - len(ids))
            if room > 0:
                found.append(Ask(number, request.prompt + request.prefix, ids, request.seed, room))
        if requests and limit and not found and not any(request.prefix for request in requests):
            raise BadInput(f"no prompt leaves room in the context of {self.context} tokens")
        return found

    def completions_and_cost(
        self, count: int, asks: Sequence[Ask], drawn: Sequence[Drawn], until: Until | None
    ) -> tuple[list[Completion], Cost]:
        """Completions in the order of `count` requests, empty where nothing was asked, and their cost."""
        completions = [Completion("", 0, False)] * count
        cost = Cost(count)
        for ask, one in zip(asks, drawn, strict=True):
            complete = first_complete(one.text, until)
            text = one.text if complete is None else complete
            completions[ask.number] = Completion(text, one.tokens, one.ended or complete is not None)
            flops = generation_flops(self.config, len(ask.ids), one.tokens)
            cost += Cost(0, len(ask.ids), one.tokens, flops)
        return completions, cost


def read_shape(reasoner: Path) -> Reader:
    """Tokenizer and shape of a saved reasoner. Raises LoadingError."""
    encoder = load_encoder(reasoner)
    return Reader(encoder, AutoConfig.from_pretrained(reasoner, local_files_only=True, trust_remote_code=False))


def first_complete(text: str, until: Until | None) -> str | None:
    """The complete part of a whole text: `until` is asked at every newline, as while drawing, and at the end."""
    ends = [i + 1 for i, character in enumerate(text) if character == "\n"] if until else []
    for end in [*ends, len(text)]:
        if (complete := cut(text[:end], until)) is not None:
            return complete
    return None
