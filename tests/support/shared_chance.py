"""A process of a job of GRPO that draws its share of what one process alone would draw.

Random numbers are told by step, row and token, and each process takes those of its rows. The tests' tasks are known by
name, as a process of a job finds them; where the model is split by FSDP, the CPUs are such devices (`fsdp_on_cpu.py`).
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from fakes import LetterTask, LineTask
from fsdp_on_cpu import take_part
from tiny_models import SPECIALS
from transformers import GenerationMixin

from sapo.records import Question, Verdict
from sapo.tasks.catalog import TASKS
from sapo.train.distributed import splits, this_process


class Letters(LetterTask):
    NAME = "letters"


class HalfBroken(LineTask):
    """Cannot judge what the second process drew."""

    NAME = "half_broken"

    def grade(self, questions: Sequence[Question], completions: Sequence[str]) -> list[Verdict]:
        return ["grader_error" if this_process().rank else "wrong"] * len(completions)


FAKES = {"letters": Letters(), "half_broken": HalfBroken()}


@contextmanager
def shared_chance() -> Iterator[None]:
    """Draw by the inverse of the distribution; the numbers of a token are the same in any number of processes.

    The first half of all rows ends with the second token: one of two processes is done before the other.
    """
    generate = vars(GenerationMixin)["generate"]
    at = [0, 0]  # calls of `generate`, tokens of this one

    def drawn(probabilities: torch.Tensor, num_samples: int) -> torch.Tensor:
        assert num_samples == 1
        at[1] += 1
        rank, number = this_process()
        rows = len(probabilities)
        mine = slice(rank * rows, (rank + 1) * rows)
        chance = torch.Generator().manual_seed(1000 * at[0] + at[1])
        numbers = torch.rand(rows * number, 1, generator=chance, dtype=torch.float64)[mine]
        found = torch.searchsorted(probabilities.double().cumsum(-1), numbers)
        ends = torch.arange(rows * number)[mine, None] < rows * number // 2
        return torch.where(ends & (at[1] == 2), SPECIALS.index("<eos>"), found.clamp(max=probabilities.shape[-1] - 1))

    def counted(self: Any, *arguments: Any, **options: Any) -> Any:
        assert not splits() or AcceleratorState().distributed_type in ("DEEPSPEED", "FSDP")
        at[:] = [at[0] + 1, 0]
        return generate(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "multinomial", drawn)
        patch.setattr(GenerationMixin, "generate", counted)
        yield


if __name__ == "__main__":
    TASKS.update(FAKES)
    with shared_chance():
        take_part(Path(sys.argv[1]))
