"""One training loop for ORPO and the verifier: AdamW, linear warm-up then linear decay, clipped, seeded.

Weight decay is 0 (the papers print none; the usual trainers' default). The same seed on the same machine and
number of threads gives the same weights bit for bit; rows are reshuffled every epoch.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from sapo.models.encoding import Size, bucketed_batches, filled
from sapo.records import BadInput, write_json
from sapo.runtime.progress import Progress as ProgressBar
from sapo.settings import FitSettings
from sapo.train.checkpoints import (
    Checkpoints,
    random_tensors,
    restore_optimizer,
    restore_random,
    restore_weights,
    trained,
)
from sapo.train.distributed import splits, sum_gradients, summed, this_process
from sapo.train.sharded import ShardedStepper

MAX_NORM = 1.0

BatchLoss = Callable[[Sequence[int]], tuple[Tensor, dict[str, Tensor]]]
Progress = Callable[["StepLog", int], None]


class TrainingDiverged(BadInput):
    """The loss or its gradient became NaN or infinite; the message names step and value."""


@dataclass(frozen=True, slots=True)
class StepLog:
    """One optimiser step, counted from 1: its loss, learning rate, gradient norm before clipping, other measures."""

    step: int
    epoch: int
    loss: float
    lr: float
    gradient_norm: float
    measures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunContext:
    """What goes with a training run besides its model, rows and settings.

    Args:
        progress: called after every step with its log and the total number of steps.
        checkpoints: folder of this run alone, where a long run leaves its last checkpoint for the same run to go on.
        rows: what the run trains on; a checkpoint of other rows is not used.
        tokens: to train on, instead of the settings' epochs; 0: as the settings say.
    """

    progress: Progress | None = None
    checkpoints: Path | None = None
    rows: Sequence[object] = ()
    tokens: float = 0.0

    def over(self, rows: Sequence[object]) -> "RunContext":
        return replace(self, rows=rows)


NO_CONTEXT = RunContext()


class StepProgress:
    """A callback that shows the progress of a training run by optimiser steps; silent without a name."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.bar: ProgressBar | None = None
        self.step = 0

    def __call__(self, entry: StepLog, total: int) -> None:
        if not self.what:
            return
        if self.bar is None:
            self.bar = ProgressBar(self.what, total, "steps").__enter__()
        self.bar.advance(entry.step - self.step)  # a run that goes on begins with a later step
        self.step = entry.step
        if entry.step == total:
            self.bar.__exit__(None, None, None)


def write_log(path: Path, log: Sequence[StepLog]) -> None:
    """The training log as one JSON file."""
    write_json(path, [asdict(entry) for entry in log])


def schedule(step: int, total: int, warmup: float) -> float:
    """Factor on the learning rate at `step` = 1…`total`: up to 1 over the first `warmup` share, then down towards 0.

    Unlike the usual trainers' schedule, no step is spent at rate 0.
    """
    rising = math.ceil(warmup * total)
    if step <= rising:
        return step / rising
    return (total - step + 1) / (total - rising)


def fit(
    model: nn.Module,
    batch_loss: BatchLoss,
    sizes: Sequence[Size],
    settings: FitSettings,
    seed: int,
    context: RunContext = NO_CONTEXT,
) -> list[StepLog]:
    """Train `model` in place and leave it in evaluation mode.

    Args:
        batch_loss: the mean loss of the rows with these indices, and measures to log.
        settings: `micro_batch` examples are computed at a time, as far as whole rows allow.
        sizes: of every row; rows of similar length share a batch, `settings.batch_size` counts their examples.

    Raises:
        BadInput: there is nothing to train on.
        TrainingDiverged: a loss or a gradient is NaN or infinite; the weights are those before that step, or lost where
            the model is split.
    """
    if not sizes:
        raise BadInput("there is nothing to train on: no rows")
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    device = weights[0].device
    optimizer = torch.optim.AdamW(weights, lr=settings.lr, weight_decay=0.0, fused=True)
    process, plan = this_process(), _plan(sizes, settings, seed)
    micro_batch_size = min(settings.micro_batch_size, math.ceil(settings.batch_size / process.number))
    own = ShardedStepper(model, batch_loss, optimizer, MAX_NORM) if splits() else LocalStepper(batch_loss, optimizer)
    checkpoints = Checkpoints(context.checkpoints, model, settings, seed, sizes, context.rows)
    model.train()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)  # dropout; the caller's own stream of random numbers is left as it was
        log = _resume(checkpoints, model, optimizer)
        if process.rank:
            torch.manual_seed(seed + process.rank + len(log))
        for step, (epoch, batch) in enumerate(plan[len(log) :], start=len(log) + 1):
            lr = settings.lr * schedule(step, len(plan), settings.warmup)
            parts = filled(batch, sizes, micro_batch_size)
            loss, measures, norm = own.step(parts, [sum(sizes[row].examples for row in part) for part in parts], lr)
            log.append(StepLog(step, epoch, loss, lr, norm, measures))
            _check(log[-1], len(plan))
            if checkpoints.due():
                tensors = trained(model, optimizer) | random_tensors()
                checkpoints.write(step, tensors, {"log": [asdict(entry) for entry in log]})
            if context.progress:
                context.progress(log[-1], len(plan))
    own.end()
    model.eval()
    return log


