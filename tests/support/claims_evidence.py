"""What claims are held against: the tiny run of report_runs.py, and what labels cost, by hand."""

from dataclasses import replace
from typing import Any

from report_runs import MODEL, TASK, tiny_settings

from sapo.evaluate.interval import Interval
from sapo.report.claims.evidence import Evidence
from sapo.report.efficiency import Agreement, Each, Measured, TaskEfficiency
from sapo.report.load_run import read_results
from sapo.runtime.workspace import Workspace

FLOPS = {"shepherd": 600.0, "omega": 600.0, "saps": 1200.0}  # of one labelled trajectory


def labelling() -> list[TaskEfficiency]:
    """Costs of one model and task; all labels agree."""
    every = Interval(1.0, 1.0, 1.0)
    same = Agreement(every, every)
    costs = {name: Each(8.0, 20.0, 40.0, flops, 0.0) for name, flops in FLOPS.items()}
    found = {name: Measured(cost, cost, None, 1.0, same, None, None) for name, cost in costs.items()}
    return [TaskEfficiency(MODEL, TASK, 1, 6.0, True, 1, every, found)]


def evidence_of(workspace: Workspace, **changed: Any) -> Evidence:
    settings = tiny_settings()
    return replace(Evidence(settings, read_results(settings, workspace), labelling(), None, ()), **changed)
