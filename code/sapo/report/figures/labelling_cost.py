"""Figure 6: what a labelled trajectory costs by labeller, and how true its labels are; a row of panels a task."""

import math
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sapo.report.efficiency import Agreement, Measured, Seconds, TaskEfficiency
from sapo.report.figures.drawing import Rows
from sapo.report.style import BLUE, GREY, panels, styled

UNMEASURED = "not measured:\npython\nbenchmarks/labelling.py\n--write"
UNKNOWN = "the task knows\nno truth"
SHOWN = ("shepherd", "omega", "saps", "ours")
LIGHT = "#aaaaaa"
MARKERS = {"shepherd": "D", "omega": "s", "saps": "^", "ours": "o"}
BOX = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}


def figure6(results: Sequence[TaskEfficiency], seconds: Seconds | None) -> tuple[Figure, Rows]:
    """Bars of rollouts, FLOPs and seconds, points of three agreements with 95 % intervals.

    The dashed line is how far shepherd agrees with itself under other draws: more than that is luck.
    """
    with styled():
        figure, grid = panels([2.4] * len(results), (1.75,) * 6, (0.7, *(0.3,) * 6))
        for row, entry in zip(grid, results, strict=True):
            _draw(row, entry, (seconds.each.get(entry.place) if seconds else None) or {})
    return figure, [row for entry in results for row in _rows(entry, seconds)]


def _draw(row: Sequence[Axes], entry: TaskEfficiency, seconds: dict[str, float]) -> None:
    found = {name: entry.labellers[name] for name in SHOWN}
    flops = {name: m.cost.flops for name, m in found.items()}
    power = 3 * int(math.log10(max(*flops.values(), 1)) // 3)
    _bars(row[0], {name: m.cost.rollouts for name, m in found.items()}, "Rollouts")
    _bars(row[1], {k: v / 10**power for k, v in flops.items()}, f"FLOPs ({_power(power)})")
    if all(name in seconds for name in SHOWN):
        _bars(row[2], {name: 1000 * seconds[name] for name in SHOWN}, "Milliseconds")
    else:
        _say(row[2], UNMEASURED, "Milliseconds")
    _points(row[3], found, lambda m: m.shepherd, "Labels as shepherd's (%)")
    again = 100 * entry.labellers["shepherd_again"].shepherd.first_error.value
    row[3].axvline(again, color="black", linestyle="--", linewidth=1)
    row[3].text(again - 2, 0, "shepherd\ndrawn anew", ha="right", va="center", fontsize=8)
    _points(row[4], found, lambda m: m.truth, "Labels as the truth (%)")
    _points(row[5], found, lambda m: m.verifier, "Verifier as the truth (%)")
    for place, axes in enumerate(row):
        axes.set(ylim=(len(SHOWN) - 0.5, -0.6), yticks=range(len(SHOWN)))
        axes.set_yticklabels(SHOWN if place == 0 else [])
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
    row[0].set_title(f"{entry.task}, {entry.model}\nCosts: means of {entry.which}", loc="left")
    row[3].set_title("Trajectories with the same first error, with 95 % intervals", loc="left")


def _power(exponent: int) -> str:
    return f"$10^{{{exponent}}}$" if exponent else "1"


def _bars(axes: Axes, values: dict[str, float], label: str) -> None:
    colors = [BLUE if name == "ours" else LIGHT for name in values]
    bars = axes.barh(range(len(values)), list(values.values()), 0.62, color=colors)
    axes.bar_label(bars, [f"{value:.3g}" for value in values.values()], padding=3, fontsize=8)
    axes.set(xlabel=label, xlim=(0, 1.3 * max(*values.values(), 1e-9)))
    axes.grid(visible=True, axis="x")


def _points(axes: Axes, found: dict[str, Measured], pick: Callable[[Measured], Agreement | None], label: str) -> None:
    """Shares in % with intervals; shepherd's agreement with itself is no measurement and is left out."""
    agreements = {name: agreement for name, m in found.items() if (agreement := pick(m))}
    if not agreements:
        _say(axes, UNKNOWN, label)
        return
    for place, name in enumerate(SHOWN):
        if agreements[name] is found["shepherd"].shepherd:
            continue
        share = agreements[name].first_error
        value, low, high = 100 * share.value, 100 * share.low, 100 * share.high
        reach = [[max(value - low, 0)], [max(high - value, 0)]]
        color = BLUE if name == "ours" else GREY
        axes.errorbar([value], [place], xerr=reach, fmt=MARKERS[name], color=color, capsize=2.5, markersize=5, zorder=3)
        above = {"xytext": (0, 7), "textcoords": "offset points", "ha": "center", "fontsize": 8, "bbox": BOX}
        axes.annotate(f"{value:.1f}", (value, place), **above)
    axes.set(xlabel=label, xlim=(0, 103), xticks=range(0, 101, 25))
    axes.grid(visible=True, axis="x")


def _say(axes: Axes, text: str, label: str) -> None:
    axes.text(0.5, 0.45, text, transform=axes.transAxes, ha="center", va="center", fontsize=8, color=GREY)
    axes.set(xlabel=label, xticks=[])
    axes.grid(visible=False)


def _rows(entry: TaskEfficiency, seconds: Seconds | None) -> Rows:
    """Every labeller's numbers, those that the panels do not show too; empty where nothing was measured."""
    taken = seconds.each.get(entry.place, {}) if seconds else {}
    rows: Rows = []
    for name, found in entry.labellers.items():
        row: dict[str, object] = {"model": entry.model, "task": entry.task, "labeller": name}
        row |= {"trajectories": entry.trajectories, "mean_steps": entry.mean_steps}
        row |= {"rollouts": found.cost.rollouts, "flops": found.cost.flops, "seconds": taken.get(name, "")}
        for kind, agreement in (("shepherd", found.shepherd), ("truth", found.truth), ("verifier", found.verifier)):
            share = agreement.first_error if agreement else None
            for part in ("value", "low", "high"):
                row[f"{kind}_first_error_{part}_percent"] = 100 * getattr(share, part) if share else ""
        rows.append(row)
    return rows
