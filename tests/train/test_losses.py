import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import tiny_reasoner, token_log_probability
from torch.testing import assert_close

from sapo.records import PreferencePair
from sapo.settings import FitSettings, OrpoSettings
from sapo.train.losses import check_completions, log1mexp, masked_mean, orpo_loss, verifier_loss
from sapo.train.orpo import build_pair_trees, pair_loss

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:trl.*")  # trl.experimental announces its own removal

LOG2 = math.log(2)
log_probabilities = st.floats(-50, 0, width=32)


def leaf(*values: float) -> torch.Tensor:
    return torch.tensor(values, requires_grad=True)


def gradient(of: torch.Tensor, at: torch.Tensor) -> list[float]:
    return torch.autograd.grad(of.sum(), at, retain_graph=True)[0].tolist()


def test_the_masked_mean_of_log_probabilities_is_the_geometric_mean_per_token() -> None:
    """Row 1: probabilities 1/2 and 1/8, geometric mean 1/4, log = -2 log 2. Row 2: 1/4 alone; its masked token is 0."""
    logp = torch.tensor([[1 / 2, 1 / 8], [1 / 4, 0.0]]).log()
    mask = torch.tensor([[True, True], [True, False]])
    assert_close(masked_mean(logp, mask), torch.tensor([-2 * LOG2, -2 * LOG2]))


def test_orpo_value_and_gradient_by_hand() -> None:
    """P_w = 1/2: odds 1. P_l = 1/4: odds 1/3. Odds ratio 3; sigmoid(log 3) = 3/4.

    L = NLL - beta log(3/4) = log 2 + 0.1 * 0.287682 = 0.721915.
    d(log odds)/d(log P) = 1 / (1 - P): 2 for w, 4/3 for l. d(-log sigmoid(z))/dz = -(1 - 3/4) = -1/4.
    dL/dlogP_w = -1 (from the NLL) - 0.1 * 1/4 * 2 = -1.05; dL/dlogP_l = 0.1 * 1/4 * 4/3 = 0.033333.
    """
    chosen, rejected = leaf(-LOG2), leaf(-2 * LOG2)
    terms = orpo_loss(chosen, rejected, -chosen, beta=0.1)
    assert terms.loss_B.item() == pytest.approx(0.721915, abs=1e-6)
    assert terms.log_odds_ratio_B.item() == pytest.approx(math.log(3), abs=1e-6)
    assert terms.nll_B.item() == pytest.approx(LOG2)
    assert gradient(terms.loss_B, chosen) == pytest.approx([-1.05], abs=1e-5)
    assert gradient(terms.loss_B, rejected) == pytest.approx([1 / 30], abs=1e-6)


def test_orpo_shares_a_scalar_nll() -> None:
    terms = orpo_loss(leaf(-1.0, -2.0), leaf(-1.0, -2.0), torch.tensor(0.5), beta=1.0)
    assert_close(terms.loss_B, torch.tensor([0.5 + LOG2, 0.5 + LOG2]))
    assert terms.nll_B.tolist() == [0.5, 0.5]


def test_certain_chosen_answer_keeps_loss_and_gradient_finite() -> None:
    """P_w = 1 exactly: taken as log P = -1e-6, odds 1e6, against odds 1: z = 6 log 10 = 13.8155, loss 0.1 * 1e-6.

    Gradient: -1 - 0.1 * (1 - sigmoid(z)) / (1 - P) = -1 - 0.1 * 1e-6 * 1e6 = -1.1.
    """
    chosen, rejected = leaf(0.0), leaf(-LOG2)
    terms = orpo_loss(chosen, rejected, -chosen, beta=0.1)
    assert terms.log_odds_ratio_B.item() == pytest.approx(13.8155, abs=1e-3)
    assert terms.loss_B.item() == pytest.approx(1e-7, abs=2e-8)
    assert gradient(terms.loss_B, chosen) == pytest.approx([-1.1], abs=1e-3)


def test_certain_rejected_answer_is_still_pushed_down() -> None:
    """P_l = 1: z = -13.8155, loss = log 2 + 0.1 * 13.8155 = 2.0747, gradient 0.1 * 1 * 1e6."""
    chosen, rejected = leaf(-LOG2), leaf(0.0)
    terms = orpo_loss(chosen, rejected, -chosen, beta=0.1)
    assert terms.loss_B.item() == pytest.approx(2.0747, abs=1e-3)
    assert gradient(terms.loss_B, rejected) == pytest.approx([1e5], rel=1e-3)


