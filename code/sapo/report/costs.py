"""Total cost of a reasoner: everything that its method needs up to its round, also where methods share it.

That is M_0's training, the samples of D_0 (round 1 has its share of them in its own costs), all its rounds, and, where
the first round detects with V_0, omega's labels and V_0's training. Counts repeat exactly on every machine; seconds do
not and are in no file (seconds.py prints them).
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from sapo.records import Cost
from sapo.report.accuracies import Column
from sapo.report.names import checkpoint_name, learns_from
from sapo.report.run_records import COT, SFT, Checkpoint, TaskResults
from sapo.report.tables.method_tables import Table, accuracy_text, shown_rows

SCORED = ("detection", "scoring")  # parts whose tokens a verifier reads


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens drawn (with the prompts they were drawn from), read by verifiers, and trained on; FLOPs; programs run."""

    sampled_tokens: float
    scored_tokens: float
    trained_tokens: float
    flops: float
    programs: float


def owed(entry: TaskResults, checkpoint: Checkpoint, seed: int) -> list[tuple[str, Cost]]:
    """The parts of the work that made a checkpoint of one seed, by name; nothing for the pretrained model."""
    if checkpoint == COT:
        return []
    start = entry.starts[seed].costs
    parts = [("sft", start["sft"])]
    if checkpoint == SFT:
        return parts
    rounds = [entry.rounds[Checkpoint(checkpoint.method, n)][seed] for n in range(1, checkpoint.round + 1)]
    if "detection" in rounds[0].costs:
        parts += [("labelling", start["labelling"]), ("verifier", start["verifier"])]
    return parts + [part for one in rounds for part in one.costs.items()]


def spent(entry: TaskResults, checkpoint: Checkpoint, seeds: Sequence[int]) -> Spent:
    """Mean over seeds of what a checkpoint cost."""
    parts = [part for seed in seeds for part in owed(entry, checkpoint, seed)]
    total = Spent(
        sum(_read(cost) for name, cost in parts if name not in SCORED),
        sum(_read(cost) for name, cost in parts if name in SCORED),
        _sum(cost.trained_tokens for _, cost in parts),
        _sum(cost.flops for _, cost in parts),
        _sum(cost.programs for _, cost in parts),
    )
    return Spent(**{name: value / len(seeds) for name, value in asdict(total).items()})


def _read(cost: Cost) -> int:
    return cost.prompt_tokens + cost.generated_tokens


def _sum(values: Iterable[float]) -> float:
    return sum(values)


def cost_rows(results: Sequence[TaskResults], columns: Sequence[Column]) -> list[dict[str, object]]:
    """Accuracy on the own task (%) and cost of every checkpoint, all rounds: rows of a figure.

    Keys: model, task, method, round, seeds (how many), accuracy_percent, low_percent, high_percent, and `Spent`'s.
    """
    rows: list[dict[str, object]] = []
    for entry in results:
        for checkpoint, accuracy in _own_column(entry, columns).accuracies.items():
            value = accuracy.value
            place = {"model": entry.model, "task": entry.task, "method": checkpoint.method, "round": checkpoint.round}
            percent = {f"{name}_percent": 100 * share for name, share in asdict(value).items()}
            percent["accuracy_percent"] = percent.pop("value_percent")
            cost = asdict(spent(entry, checkpoint, accuracy.seeds))
            rows.append({**place, "seeds": len(accuracy.seeds), **percent, **cost})
    return rows


def cost_table(results: Sequence[TaskResults], columns: Sequence[Column]) -> Table:
    """Accuracy on the own task against everything that the method owes, for the checkpoints of the tables."""
    rows = []
    for entry in results:
        column = _own_column(entry, columns)
        for checkpoint in shown_rows([column]):
            if accuracy := column.accuracies.get(checkpoint):
                cost = spent(entry, checkpoint, accuracy.seeds)
                counts = (cost.sampled_tokens, cost.scored_tokens, cost.trained_tokens)
                name = checkpoint_name(checkpoint, column.last.get(checkpoint.method))
                words = (entry.model, entry.task, name, learns_from(checkpoint.method), accuracy_text(accuracy.value))
                rows.append((*words, *(f"{n:,.0f}" for n in counts), f"{cost.flops:.2e}", f"{cost.programs:,.0f}"))
    header = ("Model", "Task", "Method", "Learns from", "Accuracy", "Sampled tokens", "Scored tokens")
    note = (
        "Means over seeds, up to and with the row's round, with SFT and the first samples, and with the first "
        "verifier where it is used. Sampled: prompts and completions; scored: read by a verifier. Work that methods "
        "share counts for each. Seconds depend on the machine: the report prints them, and no file holds them."
    )
    return Table("Accuracy against cost", (*header, "Trained tokens", "FLOPs", "Programs run"), tuple(rows), note)


def _own_column(entry: TaskResults, columns: Sequence[Column]) -> Column:
    place = (entry.model, entry.task, entry.task)
    return next(column for column in columns if (column.model, column.task, column.benchmark) == place)
