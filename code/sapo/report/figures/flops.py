"""What accuracy costs: accuracy against everything that a method computed, from SFT to its last round."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from sapo.report.costs import cost_rows
from sapo.report.figures.drawing import ITERATED, Drawn, Findings, note, percent_range, points, short_name
from sapo.report.figures.labels import Label, label_points
from sapo.report.intervals import Interval
from sapo.report.names import in_order
from sapo.report.results import TaskResults
from sapo.report.style import GREY, inches, look, panels, styled

VARIANTS = ("sapo_lazy", "sapo_located", "sapo_ours")  # the others are not meant to change the cost


def accuracy_by_flops(found: Findings) -> Drawn:
    """Accuracy (%) with 95 % intervals on the own task against FLOPs (log), a panel a model and task.

    Faint lines and small points are the rounds before a method's last one. The pretrained model costs nothing: a line.
    """
    rows = cost_rows(found.results, found.columns)
    entries = list(found.results)
    with styled():
        count = min(2, len(entries))
        figure, grid = panels([3.0] * math.ceil(len(entries) / count), [4.4] * count, [0.65, *[0.75] * (count - 1), 0.3])
        shown = [_draw(axes, entry, rows) for axes, entry in zip(grid.flat, entries, strict=False)]
        for axes in list(grid.flat)[len(entries) :]:
            axes.set_visible(False)
        note(figure, "Filled: learns from the process; hollow: from outcomes. Small points: earlier rounds.")
    return figure, [row for panel in shown for row in panel]
