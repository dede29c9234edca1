"""The embedded sampler against `model.generate`, against the softmax, and against itself in other company."""

from collections import Counter

import numpy as np
import pytest
import torch
from tiny_models import tiny_model
from transformers import PreTrainedModel

from sapo.models.encoding import Encoder
from sapo.models.nano import build_tokenizer
from sapo.records import BadInput, Cost
from sapo.sampling.decode_batch import uniforms
from sapo.sampling.hf_engine import LocalSampler
from sapo.sampling.protocol import Request

TEXT = "Ben has 15 coins. Cy has 3 more than Ben. How many does Cy have?\nCy : Ben + 3\n15 + 3 = 18\nanswer 18\n"
TOKENIZER = build_tokenizer([TEXT], ["Ben", "Cy"])
# 12, 7 and 1 tokens, and more than any window below.
PROMPTS = ["Cy : Ben + 3\n15 + 3 = 18\n", "Ben + 3\nCy\n", "9", "15 + 3 = 18\n" * 5, "xyz é\n"]


def sampler(architecture: str = "qwen2", rows: int = 64, window: int = 64) -> LocalSampler:
    return LocalSampler(tiny_model(architecture, len(TOKENIZER), window=window), Encoder(TOKENIZER), rows)


def requests(texts: list[str], first_seed: int = 0) -> list[Request]:
    return [Request(text, "", first_seed + 10**15 * i) for i, text in enumerate(texts)]


def text_of(ids: list[int]) -> str:
    return TOKENIZER.batch_decode([ids], skip_special_tokens=True)[0]


def generated(drawer: LocalSampler, prompt: str, limit: int) -> str:
    """What transformers' own loop writes after one prompt, alone and unpadded."""
    ids = torch.tensor([drawer.encoder.prompt_ids(prompt)])
    eos = drawer.encoder.eos_id
    out = drawer.model.generate(  # pyright: ignore[reportCallIssue]
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=limit,
        eos_token_id=eos,
        pad_token_id=0,
    )
    new = [token for token in out[0, ids.shape[1] :].tolist() if token != eos]
    return text_of(new)


def recomputed(model: PreTrainedModel, ids: list[int], limit: int) -> list[int]:
    """Greedy tokens without any cache or padding: the whole text is read again for every token."""
    with torch.inference_mode():
        for _ in range(limit):
            ids = [*ids, int(model(torch.tensor([ids])).logits[0, -1].argmax())]
    return ids[-limit:]


@pytest.mark.parametrize("architecture", ["qwen2", "gemma2", "gemma", "llama", "phi"])
def test_greedy_equals_generate_token_for_token(architecture: str) -> None:
    """Prompts of different lengths stand in one batch, so that all but the longest are padded on the left."""
    drawer = sampler(architecture)
    completions, cost = drawer.complete(requests(PROMPTS), 0.0, 20)
    assert [c.text for c in completions] == [generated(drawer, prompt, 20) for prompt in PROMPTS]
    assert all(c.finished == (c.tokens < 20) for c in completions)
    assert (cost.rollouts, cost.generated_tokens) == (5, sum(c.tokens for c in completions))
    assert len({c.text for c in completions}) >= 4, "a model that ignores its prompt tests nothing"


def test_sliding_windows_shorter_than_the_text_survive_left_padding() -> None:
    """Gemma 2's every other layer sees 8 tokens only; prompts have up to 30 and 24 follow.

    The reference has neither cache nor padding. A window of 64 writes something else, so the window matters.
    """
    drawer, wide = sampler("gemma2", window=8), sampler("gemma2", window=64)
    completions, _ = drawer.complete(requests(PROMPTS), 0.0, 24)
    for prompt, completion in zip(PROMPTS, completions, strict=True):
        ids = list(drawer.encoder.prompt_ids(prompt))
        assert completion.text == text_of(recomputed(drawer.model, ids, 24))
    assert [c.text for c in wide.complete(requests(PROMPTS), 0.0, 24)[0]] != [c.text for c in completions]


def test_sliding_windows_survive_rows_that_leave_the_batch() -> None:
    """Many short rows end early (context 40), the batch is compacted, the others go on as if alone."""
    drawer = sampler("gemma2", window=8)
    drawer.context = 40
    texts = ["15 + 3 = 18\n" * 5, "15 + 3 = 18\n" * 4 + "9", "15 + 3 = 18\n" * 5 + "Ben", "9", "Cy : "]
    together = drawer.complete(requests(texts, 7), 1.0, 30)[0]
    alone = [drawer.complete([request], 1.0, 30)[0][0] for request in requests(texts, 7)]
    assert together == alone
    assert len({c.tokens for c in together}) > 2


