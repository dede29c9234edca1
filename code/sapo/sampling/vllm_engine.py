"""Completions from vLLM's offline engine: prefix caching, a seed for every request, the version in every result.

Prompts go in as the token ids that the embedded sampler reads, and drawn ids are decoded as it does; so greedy
completions are the same up to ties within the last bits. A completion is aborted at the token where the embedded
sampler would stop (`until`), so tokens and costs are the same too; that takes vLLM's own loop, step by step. Seeded
draws are vLLM's own; whether they depend on the other requests of a batch is up to vLLM. Written for vLLM 0.33 and
compared with its source; run against a fake only, for want of a GPU.
"""

import itertools
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path

import vllm  # pyright: ignore[reportMissingImports]
from vllm.inputs import tokens_input  # pyright: ignore[reportMissingImports]

from sapo.records import Cost
from sapo.runtime.progress import Progress
from sapo.sampling.protocol import Completion, Request, Until
from sapo.sampling.token_requests import Drawn, EngineError, first_complete, read_shape

# Of `vllm.LLM`; `generation_config`: the model's own sampling settings are not taken.
ENGINE = {"enable_prefix_caching": True, "generation_config": "vllm", "seed": 0, "trust_remote_code": False}
# Of `vllm.SamplingParams`: one draw from the model's own distribution, without top-p, top-k or min-p.
UNTOUCHED = {"n": 1, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "skip_special_tokens": True, "detokenize": False}


class VllmSampler:
    """A `Sampler` over vLLM.

    Args:
        memory: the share of the GPU's memory that it takes and keeps while it lives.
        what: names the work in the progress line; silent when empty.

    Raises:
        LoadingError: no such reasoner.
    """

    def __init__(self, reasoner: Path, memory: float, dtype: str, what: str = "") -> None:
        self.reader = read_shape(reasoner)
        sys.stderr.write(f"engine: vllm {vllm.__version__} draws from {reasoner}\n")
        self.engine = vllm.LLM(str(reasoner), dtype=dtype, gpu_memory_utilization=memory, **ENGINE).llm_engine
        self.what = what
        self._numbers = itertools.count()

    def complete(
        self, requests: Sequence[Request], temperature: float, max_new_tokens: int, until: Until | None = None
    ) -> tuple[list[Completion], Cost]:
        """See `Sampler.complete`. Raises EngineError: vLLM gave another number of completions than it was asked for."""
        asks = {str(next(self._numbers)): ask for ask in self.reader.asks(requests, max_new_tokens)}
        for name, ask in asks.items():
            own = {"seed": ask.seed, "max_tokens": ask.limit, "temperature": temperature}
            parameters = vllm.SamplingParams(**own, **UNTOUCHED)
            self.engine.add_request(name, tokens_input(list(ask.ids)), parameters)
        progress = Progress(self.what, len(asks)) if self.what and asks else None
        with progress or nullcontext():
            drawn = self._draw(until, progress)
        if drawn.keys() != asks.keys():
            raise EngineError(f"vllm gave {len(drawn)} answers to {len(asks)} requests of one completion each")
        in_order = [drawn[name] for name in asks]
        return self.reader.completions_and_cost(len(requests), list(asks.values()), in_order, until)

    def _draw(self, until: Until | None, progress: Progress | None) -> dict[str, Drawn]:
        """What was added, by its name, each as soon as it ends or is complete."""
        drawn: dict[str, Drawn] = {}
        read: dict[str, int] = {}
        while self.engine.has_unfinished_requests():
            for output in self.engine.step():
                name, (completion,) = output.request_id, output.outputs
                ids = completion.token_ids  # all so far
                end = self._complete(ids, read.get(name, 0), until)
                read[name] = len(ids)
                if end is None and not output.finished:
                    continue
                drawn[name] = self._drawn(ids[:end], completion.finish_reason)
                if not output.finished:
                    self.engine.abort_request([name])
                if progress:
                    progress.advance()
        return drawn

    def _complete(self, ids: Sequence[int], read: int, until: Until | None) -> int | None:
        """How many tokens make a complete text, if the ones after the first `read` do; asked where a newline is."""
        for end in range(read + 1, len(ids) + 1) if until else ():
            if ids[end - 1] in self._newlines and first_complete(self._text(ids[:end]), until) is not None:
                return end
        return None

    @cached_property
    def _newlines(self) -> frozenset[int]:
        """The ids whose text holds a newline."""
        return frozenset(token for token in range(self.reader.config.vocab_size) if "\n" in self._text([token]))

    def _text(self, ids: Sequence[int]) -> str:
        tokenizer = self.reader.encoder.tokenizer
        return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _drawn(self, ids: Sequence[int], reason: str | None) -> Drawn:
        ended = list(ids[-1:]) == [self.reader.encoder.eos_id]
        return Drawn(self._text(ids[:-1] if ended else ids), len(ids), ended or reason == "stop")