def test_log1mexp_by_hand() -> None:
    """log(1 - 1/2) = -log 2 with slope -P/(1-P) = -1; log(1 - 1/4) = log 3/4 with slope -1/3; at 0: log 1e-6, -1e6."""
    x = leaf(-LOG2, -2 * LOG2, 0.0, -200.0)
    value = log1mexp(x)
    assert value.tolist() == pytest.approx([-LOG2, math.log(0.75), math.log(1e-6), 0.0], abs=1e-5)
    assert gradient(value, x) == pytest.approx([-1, -1 / 3, -1e6, 0.0], rel=1e-3)


@given(st.floats(-700, -1e-5))
def test_log1mexp_agrees_with_double_arithmetic(x: float) -> None:
    exact = math.log(-math.expm1(x)) if x > -LOG2 else math.log1p(-math.exp(x))
    assert log1mexp(torch.tensor(x, dtype=torch.float64)).item() == pytest.approx(exact, rel=1e-9, abs=1e-300)
    assert log1mexp(torch.tensor(x)).item() == pytest.approx(exact, rel=1e-4, abs=1e-30)


@given(log_probabilities, log_probabilities)
def test_orpo_is_finite_everywhere_and_pulls_the_right_way(w: float, l: float) -> None:  # noqa: E741
    chosen, rejected = leaf(w), leaf(l)
    terms = orpo_loss(chosen, rejected, -chosen, beta=0.25)
    down, up = gradient(terms.loss_B, chosen)[0], gradient(terms.loss_B, rejected)[0]
    assert math.isfinite(terms.loss_B.item()) and math.isfinite(down) and math.isfinite(up)
    assert down <= -1 and up >= 0
    assert terms.loss_B.item() >= -w


@given(log_probabilities, log_probabilities)
def test_swapping_the_sides_turns_the_odds_ratio_around(w: float, l: float) -> None:  # noqa: E741
    there = orpo_loss(leaf(w), leaf(l), leaf(0.0), 1.0).log_odds_ratio_B.item()
    back = orpo_loss(leaf(l), leaf(w), leaf(0.0), 1.0).log_odds_ratio_B.item()
    assert there == -back
    assert there == 0 or (there > 0) == (w > l) or min(abs(w), abs(l)) < 1e-6


def test_empty_completion_is_refused_by_name() -> None:
    check_completions(["q1"], [1])
    with pytest.raises(ValueError, match="question q2 has an empty completion"):
        check_completions(["q1", "q2"], [3, 0])


@pytest.mark.parametrize(("kind", "expected"), [("mse", 0.40625), ("bce", 1.5 * LOG2)])
def test_verifier_loss_by_hand(kind: Any, expected: float) -> None:
    """Two steps count: score 1/2 labelled 1, score 3/4 labelled 0; the masked row would be far off.

    MSE: (1/4 + 9/16) / 2 = 0.40625. Cross-entropy: (log 2 + log 4) / 2 = 1.5 log 2.
    """
    logits = torch.tensor([[0.0, math.log(3)], [50.0, 0.0]])
    labels, mask = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[True, True], [False, False]])
    assert verifier_loss(logits, labels, mask, kind).item() == pytest.approx(expected, abs=1e-6)


def test_verifier_loss_gradient_by_hand() -> None:
    """One step, score 1/2, label 1. MSE: 2 (1/2 - 1) * 1/2 * 1/2 = -1/4; cross-entropy: 1/2 - 1 = -1/2."""
    logits = torch.zeros(1, 1, requires_grad=True)
    one, mask = torch.ones(1, 1), torch.ones(1, 1, dtype=torch.bool)
    assert gradient(verifier_loss(logits, one, mask, "mse"), logits) == [[-0.25]]
    assert gradient(verifier_loss(logits, one, mask, "bce"), logits) == [[-0.5]]


def trl_orpo() -> Any:
    return pytest.importorskip("trl.experimental.orpo", reason="TRL has removed its ORPO").ORPOTrainer


