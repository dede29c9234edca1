"""Labelled trajectories to a step verifier: MSE (SAPO eq. 6) or cross-entropy (SIPF) at every step's last token.

The verifier starts anew from the given reasoner's backbone each time (docs/method.md §5).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sapo.models.encoding import Encoder, Size
from sapo.models.verifier import StepTree, Verifier, build_step_trees
from sapo.settings import VerifierSettings
from sapo.train.cost import learning, matched, training_cost
from sapo.train.fit import NO_CONTEXT, RunContext, fit
from sapo.train.losses import verifier_loss
from sapo.train.trainer import Memory, RandomTexts, Trained, Trainer, TrainingData


class VerifierExample(NamedTuple):
    """One labelled trajectory: `labels[j]` is the label of `steps[j]`, 0 or 1."""

    trajectory_id: str
    prompt: str
    steps: tuple[str, ...]
    labels: tuple[int, ...]


def train_verifier(
    model: PreTrainedModel,
    encoder: Encoder,
    examples: Sequence[VerifierExample],
    settings: VerifierSettings,
    seed: int,
    context: RunContext = NO_CONTEXT,
) -> Trained:
    """Fit a fresh verifier; `model` itself is not changed. The log's measure is `accuracy` of steps at 0.5.

    Raises:
        ValueError: labels and steps differ in number, a trajectory has none, or one cannot be trained on
            (see `Encoder.attempt_steps`).
        TrainingDiverged: see `loop.fit`.
    """
    _check(examples)
    verifier = Verifier.from_reasoner(model, encoder, seed)
    trees = build_example_trees(encoder, examples)

    def batch_loss(batch: Sequence[int]) -> tuple[Tensor, dict[str, Tensor]]:
        chosen = [trees[index] for index in batch]
        logits, mask = verifier.step_logits(chosen)
        logits = logits.float()
        labels = torch.zeros(mask.shape, device=logits.device)
        own = [float(c) for entry in chosen for number in entry.tree.units for c in examples[number].labels]
        labels[mask] = torch.tensor(own, device=logits.device)
        right = ((logits.detach() > 0) == (labels > 0.5))[mask].float().mean()
        return verifier_loss(logits, labels, mask, settings.loss), {"accuracy": right}

    sizes = [Size(len(entry.tree.ids), len(entry.ends)) for entry in trees]
    lengths = [size.tokens for size in sizes]
    plan = matched(settings.fit, lengths, context.tokens)
    log = fit(verifier, batch_loss, sizes, plan, seed, context.over([settings, *examples]))
    return Trained(verifier, log, training_cost(model.config, lengths, plan.epochs, with_head=False))


def build_example_trees(encoder: Encoder, examples: Sequence[VerifierExample]) -> list[StepTree]:
    """The rows that the verifier is trained on: each example a row of its own.

    Not as trees, which would be twice as fast: trajectories of one question in one batch pull the weights the same
    way, and the verifier then tells them apart less (measured in the laboratory: 1 question in 20 has a gap of
    rewards above 0.05, instead of 1 in 4), while pairs are made of nothing but these gaps.
    """
    rows = encoder.encode_steps_many([(example.prompt, example.steps) for example in examples])
    return build_step_trees(rows, [example.prompt for example in examples], most=1)


def _check(examples: Sequence[VerifierExample]) -> None:
    for example in examples:
        labels, steps = len(example.labels), len(example.steps)
        if labels != steps or not steps:
            raise ValueError(f"labels has {labels} entries for {steps} steps of trajectory {example.trajectory_id}")


def _from_json(row: list[Any]) -> VerifierExample:
    name, prompt, steps, labels = row
    return VerifierExample(name, prompt, tuple(steps), tuple(labels))


def _stand_in(texts: RandomTexts, count: int) -> list[VerifierExample]:
    all_steps = [texts.steps() for _ in range(count)]
    return [
        VerifierExample(f"t{n}", texts.prompt(), steps, (1,) * (len(steps) - 1) + (0,))
        for n, steps in enumerate(all_steps)
    ]


VERIFIER = Trainer(
    name="verifier",
    section="verifier",
    data=TrainingData(list, _from_json, _stand_in),
    train=train_verifier,
    expected=lambda e: learning(e.config, e.labelled * e.row, e.row, e.settings.verifier.fit.epochs, with_head=False),
    examples=lambda settings: settings.fit.micro_batch_size,
    memory=Memory(logits="none", beside="loaded"),
    lower=("verifier.fit.micro_batch",),
    verifier=True,
)
