"""Accuracy against the FLOPs of everything that a method computed, from SFT to its last round."""

import math

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from sapo.report.accuracies import Accuracy, Column
from sapo.report.costs import cost_rows, spent
from sapo.report.figures.drawing import ITERATED, Drawn, Findings, note, percent_range, points, short_name
from sapo.report.figures.labels import Label, label_points
from sapo.report.names import in_order, whole_of
from sapo.report.run_records import Checkpoint, TaskResults
from sapo.report.style import GREY, look, panels, styled

VARIANTS = ("sapo_lazy", "sapo_until_located", "sapo_ours")  # the others are not meant to change the cost

FLAT = {"cot": (":", "top"), "sft": ("--", "bottom")}  # lines, as they cost next to nothing; where their names go

Costs = dict[str, dict[Checkpoint, tuple[float, Accuracy]]]  # method: FLOPs and accuracy of its rounds in order


def accuracy_by_flops(found: Findings) -> Drawn:
    """Accuracy (%) with 95 % intervals on the own task against FLOPs (log), a panel a model and task.

    Small points on a line are the rounds before a method's last one. CoT and SFT are lines.
    """
    columns = [column for column in found.columns if not column.out_of_domain]
    with styled():
        across = min(2, len(columns))
        gaps = [0.65, *[0.75] * (across - 1), 0.3]
        figure, grid = panels([3.2] * math.ceil(len(columns) / across), [4.5] * across, gaps)
        shown = []
        for axes, entry, column in zip(grid.flat, found.results, columns, strict=False):
            costs = _costs(entry, column)
            _draw(axes, column, costs)
            shown += [(column.model, column.task, one.method, one.round) for rounds in costs.values() for one in rounds]
        for axes in list(grid.flat)[len(columns) :]:
            axes.set_visible(False)
        note(figure, "Filled: learns from the process; hollow: from outcomes. Small points: earlier rounds.")
    places = ("model", "task", "method", "round")
    rows = cost_rows(found.results, found.columns)
    return figure, [row for row in rows if tuple(row[name] for name in places) in shown]


def _costs(entry: TaskResults, column: Column) -> Costs:
    """What every method spent up to each of its rounds that are shown: all of those that repeat one update."""
    costs: Costs = {}
    for method in in_order(one.method for one in column.accuracies):
        if whole_of(method) and method not in VARIANTS:
            continue
        last = column.last.get(method, 0)
        first = 1 if method in ITERATED or method in VARIANTS else last
        rounds = [Checkpoint(method, number) for number in range(first, last + 1)]
        found = {one: column.accuracies[one] for one in rounds if one in column.accuracies}
        if Checkpoint(method, last) in found:
            costs[method] = {one: (spent(entry, one, a.seeds).flops, a) for one, a in found.items()}
    return costs


def _draw(axes: Axes, column: Column, costs: Costs) -> None:
    ends = {method: list(rounds.values())[-1] for method, rounds in costs.items() if method not in FLAT}
    values = [accuracy.value for rounds in costs.values() for _, accuracy in rounds.values()]
    spent_flops = [flops for method in ends for flops, _ in costs[method].values()]
    axes.set_title(f"{column.model} trained on {column.task}", loc="left")
    if not ends:
        axes.text(0.5, 0.5, "no method finished", ha="center", va="center", transform=axes.transAxes, color=GREY)
        axes.set(xticks=[], yticks=[])
        return
    axes.set_xscale("log")
    subs = (1.0, 2.0, 5.0) if max(spent_flops) < 1000 * min(spent_flops) else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(FuncFormatter(_power))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(ylim=percent_range(values), xlim=(min(spent_flops) / 1.6, max(spent_flops) * 1.6))
    axes.set(xlabel="FLOPs of all that the method needs (log scale)", ylabel=f"Accuracy on {column.benchmark} (%)")
    obstacles: list[tuple[float, float]] = []
    for method in ends:
        obstacles += _draw_method(axes, method, list(costs[method].values()))
    for method, (line, side) in FLAT.items():
        height = 100 * costs[method][Checkpoint(method, 0)][1].value.value
        axes.axhline(height, color=GREY, linestyle=line, linewidth=1, zorder=1)
        place = (0.01, height)
        words = short_name(method)
        axes.annotate(words, place, xycoords=("axes fraction", "data"), va=side, fontsize=8, color=GREY)
    labels = [
        Label(flops, 100 * accuracy.value.value, short_name(method), look(method).color)
        for method, (flops, accuracy) in ends.items()
    ]
    label_points(axes, labels, obstacles)


def _power(value: float, _place: int) -> str:
    """2e12 as 2 · 10¹²."""
    factor, exponent = f"{value:.0e}".split("e")
    return rf"${'' if factor == '1' else factor + chr(92) + 'cdot '}10^{{{int(exponent)}}}$"


def _draw_method(axes: Axes, method: str, rounds: list[tuple[float, Accuracy]]) -> list[tuple[float, float]]:
    """A method's rounds; returns places on its lines and whiskers, where no label should be."""
    drawn, main = look(method), method == "sapo"
    x, y = [flops for flops, _ in rounds], [100 * accuracy.value.value for _, accuracy in rounds]
    axes.plot(x, y, linestyle=drawn.line, color=drawn.color, linewidth=1.4 if main else 0.8, alpha=1 if main else 0.6)
    axes.plot(x[:-1], y[:-1], drawn.marker, color=drawn.color, markerfacecolor=drawn.face, markersize=3)
    last = rounds[-1][1].value
    points(axes, x[-1:], [last], method, 7 if main else 5.5)
    whisker = [(x[-1], 100 * (last.low + share / 8 * (last.high - last.low))) for share in range(9)]
    line = [
        (x[place] * (x[place + 1] / x[place]) ** (share / 12), y[place] + share / 12 * (y[place + 1] - y[place]))
        for place in range(len(x) - 1)
        for share in range(12)
    ]
    return whisker + line
