"""A few numbers a model and task for `dvc metrics show`, `dvc exp show` and `dvc metrics diff`.

Everything else is in `results/metrics.json`, which is too deep for a table.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sapo.records import write_plain_json
from sapo.report.accuracies import Column
from sapo.report.efficiency import TaskEfficiency
from sapo.report.process_records import ProcessResults
from sapo.report.run_records import Checkpoint

METHODS = ("cot", "sft", "rft", "orpo_outcome", "sapo")

Numbers = dict[str, float | int]


def summaries(
    columns: Sequence[Column],
    labelling: Sequence[TaskEfficiency],
    process: Sequence[ProcessResults],
    verdicts: Mapping[str, int],
) -> dict[str, Numbers]:
    """By name of a file: accuracies in % after a method's last round on its own task, the step accuracy in % of SAPO's
    last verifier, FLOPs of labels by saps over those by shepherd; and how many claims have which verdict."""
    found = {f"{c.model}.{c.task}": _accuracies(c) for c in columns if not c.out_of_domain}
    for entry in labelling:
        flops = {name: own.cost.flops for name, own in entry.labellers.items()}
        found[f"{entry.model}.{entry.task}"]["label_flops"] = round(flops["saps"] / flops["shepherd"], 3)
    for entry in process:
        rounds = {one.round: own.steps.value for one, own in entry.verifiers.items() if one.method == "sapo"}
        if rounds:
            found[f"{entry.model}.{entry.task}"]["verifier"] = round(100 * rounds[max(rounds)], 2)
    found["claims"] = {verdict.replace(" ", "_"): number for verdict, number in verdicts.items()}
    return found


def write_summaries(folder: Path, numbers: Mapping[str, Numbers]) -> list[Path]:
    """A file each; files of models and tasks that are no longer there go."""
    paths = [folder / f"{name}.json" for name in numbers]
    for old in set(folder.glob("*.json")) - set(paths):
        old.unlink()
    for path, values in zip(paths, numbers.values(), strict=True):
        write_plain_json(path, values)
    return paths


def _accuracies(column: Column) -> Numbers:
    last = {method: Checkpoint(method, column.last.get(method, 0)) for method in METHODS}
    return {
        method: round(100 * column.accuracies[one].value.value, 2)
        for method, one in last.items()
        if one in column.accuracies
    }
