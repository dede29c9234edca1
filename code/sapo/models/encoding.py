"""Prompts, completions and steps to token ids: one encoder for training, scoring and sampling.

1. Prompt and completion are tokenised apart, because that is what generation sees: it is given the prompt's ids and
   appends the completion's.
2. Step ends are found by character offsets, never by searching for a token id (docs/method.md §5): newlines
   merge with their neighbours differently in every tokenizer.
3. The tokenizer's leading specials (BOS) come once, also where the prompt's text begins with them. Names of special
   tokens are special tokens in a prompt, where chat templates put them, and plain text in a completion.
4. A row with more tokens than the model has positions is refused; whoever makes training sets leaves such trajectories
   out and counts them (`Encoder.attempt_steps`).
"""

import itertools
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from tokenizers import Encoding, Tokenizer
from transformers import PreTrainedTokenizerBase

from sapo.records import BadInput

POOL = 32  # batches whose rows are sorted by length together; larger pads less and shuffles less


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of prompt and completion; `step_ends[j]` is the index in `ids` of the token that ends step j."""

    ids: tuple[int, ...]
    completion_start: int
    step_ends: tuple[int, ...] = ()


class Encoder:
    """Turns text into ids for one tokenizer. Special tokens added to the tokenizer later are not seen.

    Args:
        positions: the most tokens of a row, end token included; None: any number.

    Raises:
        ValueError: the tokenizer is not a fast one (no offsets), or has no end-of-sequence token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, positions: int | None = None) -> None:
        if not tokenizer.is_fast:
            raise ValueError(f"{type(tokenizer).__name__} of {tokenizer.name_or_path!r} is no fast tokenizer")
        if not isinstance(tokenizer.eos_token_id, int):
            raise ValueError(f"the tokenizer of {tokenizer.name_or_path!r} has no end-of-sequence token")
        self.tokenizer = tokenizer
        self.positions = positions
        self.eos_id: int = tokenizer.eos_token_id
        # Right padding is never attended to, so any id will do where the tokenizer names none.
        self.pad_id: int = tokenizer.pad_token_id if isinstance(tokenizer.pad_token_id, int) else self.eos_id
        self.leading: tuple[int, ...] = _leading_specials(tokenizer)
        leading = "".join(cast(list[str], tokenizer.convert_ids_to_tokens(list(self.leading))))
        self._leading_text = re.compile(rf"\A(?:{re.escape(leading)})*")
        self._plain, names = _without_post_processor(tokenizer)
        # Where the name of a special token begins. Cut behind its first character, it is not taken for the token.
        self._names = re.compile(f"(?={'|'.join(map(re.escape, names)) or '(?!)'})")

    def prompt_ids(self, prompt: str) -> tuple[int, ...]:
        """Ids of a prompt, after the tokenizer's own leading specials (BOS); trailing ones are never added."""
        return self._prompts([prompt])[0]

    def completion_ids(self, completion: str) -> tuple[int, ...]:
        """Ids of a text on its own, without specials."""
        return tuple(self._completions([completion])[0].ids)

    def text(self, ids: Sequence[int]) -> str:
        """The text of drawn ids; special tokens leave no trace in it."""
        return self._plain.decode(list(ids), skip_special_tokens=True)

    def encode(self, prompt: str, completion: str, eos: bool = True) -> Encoded:
        """Prompt ids, completion ids and (by default) the end-of-sequence token."""
        return self.encode_many([(prompt, completion)], eos)[0]

    def encode_many(self, items: Sequence[tuple[str, str]], eos: bool = True) -> list[Encoded]:
        """`encode` for many (prompt, completion) at once; much faster than one by one.

        Raises:
            BadInput: a row has more tokens than the model has positions.
        """
        end = (self.eos_id,) if eos else ()
        prompts = self._prompts([prompt for prompt, _ in items])
        completions = self._completions([completion for _, completion in items])
        encoded = []
        for item, start, completion in zip(items, prompts, completions, strict=True):
            encoded.append(Encoded((*start, *completion.ids, *end), len(start)))
            if reason := self._too_long(len(encoded[-1].ids)):
                raise BadInput(f"text {len(encoded)} of {len(items)} {reason}; it begins {item!r:.80}")
        return encoded

    def encode_steps(self, prompt: str, steps: Sequence[str]) -> Encoded:
        """Ids of a prompt and its steps (no end token), with the index of the token that ends each step.

        Raises:
            BadInput: see `attempt_steps`.
        """
        return self.encode_steps_many([(prompt, steps)])[0]

    def encode_steps_many(self, items: Sequence[tuple[str, Sequence[str]]]) -> list[Encoded]:
        """`encode_steps` for many (prompt, steps) at once."""
        encoded = self.attempt_steps(items)
        if reasons := [row for row in encoded if isinstance(row, str)]:
            raise BadInput(reasons[0])
        return cast(list[Encoded], encoded)

    def attempt_steps(self, items: Sequence[tuple[str, Sequence[str]]]) -> list[Encoded | str]:
        """Ids of every (prompt, steps), or why they can neither be scored nor trained on.

        A step is empty, or one token ends two steps, so that they cannot be told apart; or the row with its end token
        has more tokens than the model has positions.
        """
        prompts = self._prompts([prompt for prompt, _ in items])
        texts = self._completions(["".join(steps) for _, steps in items])
        encoded: list[Encoded | str] = []
        for (_, steps), start, text in zip(items, prompts, texts, strict=True):
            ends, ids = _step_ends(text.offsets, steps), (*start, *text.ids)
            if isinstance(ends, str):
                encoded.append(ends)
            else:
                row = Encoded(ids, len(start), tuple(len(start) + end for end in ends))
                encoded.append(self._too_long(len(ids) + 1) or row)
        return encoded

    def _too_long(self, tokens: int) -> str:
        if self.positions is None or tokens <= self.positions:
            return ""
        return f"has {tokens} tokens with its prompt and end token, the model has {self.positions} positions"

    def _prompts(self, prompts: Sequence[str]) -> list[tuple[int, ...]]:
        texts = [self._leading_text.sub("", prompt) for prompt in prompts]
        return [(*self.leading, *one.ids) for one in self._plain.encode_batch(texts, add_special_tokens=False)]

    def _completions(self, texts: Sequence[str]) -> list[Encoding]:
        """Tokens of texts, in which names of special tokens are text like any other."""
        found = self._plain.encode_batch(list(texts), add_special_tokens=False)
        for number, text in enumerate(texts):
            if starts := [match.start() for match in self._names.finditer(text)]:
                cuts = [0, *(start + 1 for start in starts), len(text)]
                pieces = [text[a:b] for a, b in itertools.pairwise(cuts)]
                found[number] = Encoding.merge(self._plain.encode_batch(pieces, add_special_tokens=False), True)
        return found