def _check(entry: StepLog, total: int) -> None:
    """Raises TrainingDiverged where the step's loss or its gradient is NaN or infinite."""
    if not math.isfinite(entry.loss):
        raise TrainingDiverged(f"loss is {entry.loss} at step {entry.step} of {total} (learning rate {entry.lr:.2g})")
    if not math.isfinite(entry.gradient_norm):
        raise TrainingDiverged(
            f"gradient norm is {entry.gradient_norm} at step {entry.step} of {total}, loss {entry.loss:.4g}"
        )


def _plan(sizes: Sequence[Size], settings: FitSettings, seed: int) -> list[tuple[int, list[int]]]:
    """The epoch and the rows of every step."""
    epochs = math.ceil(settings.epochs)
    plan = [
        (epoch, batch)
        for epoch in range(1, epochs + 1)
        for batch in bucketed_batches(sizes, settings.batch_size, f"{seed}/{epoch}")
    ]
    return plan[: max(1, round(settings.epochs * len(plan) / max(epochs, 1)))]


def _resume(checkpoints: Checkpoints, model: nn.Module, optimizer: torch.optim.Optimizer) -> list[StepLog]:
    """Put everything back to where the last checkpoint was; the log until there, empty where there is none."""
    found = checkpoints.read()
    if found is None:
        return []
    restore_weights(model, found.tensors)
    restore_optimizer(optimizer, found.tensors)
    restore_random(found.tensors)
    return [StepLog(**entry) for entry in found.state["log"]]


class LocalStepper:
    """Steps of a model that this process has whole, and every other one too: `split.Split` for all other models."""

    def __init__(self, batch_loss: BatchLoss, optimizer: torch.optim.Optimizer) -> None:
        self._batch_loss, self._optimizer, self._process = batch_loss, optimizer, this_process()
        self._weights: list[nn.Parameter] = [weight for group in optimizer.param_groups for weight in group["params"]]

    def step(
        self, parts: Sequence[Sequence[int]], examples: Sequence[int], lr: float
    ) -> tuple[float, dict[str, float], float]:
        """Loss, measures and gradient norm before clipping of one step on a batch, in parts of so many examples.

        Where one of them is NaN or infinite the weights stay as they were; a norm beside such a loss is NaN.
        """
        loss, measures = self._add_gradients(parts, examples)
        if not math.isfinite(loss):
            return loss, measures, math.nan
        if self._process.number > 1:
            sum_gradients(self._weights)
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        norm = nn.utils.clip_grad_norm_(self._weights, MAX_NORM).item()
        if math.isfinite(norm):
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return loss, measures, norm

    def end(self) -> None:
        """The model is in one piece already."""

    def _add_gradients(self, parts: Sequence[Sequence[int]], examples: Sequence[int]) -> tuple[float, dict[str, float]]:
        """Gradients of the mean loss of a batch, one part of it at a time; the loss and the measures, means likewise.

        Processes take the parts in turn. Loss and measures are those of the whole batch in all of them; gradients are
        each one's own.

        A part counts by its examples. So the sum is the gradient of the whole batch where a loss is a mean over
        examples (ORPO with `nll: completion`). Where it is a mean over tokens or steps (ORPO with `nll: full`, the
        verifier), a part with longer examples should count for a little more than it does, and `micro_batch` changes
        the result by that much beyond rounding; trainers that accumulate do the same.
        """
        value, means = 0.0, dict[str, float]()
        mine = slice(self._process.rank, None, self._process.number)
        for part, count in zip(parts[mine], examples[mine], strict=True):
            share = count / sum(examples)
            loss, measures = self._batch_loss(part)
            value += share * loss.item()
            if not math.isfinite(value):
                break
            (share * loss).backward()
            for name, measure in measures.items():
                means[name] = means.get(name, 0.0) + share * measure.item()
        return summed(value, means) if self._process.number > 1 else (value, means)
