"""A round's samples of its reasoner: drawn once, whatever becomes of the rest of the round."""

import itertools
from dataclasses import dataclass
from pathlib import Path

from sapo.labelling.trajectories import sample
from sapo.models.loading import load_encoder
from sapo.recipes.experiment import clocked, write_costs
from sapo.recipes.inputs import Case, DrawSettings, Folder, Questions, Tools
from sapo.recipes.label_step import scorable
from sapo.records import Cost, Trajectory, write_records
from sapo.runtime.cache import cached
from sapo.settings import SamplingSettings


@dataclass(frozen=True, slots=True)
class SampleInputs:
    """Of the samples of round `number`."""

    case: Case
    number: int
    reasoner: Folder
    questions: Questions
    draw: DrawSettings
    sampling: SamplingSettings


def sampled(inputs: SampleInputs, tools: Tools) -> Path:
    """The folder with those of a round's samples that can be scored (`sampled.jsonl`), and the cost of all."""

    def make(folder: Path) -> None:
        what = f"sampling of round {inputs.number}"
        sampler = tools.journal(inputs.reasoner.path, inputs.draw, what, folder)
        limit, seed = inputs.draw.max_new_tokens, inputs.case.derive("sample", inputs.number)
        costs: dict[str, Cost] = {}
        with clocked(costs, "sampling"):
            drawn, costs["sampling"] = sample(
                inputs.case.task, sampler, inputs.questions.items, inputs.sampling, limit, seed
            )
        usable = scorable(load_encoder(inputs.reasoner.path), inputs.questions.by_id, drawn)
        write_records(folder / "sampled.jsonl", itertools.compress(drawn, usable), Trajectory)
        write_costs(folder, costs)

    return cached(tools.store, inputs, make)
