"""Length and diversity of the reasoner's samples by round, for methods with several rounds."""

from collections.abc import Callable

from matplotlib.axes import Axes

from sapo.report.figures.drawing import ITERATED, Drawn, Findings, Rows, note, short_name
from sapo.report.figures.labels import Label, label_edge
from sapo.report.run_records import Checkpoint, Samples, TaskResults
from sapo.report.style import look, panels, styled

LEAST_RANGE = 10.0  # of an axis, in tokens or points: smaller changes should look small
STEP = 0.05  # rounds between the points of two methods in one round
METHODS = tuple(method for method in ITERATED if method != "star")  # draws once a question: nothing could be equal
QUANTITIES: dict[str, tuple[str, Callable[[Samples], float]]] = {
    "mean_tokens": ("Mean length of a sample (tokens)", lambda samples: samples.mean_tokens),
    "different_percent": ("Different samples of all (%)", lambda samples: 100 * samples.different),
}

Spans = dict[int, tuple[float, float, float]]  # round: mean over seeds, lowest and highest


def length_and_diversity(found: Findings) -> Drawn | None:
    """Mean tokens and share of different samples by round: mean over seeds, whiskers to the lowest and highest.

    The samples of a round come from the reasoner of the round before; those of round 1 from SFT, for all methods.
    """
    shown = [entry for entry in found.results if any(_spans(entry, method, "mean_tokens") for method in METHODS)]
    if not shown:
        return None
    with styled():
        figure, grid = panels([2.4] * len(shown), (3.2, 3.2), (0.7, 1.75, 1.1))
        for pair, entry in zip(grid, shown, strict=True):
            for axes, quantity in zip(pair, QUANTITIES, strict=True):
                _draw(axes, entry, quantity)
                axes.set_title(f"{entry.model} on {entry.task}", loc="left")
        note(figure, "Round 1 samples from SFT, each later round from the round before. Whiskers: all seeds.")
    numbers: Rows = [
        {"model": entry.model, "task": entry.task, "quantity": quantity, "method": method, "round": number}
        | {"mean": mean, "low": low, "high": high}
        for entry in shown
        for quantity in QUANTITIES
        for method in METHODS
        for number, (mean, low, high) in _spans(entry, method, quantity).items()
    ]
    return figure, numbers


def _spans(entry: TaskResults, method: str, quantity: str) -> Spans:
    spans: Spans = {}
    for number in range(1, entry.last.get(method, 0) + 1):
        found = entry.rounds.get(Checkpoint(method, number), {}).values()
        if values := [QUANTITIES[quantity][1](one.samples) for one in found]:
            spans[number] = (sum(values) / len(values), min(values), max(values))
    return spans


def _draw(axes: Axes, entry: TaskResults, quantity: str) -> None:
    methods = [method for method in METHODS if _spans(entry, method, quantity)]
    labels, last = [], 1
    for place, method in enumerate(methods):
        spans, drawn = _spans(entry, method, quantity), look(method)
        beside = STEP * (place - (len(methods) - 1) / 2)
        x = [number + beside for number in spans]
        y = [mean for mean, _, _ in spans.values()]
        reach = [[mean - low for mean, low, _ in spans.values()], [high - mean for mean, _, high in spans.values()]]
        main = method == "sapo"
        axes.plot(x, y, linestyle=drawn.line, color=drawn.color, linewidth=2 if main else 1.2)
        marks = {"markerfacecolor": drawn.face, "markersize": 6 if main else 5, "zorder": 3}
        axes.errorbar(x, y, reach, fmt=drawn.marker, color=drawn.color, capsize=2, elinewidth=0.9, **marks)
        labels.append(Label(x[-1], y[-1], short_name(method), drawn.color))
        last = max(last, *spans)
    axes.set(xlim=(0.75, last + 0.25), xticks=range(1, last + 1), xlabel="Round", ylabel=QUANTITIES[quantity][0])
    low, high = axes.get_ylim()
    air = 0.05 * (high - low) + max(0.0, (LEAST_RANGE - high + low) / 2)
    axes.set_ylim(max(low - air, 0.0), high + air)
    label_edge(axes, labels)
