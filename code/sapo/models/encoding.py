"""One encoder for training, scoring and benchmarks: prompts and completions to token ids, steps to token positions.

Prompt and completion are tokenised apart, because that is what generation sees: it is given the prompt's ids and
appends the completion's. Step ends are found by character offsets, never by searching for a token id
(method.md §5): newlines merge with their neighbours differently in every tokenizer.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

POOL = 32  # batches whose rows are sorted by length together; larger pads less and shuffles less


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of prompt and completion; `step_ends[j]` is the index in `ids` of the token that ends step j."""

    ids: tuple[int, ...]
    completion_start: int
    step_ends: tuple[int, ...] = ()


class Encoder:
    """Turns text into ids for one tokenizer. Special tokens added to the tokenizer later are not seen.

    Raises:
        ValueError: the tokenizer is not a fast one (no offsets), or has no end-of-sequence token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if not tokenizer.is_fast:
            raise ValueError(f"{type(tokenizer).__name__} of {tokenizer.name_or_path!r} is no fast tokenizer")
        if not isinstance(tokenizer.eos_token_id, int):
            raise ValueError(f"the tokenizer of {tokenizer.name_or_path!r} has no end-of-sequence token")
        self.tokenizer = tokenizer
        self.eos_id: int = tokenizer.eos_token_id
        # Right padding is never attended to, so any id will do where the tokenizer names none.
        self.pad_id: int = tokenizer.pad_token_id if isinstance(tokenizer.pad_token_id, int) else self.eos_id
        self.leading: tuple[int, ...] = _leading_specials(tokenizer)
        self._plain = _without_post_processor(tokenizer)

    def prompt_ids(self, prompt: str) -> tuple[int, ...]:
        """Ids of a prompt, after the tokenizer's own leading specials (BOS); trailing ones are never added."""
        return self.leading + self.completion_ids(prompt)

    def completion_ids(self, completion: str) -> tuple[int, ...]:
        """Ids of a text on its own, without specials."""
        return tuple(self._plain.encode(completion, add_special_tokens=False).ids)

    def text(self, ids: Sequence[int]) -> str:
        """The text of drawn ids; special tokens leave no trace in it."""
        return self._plain.decode(list(ids), skip_special_tokens=True)

    def encode(self, prompt: str, completion: str, eos: bool = True) -> Encoded:
        """Prompt ids, completion ids and (by default) the end-of-sequence token."""
        return self.encode_many([(prompt, completion)], eos)[0]

    def encode_many(self, items: Sequence[tuple[str, str]], eos: bool = True) -> list[Encoded]:
        """`encode` for many (prompt, completion) at once; much faster than one by one."""
        end = (self.eos_id,) if eos else ()
        prompts = self._plain.encode_batch([prompt for prompt, _ in items], add_special_tokens=False)
        completions = self._plain.encode_batch([completion for _, completion in items], add_special_tokens=False)
        encoded = []
        for prompt, completion in zip(prompts, completions, strict=True):
            start = self.leading + tuple(prompt.ids)
            encoded.append(Encoded(start + tuple(completion.ids) + end, len(start)))
        return encoded

    def encode_steps(self, prompt: str, steps: Sequence[str]) -> Encoded:
        """Ids of a prompt and its steps (no end token), with the index of the token that ends each step.

        Raises:
            ValueError: a step is empty, or one token ends two steps, so that they cannot be told apart.
        """
        return self.encode_steps_many([(prompt, steps)])[0]

    def encode_steps_many(self, items: Sequence[tuple[str, Sequence[str]]]) -> list[Encoded]:
        """`encode_steps` for many (prompt, steps) at once."""
        prompts = self._plain.encode_batch([prompt for prompt, _ in items], add_special_tokens=False)
        texts = self._plain.encode_batch(["".join(steps) for _, steps in items], add_special_tokens=False)
        encoded = []
        for (_, steps), prompt, text in zip(items, prompts, texts, strict=True):
            start = self.leading + tuple(prompt.ids)
            ends = _step_ends(text.offsets, steps)
            encoded.append(Encoded(start + tuple(text.ids), len(start), tuple(len(start) + end for end in ends)))
        return encoded


def _leading_specials(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    marked = tokenizer("a", add_special_tokens=True, return_special_tokens_mask=True)
    ids, mask = marked["input_ids"], marked["special_tokens_mask"]
    return tuple(ids[: mask.index(0)])


def _without_post_processor(tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
    """A private copy of the Rust tokenizer that adds no specials, pads nothing and keeps whitespace in its offsets.

    A byte-level post-processor with `trim_offsets` reports a newline token as holding no character at all.
    """
    backend = cast(Tokenizer, tokenizer.backend_tokenizer)
    parts = json.loads(backend.to_str())
    parts |= {"post_processor": None, "padding": None, "truncation": None}
    return Tokenizer.from_str(json.dumps(parts))


def _step_ends(offsets: Sequence[tuple[int, int]], steps: Sequence[str]) -> list[int]:
    """Index of the token that holds the last character of every step: the last one that starts before its end.

    The last one, because a character of several bytes may be split over tokens that all claim it. A character
    that the tokenizer drops (a word-level one drops newlines) counts with the token before it.
    """
    ends: list[int] = []
    token, end = -1, 0
    for number, step in enumerate(steps, start=1):
        end += len(step)
        previous = token
        while token + 1 < len(offsets) and offsets[token + 1][0] < end:
            token += 1
        if token == previous:
            where = f"step {number} of {len(steps)} ({step!r})"
            reason = "is empty" if not step else "ends in no token of its own: the tokenizer merges or drops it"
            raise ValueError(f"{where} {reason}, so it cannot be scored")
        ends.append(token)
    return ends


def pad_rows(rows: Sequence[Sequence[int]], pad_id: int) -> torch.Tensor:
    """Rows of ids as one (rows, longest) tensor, padded on the right.

    With a causal model no attention mask is owed: a real token never sees the padding that follows it.
    """
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[pad_id] * (longest - len(row))] for row in rows])


class Size(NamedTuple):
    """Of one row: its length in tokens, and how many examples it holds."""

    tokens: int
    examples: int = 1


def bucketed_batches(sizes: Sequence[Size], batch_size: int, seed: str) -> list[list[int]]:
    """Indices of all rows, in batches of similar length, in an order that only `seed` decides.

    A batch holds `batch_size` examples, or as many below that as whole rows make; a row with more is a batch of its
    own. Rows are shuffled, cut into pools of `POOL` batches, sorted by length within a pool and cut into batches; then
    the batches are shuffled. Every row comes exactly once.
    """
    chance = random.Random(seed)
    order = list(range(len(sizes)))
    chance.shuffle(order)
    batches = []
    for pool in filled(order, sizes, POOL * batch_size):
        batches += filled(sorted(pool, key=lambda row: sizes[row].tokens), sizes, batch_size)
    chance.shuffle(batches)
    return batches


def filled(rows: Sequence[int], sizes: Sequence[Size], examples: int) -> list[list[int]]:
    """The rows in order, cut so that no part holds more examples."""
    parts: list[list[int]] = []
    held = 0
    for row in rows:
        if not parts or held + sizes[row].examples > examples:
            parts.append([])
            held = 0
        parts[-1].append(row)
        held += sizes[row].examples
    return parts


def budgeted_batches(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Indices of all rows, longest first, in batches of at most `tokens` padded tokens (for inference)."""
    batches: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches
