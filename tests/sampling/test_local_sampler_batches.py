"""The embedded sampler's running batch: rows that join late and leave early, completions cut short, bad input."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import tiny_model
from transformers import PreTrainedModel

from sapo.models.encoding import Encoder
from sapo.models.nano import build_tokenizer
from sapo.records import BadInput, Cost
from sapo.sampling import hf_engine
from sapo.sampling.decode_batch import ROW, Batch, pick
from sapo.sampling.hf_engine import LocalSampler
from sapo.sampling.kv_cache import Slots, masks, one_query
from sapo.sampling.prefill import PrefixStore
from sapo.sampling.protocol import Completion, Request

TEXT = "Ben has 15 coins. Cy has 3 more than Ben. How many does Cy have?\nCy : Ben + 3\n15 + 3 = 18\nanswer 18\n"
TOKENIZER = build_tokenizer([TEXT], ["Ben", "Cy"])
PROMPTS = ["Cy : Ben + 3\n15 + 3 = 18\n", "Ben + 3\nCy\n", "9", "15 + 3 = 18\n" * 5, "xyz é\n"]
ARCHITECTURES = ["qwen2", "gemma2", "llama"]
MODELS = {name: tiny_model(name, len(TOKENIZER), window=8) for name in ARCHITECTURES}


def sampler(architecture: str = "qwen2", rows: int = 64, context: int = 256) -> LocalSampler:
    drawer = LocalSampler(MODELS[architecture], Encoder(TOKENIZER), rows)
    drawer.context = context
    return drawer


def asked(count: int) -> list[Request]:
    return [Request(PROMPTS[i % 5], "Cy" if i % 3 == 0 else "", 7 * i) for i in range(count)]


def first_line(text: str) -> int | None:
    """The length of the first line with its end, or None while there is none."""
    return text.index("\n") + 1 if "\n" in text else None


def generated(model: PreTrainedModel, encoder: Encoder, prompts: list[str], limit: int) -> list[list[int]]:
    """What transformers' own loop writes after prompts of different lengths, padded on the left in one batch."""
    rows = [encoder.prompt_ids(prompt) for prompt in prompts]
    longest = max(map(len, rows))
    ids = torch.tensor([[*[encoder.pad_id] * (longest - len(row)), *row] for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    out = model.generate(  # pyright: ignore[reportCallIssue]
        ids,
        attention_mask=mask,
        do_sample=False,
        max_new_tokens=limit,
        eos_token_id=encoder.eos_id,
        pad_token_id=encoder.pad_id,
    )
    return out[:, longest:].tolist()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_greedy_equals_batched_generate_where_rows_join_late(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eleven prompts through a batch of four rows; the token is made the end that ends them in most places."""
    monkeypatch.setattr(hf_engine, "REFILL", 0.75)
    prompts = [prompt + end for prompt in PROMPTS for end in ("", "Ben")] + ["18 = 3"]
    drawer = sampler(architecture, rows=4)
    drawn = generated(drawer.model, drawer.encoder, prompts, 12)
    drawer.encoder.eos_id = max(
        {token for row in drawn for token in row},
        key=lambda token: len({row.index(token) for row in drawn if token in row}),
    )
    drawn = generated(drawer.model, drawer.encoder, prompts, 12)
    completions, _ = drawer.complete([Request(prompt, "", 0) for prompt in prompts], 0.0, 12)
    kept = [row[: row.index(drawer.encoder.eos_id)] if drawer.encoder.eos_id in row else row for row in drawn]
    assert [c.text for c in completions] == [TOKENIZER.decode(row, skip_special_tokens=True) for row in kept]
    assert len({c.tokens for c in completions}) > 1, "rows that all end together test no late joining"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("refill", [0.9, hf_engine.REFILL])
def test_rows_that_join_late_draw_what_they_draw_alone(
    architecture: str, refill: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limits of 2 to 40 tokens (context 48) spread the ends; at 0.9 every row that leaves is replaced at once."""
    monkeypatch.setattr(hf_engine, "REFILL", refill)
    alone = [sampler(architecture, 1, 48).complete([request], 1.0, 40)[0][0] for request in asked(20)]
    for rows in (2, 5, 17):
        assert sampler(architecture, rows, 48).complete(asked(20), 1.0, 40)[0] == alone
    assert len({c.tokens for c in alone}) > 3


@settings(deadline=None, max_examples=15)
@given(st.data())
def test_any_batch_of_any_company_draws_the_same(data: st.DataObject) -> None:
    """Any selection, order and number of rows; with and without an early end."""
    until = data.draw(st.sampled_from([None, first_line]))
    chosen = data.draw(st.lists(st.integers(0, 19), min_size=1, max_size=20))
    rows = data.draw(st.integers(1, 24))
    together = sampler(rows=rows).complete([asked(20)[i] for i in chosen], 1.0, 10, until)[0]
    whole = sampler().complete(asked(20), 1.0, 10, until)[0]
    assert together == [whole[i] for i in chosen]


def test_an_early_end_cuts_the_text_and_changes_nothing_before_it() -> None:
    drawer = sampler(rows=6)
    whole, full_cost = drawer.complete(asked(30), 1.0, 20)
    short, cost = drawer.complete(asked(30), 1.0, 20, first_line)
    for long, cut in zip(whole, short, strict=True):
        length = first_line(long.text)
        assert cut.text == (long.text if length is None else long.text[:length])
        assert cut.finished == (long.finished or length is not None)
        assert cut.tokens <= long.tokens
    assert 3 <= sum("\n" in c.text for c in short) <= 29
    assert cost.generated_tokens == sum(c.tokens for c in short) < full_cost.generated_tokens
    assert cost.flops < full_cost.flops


def test_the_end_is_asked_for_after_newlines_and_at_the_last_token_only() -> None:
    """Every text it sees ends in a token with a newline, or is the whole completion."""
    seen: list[str] = []
    completions, _ = sampler().complete(asked(60), 1.0, 30, lambda text: seen.append(text))
    whole = Counter(c.text for c in completions)
    others = Counter(seen) - whole
    assert whole <= Counter(seen)
    assert others and all("\n" in text for text in others)
    assert all(any(c.text.startswith(text) for c in completions) for text in others)


def test_a_completion_may_be_complete_at_its_last_token() -> None:
    """Three greedy tokens without a newline: complete at length 1 all the same, three tokens paid."""
    drawer = sampler()
    (whole,), _ = drawer.complete([Request(PROMPTS[0], "", 0)], 0.0, 3)
    assert "\n" not in whole.text and len(whole.text) > 1
    (cut,), cost = drawer.complete([Request(PROMPTS[0], "", 0)], 0.0, 3, lambda text: 1)
    assert cut == Completion(whole.text[:1], 3, True)
    assert cost.generated_tokens == 3


@pytest.mark.parametrize("length", [-1, 1000])
def test_an_end_outside_the_text_is_an_error(length: int) -> None:
    with pytest.raises(ValueError, match=rf"`until` names a length of {length} in a text of \d+ characters"):
        sampler().complete(asked(1), 1.0, 3, lambda text: length)


def test_the_cached_step_has_the_distribution_of_the_softmax() -> None:
    """Second token over 12,000 seeds behind the likeliest first one; chi-square: mean k - 1, deviation sqrt(2k - 2)."""
    model, count = MODELS["qwen2"], 12_000
    prompt = Encoder(TOKENIZER).prompt_ids(PROMPTS[0])
    rows = np.zeros(count, ROW)
    rows["seed"], rows["start"], rows["limit"] = 977 * np.arange(count), len(prompt), 2
    with torch.inference_mode():
        batch = Batch(model, PrefixStore(0), 1.0, 2)
        batch.join(rows, [prompt] * count)
        batch.step()
        common = Counter(batch.ids[:, 0].tolist()).most_common(1)[0][0]
        expected = model(torch.tensor([[*prompt, common]])).logits[0, -1].double().softmax(-1).numpy()
    seconds = batch.ids[batch.ids[:, 0] == common, 1]
    seen, expected = np.bincount(seconds, minlength=len(expected)), expected * len(seconds)
    frequent = expected >= 5
    cells = [*zip(seen[frequent], expected[frequent], strict=True), (seen[~frequent].sum(), expected[~frequent].sum())]
    freedom = len(cells) - 1
    assert freedom >= 10
    assert sum((s - e) ** 2 / e for s, e in cells) < freedom + 4 * (2 * freedom) ** 0.5


def test_greedy_cost_with_late_rows_by_hand() -> None:
    """Seven completions of one prompt, three rows: read for rows 1-3, 4-6 and 7, three times its tokens.

    Every completion has 4 tokens, so rows end together and nobody joins a running batch; drawn cost is 7 times one's.
    """
    request = Request(PROMPTS[1], "", 0)
    _, one = sampler().complete([request], 0.0, 4)
    _, cost = sampler(rows=3).complete([request] * 7, 0.0, 4)
    reading = sampler().complete([request], 0.0, 1)[1].flops - 2 * 32 * len(TOKENIZER)  # less one token's logits
    assert (cost.rollouts, cost.prompt_tokens, cost.generated_tokens) == (7, 3 * one.prompt_tokens, 28)
    assert cost.flops == 3 * reading + 7 * (one.flops - reading)


@pytest.mark.parametrize("limit", [0, 1])
def test_limits_of_no_and_one_token(limit: int) -> None:
    completions, cost = sampler().complete(asked(9), 1.0, limit)
    assert [c.tokens for c in completions] == [limit] * 9
    assert (cost.rollouts, cost.generated_tokens) == (9, 9 * limit)
    if limit == 0:
        assert completions == [Completion("", 0, False)] * 9 and cost == Cost(rollouts=9)


def test_a_completion_that_never_ends_is_cut_by_the_context_and_not_finished() -> None:
    drawer = sampler(context=30)
    drawer.encoder.eos_id = len(TOKENIZER) + 5  # never drawn
    (completion,), _ = drawer.complete([Request("9", "", 3)], 1.0, 10**9)
    start = len(drawer.encoder.prompt_ids("9"))
    assert (completion.tokens, completion.finished) == (30 - start, False)


def test_arguments_that_make_no_sense_are_errors() -> None:
    with pytest.raises(ValueError, match="a batch of 0 rows"):
        sampler(rows=0)
    for temperature, limit in ((-1.0, 5), (1.0, -5)):
        with pytest.raises(ValueError, match=f"temperature {temperature} and a limit of {limit} tokens: negative"):
            sampler().complete(asked(1), temperature, limit)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_broken_weights_are_an_error_and_no_text(temperature: float) -> None:
    logits = torch.tensor([[0.0, 1.0], [float("nan"), 1.0]])
    with pytest.raises(BadInput, match="the model's logits are not finite"):
        pick(logits, np.array([0.5, 0.5]), temperature)


def test_a_draw_is_the_inverse_of_the_distribution() -> None:
    """Probabilities 1/4, 0, 1/2, 1/4 in turn cover [0, .25), nothing, [.25, .75), [.75, 1)."""
    logits = torch.tensor([0.25, 0.0, 0.5, 0.25]).log().expand(4, 4)
    assert pick(logits, np.array([0.0, 0.2499, 0.2501, 0.7499]), 1.0).tolist() == [0, 0, 2, 2]
    assert pick(logits[:2], np.array([0.7501, 1 - 2**-53]), 1.0).tolist() == [3, 3]


def test_layers_without_a_cache_here_are_refused() -> None:
    model = tiny_model("qwen2", len(TOKENIZER))
    model.config.layer_types = ["full_attention", "linear_attention"]
    with pytest.raises(BadInput, match="Qwen2ForCausalLM: the embedded sampler has no cache for linear_attention"):
        LocalSampler(model, Encoder(TOKENIZER), 4)


def test_the_model_keeps_its_own_attention() -> None:
    """Also when a step fails: here the model is handed something that its attention does not know."""
    model = MODELS["qwen2"]
    before = model.config._attn_implementation
    ids = torch.tensor([[5, 6]])
    with pytest.raises(ValueError, match=r"Qwen2Attention wants s_aux"), one_query(model.config):
        model(ids, attention_mask=torch.zeros(1, 1, 2, 2), s_aux=torch.ones(1))
    assert model.config._attn_implementation == before


def test_slots_keep_each_row_in_its_place() -> None:
    """Prompts of 3 and 1 tokens, then row 0 leaves and a prompt of 2 joins."""
    slots = Slots()
    keys = torch.tensor([[0.0, 1, 2], [5, 0, 0]]).view(1, 2, 1, 3, 1)
    slots.join(torch.cat([keys, -keys]), torch.tensor([0, 1]))
    assert slots.parts[0].tensors()[0][:, 0, :3, 0].tolist() == [[0, 1, 2], [5, 0, 0]]
    slots.leave(torch.tensor([0]), torch.tensor([1]), 1)
    slots.join(torch.tensor([[7.0, 8.0], [0, 0]]).view(2, 1, 1, 2, 1), torch.tensor([0]))
    slots.stand(torch.tensor([1, 2]))
    new, values = slots.update(torch.tensor([10.0, 20.0]).view(2, 1, 1, 1), torch.zeros(2, 1, 1, 1), 0)
    assert (new[0, 0, :2, 0].tolist(), new[1, 0, :3, 0].tolist()) == ([5, 10], [7, 8, 20])
    assert values[0, 0, 0, 0] == -5
    allowed = masks(torch.tensor([[1], [2]]), slots.width, MODELS["qwen2"].config, torch.float32)
    assert isinstance(allowed, torch.Tensor)
    assert (allowed[:, 0, 0] == 0).sum(1).tolist() == [2, 3]
