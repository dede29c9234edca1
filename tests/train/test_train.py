import math
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import tiny_model, tiny_reasoner, token_log_probability
from torch import nn
from torch.testing import assert_close
from transformers import PreTrainedModel

from sapo.models import prefix_trees
from sapo.models.encoding import Encoder, Size
from sapo.records import PreferencePair
from sapo.settings import FitSettings, OrpoSettings
from sapo.train.fit import RunContext, StepLog, TrainingDiverged, fit, schedule
from sapo.train.orpo import build_pair_trees, pair_loss, train_orpo
from sapo.train.sft import sft_rows, train_sft
from sapo.train.trl_runs import IGNORED

ARCHITECTURES = ["qwen2", "gemma2", "llama"]


def flat(model: nn.Module) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


# The loop


def test_schedule_by_hand() -> None:
    """10 steps, 0.2 warm-up: 1/2, 1, then 8/8, 7/8 … 1/8 of the rate. Without warm-up: 4/4 … 1/4."""
    factors = [schedule(step, 10, 0.2) for step in range(1, 11)]
    assert factors == [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
    assert [schedule(step, 4, 0.0) for step in range(1, 5)] == [1.0, 0.75, 0.5, 0.25]
    assert [schedule(step, 2, 1.0) for step in (1, 2)] == [0.5, 1.0]


class Line(nn.Module):
    """One weight, started at 1."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))


def test_loop_visits_every_row_once_an_epoch_in_a_new_order() -> None:
    """10 rows, batches of 4, 3 epochs: 3 steps an epoch, two full ones and one of 2."""
    seen: list[int] = []
    line = Line()
    calls: list[tuple[int, int]] = []

    def batch_loss(batch):
        seen.extend(batch)
        return line.weight.square().sum(), {"rows": torch.tensor(float(len(batch)))}

    watch = RunContext(lambda one, n: calls.append((one.step, n)))
    log = fit(line, batch_loss, [Size(5)] * 10, FitSettings(0.1, 3, 4, 0.0), 1, watch)
    assert [sorted(seen[start : start + 10]) for start in (0, 10, 20)] == [list(range(10))] * 3
    assert seen[:10] != seen[10:20] and seen[:10] != sorted(seen[:10])
    assert [entry.epoch for entry in log] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert sorted(entry.measures["rows"] for entry in log[:3]) == [2.0, 4.0, 4.0]
    assert calls == [(step, 9) for step in range(1, 10)]
    assert not line.training


def test_first_step_of_adamw_by_hand() -> None:
    """Loss 50 w^2 at w = 1: loss 50, gradient 100, clipped to 1; Adam's first step is lr whatever the gradient: 0.9."""
    line = Line()
    (entry,) = fit(line, lambda batch: (50 * line.weight.square().sum(), {}), [Size(1)], FitSettings(0.1, 1, 1, 0.0), 1)
    assert (entry.loss, entry.lr, entry.gradient_norm) == (50.0, 0.1, 100.0)
    assert line.weight.item() == pytest.approx(0.9, abs=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_divergence_stops_with_step_and_loss_before_the_weights_are_hurt(bad: float) -> None:
    line, losses = Line(), iter([1.0, 1.0, bad, 1.0])
    with pytest.raises(TrainingDiverged, match=f"loss is {bad} at step 3 of 4"):
        fit(line, lambda batch: (line.weight.sum() * next(losses), {}), [Size(1)] * 4, FitSettings(0.1, 1, 1, 0.0), 1)
    assert math.isfinite(line.weight.item())


def test_infinite_gradient_of_a_finite_loss_stops_too() -> None:
    """The square root has an infinite slope at 0."""
    line = Line()
    with pytest.raises(TrainingDiverged, match=r"gradient norm is .* at step 1"):
        fit(line, lambda batch: ((line.weight - 1).sqrt().sum(), {}), [Size(1)], FitSettings(0.1, 1, 1, 0.0), 1)
    assert line.weight.item() == 1.0


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to train on"):
        fit(Line(), lambda batch: (torch.zeros(()), {}), [], FitSettings(0.1, 1, 1, 0.0), 1)


def test_training_leaves_the_callers_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    line = Line()
    fit(line, lambda batch: ((line.weight * torch.rand(1)).sum(), {}), [Size(1)] * 3, FitSettings(0.1, 1, 1, 0.0), 1)
    assert torch.equal(torch.rand(1), expected)


# ORPO


def preferences(count: int = 12) -> list[PreferencePair]:
    """The chosen answer is the sum, the rejected one is the same text with another number."""
    return [
        PreferencePair(f"q{n}", f"Ben has {n}.\n", f"{n} + 3 = {n + 3}\n", f"so {n} + 3 = {n + 5}", 1.0, 0.0)
        for n in range(count)
    ]


ORPO = OrpoSettings(0.5, "completion", FitSettings(lr=2e-3, epochs=8, batch_size=4, warmup=0.1))


def separately(model: PreTrainedModel, encoder: Encoder, prompt: str, completion: str) -> torch.Tensor:
    """Mean log-probability of a completion and its end token, from a row of its own and the model's own logits."""
    encoded = encoder.encode(prompt, completion)
    ids = torch.tensor([encoded.ids])
    logp = token_log_probability(model(ids).logits[:, :-1], ids[:, 1:])
    return logp[0, encoded.completion_start - 1 :].mean()


@pytest.mark.parametrize("window", [64, 8])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_packed_pairs_give_what_separate_rows_give(architecture: str, window: int) -> None:
    """Also where Gemma 2's sliding window (8 tokens) is shorter than the rows and its logits are capped."""
    _, encoder = tiny_reasoner()
    model = tiny_model(architecture, len(encoder.tokenizer), window=window)
    pairs = preferences(5)
    loss, measures = pair_loss(model, build_pair_trees(encoder, pairs, 4), encoder.pad_id, ORPO)
    chosen = torch.stack([separately(model, encoder, pair.prompt, pair.chosen) for pair in pairs])
    rejected = torch.stack([separately(model, encoder, pair.prompt, pair.rejected) for pair in pairs])
    assert_close(measures["chosen_logp"], chosen.mean(), atol=1e-4, rtol=0)
    assert_close(measures["rejected_logp"], rejected.mean(), atol=1e-4, rtol=0)
    assert_close(measures["nll"], -chosen.mean(), atol=1e-4, rtol=0)
    odds = [p - torch.log(1 - p.exp()) for p in (chosen, rejected)]
    expected = -chosen.mean() + 0.5 * torch.log(1 + torch.exp(odds[1] - odds[0])).mean()
    assert_close(loss, expected, atol=1e-4, rtol=0)


def test_pairs_of_a_prompt_are_one_tree_and_give_what_single_pairs_give() -> None:
    """Three pairs of one prompt share its tokens; 2 trees of at most two pairs have the same loss as 3 of one each."""
    model, encoder = tiny_reasoner()
    pairs = [PreferencePair("q", "Ben has 3.\n", f"3 + {n}", f"3 + {n} = 9", 1.0, 0.0) for n in range(3)]
    together, apart = (build_pair_trees(encoder, pairs, most) for most in (2, 1))
    assert [len(entry.tree.units) for entry in together] == [2, 1] and len(apart) == 3
    for settings in (ORPO, OrpoSettings(0.5, "full", ORPO.fit)):
        with torch.no_grad():
            one, two = (pair_loss(model, prefix_trees, encoder.pad_id, settings) for prefix_trees in (together, apart))
        assert_close(one, two, atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_orpo_prefers_the_chosen_answers(architecture: str) -> None:
    model, encoder = tiny_reasoner(architecture)
    log = train_orpo(model, encoder, preferences(), ORPO, seed=1).log
    assert len(log) == 8 * 3
    first, last = log[0].measures, log[-1].measures
    assert set(first) == {"nll", "chosen_logp", "rejected_logp", "log_odds_ratio"}
    assert last["chosen_logp"] > first["chosen_logp"] + 1
    assert last["log_odds_ratio"] > 0.5 > abs(first["log_odds_ratio"])
    assert first["nll"] == -first["chosen_logp"]
    assert log[0].loss == pytest.approx(first["nll"] + 0.5 * math.log(2), abs=0.3)


def test_orpo_repeats_bit_for_bit_and_follows_the_seed() -> None:
    runs = []
    for seed in (1, 1, 2):
        model, encoder = tiny_reasoner()
        log = train_orpo(model, encoder, preferences(), ORPO, seed).log
        runs.append((flat(model), log))
    assert torch.equal(runs[0][0], runs[1][0]) and runs[0][1] == runs[1][1]
    assert not torch.equal(runs[0][0], runs[2][0])


def test_full_nll_also_trains_the_prompt() -> None:
    """Over the completion alone, the NLL is -chosen_logp; over everything it is not."""
    model, encoder = tiny_reasoner()
    rows = build_pair_trees(encoder, preferences(4), 4)
    _, own = pair_loss(model, rows, encoder.pad_id, ORPO)
    _, full = pair_loss(model, rows, encoder.pad_id, OrpoSettings(0.5, "full", ORPO.fit))
    assert own["nll"] == -own["chosen_logp"]
    assert_close(full["chosen_logp"], own["chosen_logp"])
    assert abs(full["nll"] - own["nll"]) > 0.01


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("nll", ["completion", "full"])
def test_orpo_trains_alike_with_logits_in_portions(
    nll: Any, checkpointing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of Gemma 2, whose head has the embeddings' weights and caps its logits, 5 places at a time."""
    made = []
    for places in (10_000, 5):
        model, encoder = tiny_reasoner("gemma2")
        assert model.config.tie_word_embeddings
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        monkeypatch.setattr(prefix_trees, "LOGITS", places * model.config.vocab_size)
        settings = OrpoSettings(0.5, nll, FitSettings(1e-3, 1, 2, 0.0))
        log = train_orpo(model, encoder, preferences(4), settings, 1).log
        made.append((flat(model), [(entry.loss, entry.gradient_norm) for entry in log]))
    (whole, log), (portions, again) = made
    assert [*chain(*again)] == pytest.approx([*chain(*log)], rel=1e-5)
    assert_close(portions, whole, atol=1e-4, rtol=0)


def test_empty_prompt_without_bos_is_refused_by_name() -> None:
    _, encoder = tiny_reasoner()
    with pytest.raises(ValueError, match="question q9 has a prompt without tokens"):
        build_pair_trees(encoder, [PreferencePair("q9", "", "a", "b", 1.0, 0.0)], 4)


# SFT

SFT = FitSettings(lr=5e-3, epochs=6, batch_size=4, warmup=0.1)
TEXTS = [(f"Ben has {n}.\n", f"{n} + 3 = {n + 3}\nanswer {n + 3}\n"[: 9 + n]) for n in range(18)]


def test_sft_rows_are_the_encoders_tokens_by_hand() -> None:
    """Characters as tokens: 'a?' and 'b' make a ? b <eos>; the prompt's two labels are ignored."""
    _, encoder = tiny_reasoner()
    a, question, b = (encoder.completion_ids(letter)[0] for letter in "a?b")
    (row,) = sft_rows(encoder, [("a?", "b")])
    assert row == {"input_ids": [a, question, b, encoder.eos_id], "labels": [IGNORED, IGNORED, b, encoder.eos_id]}


def test_sft_loss_is_the_mean_over_completion_tokens(tmp_path: Path) -> None:
    """TRL's first loss equals ours on the same tokens: it saw exactly them."""
    model, encoder = tiny_reasoner()
    with torch.no_grad():
        terms = []
        for prompt, completion in TEXTS:
            encoded = encoder.encode(prompt, completion)
            ids = torch.tensor([encoded.ids])
            terms.append(
                token_log_probability(model(ids).logits[:, :-1], ids[:, 1:])[0, encoded.completion_start - 1 :]
            )
    log = train_sft(model, encoder, TEXTS, FitSettings(1e-3, 1, len(TEXTS), 0.1), 1, RunContext(None, tmp_path)).log
    assert log[0].loss == pytest.approx(-torch.cat(terms).mean().item(), abs=1e-5)


def train(seed: int, workdir: Path, settings: FitSettings = SFT) -> tuple[PreTrainedModel, list[StepLog]]:
    return train_sft(*tiny_reasoner(), TEXTS, settings, seed, RunContext(None, workdir))[:2]


def test_sft_learns_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model, encoder = tiny_reasoner()
    before, config = set(vars(model)), model.config.to_dict()
    log = train_sft(model, encoder, TEXTS, SFT, 1, RunContext(None, tmp_path / "work")).log
    assert [entry.step for entry in log] == list(range(1, 31))  # 5 batches of 4, 6 epochs
    assert log[0].epoch == 1 and log[-1].epoch == 6
    assert log[-1].loss < 0.5 * log[0].loss
    assert list(tmp_path.rglob("*")) == [tmp_path / "work"]
    assert set(vars(model)) == before and model.config.to_dict() == config and not model.training


def test_sft_repeats_bit_for_bit_and_the_seed_orders_the_data(tmp_path: Path) -> None:
    """At a learning rate of 1e-12 the loss of a step shows only which rows it holds."""
    one, log = train(1, tmp_path)
    two, again = train(1, tmp_path)
    other, _ = train(2, tmp_path)
    assert torch.equal(flat(one), flat(two)) and log == again
    assert not torch.equal(flat(one), flat(other))
    still = FitSettings(1e-12, 2, 4, 0.0)
    losses = [[round(entry.loss, 4) for entry in train(seed, tmp_path, still)[1]] for seed in (1, 2)]
    assert losses[0] != losses[1]
    assert losses[0][:5] != losses[0][5:]  # a new order each epoch


def test_sft_leaves_the_callers_random_numbers_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    model, encoder = tiny_reasoner()
    torch.manual_seed(5)
    train_sft(model, encoder, TEXTS[:4], FitSettings(1e-3, 1, 4, 0.0), 1, RunContext(None, tmp_path))
    assert torch.equal(torch.rand(1), expected)


def test_sft_refuses_empty_completions_and_no_texts(tmp_path: Path) -> None:
    model, encoder = tiny_reasoner()
    with pytest.raises(ValueError, match=r"text 1 \('q'\) has an empty completion"):
        train_sft(model, encoder, [("q", "a"), ("q", "")], SFT, 1, RunContext(None, tmp_path))
    with pytest.raises(ValueError, match="no texts"):
        train_sft(model, encoder, [], SFT, 1, RunContext(None, tmp_path))


def test_sft_that_diverges_says_so(tmp_path: Path) -> None:
    model, encoder = tiny_reasoner()
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingDiverged, match="loss is nan"):
        train_sft(model, encoder, TEXTS, SFT, 1, RunContext(None, tmp_path))
    assert not list(tmp_path.iterdir())