def _leading_specials(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    marked = tokenizer("a", add_special_tokens=True, return_special_tokens_mask=True)
    ids, mask = marked["input_ids"], marked["special_tokens_mask"]
    return tuple(ids[: mask.index(0)])


def _without_post_processor(tokenizer: PreTrainedTokenizerBase) -> tuple[Tokenizer, list[str]]:
    """A private copy of the Rust tokenizer that adds no specials and pads nothing, and the names of its special tokens.

    A byte-level post-processor with `trim_offsets` reports a newline token as holding no character at all.
    """
    backend = cast(Tokenizer, tokenizer.backend_tokenizer)
    parts = json.loads(backend.to_str())
    parts |= {"post_processor": None, "padding": None, "truncation": None}
    names = [token["content"] for token in parts["added_tokens"] if token["special"] and len(token["content"]) > 1]
    return Tokenizer.from_str(json.dumps(parts)), names


def _step_ends(offsets: Sequence[tuple[int, int]], steps: Sequence[str]) -> list[int] | str:
    """Index of the token that holds the last character of every step: the last one that starts before its end.

    The last one, because a character of several bytes may be split over tokens that all claim it. A character
    that the tokenizer drops (a word-level one drops newlines) counts with the token before it. A text says which step
    cannot be told from the one before it.
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
            return f"{where} {reason}, so it cannot be scored"
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
