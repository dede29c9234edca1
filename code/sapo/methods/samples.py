"""A round's samples of its reasoner: drawn once, whatever becomes of the rest of the round."""

import itertools
from pathlib import Path

from sapo.methods.bench import Bench, clocked, write_costs
from sapo.methods.kept import kept
from sapo.methods.supervision import journal, scorable
from sapo.models.loading import load_encoder
from sapo.records import Cost, Trajectory, write_records
from sapo.supervise.sampling import sample
from sapo.workspace import digest


def sampled(bench: Bench, number: int, reasoner: Path) -> Path:
    """The folder with those of a round's samples that can be scored (`sampled.jsonl`), and the cost of all."""
    made_from = {
        "phase": "sample",
        "place": [bench.model, bench.task_name, bench.settings.seed, number],
        "reasoner": digest(reasoner),
        "sampling": bench.settings.sampling,
        "tuning": bench.settings.tuning,
        "limits": bench.training,
        "data": bench.settings.data,
    }
    return kept(bench.store, made_from, lambda folder: _sample(bench, number, reasoner, folder))


def _sample(bench: Bench, number: int, reasoner: Path, folder: Path) -> None:
    sampler = journal(bench, reasoner, f"sampling of round {number}", folder)
    questions, limit = bench.train_questions(), bench.limits.max_new_tokens
    seed = bench.seed("sample", number)
    costs: dict[str, Cost] = {}
    with clocked(costs, "sampling"):
        drawn, costs["sampling"] = sample(bench.task, sampler, questions, bench.settings.sampling, limit, seed)
    usable = itertools.compress(drawn, scorable(load_encoder(reasoner), questions, drawn))
    write_records(folder / "sampled.jsonl", usable, Trajectory)
    write_costs(folder, costs)
