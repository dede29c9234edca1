"""What a round hands to its update: the trajectories with their rewards, and the reasoner that drew them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel

from sapo.methods.bench import Bench
from sapo.methods.supervision import Shown, write_log
from sapo.models.encoding import Encoder
from sapo.models.loading import save_reasoner
from sapo.records import BadInput, Trajectory
from sapo.train.loop import StepLog


class NothingLeft(BadInput):
    """A filter or a pair rule left nothing to train on; the message says how much was there and why it went."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round of a method, before its update.

    Args:
        number: 1, 2, …
        reasoner: M_i, which drew `own`.
        start: where SFT and ORPO start (`loop.start`).
        own: the round's samples as they were drawn, repetitions included.
        pool: different trajectories, D_i, with a reward for each.
    """

    number: int
    reasoner: Path
    start: Path
    own: tuple[Trajectory, ...]
    pool: tuple[Trajectory, ...]
    rewards: tuple[float, ...]


def save_update(folder: Path, model: PreTrainedModel, encoder: Encoder, log: list[StepLog]) -> None:
    """Write the new reasoner and how its training went."""
    save_reasoner(model, encoder, folder / "model")
    write_log(folder / "log.json", log)


def budget(bench: Bench, rounds: int) -> float:
    """Training tokens of one round under `budget: matched`; 0 where every method trains as long as it says."""
    settings = bench.settings.budget
    return settings.training_tokens / rounds if settings.kind == "matched" else 0.0


def shown(bench: Bench, this: Round, what: str) -> Shown:
    return Shown(bench.shown(f"{what} of round {this.number}"))


def prompts_of(bench: Bench) -> Mapping[str, str]:
    """Prompt of every training question, by its id."""
    return {question.id: question.prompt for question in bench.train_questions()}
