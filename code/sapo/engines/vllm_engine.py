"""Completions from vLLM's offline engine: prefix caching, a seed for every request, the version in every result.

Prompts go in as the token ids that the embedded sampler reads, and drawn ids are decoded as it does; so greedy
completions are the same up to ties within the last bits. Seeded draws are vLLM's own, and whether they depend on
company is vLLM's promise, not ours. Written for and checked against vLLM 0.33; not run here, where no GPU is.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import vllm  # pyright: ignore[reportMissingImports]

from sapo.engines.prompts import Ask, Drawn, EngineError, read_shape
from sapo.models.sampling import Completion, Request, Until
from sapo.records import Cost


class VllmSampler:
    """A `Sampler` over vLLM. `memory`: the share of the GPU's memory that it takes and keeps while it lives."""

    def __init__(self, reasoner: Path, memory: float, dtype: str) -> None:
        """Raises LoadingError: no such reasoner."""
        self.reader = read_shape(reasoner)
        sys.stderr.write(f"engine: vllm {vllm.__version__} draws from {reasoner}\n")
        self.engine = vllm.LLM(str(reasoner), **engine_arguments(memory, dtype))

    def complete(
        self, requests: Sequence[Request], temperature: float, max_new_tokens: int, until: Until | None = None
    ) -> tuple[list[Completion], Cost]:
        """See `Sampler.complete`. Raises EngineError: vLLM gave another number of completions than it was asked for."""
        asks = self.reader.asks(requests, max_new_tokens)
        prompts = [{"prompt_token_ids": list(ask.ids)} for ask in asks]
        parameters = [vllm.SamplingParams(**sampling_arguments(ask, temperature)) for ask in asks]
        outputs = self.engine.generate(prompts, parameters, use_tqdm=False) if asks else []
        if len(outputs) != len(asks) or any(len(output.outputs) != 1 for output in outputs):
            raise EngineError(f"vllm gave {len(outputs)} answers to {len(asks)} requests of one completion each")
        drawn = [self._drawn(output.outputs[0]) for output in outputs]
        return self.reader.gathered(len(requests), asks, drawn, until)

    def _drawn(self, output: Any) -> Drawn:
        ids = list(output.token_ids)
        ended = ids[-1:] == [self.reader.encoder.eos_id]
        tokenizer = self.reader.encoder.tokenizer
        shown = ids[:-1] if ended else ids
        text = tokenizer.decode(shown, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return Drawn(str(text), len(ids), ended or output.finish_reason == "stop")


def engine_arguments(memory: float, dtype: str) -> dict[str, Any]:
    """Of `vllm.LLM`, besides the model. `generation_config`: the model's own sampling settings are not taken."""
    return {
        "dtype": dtype,
        "enable_prefix_caching": True,
        "generation_config": "vllm",
        "gpu_memory_utilization": memory,
        "seed": 0,
        "trust_remote_code": False,
    }


def sampling_arguments(ask: Ask, temperature: float) -> dict[str, Any]:
    """Of `vllm.SamplingParams`: the model's own distribution, without top-p, top-k or min-p."""
    return {
        "n": 1,
        "temperature": temperature,
        "seed": ask.seed,
        "max_tokens": ask.limit,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "skip_special_tokens": True,
        "detokenize": False,
    }
