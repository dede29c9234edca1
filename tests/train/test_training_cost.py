"""What training costs, and how long it lasts under a budget of tokens."""

from collections.abc import Sequence

import pytest
from tiny_models import tiny_reasoner
from torch import Tensor, nn

from sapo.models.encoding import Size
from sapo.models.flops import prefill_flops
from sapo.settings import FitSettings
from sapo.train.cost import matched, training_cost
from sapo.train.fit import StepLog, fit

FIT = FitSettings(lr=1e-3, epochs=2, batch_size=2, warmup=0.0)


def test_training_costs_three_passes_over_every_row_and_epoch() -> None:
    """Rows of 3 and 5 tokens, two epochs: 16 tokens, each row's forward FLOPs times 3 times 2."""
    config = tiny_reasoner()[0].config
    once = prefill_flops(config, 3, True) + prefill_flops(config, 5, True)
    cost = training_cost(config, [3, 5], 2)
    assert (cost.trained_tokens, cost.flops) == (16, 6.0 * once)
    assert training_cost(config, [3, 5], 0.5).trained_tokens == 4
    assert training_cost(config, [3, 5], 2, with_head=False).flops < cost.flops


def test_a_matched_budget_sets_the_epochs_and_none_leaves_them() -> None:
    """30 tokens a pass: a budget of 75 is two and a half passes."""
    assert matched(FIT, [10, 20], 75).epochs == 2.5
    assert matched(FIT, [10, 20], 0) == FIT


@pytest.mark.parametrize(("epochs", "steps"), [(1, 3), (2, 6), (0.5, 2), (1.4, 4), (0.01, 1)])
def test_a_part_of_an_epoch_is_the_first_of_its_batches(epochs: float, steps: int) -> None:
    """Five rows in batches of two are three batches an epoch: .5 of them is 1.5, rounded to 2; 1.4 is 4.2, so 4.

    At least one step is made, and the whole part is what a longer training begins with.
    """
    log, batches = train(epochs)
    assert len(log) == steps
    assert [entry.epoch for entry in log] == [1 + index // 3 for index in range(steps)]
    assert train(2)[1][:steps] == batches


def train(epochs: float) -> tuple[list[StepLog], list[list[int]]]:
    """Five rows in batches of two: the log, and the rows of every step."""
    model = nn.Linear(1, 1)
    batches: list[list[int]] = []

    def batch_loss(batch: Sequence[int]) -> tuple[Tensor, dict[str, Tensor]]:
        batches.append(list(batch))
        return model.weight.sum(), {}

    return fit(model, batch_loss, [Size(1)] * 5, FitSettings(1e-3, epochs, 2, 0.0), 7), batches
