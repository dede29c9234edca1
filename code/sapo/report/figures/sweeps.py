"""Accuracy of SAPO with other values of eta and beta and with more rounds, where a run has them."""

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.axes import Axes

from sapo.report.accuracies import Column
from sapo.report.figures import drawing
from sapo.report.figures.drawing import Drawn, Findings, Rows
from sapo.report.run_records import SFT, Checkpoint
from sapo.report.style import BLUE, GREY, ink, panels, styled
from sapo.settings import Settings, method_settings


@dataclass(frozen=True, slots=True)
class Sweep:
    """One setting: its name on the axis, its value in a method's settings, the methods that change it alone."""

    name: str
    value: Callable[[Settings], float]
    methods: tuple[str, ...]


ROUNDS = "Rounds"
ETAS, BETAS = ("sapo_eta_0", "sapo_eta_01", "sapo_eta_02"), ("sapo_beta_001", "sapo_beta_03", "sapo_beta_1")
SWEEPS = (
    Sweep("eta, least gap between the rewards of a pair", lambda own: own.pairs.eta, ETAS),
    Sweep("beta, weight of the odds ratio", lambda own: own.orpo.beta, BETAS),
    Sweep(ROUNDS, lambda own: len(own.loop.updates), ("sapo_six_rounds",)),
)
# What is no ablation; other methods with more rounds are there for their verifiers.
LONGER = ("sapo_without_pf_six_rounds", "sapo_omega_six_rounds", "sapo_shepherd_six_rounds", "sipf_six_rounds")
SWEPT = (*(method for sweep in SWEEPS for method in sweep.methods), *LONGER)

Points = dict[Checkpoint, float]


def sweeps(found: Findings) -> Drawn | None:
    """Accuracy (%) with 95 % intervals by value of a setting; a row a model, task and benchmark, a column a setting.

    The large point is SAPO with its own value. A panel whose other values were not run, or stopped, says so; where none
    was run, one row is enough. None where a run has no SAPO.
    """
    rows = [(column, [_points(found.settings, column, sweep) for sweep in SWEEPS]) for column in found.columns]
    rows = [(column, values) for column, values in rows if values[0]]
    rows = [(column, values) for column, values in rows if max(map(len, values)) > 1] or rows[:1]
    if not rows:
        return None
    with styled():
        gaps = [0.7, *[0.75] * (len(SWEEPS) - 1), 0.3]
        figure, grid = panels([2.3] * len(rows), [3.0] * len(SWEEPS), gaps)
        for panel, (column, values) in zip(grid, rows, strict=True):
            for axes, sweep, own in zip(panel, SWEEPS, values, strict=True):
                _draw(axes, column, sweep, own, _missing(found.settings, column, sweep, own))
        drawing.note(figure, "Large point: SAPO with its own value. The values stand side by side at equal distances.")
    numbers: Rows = [
        {"setting": sweep.name.split(",")[0].lower(), "value": value} | drawing.accuracy_row(column, one)
        for column, values in rows
        for sweep, own in zip(SWEEPS, values, strict=True)
        for one, value in own.items()
    ]
    return figure, numbers


def _points(settings: Settings, column: Column, sweep: Sweep) -> Points:
    """Value of the setting by checkpoint, SAPO's among them, in rising order; empty where there is no SAPO.

    Every round of a method with more rounds is a point. A variant with SAPO's own value is SAPO.
    """
    own = drawing.final(column, "sapo")
    if own not in column.accuracies:
        return {}
    there = [method for method in sweep.methods if drawing.final(column, method) in column.accuracies]
    value = {method: sweep.value(method_settings(settings, method, settings.seed)) for method in ("sapo", *there)}
    found = {own: value["sapo"]} | {drawing.final(column, m): value[m] for m in there if value[m] != value["sapo"]}
    if sweep.name == ROUNDS and there:
        found |= {SFT: 0.0} | {Checkpoint(m, n): float(n) for m in there for n in drawing.path(column, m) if n}
        found = {one: number for one, number in found.items() if one == own or number != value["sapo"]}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _missing(settings: Settings, column: Column, sweep: Sweep, found: Points) -> str:
    """Which values have no point, and why; empty where none was left out."""
    name = sweep.name.split(",")[0]
    stopped = []
    for method in sweep.methods:
        if method in column.stopped and drawing.final(column, method) not in found:
            value = sweep.value(method_settings(settings, method, settings.seed))
            last = min(stop.round for stop in column.stopped[method].values())
            stopped.append(f"{name} {value:g} stopped in round {last}")
    alone = len(found) == 1 and not stopped
    return f"other values were not run\nin profile {settings.profile}" if alone else "\n".join(stopped)


def _draw(axes: Axes, column: Column, sweep: Sweep, found: Points, missing: str) -> None:
    axes.set_title(drawing.title(column), loc="left")
    axes.set(xlabel=sweep.name, ylabel="Accuracy (%)")
    intervals = {one: column.accuracies[one].value for one in found}
    x = list(range(len(found)))
    axes.plot(x, [100 * interval.value for interval in intervals.values()], "-", color=BLUE, linewidth=1)
    for place, (one, interval) in enumerate(intervals.items()):
        method = one.method if one.method in ("sapo", "sft") else sweep.methods[0]
        drawing.points(axes, [place], [interval], method, 8 if method == "sapo" else 5)
        if method == "sapo":
            words = ("SAPO", (place, 100 * interval.high), (0, 3), "data", "offset points")
            axes.annotate(*words, ha="center", va="bottom", fontsize=8, color=ink(BLUE))
    low, high = drawing.percent_range(list(intervals.values()))
    air = high - low
    axes.set(xlim=(-0.4, len(found) - 0.6))
    below = (0.5 if len(found) == 1 else 0.15) * air if missing else 0
    axes.set(ylim=(low - below, high + 0.08 * air))  # room for words
    if missing:
        axes.text(0.5, 0.05, missing, ha="center", transform=axes.transAxes, color=GREY, fontsize=8)
    axes.set_xticks(x, [f"{value:g}" for value in found.values()])
