"""What all figures have in common: what they are drawn from, the methods that they show, and points with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from sapo.evaluate.interval import Interval
from sapo.report.accuracies import Accuracy, Column
from sapo.report.names import in_order, method_name, whole_of
from sapo.report.run_records import SFT, Checkpoint, RoundResults, TaskResults
from sapo.report.style import GREY, look
from sapo.settings import Settings

Rows = list[dict[str, Any]]
Drawn = tuple[Figure, Rows]

ITERATED = ("star", "online_rft", "srf", "rpo", "psrf", "sipf", "sapo")  # their rounds repeat one update


@dataclass(frozen=True, slots=True)
class Findings:
    """What a figure is drawn from: the settings, what was read, and the accuracies measured from it."""

    settings: Settings
    results: Sequence[TaskResults]
    columns: Sequence[Column]


def short_name(method: str) -> str:
    """The method's name without what stands in brackets, for labels in a figure."""
    return method_name(method).split(" (")[0].removesuffix(" supervision")


def final(column: Column, method: str) -> Checkpoint:
    """The checkpoint that stands for a method: its last round by the settings; round 0 of CoT and SFT."""
    return Checkpoint(method, column.last.get(method, 0))


def finished(column: Column) -> dict[str, Accuracy]:
    """Methods that a seed finished, in the order of the tables, with CoT and SFT and without variants."""
    methods = in_order(one.method for one in column.accuracies)
    found = {method: column.accuracies.get(final(column, method)) for method in methods if not whole_of(method)}
    return {method: accuracy for method, accuracy in found.items() if accuracy}


def path(column: Column, method: str) -> dict[int, Accuracy]:
    """A method's accuracies by round from SFT on, as far as a seed came; empty where none finished a round."""
    rounds = [Checkpoint(method, number) for number in range(1, column.last.get(method, 0) + 1)]
    found = {one.round: column.accuracies[one] for one in rounds if one in column.accuracies}
    return {0: column.accuracies[SFT], **found} if found else {}


def by_task(columns: Sequence[Column]) -> list[Sequence[Column]]:
    """Columns of one model and task side by side: the task and its out-of-domain benchmark."""
    return [columns[place : place + 2] for place in range(0, len(columns), 2)]


def first_round(entry: TaskResults, one: Checkpoint) -> RoundResults | None:
    """A checkpoint's round of the first seed that has it."""
    by_seed = entry.rounds.get(one)
    return by_seed[min(by_seed)] if by_seed else None


def title(column: Column) -> str:
    domain = "out of domain" if column.out_of_domain else "in domain"
    return f"{column.benchmark} ({domain})\n{column.model} trained on {column.task}"


def points(axes: Axes, x: Sequence[float], intervals: Sequence[Interval], method: str, size: float = 5) -> None:
    """A method's markers with 95 % intervals, in %."""
    y, reach = _percent(intervals)
    drawn = look(method)
    face = {"markerfacecolor": drawn.face, "markeredgewidth": 1.1, "markersize": size}
    shade = to_rgba(drawn.color, 1 if size > 5 else 0.45)  # many whiskers side by side should not hide the points
    axes.errorbar(x, y, reach, fmt="none", ecolor=shade, capsize=2, elinewidth=0.9, zorder=2.2)
    axes.plot(x, y, drawn.marker, color=drawn.color, zorder=3, **face)


def points_across(axes: Axes, intervals: Sequence[Interval], y: float, method: str) -> None:
    """Like `points`, on its side: all at one height."""
    x, reach = _percent(intervals)
    drawn = look(method)
    face = {"markerfacecolor": drawn.face, "markeredgewidth": 1.1, "markersize": 5.5}
    heights = [y] * len(x)
    axes.errorbar(x, heights, xerr=reach, fmt=drawn.marker, color=drawn.color, capsize=2, elinewidth=1.1, **face)


def _percent(intervals: Sequence[Interval]) -> tuple[np.ndarray, np.ndarray]:
    """Values, and how far the intervals reach below and above them."""
    values = np.array([[100 * i.value, 100 * i.low, 100 * i.high] for i in intervals])
    return values[:, 0], np.maximum([values[:, 0] - values[:, 1], values[:, 2] - values[:, 0]], 0)


def percent_range(intervals: Sequence[Interval]) -> tuple[float, float]:
    """Limits of an axis in % that hold all intervals, with air around them and at least 5 points."""
    low, high = min(100 * i.low for i in intervals), max(100 * i.high for i in intervals)
    air = max(0.06 * (high - low), (5 - high + low) / 2, 0.5)
    return max(low - air, -2.0), min(high + air, 102.0)


def place(column: Column) -> dict[str, object]:
    """What the rows of a CSV begin with."""
    return {"model": column.model, "task": column.task, "benchmark": column.benchmark}


def accuracy_row(column: Column, one: Checkpoint) -> dict[str, object]:
    """A row for the CSV: one checkpoint's accuracy on one benchmark."""
    accuracy = column.accuracies[one]
    counts = {"seeds": len(accuracy.seeds), "questions": accuracy.questions}
    made = {"method": one.method, "round": one.round}
    return place(column) | made | counts | percents("accuracy", accuracy.value)


def percents(name: str, interval: Interval) -> dict[str, object]:
    numbers = {f"{name}_percent": interval.value, "low_percent": interval.low, "high_percent": interval.high}
    return {key: 100 * value for key, value in numbers.items()}


def note(figure: Figure, text: str) -> None:
    """A line of explanation at the foot of the figure."""
    width, height = figure.get_size_inches()
    figure.text(0.2 / width, 0.12 / height, text, fontsize=8, color=GREY, va="bottom")