@pytest.mark.parametrize("architecture", ["qwen2", "gemma2"])
def test_a_seed_decides_its_text_whatever_the_batch_and_the_order(architecture: str) -> None:
    asked = [Request(PROMPTS[i % 5], "Cy" if i % 2 else "", i) for i in range(24)]
    by_rows = [sampler(architecture, rows).complete(asked, 1.0, 12)[0] for rows in (1, 3, 64)]
    assert by_rows[0] == by_rows[1] == by_rows[2]
    backwards = sampler(architecture).complete(asked[::-1], 1.0, 12)[0][::-1]
    assert backwards == by_rows[0]
    assert sampler(architecture).complete(asked[7:9], 1.0, 12)[0] == by_rows[0][7:9]
    assert len({c.text for c in by_rows[0]}) == 24, "other seeds write other texts"


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_sampling_has_the_distribution_of_the_softmax(temperature: float) -> None:
    """First token over 4,000 seeds: chi-square of k cells has mean k - 1 and deviation sqrt(2k - 2)."""
    drawer, count = sampler(), 4000
    completions, _ = drawer.complete([Request(PROMPTS[0], "", 977 * i) for i in range(count)], temperature, 1)
    with torch.inference_mode():
        logits = drawer.model(torch.tensor([drawer.encoder.prompt_ids(PROMPTS[0])])).logits[0, -1]
    expected: Counter[str] = Counter()
    for token, share in enumerate((logits.double() / temperature).softmax(-1).tolist()):
        expected[text_of([token])] += count * share
    seen = Counter(c.text for c in completions)
    common = [text for text in expected if expected[text] >= 5]
    cells = [(seen[text], expected[text]) for text in common]
    cells.append((count - sum(s for s, _ in cells), count - sum(e for _, e in cells)))
    statistic, freedom = sum((s - e) ** 2 / e for s, e in cells), len(cells) - 1
    assert freedom >= 20
    assert statistic < freedom + 4 * (2 * freedom) ** 0.5


def test_uniforms_are_uniform_and_of_their_own() -> None:
    """SplitMix64: mean 1/2 and variance 1/12 over 10,000 seeds; consecutive draws do not correlate."""
    seeds = np.arange(10_000, dtype=np.uint64)
    first, second = uniforms(seeds, 0), uniforms(seeds, 1)
    assert first.min() >= 0 and first.max() < 1
    assert first.mean() == pytest.approx(1 / 2, abs=0.012) and first.var() == pytest.approx(1 / 12, abs=0.004)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.04
    # Published first output of SplitMix64 seeded with 0, its upper 53 bits: e220a8397b1dcdaf.
    assert uniforms(np.zeros(1, dtype=np.uint64), 0)[0] == (0xE220A8397B1DCDAF >> 11) / 2**53


def test_equal_prompts_are_read_once_in_a_batch() -> None:
    """Ten completions of a prompt of 7 tokens and one of 1 token: 8 prompt tokens; one row at a time pays for each."""
    asked = [Request(PROMPTS[1], "", i) for i in range(10)] + [Request(PROMPTS[2], "", 99)]
    ids = [len(sampler().encoder.prompt_ids(prompt)) for prompt in PROMPTS[1:3]]
    assert sampler().complete(asked, 1.0, 3)[1].prompt_tokens == sum(ids)
    assert sampler(rows=1).complete(asked, 1.0, 3)[1].prompt_tokens == 10 * ids[0] + ids[1]


def test_a_prefix_is_read_as_its_own_text_behind_the_prompt() -> None:
    """Prompt and prefix are tokenised apart, as training does; together they are what a longer prompt says."""
    split_ = sampler().complete([Request("Cy : Ben + 3\n", "15 + 3 = 18\n", 5)], 1.0, 10)
    whole = sampler().complete([Request("Cy : Ben + 3\n15 + 3 = 18\n", "", 5)], 1.0, 10)
    assert split_ == whole


def test_drawing_stops_at_the_end_token_which_is_counted_and_not_shown() -> None:
    """The fourth greedy token is made the end: three tokens of text, four drawn, beside rows that never meet it."""
    drawer = sampler()
    ids = list(drawer.encoder.prompt_ids(PROMPTS[0]))
    greedy = recomputed(drawer.model, ids, 12)
    position = next(i for i in range(2, 12) if greedy[i] not in greedy[:i])
    drawer.encoder.eos_id = greedy[position]
    completions, cost = drawer.complete(requests(PROMPTS), 0.0, 12)
    assert completions[0].text == text_of(greedy[:position])
    assert (completions[0].tokens, completions[0].finished) == (position + 1, True)
    assert [c.text for c in completions] == [generated(drawer, prompt, 12) for prompt in PROMPTS]
    assert cost.generated_tokens == sum(c.tokens for c in completions) < 60


