"""The table of a run's seconds, from finished work that is kept."""

from pathlib import Path

from report_runs import MODEL, TASK, tiny_settings

from sapo.records import write_json
from sapo.report.run_records import TaskResults
from sapo.report.timing import seconds_table
from sapo.runtime.cache import INSIDE, SECONDS, name_of
from sapo.runtime.workspace import Workspace


def finished(output: Path, store: Path, seconds: dict[str, float] | None) -> None:
    """Work that became this output; None: it is not kept any more."""
    made_from = {"output": output.as_posix()}
    write_json(output / INSIDE, made_from)
    if seconds is not None:
        write_json(store / name_of(made_from) / SECONDS, seconds)


def test_seconds_are_summed_over_rounds_and_averaged_over_seeds(tmp_path: Path) -> None:
    """SAPO: seed 1 takes 3 + 5 of labelling in two rounds, seed 2 takes 4: 6 a seed. One round of RFT is gone."""
    workspace = Workspace(tmp_path, tiny_settings().profile)
    methods = workspace.methods(MODEL, TASK)
    finished(workspace.start(MODEL, TASK, 1), workspace.scratch, {"sft": 1.0, "sampling": 2.0})
    finished(methods / "1" / "sapo" / "1", workspace.scratch, {"labelling": 3.0})
    finished(methods / "1" / "sapo" / "2", workspace.scratch, {"detection": 1.0, "labelling": 4.0})
    finished(methods / "2" / "sapo" / "1", workspace.scratch, {"labelling": 4.0, "update": 2.0})
    finished(methods / "1" / "rft" / "1", workspace.scratch, None)
    rows = seconds_table([TaskResults(MODEL, TASK, (), {}, {}, {}, {})], workspace).rows
    assert rows == (
        (MODEL, TASK, "M_0, D_0 and V_0 (all methods)", "2.0", "0.0", "0.0", "1.0", "3.0"),
        (MODEL, TASK, "SAPO", "0.0", "6.0", "0.0", "1.0", "7.0"),
    )
