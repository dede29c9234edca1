"""Share of right answers that rest on a wrong step, by method."""

from matplotlib.axes import Axes

from sapo.evaluate.interval import Interval
from sapo.report.accuracies import Column
from sapo.report.figures import drawing
from sapo.report.figures.drawing import Drawn, Findings, Rows
from sapo.report.names import learns_from
from sapo.report.style import GREY, ink, look, panels, styled

LINE = 0.19  # inches a method
LEAST_RANGE = 5.0  # of the axis, in points
FEWEST = 6  # methods that a panel has room for


def flawed_reasoning(found: Findings) -> Drawn | None:
    """Share of right answers on a wrong step (%) with 95 % intervals, a line a method; a row a model and task.

    Filled markers learn from the process, hollow ones from outcomes. None where the truth of steps is not known.
    """
    rows = [pair for pair in drawing.by_task(found.columns) if any(_known(column) for column in pair)]
    if not rows:
        return None
    with styled():
        heights = [LINE * max(FEWEST, *(len(_known(column)) for column in pair)) for pair in rows]
        figure, grid = panels(heights, (3.2, 3.2), (1.4, 1.5, 0.3))
        for pair, columns in zip(grid, rows, strict=True):
            for axes, column in zip(pair, columns, strict=True):
                _draw(axes, column)
        words = "hollow: from outcomes; dashed line: SFT."
        drawing.note(figure, f"Filled markers: methods that learn from the process; {words}")
    numbers: Rows = [
        {**drawing.place(column), "method": method, "round": drawing.final(column, method).round}
        | {"learns_from": learns_from(method)}
        | drawing.percents("flawed", interval)
        for pair in rows
        for column in pair
        for method, interval in _known(column).items()
    ]
    return figure, numbers


def _known(column: Column) -> dict[str, Interval]:
    return {method: accuracy.flawed for method, accuracy in drawing.finished(column).items() if accuracy.flawed}


def _draw(axes: Axes, column: Column) -> None:
    known = _known(column)
    axes.set_title(drawing.title(column), loc="left")
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)
    for place, (method, interval) in enumerate(known.items()):
        drawing.points_across(axes, [interval], place, method)
    if "sft" in known:
        axes.axvline(100 * known["sft"].value, color=GREY, linestyle="--", linewidth=0.9, zorder=1)
    axes.set_yticks(range(len(known)), [drawing.short_name(method) for method in known])
    for text, method in zip(axes.get_yticklabels(), known, strict=True):
        text.set_color(ink(look(method).color))
    axes.set(xlabel="Right answers that rest on a wrong step (%)", ylim=(max(FEWEST, len(known)) - 0.4, -0.6))
    most = max((100 * interval.high for interval in known.values()), default=0.0)
    axes.set_xlim(-0.02 * max(most, LEAST_RANGE), 1.04 * max(most, LEAST_RANGE))
    if not known:
        axes.set(xticks=[])
        axes.text(0.5, 0.5, "not known", ha="center", va="center", transform=axes.transAxes, color=GREY)
