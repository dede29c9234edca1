"""Prompts that begin alike are read once, and nothing that is drawn depends on it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import tiny_model

from sapo.models.encoding import Encoder
from sapo.models.flops import attention_flops, prefill_flops, read_flops, token_flops
from sapo.models.nano import build_tokenizer
from sapo.models.prefix_trees import common
from sapo.sampling.hf_engine import LocalSampler
from sapo.sampling.prefill import BLOCK, PrefixStore, Reading
from sapo.sampling.protocol import Request

TEXT = "Ben has 15 coins. Cy has 3 more than Ben. How many does Cy have?\nCy : Ben + 3\n15 + 3 = 18\nanswer 18\n"
TOKENIZER = build_tokenizer([TEXT], ["Ben", "Cy"])
QUESTIONS = ["Ben has 15 coins.\n", "Cy has 3 more than Ben. How many does Cy have?\n"]
STEPS = ["15 + 3 = 18\n", "Cy : Ben + 3\n", "answer 18\n"]


def sampler(architecture: str, cached_tokens: int, rows: int = 64) -> LocalSampler:
    model = tiny_model(architecture, len(TOKENIZER), window=8)
    return LocalSampler(model, Encoder(TOKENIZER), rows, cached_tokens=cached_tokens)


prefixes = st.tuples(
    st.sampled_from(QUESTIONS), st.lists(st.sampled_from(STEPS), max_size=4).map("".join), st.integers(0, 10**6)
)


@pytest.mark.parametrize("architecture", ["qwen2", "gemma2", "llama"])
@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.lists(prefixes, min_size=1, max_size=8), min_size=1, max_size=3),
    st.sampled_from([1, 40, 10**6]),
    st.sampled_from([2, 64]),
)
def test_what_is_kept_changes_no_completion(
    architecture: str, calls: list[list[tuple[str, str, int]]], cached_tokens: int, rows: int
) -> None:
    """Call after call, whatever is kept or forgotten; windows of 8 tokens are shorter than all prompts."""
    plain, keeping = sampler(architecture, 0), sampler(architecture, cached_tokens, rows)
    for asked in calls:
        requests = [Request(*one) for one in asked]
        expected, whole = plain.complete(requests, 1.0, 10)
        found, part = keeping.complete(requests, 1.0, 10)
        assert found == expected
        assert part.generated_tokens == whole.generated_tokens
        assert keeping._store.kept <= cached_tokens
    everything = [Request(*one) for asked in calls for one in asked]
    assert keeping.complete(everything, 1.0, 10)[0] == plain.complete(everything, 1.0, 10)[0]


def test_a_prefix_asked_again_costs_one_token() -> None:
    """The last token is fed again, because the first draw comes from it; a longer prefix costs what it is longer."""
    drawer = sampler("qwen2", 10**6)
    encoder, config = drawer.encoder, drawer.model.config
    long = len(encoder.prompt_ids(QUESTIONS[1])) + len(encoder.completion_ids(STEPS[0]))
    longer = long + len(encoder.completion_ids(STEPS[1]))
    for steps, read, length in (
        (STEPS[0], long, long),
        (STEPS[0], 1, long),
        (STEPS[0] + STEPS[1], longer - long, longer),
    ):
        _, cost = drawer.complete([Request(QUESTIONS[1], steps, seed) for seed in range(3)], 1.0, 1)
        assert cost.prompt_tokens == read
        drawn = 3 * 2 * config.hidden_size * config.vocab_size  # the logits of the three first tokens
        assert cost.flops - drawn == read * token_flops(config) + attention_flops(config, read, length)


def test_prefixes_of_one_trajectory_are_read_with_the_longest() -> None:
    """Three prefixes in one call: the longest whole, of the two others the last token each."""
    drawer = sampler("llama", 10**6)
    ends = ["".join(STEPS[:count]) for count in (1, 2, 3)]
    _, cost = drawer.complete([Request(QUESTIONS[1], end, 7) for end in ends], 1.0, 1)
    whole = len(drawer.encoder.prompt_ids(QUESTIONS[1])) + len(drawer.encoder.completion_ids(ends[2]))
    assert cost.prompt_tokens == whole + 2


def test_the_least_recently_used_is_forgotten() -> None:
    """Room for 40 tokens; three prompts of 16 are kept, the first is used again, so the second goes."""
    store = PrefixStore(40)
    prompts = [tuple(range(first, first + 2 * BLOCK)) for first in (0, 100, 200)]
    for prompt in prompts[:2]:
        store.keep([prompt], torch.zeros(2, 1, 1, 17, 1))
    store.states(prompts[0])
    store.keep([prompts[2]], torch.zeros(2, 1, 1, 17, 1))
    store.forget()
    assert [store.longest(prompt)[0] for prompt in prompts] == [15, 0, 15]
    assert store.kept == 32


@given(st.lists(st.integers(0, 1), max_size=30), st.lists(st.integers(0, 1), max_size=30))
def test_the_common_beginning(one: list[int], other: list[int]) -> None:
    length = common(tuple(one), tuple(other))
    assert one[:length] == other[:length]
    assert length == min(len(one), len(other)) or one[length] != other[length]


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=40).map(tuple), min_size=1, max_size=12, unique=True))
def test_every_prompt_is_read_in_some_pass(prompts: list[tuple[int, ...]]) -> None:
    store, waiting, read = PrefixStore(10**6), prompts, []
    while waiting:
        now, waiting = store.passes(waiting)
        assert now
        store.keep(now, torch.zeros(2, len(now), 1, 41, 1))
        read += now
    assert sorted(read) == sorted(prompts)


@pytest.mark.parametrize("architecture", ["qwen2", "gemma2", "llama"])
def test_states_are_those_of_a_whole_pass(architecture: str) -> None:
    """Prompts of 12 and 9 tokens, of which 8 and none are known, beside one pass over each alone."""
    model = tiny_model(architecture, len(TOKENIZER), window=4)
    prompts = [tuple(range(3, 15)), tuple(range(5, 14))]
    with torch.inference_mode():
        first = Reading(model, [prompts[0][:8]], [(0, None)])
        first.logits()
        both = Reading(model, prompts, [(8, first.states[:, 0]), (0, None)])
        logits = both.logits()
        for row, prompt in enumerate(prompts):
            alone = Reading(model, [prompt], [(0, None)])
            torch.testing.assert_close(logits[row], alone.logits()[0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(logits[row], model(torch.tensor([prompt])).logits[0, -1], atol=1e-5, rtol=1e-4)
            width = len(prompt)
            torch.testing.assert_close(both.states[:, row, :, :width], alone.states[:, 0, :, :width])


def test_flops_of_an_end_and_of_a_whole() -> None:
    config = tiny_model("qwen2", 50).config
    assert read_flops(config, 9, 0) == prefill_flops(config, 9, with_head=False)
    assert read_flops(config, 9, 4) == 5 * token_flops(config) + attention_flops(config, 5, 9)
