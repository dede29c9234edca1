import copy
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from tiny_models import byte_level, tiny_model, tiny_reasoner, token_log_probability
from torch import nn
from transformers import PreTrainedModel

from sapo.models.encoding import Encoder
from sapo.records import PreferencePair
from sapo.settings import DpoSettings, FitSettings, OrpoSettings
from sapo.train.dpo import dpo_rows, train_dpo
from sapo.train.fit import RunContext, TrainingDiverged
from sapo.train.orpo import build_pair_trees, pair_loss

FIT = FitSettings(lr=2e-3, epochs=4, batch_size=4, warmup=0.0)
DPO = DpoSettings(0.1, 0.0, FIT)


def flat(model: nn.Module) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def preferences(count: int = 12) -> list[PreferencePair]:
    """The chosen answer is the sum, the rejected one is the same text with another number; lengths differ."""
    return [
        PreferencePair(f"q{n}", f"Ben has {n}.\n", f"{n} + 3 = {n + 3}\n", f"so {n} + 3 = {n + 5}" + "." * n, 1.0, 0.0)
        for n in range(count)
    ]


def log_probabilities(model: PreTrainedModel, encoder: Encoder, prompt: str, completion: str) -> torch.Tensor:
    """Log-probability of every token of a completion and its end token, from a row of its own."""
    encoded = encoder.encode(prompt, completion)
    ids = torch.tensor([encoded.ids])
    with torch.no_grad():
        return token_log_probability(model(ids).logits[:, :-1], ids[:, 1:])[0, encoded.completion_start - 1 :]


def test_rows_are_the_encoders_tokens_by_hand() -> None:
    """Characters as tokens, a leading BOS: 'a?', 'b' and 'ba' make <bos> a ?, b <eos> and b a <eos>; 3 + 3 tokens."""
    encoder = Encoder(byte_level(bos=True))
    a, question, b = (encoder.completion_ids(letter)[0] for letter in "a?b")
    bos = encoder.leading[0]
    assert dpo_rows(encoder, [PreferencePair("q", "a?", "b", "ba", 1.0, 0.0)]) == [
        {
            "prompt_ids": [bos, a, question],
            "chosen_ids": [b, encoder.eos_id],
            "rejected_ids": [b, a, encoder.eos_id],
            "length": 6,
        }
    ]


def test_trainer_sees_exactly_those_tokens(tmp_path: Path) -> None:
    """Even where prompt and completion together would be tokenised otherwise: a space and a word are one token."""
    model, encoder = tiny_reasoner()
    pair = PreferencePair("q", "x = ", "x + 1 for x in xs", " for x", 1.0, 0.0)
    row = dpo_rows(encoder, [pair])[0]
    assert row["prompt_ids"] + row["chosen_ids"][:-1] != list(encoder.completion_ids(pair.prompt + pair.chosen))
    seen: list[Any] = []
    with model.get_input_embeddings().register_forward_pre_hook(lambda _, args: seen.append(args[0].tolist())):
        train_dpo(
            model, encoder, [pair], DpoSettings(0.1, 0.0, FitSettings(1e-3, 1, 1, 0.0)), 1, RunContext(None, tmp_path)
        )
    chosen, rejected = row["prompt_ids"] + row["chosen_ids"], row["prompt_ids"] + row["rejected_ids"]
    padding = [encoder.pad_id] * (len(chosen) - len(rejected))
    assert seen == [[chosen, rejected + padding]] * 2  # the model, and the reference, whose hook is a copy


@pytest.mark.parametrize("architecture", ["qwen2", "gemma2", "llama"])
def test_losses_of_two_steps_by_hand(architecture: str, tmp_path: Path) -> None:
    """One pair, two steps: log 2 while both models are equal, then -log sigmoid(0.5 * (gain of w - gain of l)).

    The gains are sums of log-probabilities over a copy that made the first step alone, less those before it.
    """
    pair = preferences()[3]
    start = tiny_model(architecture, len(byte_level()))
    encoder = Encoder(byte_level())

    def sums(model: PreTrainedModel) -> list[float]:
        texts = pair.chosen, pair.rejected
        return [log_probabilities(model, encoder, pair.prompt, text).sum().item() for text in texts]

    both, after = copy.deepcopy(start), copy.deepcopy(start)
    log = train_dpo(
        both, encoder, [pair], DpoSettings(0.5, 0.0, FitSettings(1e-2, 2, 1, 0.0)), 1, RunContext(None, tmp_path)
    ).log
    # The rates of two steps are lr and lr / 2; of one step, lr.
    train_dpo(
        after, encoder, [pair], DpoSettings(0.5, 0.0, FitSettings(1e-2, 1, 1, 0.0)), 1, RunContext(None, tmp_path)
    )
    gain_w, gain_l = (now - reference for now, reference in zip(sums(after), sums(start), strict=True))
    margin = 0.5 * (gain_w - gain_l)
    assert log[0].loss == pytest.approx(math.log(2), abs=1e-6)
    assert log[1].loss == pytest.approx(math.log(1 + math.exp(-margin)), abs=1e-3)
    assert log[1].measures["margin"] == pytest.approx(margin, abs=1e-3)
    assert (log[0].measures["margin"], log[0].measures["accuracy"], log[1].measures["accuracy"]) == (0.0, 0.0, 1.0)


