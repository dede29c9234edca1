"""Labelled trajectories to a step verifier: MSE (SAPO eq. 6) or cross-entropy (SIPF) at every step's last token.

The verifier starts anew from the given reasoner's backbone each time (method.md §5).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sapo.models.encoding import Encoder, Size
from sapo.models.hardware import CHECKPOINTING, enough_memory
from sapo.models.verifier import StepTree, Verifier, plant_steps
from sapo.settings import VerifierSettings
from sapo.train.loop import UNWATCHED, StepLog, Watch, fit
from sapo.train.losses import verifier_loss


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
    watch: Watch = UNWATCHED,
) -> tuple[Verifier, list[StepLog]]:
    """Fit a fresh verifier; `model` itself is not changed. The log's measure is `accuracy` of steps at 0.5.

    Raises:
        ValueError: labels and steps differ in number, a trajectory has none, or one cannot be trained on
            (see `Encoder.attempt_steps`).
        TrainingDiverged: see `loop.fit`.
    """
    _check(examples)
    verifier = Verifier.from_reasoner(model, encoder, seed)
    trees = plant_examples(encoder, examples)

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
    with enough_memory("verifier", "lower verifier.fit.micro_batch", CHECKPOINTING):
        log = fit(verifier, batch_loss, sizes, settings.fit, seed, watch.over([settings, *examples]))
    return verifier, log


def plant_examples(encoder: Encoder, examples: Sequence[VerifierExample]) -> list[StepTree]:
    """The rows that the verifier is trained on: each example a row of its own.

    Not as trees, which would be twice as fast: trajectories of one question in one batch pull the weights the same
    way, and the verifier then tells them apart less (measured in the laboratory: 1 question in 20 has a gap of
    rewards above 0.05, instead of 1 in 4), while pairs are made of nothing but these gaps.
    """
    rows = encoder.encode_steps_many([(example.prompt, example.steps) for example in examples])
    return plant_steps(rows, [example.prompt for example in examples], most=1)


def _check(examples: Sequence[VerifierExample]) -> None:
    for example in examples:
        labels, steps = len(example.labels), len(example.steps)
        if labels != steps or not steps:
            raise ValueError(f"labels has {labels} entries for {steps} steps of trajectory {example.trajectory_id}")
