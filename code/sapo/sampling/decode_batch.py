"""One decoding batch: rows join with their prompts, draw a token a step, and leave with their last one.

Random number t of a row is SplitMix64 of its seed and t, turned into a token by the inverse of the cumulative
distribution, so that the other rows of the batch do not change what a row draws.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from sapo.records import BadInput
from sapo.sampling.kv_cache import Slots, masks, one_query
from sapo.sampling.prefill import PrefixStore, Prompt, Reading

# One row: which request it answers, its randomness, how long its prompt is, how many tokens it may and did draw.
ROW = np.dtype([("request", "i8"), ("seed", "u8"), ("start", "i8"), ("limit", "i8"), ("drawn", "i8")])


class Batch:
    """Rows (of dtype `ROW`) and what they have drawn, `ids` (rows, limit); -1 where nothing is drawn yet.

    Args:
        store: what is known of prompts.
    """

    def __init__(self, model: PreTrainedModel, store: PrefixStore, temperature: float, limit: int) -> None:
        self.model = model
        self.temperature = temperature
        self.rows = np.zeros(0, ROW)
        self.ids = np.zeros((0, limit), np.int32)
        self._store = store
        self._slots = Slots()

    def __len__(self) -> int:
        return len(self.rows)

    def join(self, rows: NDArray[np.void], prompts: Sequence[Prompt]) -> list[tuple[int, int]]:
        """Read the prompts, each different one once, and draw the first token of the new rows.

        Returns:
            (length, known) of every prompt that was read: how many of its tokens were known before.
        """
        read: list[tuple[int, int]] = []
        waiting = list(dict.fromkeys(prompts))
        while waiting:
            now, waiting = self._store.passes(waiting)
            number = {prompt: i for i, prompt in enumerate(now)}
            chosen = [i for i, prompt in enumerate(prompts) if prompt in number]
            read += self._join(rows[chosen], now, [number[prompts[i]] for i in chosen])
        self._store.forget()
        return read

    def _join(self, rows: NDArray[np.void], prompts: Sequence[Prompt], sources: Sequence[int]) -> list[tuple[int, int]]:
        found = [self._store.longest(prompt) for prompt in prompts]
        known = [(count, self._store.states(of) if count else None) for count, of in found]
        reading = Reading(self.model, prompts, known)
        logits = reading.logits()
        self._store.keep(prompts, reading.states)
        at = torch.tensor(sources, device=logits.device)
        self._slots.join(reading.states[:, :, :, :-1], at)
        first = len(self.rows)
        self.rows = np.concatenate([self.rows, rows])
        self.ids = np.concatenate([self.ids, np.full((len(rows), self.ids.shape[1]), -1, np.int32)])
        self._draw(logits[at], first)
        return [(len(prompt), count) for prompt, (count, _) in zip(prompts, found, strict=True)]

    def step(self) -> None:
        """Feed every row's last token and draw the next one."""
        device = self.model.device
        token = self.newest().astype(np.int64)
        positions = torch.from_numpy(self.rows["start"] + self.rows["drawn"] - 1).to(device)
        self._slots.stand(positions)
        with one_query(self.model.config):
            output = self.model(
                input_ids=torch.from_numpy(token).to(device).unsqueeze(1),
                attention_mask=masks(positions.unsqueeze(1), self._slots.width, self.model.config, self.model.dtype),
                position_ids=positions.unsqueeze(1),
                past_key_values=self._slots,
                use_cache=True,
            )
        self._draw(output.logits[:, -1], 0)

    def _draw(self, logits: Tensor, first: int) -> None:
        """Add a token to the rows from `first` on."""
        rows = self.rows[first:]
        token = pick(logits, uniforms(rows["seed"], rows["drawn"]), self.temperature)
        self.ids[np.arange(first, len(self)), rows["drawn"]] = token
        rows["drawn"] += 1

    def newest(self) -> NDArray[np.int32]:
        """The last token of every row."""
        return self.ids[np.arange(len(self)), self.rows["drawn"] - 1]

    def leave(self, ended: NDArray[np.intp]) -> None:
        """Drop the rows at these indices; the last ones that stay take their places."""
        count = len(self) - len(ended)
        holes = ended[ended < count]
        movers = np.setdiff1d(np.arange(count, len(self)), ended, assume_unique=True)
        self._slots.leave(torch.from_numpy(holes), torch.from_numpy(movers), count)
        for array in (self.rows, self.ids):
            array[holes] = array[movers]
        self.rows, self.ids = self.rows[:count], self.ids[:count]


def pick(logits: Tensor, uniform: NDArray[np.float64], temperature: float) -> NDArray[np.int64]:
    """Next token of each row, (B, V), (B,) → (B,): the likeliest at temperature 0, else drawn with the row's number.

    Raises:
        BadInput: the logits are not finite, so there is nothing to draw from.
    """
    if temperature == 0:
        token = logits.argmax(-1, keepdim=True)
        total = logits.gather(1, token)
    else:
        sums = (logits.float() / temperature).softmax(-1).cumsum(-1, dtype=torch.float64)
        total = sums[:, -1:]  # 1, but for rounding
        point = torch.from_numpy(uniform).to(logits.device).unsqueeze(1) * total
        token = torch.searchsorted(sums, point, right=True).clamp(max=logits.shape[-1] - 1)
    if not total.isfinite().all():
        raise BadInput("the model's logits are not finite: its weights are broken")
    return token.squeeze(1).cpu().numpy()


def uniforms(seeds: NDArray[np.uint64], t: int | NDArray[np.int64]) -> NDArray[np.float64]:
    """Random number `t` of each seed, in [0, 1): SplitMix64 of seed + t, (B,) → (B,)."""
    with np.errstate(over="ignore"):
        z = seeds + (np.asarray(t).astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / 2.0**53
