"""Accuracy of each variant of SAPO and SIPF minus that of the whole method."""

from matplotlib.axes import Axes

from sapo.evaluate.interval import Interval
from sapo.report.accuracies import Column
from sapo.report.figures import drawing
from sapo.report.figures.drawing import Drawn, Findings, Rows
from sapo.report.figures.sweeps import SWEPT
from sapo.report.names import WHOLE, in_order, whole_of
from sapo.report.style import look, panels, styled

LINE = 0.22  # inches a variant

Differences = dict[str, Interval]


def ablations(found: Findings) -> Drawn | None:
    """Points of accuracy that a variant has more than the whole method, with 95 % intervals of the paired differences.

    A row a whole method, model and task, a column a benchmark; variants that only sweep a setting are in `sweeps`.
    None where a run has no variant.
    """
    pairs = [(whole, pair) for whole in WHOLE for pair in drawing.by_task(found.columns)]
    rows = [(whole, pair) for whole, pair in pairs if any(_differences(column, whole) for column in pair)]
    if not rows:
        return None
    with styled():
        heights = [LINE * max(3, *(len(_differences(column, whole)) for column in pair)) for whole, pair in rows]
        figure, grid = panels(heights, (3.1, 3.1), (1.45, 2.05, 0.6))
        for panel, (whole, pair) in zip(grid, rows, strict=True):
            every = [interval for column in pair for interval in _differences(column, whole).values()]
            reach = 100 * max(max(abs(interval.low), abs(interval.high)) for interval in every)
            for axes, column in zip(panel, pair, strict=True):
                _draw(axes, column, whole, reach)
        drawing.note(figure, "To the right of the line: better than the whole method. Filled: learns from the process.")
    numbers: Rows = [
        {**drawing.place(column), "whole": whole, "method": method}
        | {"seeds": len(column.accuracies[drawing.final(column, method)].seeds)}
        | drawing.percents("difference", interval)
        for whole, pair in rows
        for column in pair
        for method, interval in _differences(column, whole).items()
    ]
    return figure, numbers


def _differences(column: Column, whole: str) -> Differences:
    """Variants of a method by name, on the seeds that both have; those without a seed in common are left out."""
    methods = in_order(one.method for one in column.accuracies)
    variants = [method for method in methods if whole_of(method) == whole and method not in SWEPT]
    there = {method: column.accuracies.get(drawing.final(column, method)) for method in variants}
    return {method: a.differences[whole] for method, a in there.items() if a and whole in a.differences}


def _draw(axes: Axes, column: Column, whole: str, reach: float) -> None:
    found = _differences(column, whole)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)
    axes.axvline(0, color=look(whole).color, linewidth=1.2, zorder=1)
    for place, (method, interval) in enumerate(found.items()):
        drawing.points_across(axes, [interval], place, method)
        words = f"{100 * interval.value:+.1f}".replace("-", "\N{MINUS SIGN}")
        axes.annotate(words, (1.12, place), xycoords=("axes fraction", "data"), ha="right", va="center", fontsize=8)
    axes.set_yticks(
        range(len(found)),
        [drawing.short_name(method).removeprefix(drawing.short_name(whole)).strip(" ,") for method in found],
    )
    axes.set(xlim=(-1.1 * reach - 0.5, 1.1 * reach + 0.5), ylim=(max(3, len(found)) - 0.4, -0.6))
    axes.set(xlabel=f"Accuracy minus that of {drawing.short_name(whole)} (points)")
    axes.set_title(drawing.title(column), loc="left")
