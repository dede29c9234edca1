"""Tokens and text completions of a model in this process, drawn without any of the package's samplers."""

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from fake_endpoint import Response
from transformers import PreTrainedModel

from sapo.models.encoding import Encoder

EVENTS = {"Content-Type": "text/event-stream; charset=utf-8"}


@cache
def chances(model: PreTrainedModel, ids: tuple[int, ...], temperature: float) -> torch.Tensor:
    """Probability of every next token."""
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0, -1]
    return (logits.double() / temperature).softmax(-1)


@cache
def draw(
    model: PreTrainedModel, ids: tuple[int, ...], limit: int, eos: int, temperature: float = 0.0, seed: int = 0
) -> tuple[int, ...]:
    """Tokens up to the end token or the limit; with a generator of its own, unlike the embedded sampler's."""
    drawn: list[int] = []
    random = np.random.default_rng(seed)
    while len(drawn) < limit and drawn[-1:] != [eos]:
        probabilities = chances(model, (*ids, *drawn), temperature or 1.0).numpy()
        drawn.append(int(random.choice(len(probabilities), p=probabilities) if temperature else probabilities.argmax()))
    return tuple(drawn)


def model_server(model: PreTrainedModel, encoder: Encoder) -> Callable[[dict[str, Any], int], Response]:
    """Answers as vLLM's server does, whole or token by token."""

    def answer(body: dict[str, Any], number: int) -> Response:
        assert (body["n"], body["top_p"], body["top_k"], body["min_p"]) == (1, 1.0, -1, 0.0)
        ids = draw(model, tuple(body["prompt"]), body["max_tokens"], encoder.eos_id, body["temperature"], body["seed"])
        ended = ids[-1] == encoder.eos_id
        texts = [shown(encoder, ids[:end]) for end in range(len(ids) + 1)]
        finish = "stop" if ended else "length"
        if not body.get("stream"):
            return Response(json.dumps(event(texts[-1], finish, len(body["prompt"]), len(ids))).encode())
        assert body["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
        parts = [texts[end][len(texts[end - 1]) :] for end in range(1, len(texts))]
        ends = [*[None] * (len(parts) - 1), finish]
        events = [event(*part, len(body["prompt"]), end) for end, part in enumerate(zip(parts, ends, strict=True), 1)]
        return stream(events)

    return answer


def shown(encoder: Encoder, ids: Sequence[int]) -> str:
    return str(encoder.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def event(text: str, finish: str | None, prompt: int, tokens: int | None) -> dict[str, Any]:
    """A completion or a part of one; `tokens` None: without counts."""
    usage = None if tokens is None else {"prompt_tokens": prompt, "completion_tokens": tokens}
    return {"choices": [{"index": 0, "text": text, "finish_reason": finish}], "usage": usage}


def stream(events: Sequence[dict[str, Any]], end: str = "data: [DONE]\n\n", hangs: bool = False) -> Response:
    """Server-sent events."""
    body = "".join(f"data: {json.dumps(value)}\n\n" for value in events) + end
    return Response(body.encode(), headers=EVENTS, hangs=hangs)
