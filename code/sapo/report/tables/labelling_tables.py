"""What labels cost and how true they are, as tables of text and as the numbers of `results/metrics.json`."""

from collections.abc import Sequence
from dataclasses import asdict

from sapo.evaluate.efficiency import LABELLERS
from sapo.report.efficiency import Measured, Seconds, TaskEfficiency, targets
from sapo.report.stats import percent_numbers
from sapo.report.tables.method_tables import Table, accuracy_text

PARTS = ("steps", "first_error")
VARIANTS = "shepherd_again: shepherd with other draws; saps_…: saps with that one change."


def targets_table(results: Sequence[TaskEfficiency]) -> Table:
    rows = [
        (entry.model, entry.task, t.name, f"{t.value:.2f}", f"{t.sign} {t.goal:g}", "yes" if t.met else "no")
        for entry in results
        for t in targets(entry)
    ]
    return Table("Targets of efficient labelling", ("Model", "Task", "Target", "Measured", "Goal", "Met"), tuple(rows))


def cost_table(results: Sequence[TaskEfficiency], seconds: Seconds | None) -> Table:
    """Costs per labelled trajectory, a row a task and labeller."""
    header = ("Model", "Task", "Labeller", "Rollouts", "Prompt tokens", "Generated tokens", "FLOPs", "half right")
    rows = [(e.model, e.task, name, *_cost_cells(e, name, seconds)) for e in results for name in LABELLERS]
    which = "; ".join(f"{entry.model} on {entry.task}: {entry.which}" for entry in results)
    right = "half right: FLOPs of as many right trajectories counted in, which `known_correct` need not ask."
    note = f"Means of {which}; {right} {VARIANTS} Seconds: {seconds.machine if seconds else 'not measured'}."
    return Table("What labels cost", (*header, "Programs", "Seconds"), tuple(rows), note)


def agreement_table(results: Sequence[TaskEfficiency]) -> Table:
    """Agreements in % with 95 % intervals, a row a task and labeller."""
    header = ("Model", "Task", "Labeller", "As shepherd: steps", "first error", "As the truth: steps", "first error")
    rows = [(e.model, e.task, name, *_quality_cells(e.labellers[name])) for e in results for name in LABELLERS]
    counts = "; ".join(f"{entry.trajectories_all} of {entry.model} on {entry.task}" for entry in results)
    note = (
        f"In % with 95 % intervals, over all wrong trajectories ({counts}). Verifier: trained on these labels, against "
        f"the truth of held-out samples. {VARIANTS}"
    )
    return Table("How true labels are", (*header, "Verifier: steps", "first error"), tuple(rows), note)


def _cost_cells(entry: TaskEfficiency, name: str, seconds: Seconds | None) -> list[str]:
    cost = entry.labellers[name].cost
    taken = seconds.each.get(entry.place, {}).get(name) if seconds else None
    tokens = [f"{cost.rollouts:.1f}", f"{cost.prompt_tokens:.0f}", f"{cost.generated_tokens:.0f}"]
    half = entry.labellers[name].cost_half
    flops = [f"{cost.flops:.2e}", f"{half.flops:.2e}" if half else "–"]
    return [*tokens, *flops, f"{cost.programs:.1f}", "–" if taken is None else f"{taken:.4f}"]


def _quality_cells(found: Measured) -> list[str]:
    kinds = (found.shepherd, found.truth, found.verifier)
    shares = [share for own in kinds for share in ((own.steps, own.first_error) if own else (None, None))]
    return list(map(accuracy_text, shares))


def efficiency_metrics(entry: TaskEfficiency) -> dict[str, object]:
    """The same numbers for `metrics.json`: costs per trajectory, shares in %, targets. No seconds."""
    goals = {t.name: {"value": round(t.value, 4), "goal": t.goal, "met": t.met} for t in targets(entry)}
    return {
        "trajectories": entry.trajectories,
        "mean_steps": round(entry.mean_steps, 2),
        "trajectories_all": entry.trajectories_all,
        "labellers": {name: _labeller_metrics(found) for name, found in entry.labellers.items()},
        "targets": goals,
    }


def _labeller_metrics(found: Measured) -> dict[str, object]:
    kinds = (("each", found.cost), ("each_of_all", found.cost_all), ("each_half_right", found.cost_half))
    costs = {f"{name}_{kind}": round(n, 2) for kind, own in kinds if own for name, n in asdict(own).items()}
    shares = {
        kind: {part: percent_numbers(getattr(own, part)) for part in PARTS}
        for kind, own in (("shepherd", found.shepherd), ("truth", found.truth), ("verifier", found.verifier))
        if own
    }
    return {**costs, **shares}
