"""Names of lines and points in figures: at the right edge of a panel, or next to points in free space."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from sapo.report.style import inches, ink, spread

POINTS = 72.0  # an inch
SIZE = 8.0  # of labels, in points
LINE = 1.28 * SIZE / POINTS  # inches from one label to the next

Box = tuple[float, float, float, float]  # left, bottom, right, top


@dataclass(frozen=True, slots=True)
class Label:
    """A name for the point (x, y) of a panel, in the colour of its line."""

    x: float
    y: float
    text: str
    color: str


def label_edge(axes: Axes, labels: Sequence[Label], offset: float = 0.16) -> None:
    """Names to the right of the panel, `offset` inches away, each at its point's height as far as there is room.

    A thin line leads from the point to its name. The panel's limits must be set.
    """
    width, height = inches(axes)
    low, high = axes.get_ylim()
    unit = (high - low) / height
    heights = spread([label.y for label in labels], LINE * unit, low + LINE * unit / 2, high)
    for label, y in zip(labels, heights, strict=True):
        place = (1 + offset / width, y)
        leader = {"arrowstyle": "-", "color": label.color, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 4}
        leader["relpos"] = (0, 0.5)
        how = {"xycoords": "data", "textcoords": ("axes fraction", "data"), "va": "center", "fontsize": SIZE}
        axes.annotate(label.text, (label.x, label.y), place, arrowprops=leader, color=ink(label.color), **how)


def label_points(axes: Axes, labels: Sequence[Label], obstacles: Sequence[tuple[float, float]]) -> None:
    """Names next to their points, away from other names, from all points and from `obstacles`, within the panel.

    The panel's limits must be set.
    """
    width, height = inches(axes)
    anchors = [_inches_of(axes, label.x, label.y) for label in labels]
    sizes = [text_size(label.text) for label in labels]
    others = [_inches_of(axes, x, y) for x, y in obstacles]
    for label, anchor, (x, y) in zip(labels, anchors, beside(anchors, sizes, others, (width, height)), strict=True):
        leader = None
        if math.dist(anchor, _nearest(anchor, _box((x, y), sizes[labels.index(label)]))) > 0.14:
            leader = {"arrowstyle": "-", "color": label.color, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 4}
        how = {"xycoords": "data", "textcoords": "axes fraction", "ha": "center", "va": "center", "fontsize": SIZE}
        place = (x / width, y / height)
        axes.annotate(label.text, (label.x, label.y), place, arrowprops=leader, color=ink(label.color), **how)


def text_size(text: str, size: float = SIZE) -> tuple[float, float]:
    """Width and height of a line of text, in inches."""
    extent = TextPath((0, 0), text, size=size, prop=FontProperties(family="DejaVu Sans")).get_extents()
    return extent.width / POINTS, LINE


def beside(
    anchors: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    others: Sequence[tuple[float, float]],
    panel: tuple[float, float],
) -> list[tuple[float, float]]:
    """Centres of labels of given sizes near their anchors, in inches, inside a panel of a given width and height.

    One after the other, the most crowded first, takes the place that covers least of what is there (earlier labels,
    anchors, `others`), and of these the nearest.
    """
    crowd = [sum(math.dist(one, other) < 0.6 for other in anchors) for one in anchors]
    marks = [_box(point, (0.12, 0.12)) for point in anchors] + [_box(point, (0.05, 0.05)) for point in others]
    taken: list[Box] = []
    centres: dict[int, tuple[float, float]] = {}
    for index in sorted(range(len(anchors)), key=lambda index: -crowd[index]):
        tried = [
            (_cover(place, sizes[index], marks, taken), far, place)
            for far, place in _around(anchors[index], sizes[index], panel)
        ]
        centres[index] = min(tried)[2]
        taken.append(_box(centres[index], sizes[index]))
    return [centres[index] for index in range(len(anchors))]


def _around(
    anchor: tuple[float, float], size: tuple[float, float], panel: tuple[float, float]
) -> list[tuple[float, tuple[float, float]]]:
    """Places for a label around a point with their distances: right, left, above, below, and between these."""
    found = []
    for far in (0.09, 0.13, 0.2, 0.3, 0.42, 0.56, 0.72, 0.9):
        for turn in range(16):
            across, up = math.cos(math.pi * turn / 8), math.sin(math.pi * turn / 8)
            x = anchor[0] + far * across + size[0] / 2 * _sign(across)
            y = anchor[1] + far * up + size[1] / 2 * _sign(up)
            x = min(max(x, size[0] / 2), panel[0] - size[0] / 2)
            y = min(max(y, size[1] / 2), panel[1] - size[1] / 2)
            found.append((far + 0.001 * turn, (x, y)))
    return found


def _sign(value: float) -> float:
    """-1, 0 or 1, with all that is near 0 as 0."""
    return 0.0 if abs(value) < 0.3 else math.copysign(1.0, value)


def _cover(place: tuple[float, float], size: tuple[float, float], marks: Sequence[Box], taken: Sequence[Box]) -> float:
    """Square inches that a label would hide, rounded so that the nearest of equal places wins."""
    box = _box(place, size)
    return round(sum(_overlap(box, mark) for mark in marks) + 5 * sum(_overlap(box, other) for other in taken), 6)


def _overlap(one: Box, other: Box) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    up = min(one[3], other[3]) - max(one[1], other[1])
    return max(across, 0.0) * max(up, 0.0)


def _box(centre: tuple[float, float], size: tuple[float, float]) -> Box:
    (x, y), (width, height) = centre, size
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _nearest(point: tuple[float, float], box: Box) -> tuple[float, float]:
    """The point of a box that is nearest to another point."""
    return min(max(point[0], box[0]), box[2]), min(max(point[1], box[1]), box[3])


def _inches_of(axes: Axes, x: float, y: float) -> tuple[float, float]:
    """Where a point of the data lies in its panel, from the lower left corner."""
    width, height = inches(axes)
    across, up = axes.transAxes.inverted().transform(axes.transData.transform((x, y)))
    return float(across) * width, float(up) * height