def trainer(**extra: Any) -> Any:
    """What TRL's loss methods read of their trainer."""
    return SimpleNamespace(beta=0.1, accelerator=SimpleNamespace(device="cpu"), is_encoder_decoder=False, **extra)


def test_parity_with_trl_on_random_logits() -> None:
    """TRL shifts logits against labels itself; ours are aligned. Everything agrees within 1e-5."""
    theirs = trl_orpo()
    generator = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(8, 12, 17, generator=generator)
    ids = torch.randint(0, 17, (8, 12), generator=generator)
    lengths = torch.randint(1, 12, (8, 1), generator=generator)
    mask = torch.arange(12) >= 12 - lengths  # TRL marks what counts by labels other than -100
    expected = theirs.get_batch_logps(logits, ids.masked_fill(~mask, -100), average_log_prob=True)
    ours = masked_mean(token_log_probability(logits[:, :-1], ids[:, 1:]), mask[:, 1:])
    assert_close(ours, expected, atol=1e-5, rtol=0)
    losses, *_, ratio = theirs.odds_ratio_loss(trainer(), expected[:4], expected[4:])
    terms = orpo_loss(ours[:4], ours[4:], torch.zeros(4), beta=0.1)
    assert_close(terms.loss_B, -losses, atol=1e-5, rtol=0)
    assert_close(terms.log_odds_ratio_B.mean(), ratio, atol=1e-5, rtol=0)


def test_trl_has_the_nan_that_ours_has_not() -> None:
    """A chosen answer of probability 1: TRL's gradient is NaN, so one such row destroys all weights."""
    theirs, chosen, rejected = trl_orpo(), leaf(0.0), leaf(-LOG2)
    losses = theirs.odds_ratio_loss(trainer(), chosen, rejected)[0]
    assert math.isnan(gradient(losses, chosen)[0])
    assert math.isfinite(gradient(orpo_loss(chosen, rejected, -chosen, 0.1).loss_B, chosen)[0])


@pytest.mark.parametrize("architecture", ["qwen2", "gemma2"])
def test_batch_loss_with_full_nll_equals_trl(architecture: str) -> None:
    """Model, packing, both log-probabilities and SIPF's NLL over prompt and completion, end to end within 1e-5."""
    theirs = trl_orpo()
    model, encoder = tiny_reasoner(architecture)
    texts = [("Ben has 3.\n", "3 + 2 = 5", "3 + 2 = 6\n"), ("Cy : Ben", " + 3\nso 4", "5")]
    pairs = [PreferencePair(str(n), *text, 1.0, 0.0) for n, text in enumerate(texts)]
    batch: dict[str, Any] = {}
    for side, column in (("chosen", 1), ("rejected", 2)):
        rows = [encoder.encode(text[0], text[column]) for text in texts]
        longest = max(len(row.ids) for row in rows)
        padded = [[*row.ids, *[0] * (longest - len(row.ids))] for row in rows]
        masks = [[1] * len(row.ids) + [0] * (longest - len(row.ids)) for row in rows]
        batch[f"{side}_input_ids"], batch[f"{side}_attention_mask"] = torch.tensor(padded), torch.tensor(masks)
        labels = torch.tensor(padded).masked_fill(torch.tensor(masks) == 0, -100)
        for label, row in zip(labels, rows, strict=True):
            label[: row.completion_start] = -100
        batch[f"{side}_labels"] = labels
    stub = trainer(
        concatenated_inputs=theirs.concatenated_inputs,
        get_batch_logps=theirs.get_batch_logps,
        padding_value=0,
        aux_loss_enabled=False,
    )
    with torch.no_grad():
        chosen, rejected, *_, nll = theirs.concatenated_forward(stub, model, batch)
        expected = nll - theirs.odds_ratio_loss(stub, chosen, rejected)[0].mean()
        settings = OrpoSettings(0.1, "full", FitSettings(1e-3, 1, 2, 0.1))
        loss, measures = pair_loss(model, build_pair_trees(encoder, pairs, 4), encoder.pad_id, settings)
    assert_close(loss, expected, atol=1e-5, rtol=0)
    assert_close(measures["nll"], nll, atol=1e-5, rtol=0)
    assert_close(measures["chosen_logp"], chosen.mean(), atol=1e-5, rtol=0)
    assert_close(measures["rejected_logp"], rejected.mean(), atol=1e-5, rtol=0)
