"""The embedded sampler: a `transformers` model in this process, decoded in batches with its own KV cache.

Equal prompts are computed once and their cache is handed to all their completions; rows that have ended leave
the batch. Randomness belongs to the request: uniform number t of a request is a hash of (seed, t), turned into a
token by the inverse of the cumulative distribution, so that batch size and company change nothing. Not promised:
logits of batches of different shapes differ in the last bits of a float, so that a draw within about 1e-6 of the
border between two tokens may fall on either side; and what is computed once is shared within a batch only.
"""

import sys
from collections.abc import Sequence

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel

from sapo.models.encoding import Encoder
from sapo.models.flops import decode_flops, head_flops, prefill_flops
from sapo.models.sampling import Completion, Request
from sapo.progress import Progress
from sapo.records import BadInput, Cost

SHRINK = 0.75  # the batch is compacted when fewer than this share of its rows are alive


class LocalSampler:
    """A `Sampler` over a loaded causal language model.

    Args:
        rows: sequences decoded together; memory grows with it, results do not depend on it.
        what: names the work in the progress line; silent when empty.
    """

    def __init__(self, model: PreTrainedModel, encoder: Encoder, rows: int, what: str = "") -> None:
        self.model = model.eval()
        self.encoder = encoder
        self.rows = rows
        self.what = what
        self.context: int = model.config.max_position_embeddings

    def complete(
        self, requests: Sequence[Request], temperature: float, max_new_tokens: int
    ) -> tuple[list[Completion], Cost]:
        """See `Sampler.complete`. A prompt too long for the context gets an empty completion, and a line says so.

        Raises:
            BadInput: a prompt has no tokens, or the context is too small for every prompt.
        """
        prompts = [self.encoder.prompt_ids(r.prompt) + self.encoder.completion_ids(r.prefix) for r in requests]
        found = self._without_room(requests, prompts)
        # Neighbours of one length waste no padding; equal prompts end up side by side and share one prefill.
        fitting = [i for i in range(len(requests)) if i not in found]
        order = sorted(fitting, key=lambda i: (len(prompts[i]), prompts[i], i))
        cost = Cost(len(found))
        with Progress(self.what, len(order)) if self.what else _silent() as progress, torch.inference_mode():
            for start in range(0, len(order), self.rows):
                chunk = order[start : start + self.rows]
                seeds = [requests[i].seed for i in chunk]
                drawn, spent = self._decode([prompts[i] for i in chunk], seeds, temperature, max_new_tokens)
                found.update(zip(chunk, drawn, strict=True))
                cost += spent
                if progress:
                    progress.advance(len(chunk))
        return [found[i] for i in range(len(requests))], cost

    def _without_room(self, requests: Sequence[Request], prompts: Sequence[tuple[int, ...]]) -> dict[int, Completion]:
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

    def _decode(
        self, prompts: list[tuple[int, ...]], seeds: list[int], temperature: float, max_new_tokens: int
    ) -> tuple[list[Completion], Cost]:
        """Completions of one batch."""
        limits = torch.tensor([max(0, min(max_new_tokens, self.context - len(p))) for p in prompts])
        limit = int(limits.max())
        cache, logits, mask, spent = self._prefill(prompts)
        seed_B = np.array(seeds, dtype=np.uint64)
        alive = torch.arange(len(prompts))
        lengths = torch.tensor([len(p) for p in prompts])
        drawn = torch.full((len(prompts), limit), -1)
        done = limits == 0
        for t in range(limit):
            token = _pick(logits, seed_B[alive.numpy()], t, temperature)
            drawn[alive, t] = token.where(~done[alive], -1)
            done[alive] |= (token == self.encoder.eos_id) | (limits[alive] == t + 1)
            running = ~done[alive]
            if t + 1 == limit or not running.any():
                break
            if running.float().mean() < SHRINK:
                keep = running.nonzero().squeeze(1)
                alive, token, mask = alive[keep], token[keep], mask[keep]
                cache.batch_select_indices(keep)
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            logits = self.model(
                input_ids=token.unsqueeze(1),
                attention_mask=mask,
                position_ids=(lengths[alive] + t).clamp(max=self.context - 1).unsqueeze(1),  # past it: ended rows only
                past_key_values=cache,
                use_cache=True,
            ).logits[:, -1]
        completions = self._completions(drawn.tolist())
        flops = sum(
            # The first token comes from the prefill's logits, the last one is never fed.
            head_flops(self.model.config) + decode_flops(self.model.config, len(prompt), completion.tokens - 1)
            for prompt, completion in zip(prompts, completions, strict=True)
            if completion.tokens
        )
        tokens = sum(completion.tokens for completion in completions)
        return completions, spent + Cost(len(prompts), 0, tokens, flops)

    def _prefill(self, prompts: list[tuple[int, ...]]) -> tuple[DynamicCache, torch.Tensor, torch.Tensor, Cost]:
        """Cache, last logits and mask of every row; each different prompt is computed once."""
        unique = list(dict.fromkeys(prompts))
        longest = max(map(len, unique))
        ids = torch.tensor([[*[self.encoder.pad_id] * (longest - len(p)), *p] for p in unique])
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in unique])
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1).clamp(min=0),
            past_key_values=DynamicCache(config=self.model.config),
            use_cache=True,
            logits_to_keep=1,
        )
        row_of = {prompt: row for row, prompt in enumerate(unique)}
        rows = torch.tensor([row_of[prompt] for prompt in prompts])
        output.past_key_values.batch_select_indices(rows)
        flops = sum(prefill_flops(self.model.config, len(p), with_head=False) for p in unique)
        return output.past_key_values, output.logits[rows, -1], mask[rows], Cost(0, sum(map(len, unique)), 0, flops)

    def _completions(self, drawn: list[list[int]]) -> list[Completion]:
        """Rows of ids, -1 behind the last one drawn, to texts without the end token."""
        ended = [self.encoder.eos_id in row for row in drawn]
        rows = [[token for token in row if token not in (-1, self.encoder.eos_id)] for row in drawn]
        texts = self.encoder.tokenizer.batch_decode(rows, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return [Completion(t, len(r) + e, e) for t, r, e in zip(texts, rows, ended, strict=True)]


class _silent:
    """No progress shown."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def _pick(logits: torch.Tensor, seeds: np.ndarray, t: int, temperature: float) -> torch.Tensor:
    """Next token of each row, (B,): the likeliest at temperature 0, else drawn with the row's own random number."""
    if temperature == 0:
        return logits.argmax(-1)
    probabilities = (logits.double() / temperature).softmax(-1)
    point = torch.from_numpy(uniforms(seeds, t)).unsqueeze(1)
    # The sum may end a rounding error below 1; the last token with any probability then takes the rest.
    return torch.searchsorted(probabilities.cumsum(-1), point, right=True).squeeze(1).clamp(max=logits.shape[-1] - 1)


def uniforms(seeds: np.ndarray, t: int) -> np.ndarray:
    """Random number `t` of each seed, in [0, 1): SplitMix64 of seed + t, (B,) uint64 → (B,) float64."""
    with np.errstate(over="ignore"):
        z = seeds + np.uint64(t + 1) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / 2.0**53