def test_rows_that_end_take_their_own_seeds_with_them() -> None:
    """A token that is drawn often is made the end, so that rows leave from everywhere; the others go on as if alone."""
    drawer, single = sampler(), sampler(rows=1)
    common = recomputed(drawer.model, list(drawer.encoder.prompt_ids(PROMPTS[0])), 1)[0]
    drawer.encoder.eos_id = single.encoder.eos_id = common
    asked = [Request(PROMPTS[0], "", i) for i in range(24)]
    together = drawer.complete(asked, 1.0, 30)[0]
    assert together == single.complete(asked, 1.0, 30)[0]
    assert 6 <= sum(c.finished for c in together) <= 23


def test_each_row_has_the_context_to_itself() -> None:
    """Context 16: a prompt of 15 tokens gets one token more, a prompt of 1 beside it its full twelve."""
    drawer = sampler()
    drawer.context = 16
    long = "15\n" * 7 + "9"
    assert len(drawer.encoder.prompt_ids(long)) == 15
    together = drawer.complete(requests([long, "9"]), 1.0, 12)[0]
    assert [c.tokens for c in together] == [1, 12]
    assert together[1] == drawer.complete(requests([long, "9"])[1:], 1.0, 12)[0][0]


def test_a_prompt_without_room_is_answered_by_nothing_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Context 16: of the prompts of 16, 1 and 15 + 1 (with its prefix) tokens only the second is completed."""
    drawer = sampler()
    drawer.context = 16
    drawer.what = "evaluate: sft"
    asked = [Request("9\n" * 8, "", 0), Request("9", "", 0), Request("9\n" * 7 + "9", "\n", 0)]
    (first, second, third), cost = drawer.complete(asked, 1.0, 5)
    assert (first.text, first.tokens, first.finished) == ("", 0, False) == (third.text, third.tokens, third.finished)
    alone, spent = drawer.complete(asked[1:2], 1.0, 5)
    assert (second, cost.rollouts, cost.flops) == (alone[0], 3, spent.flops)
    said = [line for line in capsys.readouterr().err.splitlines() if "room" in line]
    assert said == [
        "evaluate: sft: 2 of 3 prompts leave no room in the context of 16 tokens and are answered by nothing; "
        f"one of 16 tokens begins {asked[0].prompt!r}"
    ]


def test_a_context_too_small_for_every_prompt_is_an_error() -> None:
    drawer = sampler()
    drawer.context = 16
    with pytest.raises(BadInput, match=r"1 of 1 prompts leave no room in the context of 16 tokens; one of 16 tokens"):
        drawer.complete([Request("9\n" * 8, "", 0)], 1.0, 5)
    assert drawer.complete([Request("9\n" * 7, "9\n", 0)], 1.0, 5)[0][0].text == ""  # a rollout's prefix may be long
    with pytest.raises(BadInput, match="prompt of 0 tokens"):
        drawer.complete([Request("", "", 0)], 1.0, 5)


def test_nothing_asked_costs_nothing() -> None:
    assert sampler().complete([], 1.0, 5) == ([], Cost())
    completions, cost = sampler().complete(requests(PROMPTS[:1]), 1.0, 0)
    assert (completions[0].text, completions[0].finished, cost.generated_tokens) == ("", False, 0)


def test_flops_of_one_request_by_hand() -> None:
    """Qwen2 of width 32, MLP 48, 2 layers, 4 heads of 8, 2 of them for keys; V tokens; 5 prompt tokens, 3 drawn.

    A token through a layer: q and o 2 · 32 · 32, k and v 2 · 32 · 16, MLP 3 · 32 · 48: 2048 + 1024 + 4608 = 7680
    products, 2 FLOPs each, two layers: 30,720. A query and a key: 8 products for the score and 8 for the value,
    4 heads, 2 layers, 2 FLOPs: 256. Logits of a token: 2 · 32 · V = 64 V.
    The prompt is 5 tokens over 5 keys. Its logits give the first token; feeding it sees 6 keys and gives the
    second, feeding that sees 7 and gives the third, which is never fed.
    """
    prompt = "15 + 3"
    drawer = sampler()
    assert len(drawer.encoder.prompt_ids(prompt + "\n\n")) == 5
    cost = drawer.complete([Request(prompt, "\n\n", 0)], 0.0, 3)[1]
    vocabulary = len(TOKENIZER)
    by_hand = (5 * 30_720 + 25 * 256) + 64 * vocabulary + (30_720 + 6 * 256 + 64 * vocabulary)
    by_hand += 30_720 + 7 * 256 + 64 * vocabulary
    assert (cost.flops, cost.prompt_tokens, cost.generated_tokens) == (by_hand, 5, 3)


def test_flops_of_many_add_up() -> None:
    """Different prompts of one batch share nothing: the sum of each alone, padding not counted."""
    drawer = sampler()
    together = drawer.complete(requests(PROMPTS), 0.0, 6)[1]
    alone = [drawer.complete([request], 0.0, 6)[1] for request in requests(PROMPTS)]
    assert together == sum(alone, Cost())