def test_rpo_adds_the_mean_over_all_chosen_tokens(tmp_path: Path) -> None:
    """First step of RPO: log 2 + weight * NLL, over the tokens of the whole batch, not completion by completion."""
    model, encoder = tiny_reasoner()
    pairs = preferences()
    chosen = [log_probabilities(model, encoder, pair.prompt, pair.chosen) for pair in pairs]
    settings = DpoSettings(0.1, 0.7, FitSettings(1e-3, 1, len(pairs), 0.0))
    (entry,) = train_dpo(model, encoder, pairs, settings, 1, RunContext(None, tmp_path)).log
    tokens, rows = -torch.cat(chosen).mean().item(), -torch.stack([one.mean() for one in chosen]).mean().item()
    assert entry.loss == pytest.approx(math.log(2) + 0.7 * tokens, abs=1e-4)
    assert abs(tokens - rows) > 1e-3


def test_logged_means_are_those_of_orpo(tmp_path: Path) -> None:
    model, encoder = tiny_reasoner()
    pairs = preferences()
    with torch.no_grad():
        _, expected = pair_loss(
            model, build_pair_trees(encoder, pairs, 4), encoder.pad_id, OrpoSettings(0.1, "completion", FIT)
        )
    (entry,) = train_dpo(
        model, encoder, pairs, DpoSettings(0.1, 0.0, FitSettings(1e-3, 1, 12, 0.0)), 1, RunContext(None, tmp_path)
    ).log
    assert set(entry.measures) == {"chosen_logp", "rejected_logp", "margin", "accuracy"}
    for name in ("chosen_logp", "rejected_logp"):
        assert entry.measures[name] == pytest.approx(expected[name].item(), abs=1e-4)


def test_dpo_learns_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model, encoder = tiny_reasoner()
    before, config = set(vars(model)), model.config.to_dict()
    log = train_dpo(model, encoder, preferences(), DPO, 1, RunContext(None, tmp_path / "work")).log
    assert [entry.step for entry in log] == list(range(1, 13))  # 3 batches of 4, 4 epochs
    assert log[-1].epoch == 4 and log[-1].measures["accuracy"] == 1.0 and log[-1].loss < 0.5
    assert list(tmp_path.rglob("*")) == [tmp_path / "work"]
    assert set(vars(model)) == before and model.config.to_dict() == config and not model.training
    assert not model._forward_hooks


def test_dpo_repeats_bit_for_bit_and_follows_the_seed(tmp_path: Path) -> None:
    runs = []
    for seed in (1, 1, 2):
        model, encoder = tiny_reasoner()
        log = train_dpo(model, encoder, preferences(), DPO, seed, RunContext(None, tmp_path)).log
        runs.append((flat(model), log))
    assert torch.equal(runs[0][0], runs[1][0]) and runs[0][1] == runs[1][1]
    assert not torch.equal(runs[0][0], runs[2][0])


def test_the_callers_random_numbers_and_settings_are_left_alone(tmp_path: Path) -> None:
    """The trainer seeds three generators. While it runs, no usage statistics may be sent."""

    def drawn() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), torch.rand(1).item()

    def seed() -> None:
        random.seed(5)
        np.random.seed(5)
        torch.manual_seed(5)

    seed()
    expected, sends_nothing = drawn(), constants.HF_HUB_DISABLE_TELEMETRY
    model, encoder = tiny_reasoner()
    inside: list[bool] = []
    with model.register_forward_pre_hook(lambda *_: inside.append(constants.HF_HUB_DISABLE_TELEMETRY)):
        seed()
        train_dpo(model, encoder, preferences(4), DPO, 1, RunContext(None, tmp_path))
    assert drawn() == expected
    assert inside and all(inside) and constants.HF_HUB_DISABLE_TELEMETRY is sends_nothing


def test_what_cannot_be_trained_on_is_refused_by_name(tmp_path: Path) -> None:
    model, encoder = tiny_reasoner()
    nothing = preferences(2)[1]
    object.__setattr__(nothing, "rejected", "")  # the record itself refuses it
    with pytest.raises(ValueError, match="question q1 has an empty completion"):
        train_dpo(model, encoder, [preferences()[0], nothing], DPO, 1, RunContext(None, tmp_path))
    with pytest.raises(ValueError, match="question q9 has a prompt without tokens"):
        train_dpo(model, encoder, [PreferencePair("q9", "", "a", "b", 1.0, 0.0)], DPO, 1, RunContext(None, tmp_path))
    with pytest.raises(ValueError, match="no pairs"):
        train_dpo(model, encoder, [], DPO, 1, RunContext(None, tmp_path))


def test_dpo_that_diverges_stops_at_once(tmp_path: Path) -> None:
    model, encoder = tiny_reasoner()
    before = set(vars(model))
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingDiverged, match="loss is nan, gradient norm nan at step 1 of 12"):
        train_dpo(model, encoder, preferences(), DPO, 1, RunContext(None, tmp_path))
    assert not list(tmp_path.iterdir()) and set(vars(model)) == before and not model._forward_hooks
