"""vLLM as the adapter uses it, over a model in this process: its parameters and no others, a token a step."""

import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import pytest
from model_draws import draw

from sapo.sampling.hf_engine import LocalSampler

# Names of vLLM 0.33.0, as far as the adapter uses them.
LLM, CORE = "entrypoints/llm.py", "v1/engine/llm_engine.py"
MODEL = {"model", "dtype", "seed", "gpu_memory_utilization", "trust_remote_code"}
ENGINE = {"enable_prefix_caching", "generation_config"}  # of EngineArgs, which takes what LLM passes on
PARAMETERS = {"n", "temperature", "seed", "max_tokens", "top_p", "top_k", "min_p", "skip_special_tokens", "detokenize"}
METHODS: dict[str, set[str]] = {
    "add_request": {"request_id", "prompt", "params"},
    "abort_request": {"request_ids"},
    "has_unfinished_requests": set(),
    "step": set(),
}
OUTPUT = {"token_ids", "finish_reason"}
OUTPUTS = {"request_id", "outputs", "finished"}


class Parameters:
    """vllm.SamplingParams."""

    def __init__(self, **given: Any) -> None:
        assert given.keys() <= PARAMETERS
        self.given = given


@dataclass
class Output:
    """vllm.CompletionOutput."""

    token_ids: list[int]
    finish_reason: str | None


@dataclass
class Outputs:
    """vllm.RequestOutput."""

    request_id: str
    outputs: list[Output]
    finished: bool


@dataclass
class FakeVllm:
    """vllm.LLM and its LLMEngine over the embedded sampler's model. `loses`: requests that are never answered."""

    local: LocalSampler
    made: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[list[int], dict[str, Any]]] = field(default_factory=list)
    aborted: list[str] = field(default_factory=list)
    steps: int = 0
    loses: int = 0
    running: dict[str, tuple[Sequence[int], list[int]]] = field(default_factory=dict)

    def llm(self, model: str, **given: Any) -> "FakeVllm":
        assert given.keys() <= MODEL | ENGINE
        self.made.append({"model": model, **given})
        return self

    @property
    def llm_engine(self) -> "FakeVllm":
        return self

    def add_request(self, request_id: str, prompt: dict[str, Any], params: Parameters) -> None:
        assert prompt["type"] == "token" and request_id not in self.running
        ids, given = prompt["prompt_token_ids"], params.given
        self.asked.append((ids, given))
        if len(self.asked) > self.loses:
            encoder = self.local.encoder
            rule = given["max_tokens"], encoder.eos_id, given["temperature"], given["seed"]
            drawn = draw(self.local.model, tuple(ids), *rule)
            self.running[request_id] = drawn, []

    def has_unfinished_requests(self) -> bool:
        return bool(self.running)

    def step(self) -> list[Outputs]:
        """The next token of every request, with all before it."""
        self.steps += 1
        return [self._next(name, *self.running[name]) for name in list(self.running)]

    def _next(self, name: str, drawn: Sequence[int], given: list[int]) -> Outputs:
        given.append(drawn[len(given)])
        finished = len(given) == len(drawn)
        if finished:
            del self.running[name]
        last = "stop" if given[-1] == self.local.encoder.eos_id else "length"
        return Outputs(name, [Output(given, last if finished else None)], finished)

    def abort_request(self, request_ids: Sequence[str]) -> None:
        for name in request_ids:
            del self.running[name]
        self.aborted += request_ids


def install(fake: FakeVllm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it the installed vLLM, of version 0.33.0."""
    module, inputs = types.ModuleType("vllm"), types.ModuleType("vllm.inputs")
    members = {"LLM": fake.llm, "SamplingParams": Parameters, "__version__": "0.33.0", "inputs": inputs}
    module.__dict__.update(members)
    inputs.__dict__["tokens_input"] = lambda prompt_token_ids: {"type": "token", "prompt_token_ids": prompt_token_ids}
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setitem(sys.modules, "vllm.inputs", inputs)
    monkeypatch.setattr(metadata, "version", lambda name: "0.33.0")
    monkeypatch.delitem(sys.modules, "sapo.sampling.vllm_engine", raising=False)
