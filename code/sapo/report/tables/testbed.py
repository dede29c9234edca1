"""The testbed's targets as a table: base models × tasks by target, what was measured and whether it is met."""

from collections.abc import Mapping
from typing import Any

from sapo.records import read_json
from sapo.report.tables.method_tables import NONE, Table
from sapo.runtime.workspace import Workspace
from sapo.settings import Settings

# Target → heading, in the order of the table.
HEADINGS = {
    "base_accuracy": "base, 15-45",
    "sft_gain": "SFT gains, > 0",
    "pass_at_k_gap": "pass@8 − pass@1 of SFT, ≥ 20",
    "largest_share_of_one_error_position": "commonest first-error position, ≤ 60",
    "right_with_wrong_step": "right with a wrong step, ≥ 5",
    "rft_gain": "RFT − SFT, ≥ 8",
    "orpo_outcome_gain": "ORPO on outcomes − SFT, ≥ 8",
    "questions_with_pairs": "questions with pairs, worst round, ≥ 40",
}


def add_pairs(report: Mapping[str, Mapping[str, Any]], workspace: Workspace, settings: Settings) -> None:
    """Add the target that is read from the last run, where it has SAPO: training questions that keep a pair."""
    for name, cell in report.items():
        if kept := questions_with_pairs(workspace, settings, *name.split("/")):
            cell["targets"]["questions_with_pairs"] = {"value": min(kept), "met": min(kept) >= 0.40}


def questions_with_pairs(workspace: Workspace, settings: Settings, model: str, task: str) -> list[float]:
    """Share of the training questions that keep a pair, by seed and round of SAPO; empty where it did not run."""
    found = workspace.methods(model, task).glob("*/sapo/*/pairs.json")
    shares = [read_json(path)["kept"] for path in sorted(found)]
    return [round(share / settings.tasks[task].train_questions, 4) for share in shares]


def targets_table(report: Mapping[str, Mapping[str, Any]]) -> Table:
    """One row a base model and task of `results/lab.json`; all numbers are in % or points."""
    rows = []
    for name, own in sorted(report.items()):
        found = [own["targets"].get(target) for target in HEADINGS]
        cells = [f"{100 * one['value']:.1f}{'' if one['met'] else ' ✗'}" if one else NONE for one in found]
        rows.append((name.replace("/", " × "), str(own["train_questions"]), *cells))
    note = "Means over seeds; greedy accuracy on development questions. ✗ misses its target; – not measured."
    header = ("base model × task", "training questions", *HEADINGS.values())
    return Table("Targets of the laboratory, in %", header, tuple(rows), note)
