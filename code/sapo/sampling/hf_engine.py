"""Requests to completions with a `transformers` model in this process: continuous batching with an own KV cache.

1. Requests are sorted by prompt length; equal prompts that join together are computed once. A row leaves the batch with
   its last token; when few rows are left, waiting ones join (`REFILL`). Memory: at most `rows` rows of the longest
   prompt with its completion, and the prefix cache.
2. A request's seed alone decides its completion, but for draws within about 1e-6 of the border between two tokens:
   logits of batches of different shapes differ in the last bits of a float.
3. Costs count prompt tokens that were computed, hence fewer where prompts are equal or cached; drawn tokens cost the
   same in any batch.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from sapo.models.encoding import Encoder
from sapo.models.flops import decode_flops, head_flops, read_flops
from sapo.records import BadInput, Cost
from sapo.runtime.progress import Progress
from sapo.sampling.decode_batch import ROW, Batch
from sapo.sampling.prefill import PrefixStore, Prompt
from sapo.sampling.protocol import Completion, Request, Until, cut

# Waiting rows join when at most this share of the batch is left. Short rows are padded to the longest one's cache;
# measured at 64 and at 512 rows: 0 to 1/4 are alike, 3/4 and more lose up to a tenth.
REFILL = 1 / 8

Found = dict[int, Completion]


class LocalSampler:
    """A `Sampler` over a loaded causal language model.

    Args:
        rows: sequences decoded together; memory grows with it, results do not depend on it.
        what: names the work in the progress line; silent when empty.
        cached_tokens: the most prompt tokens whose keys and values are kept for later prompts with the same prefix.

    Raises:
        BadInput: the model has layers of a kind (linear attention, say) that have no cache here.
    """

    def __init__(
        self, model: PreTrainedModel, encoder: Encoder, rows: int, what: str = "", cached_tokens: int = 0
    ) -> None:
        if rows < 1:
            raise ValueError(f"a batch of {rows} rows draws nothing")
        unknown = set(getattr(model.config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
        if unknown:
            raise BadInput(
                f"{type(model).__name__}: the embedded sampler has no cache for {', '.join(sorted(unknown))}"
            )
        self.model = model.eval()
        self.encoder = encoder
        self.rows = rows
        self.what = what
        self._store = PrefixStore(cached_tokens)
        self.context: int = model.config.max_position_embeddings

    def complete(
        self, requests: Sequence[Request], temperature: float, max_new_tokens: int, until: Until | None = None
    ) -> tuple[list[Completion], Cost]:
        """See `Sampler.complete`. A prompt too long for the context gets an empty completion, and a line says so.

        Raises:
            BadInput: a prompt has no tokens, or the context is too small for every prompt.
        """
        if temperature < 0 or max_new_tokens < 0:
            raise ValueError(f"temperature {temperature} and a limit of {max_new_tokens} tokens: negative")
        prompts = self._encoded(requests)
        found = self._without_room(requests, prompts)
        if max_new_tokens == 0:
            return [Completion("", 0, False)] * len(requests), Cost(len(requests))
        waiting = self._waiting(requests, prompts, max_new_tokens, found)
        cost = Cost(len(requests))
        with Progress(self.what, len(waiting)) if self.what else nullcontext() as progress, torch.inference_mode():
            batch = Batch(self.model, self._store, temperature, int(waiting["limit"].max(initial=0)))
            while len(waiting) or len(batch):
                if len(waiting) and len(batch) <= REFILL * self.rows:
                    new, waiting = np.split(waiting, [self.rows - len(batch)])
                    cost += self._read(batch.join(new, [prompts[i] for i in new["request"]]))
                else:
                    batch.step()
                ended = self._ended(batch, until)
                found |= ended
                if progress:
                    progress.advance(len(ended))
        return [found[i] for i in range(len(requests))], cost + self._drawn(prompts, found)

    def _encoded(self, requests: Sequence[Request]) -> list[Prompt]:
        """Ids of every request's prompt and prefix; rollouts ask for the same ones many times."""
        prompts = {text: self.encoder.prompt_ids(text) for text in {request.prompt for request in requests}}
        prefixes = {text: self.encoder.completion_ids(text) for text in {request.prefix for request in requests}}
        return [prompts[request.prompt] + prefixes[request.prefix] for request in requests]

    def _without_room(self, requests: Sequence[Request], prompts: Sequence[Prompt]) -> Found:
        """Empty, unfinished completions of the prompts that leave no room for a single token, by their index."""
        for request, ids in zip(requests, prompts, strict=True):
            if not ids:
                raise BadInput(f"prompt of 0 tokens: {request.prompt[:80]!r}")
        long = [i for i, ids in enumerate(prompts) if len(ids) >= self.context]
        if long:
            said = f"{len(long)} of {len(requests)} prompts leave no room in the context of {self.context} tokens"
            example = f"one of {len(prompts[long[0]])} tokens begins {requests[long[0]].prompt[:60]!r}"
            if len(long) == len(requests) and not any(request.prefix for request in requests):
                raise BadInput(f"{said}; {example}")
            if self.what:
                sys.stderr.write(f"{self.what}: {said} and are answered by nothing; {example}\n")
        return {i: Completion("", 0, False) for i in long}

    def _waiting(
        self, requests: Sequence[Request], prompts: Sequence[Prompt], limit: int, found: Found
    ) -> NDArray[np.void]:
        """The rows to draw: neighbours of one length waste no padding, equal prompts side by side share one prefill."""
        order = sorted(
            (i for i in range(len(requests)) if i not in found), key=lambda i: (len(prompts[i]), prompts[i], i)
        )
        rows = np.zeros(len(order), ROW)
        rows["request"] = order
        rows["seed"] = np.array([requests[i].seed for i in order], np.uint64)
        rows["start"] = [len(prompts[i]) for i in order]
        rows["limit"] = np.minimum(limit, self.context - rows["start"])
        return rows

    def _ended(self, batch: Batch, until: Until | None) -> Found:
        """Completions of the rows that are done, which leave the batch."""
        newest = batch.newest()
        last = (newest == self.encoder.eos_id) | (batch.rows["drawn"] == batch.rows["limit"])
        asked = last | self._newlines[newest] if until else last
        ended = {}
        for row in np.flatnonzero(asked).tolist():
            ids = batch.ids[row, : batch.rows["drawn"][row]].tolist()
            completion = self._completion(ids, until)
            if last[row] or completion.finished:
                ended[row] = completion
        found = {int(batch.rows["request"][row]): completion for row, completion in ended.items()}
        if ended:
            batch.leave(np.array(list(ended)))
        return found

    def _completion(self, ids: list[int], until: Until | None) -> Completion:
        """The text of ids without the end token; finished by that token or by `until`."""
        ended = ids[-1] == self.encoder.eos_id
        text = self.encoder.text(ids[:-1] if ended else ids)
        complete = cut(text, until)
        return Completion(text if complete is None else complete, len(ids), ended or complete is not None)

    @cached_property
    def _newlines(self) -> NDArray[np.bool_]:
        """Of every id that the model can draw: whether its text holds a newline."""
        return np.array(["\n" in self.encoder.text([token]) for token in range(self.model.config.vocab_size)])

    def _read(self, prompts: Sequence[tuple[int, int]]) -> Cost:
        """What reading prompts of (length, known) tokens costs; the first token's logits count as drawn."""
        flops = sum(read_flops(self.model.config, length, known) for length, known in prompts)
        return Cost(0, sum(length - known for length, known in prompts), 0, flops)

    def _drawn(self, prompts: Sequence[Prompt], found: Found) -> Cost:
        """What drawing the completions costs: the first token comes from the prefill, the last one is never fed."""
        config = self.model.config
        shapes = Counter((len(prompts[i]), completion.tokens) for i, completion in found.items() if completion.tokens)
        flops = sum(
            count * (head_flops(config) + decode_flops(config, start, tokens - 1))
            for (start, tokens), count in shapes.items()
        )
        return Cost(0, 0, sum(completion.tokens for completion in found.values()), flops)
