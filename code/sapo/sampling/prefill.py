"""Prefill: prompts to keys and values, one pass over the tokens that the prefix cache does not hold.

Prompts share the keys and values of a common prefix: prefixes of one trajectory, trajectories of one question.
`PrefixStore` is the cache, `Reading` one pass. A token at position p is at index p of every tensor, as in `slots.py`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache

from sapo.models.flops import head_dim, key_heads
from sapo.models.prefix_trees import common
from sapo.sampling.kv_cache import Layer, masks

Prompt = tuple[int, ...]
BLOCK = 8  # tokens by which prompts are looked up; a shorter common beginning is read again


class PrefixStore:
    """States (2 layers, heads, tokens, size) of prompts, the least recently used forgotten first.

    Args:
        tokens: kept at most, over all prompts, between two batches; 0 keeps nothing.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self.kept = 0
        self._states: dict[Prompt, Tensor] = {}  # in the order of their last use
        self._begins: dict[Prompt, Prompt] = {}  # every beginning of a multiple of BLOCK tokens → the newest with it

    def longest(self, prompt: Prompt) -> tuple[int, Prompt]:
        """How many of its first tokens are known, never all (the last one must be fed), and of which prompt."""
        for length in range(len(prompt) // BLOCK * BLOCK, 0, -BLOCK):
            found = self._begins.get(prompt[:length])
            if found is not None:
                return min(common(prompt, found), len(prompt) - 1), found
        return 0, ()

    def states(self, prompt: Prompt) -> Tensor:
        """Those of a prompt that `longest` named, which was used last now."""
        self._states[prompt] = state = self._states.pop(prompt)
        return state

    def keep(self, prompts: Sequence[Prompt], states: Tensor) -> None:
        """Keep what a pass has read: states (2 layers, prompts, heads, width, size)."""
        if not self.tokens:
            return
        for row, prompt in enumerate(prompts):
            if prompt in self._states:
                continue
            self._states[prompt] = states[:, row, :, : len(prompt)].clone()
            self.kept += len(prompt)
            for length in range(BLOCK, len(prompt) + 1, BLOCK):
                self._begins[prompt[:length]] = prompt

    def forget(self) -> None:
        """Down to the limit."""
        while self.kept > self.tokens:
            oldest = next(iter(self._states))
            del self._states[oldest]
            self.kept -= len(oldest)
            for length in range(BLOCK, len(oldest) + 1, BLOCK):
                if self._begins.get(oldest[:length]) == oldest:
                    del self._begins[oldest[:length]]

    def passes(self, prompts: Sequence[Prompt]) -> tuple[list[Prompt], list[Prompt]]:
        """Different prompts that should be read now, and those that gain `BLOCK` tokens by waiting for them."""
        if not self.tokens:
            return list(prompts), []
        now: list[Prompt] = []
        later: list[Prompt] = []
        # Backwards: the longest prefix of a trajectory comes first and leaves a single token of the others to read.
        for prompt in sorted(prompts, reverse=True):
            gained = common(prompt, now[-1]) - self.longest(prompt)[0] if now else 0
            (later if gained >= BLOCK else now).append(prompt)
        return now, later


class Reading(Cache):
    """One pass over the unread ends of some prompts: `states` (2 layers, prompts, heads, width, size) fill up.

    Ends are aligned on the right, so that the last token of each prompt comes last. What pads them on the left is
    written to the last index of the width, which no token sees.

    Args:
        known: of each prompt, how many tokens are known, and the states that hold them (None with 0).
    """

    def __init__(
        self, model: PreTrainedModel, prompts: Sequence[Prompt], known: Sequence[tuple[int, Tensor | None]]
    ) -> None:
        self.model = model
        self.config: PretrainedConfig = model.config
        device = model.device
        longest = max(len(prompt) - start for prompt, (start, _) in zip(prompts, known, strict=True))
        width = max(map(len, prompts)) + 1
        layers, heads = self.config.num_hidden_layers, key_heads(self.config)
        shape = (2 * layers, len(prompts), heads, width, head_dim(self.config))
        self.states = torch.zeros(shape, dtype=model.dtype, device=device)
        ids = torch.zeros(len(prompts), longest, dtype=torch.long)
        positions = torch.zeros_like(ids)
        written = torch.full_like(ids, width - 1)
        for row, (prompt, (start, state)) in enumerate(zip(prompts, known, strict=True)):
            if state is not None:
                self.states[:, row, :, :start] = state[:, :, :start]
            unread = len(prompt) - start
            ids[row, -unread:] = torch.tensor(prompt[start:])
            positions[row, -unread:] = written[row, -unread:] = torch.arange(start, len(prompt))
        self.ids, self.positions = ids.to(device), positions.to(device)
        rows = torch.arange(len(prompts) * heads).view(len(prompts), heads, 1) * width
        at = (rows + written.unsqueeze(1)).view(-1).to(device)
        caches = [Layer(self.states[2 * i], self.states[2 * i + 1], at) for i in range(layers)]
        super().__init__(layers=[*caches])

    def logits(self) -> Tensor:
        """Read; the logits behind the last token of each prompt, (prompts, vocabulary)."""
        output = self.model(
            input_ids=self.ids,
            attention_mask=masks(self.positions, self.states.shape[3], self.config, self.model.dtype),
            position_ids=self.positions,
            past_key_values=self,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1]
