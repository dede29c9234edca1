"""Seconds of a run by method, printed on the terminal and written to no file, because they differ from run to run.

They are kept with the finished work below `runs/.scratch/`. Work that methods share counts for each of them.
"""

from collections.abc import Sequence
from pathlib import Path

from sapo.records import read_json
from sapo.report.names import method_name
from sapo.report.run_records import TaskResults
from sapo.report.tables.method_tables import Table
from sapo.runtime.cache import INSIDE, SECONDS, name_of
from sapo.runtime.workspace import Workspace

PARTS = {
    "Sampling": ("sampling",),
    "Labelling": ("detection", "labelling"),
    "Verifier": ("verifier", "scoring"),
    "Update": ("update", "sft"),
}


def seconds_table(results: Sequence[TaskResults], workspace: Workspace) -> Table:
    """Mean seconds a seed of every method whose finished work is still there; M_0, D_0 and V_0 have their own row."""
    rows = []
    for entry in results:
        folders = {"start": sorted(workspace.starts(entry.model, entry.task).glob("*"))}
        for path in sorted(workspace.methods(entry.model, entry.task).glob("*/*/*/" + INSIDE)):
            folders.setdefault(path.parent.parent.name, []).append(path.parent)
        for method, own in folders.items():
            spent = [_seconds(folder, workspace.scratch) for folder in own]
            if all(spent):
                seeds = len({folder.parent.parent.name for folder in own}) if method != "start" else len(own)
                name = "M_0, D_0 and V_0 (all methods)" if method == "start" else method_name(method)
                parts = [sum(one.get(n, 0.0) for one in spent for n in names) / seeds for names in PARTS.values()]
                rows.append((entry.model, entry.task, name, *(f"{value:.1f}" for value in (*parts, sum(parts)))))
    header = ("Model", "Task", "Method", *PARTS, "Total")
    return Table("Seconds a seed, of this run on this machine", header, tuple(rows))


def _seconds(output: Path, store: Path) -> dict[str, float]:
    """Seconds by part of the work that became this output; empty where it is not kept any more."""
    if not (output / INSIDE).is_file():
        return {}
    content = read_json(output / INSIDE)
    path = store / name_of(content) / SECONDS
    return read_json(path) if path.is_file() else {}
