"""Figure 1: accuracy by round of the methods that go on for several rounds, beside those that train once."""

from matplotlib.axes import Axes

from sapo.report.accuracies import Accuracy, Column
from sapo.report.figures import drawing
from sapo.report.figures.drawing import ITERATED, Drawn, Findings
from sapo.report.figures.labels import Label, label_edge
from sapo.report.run_records import SFT, Checkpoint
from sapo.report.style import look, panels, styled

STEP = 0.055  # rounds between the points of two methods in one round


def accuracy_by_round(found: Findings) -> Drawn:
    """Accuracy (%) by round, round 0 being SFT, with 95 % intervals; a row a model and task, a column a benchmark.

    To the right of each panel stand the pretrained model and the methods whose last round is all there is to see.
    """
    rows = len(found.columns) // 2
    with styled():
        figure, grid = panels([2.7] * rows, (2.4, 0.9, 2.4, 0.9), (0.65, 1.0, 1.95, 1.0, 1.35))
        for (axes, beside), column in zip(grid.reshape(-1, 2), found.columns, strict=True):
            _draw(axes, beside, column)
        drawing.note(
            figure,
            "Filled markers: methods that learn from the process; hollow: from outcomes. Whiskers: 95 % intervals.",
        )
    return figure, [drawing.accuracy_row(column, one) for column in found.columns for one in _shown(column)]


def _shown(column: Column) -> list[Checkpoint]:
    once = [drawing.final(column, method) for method in drawing.finished(column) if method not in ITERATED]
    return once + [Checkpoint(method, n) for method in ITERATED for n in drawing.path(column, method) if n]


def _draw(axes: Axes, beside: Axes, column: Column) -> None:
    paths = {method: found for method in ITERATED if (found := drawing.path(column, method))}
    once = {
        method: accuracy for method, accuracy in drawing.finished(column).items() if method not in (*ITERATED, "sft")
    }
    last = max((max(found) for found in paths.values()), default=0)
    limits = drawing.percent_range([column.accuracies[one].value for one in _shown(column)])
    axes.set(ylim=limits, xlim=(-0.3, last + 0.3), xticks=range(last + 1))
    labels = [
        _draw_path(axes, method, paths[method], place - (len(paths) - 1) / 2) for place, method in enumerate(paths)
    ]
    drawing.points(axes, [0], [column.accuracies[SFT].value], "sft")
    label_edge(axes, labels)
    axes.set_xticklabels(["0 (SFT)", *map(str, range(1, last + 1))])
    axes.set(xlabel="Round", ylabel="Accuracy (%)")
    axes.set_title(drawing.title(column), loc="left")

    beside.set(ylim=limits, xlim=(-0.7, len(once) - 0.3), xticks=[], xlabel="Not iterated")
    beside.tick_params(axis="y", left=False, labelleft=False)
    beside.spines["left"].set_visible(False)
    labels = []
    for place, (method, accuracy) in enumerate(once.items()):
        drawing.points(beside, [place], [accuracy.value], method)
        labels.append(Label(place, 100 * accuracy.value.value, drawing.short_name(method), look(method).color))
    label_edge(beside, labels)


def _draw_path(axes: Axes, method: str, path: dict[int, Accuracy], place: float) -> Label:
    """A method's line from SFT on, its points `place` steps beside the rounds; returns the name for its end."""
    drawn, main = look(method), method == "sapo"
    x = [number + (STEP * place if number else 0) for number in path]
    values = [accuracy.value for accuracy in path.values()]
    y = [100 * value.value for value in values]
    axes.plot(x, y, linestyle=drawn.line, color=drawn.color, linewidth=2 if main else 1.1, zorder=2.5 if main else 2)
    drawing.points(axes, x[1:], values[1:], method, 6 if main else 4.5)
    return Label(x[-1], y[-1], drawing.short_name(method), drawn.color)
