"""What the claims are held against: everything that stage `report` has read, and the cells that a claim speaks of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sapo.report.claims.catalog import Where
from sapo.report.efficiency import Seconds, TaskEfficiency
from sapo.report.names import checkpoint_name, method_name
from sapo.report.process_records import ProcessResults
from sapo.report.run_records import COT, SFT, BenchmarkResults, Checkpoint, TaskResults
from sapo.settings import Settings


@dataclass(frozen=True, slots=True)
class Evidence:
    """One run; `process` is empty where verifiers were not judged, and `seconds` None where none are on file."""

    settings: Settings
    results: Sequence[TaskResults]
    labelling: Sequence[TaskEfficiency]
    seconds: Seconds | None
    process: Sequence[ProcessResults]


def benchmarks_of(evidence: Evidence, where: Where) -> Iterator[tuple[TaskResults, BenchmarkResults]]:
    """The models and benchmarks of this run that a claim speaks of, in their order."""
    for entry in evidence.results:
        for benchmark in entry.benchmarks:
            if benchmark.name in where.benchmarks and speaks_of(evidence, where, entry.model):
                yield entry, benchmark


def speaks_of(evidence: Evidence, where: Where, model: str) -> bool:
    """Whether a claim speaks of models of this architecture."""
    return not where.architectures or evidence.settings.models[model].architecture in where.architectures


def checkpoint(entry: TaskResults, said: str) -> Checkpoint:
    """`sapo 3` is round 3; `rft` the last round that the settings ask for; `cot` and `sft` are round 0."""
    method, _, number = said.partition(" ")
    start = {"cot": COT, "sft": SFT}.get(method)
    return start or Checkpoint(method, int(number) if number else entry.last.get(method, 1))


def name(entry: TaskResults, one: Checkpoint) -> str:
    return checkpoint_name(one, entry.last.get(one.method))


def absence(entry: TaskResults, benchmark: BenchmarkResults, checkpoints: Sequence[Checkpoint]) -> str:
    """Why these checkpoints cannot be compared; empty if they can."""
    for one in checkpoints:
        if one in (COT, SFT) or benchmark.answers.get(one):
            continue
        if stops := entry.stopped.get(one.method):
            return f"{method_name(one.method)} stopped in round {min(stop.round for stop in stops.values())}"
        last = entry.last.get(one.method)
        return f"{method_name(one.method)} has {last} rounds" if last else f"{method_name(one.method)} was not run"
    return "" if benchmark.seeds(*checkpoints) else "no seed in common"
