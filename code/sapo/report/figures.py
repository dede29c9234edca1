"""Figure 1: accuracy by round against the baselines. Figure 2: what the verifier's rewards and the pairs looked like.

Each function returns a figure and the rows of numbers that it shows; `style.save` writes both.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sapo.report.accuracies import Column, method_name
from sapo.report.results import Rewards, TaskResults
from sapo.report.style import BLUE, GREY, LOOKS, ORANGE, VERMILLION, panels, spread, styled

BINS = 20  # of the histograms of rewards, over 0 to 1
TARGET_PERCENT = 40.0  # of the training questions should keep a pair in every round
BASELINES = ("cot", "orpo_outcome", "orpo_mc")

Rows = list[dict[str, object]]


def accuracy_by_round(columns: Sequence[Column]) -> tuple[Figure, Rows]:
    """Accuracy (%) of SAPO by round, round 0 being SFT, with 95 % intervals; a row of panels a model and task.

    Baselines are lines across the panel, with their interval and name at its right edge.
    """
    with styled():
        figure, grid = panels(len(columns) // 2, (3.0, 3.0), gap=2.35, right=1.75)
        for axes, column in zip(grid.flat, columns, strict=True):
            _draw_accuracy(axes, column)
    return figure, [row for column in columns for row in _accuracy_rows(column)]


def _draw_accuracy(axes: Axes, column: Column) -> None:
    rounds = ["sft", *(method for method in column.accuracies if method.startswith("sapo"))]
    last = len(rounds) - 1
    sapo = [column.accuracies[method].value for method in rounds]
    labels: list[tuple[float, str, str]] = [(100 * sapo[-1].value, "SAPO", LOOKS["sapo"].color)]
    for place, method in enumerate(BASELINES):
        look, value = LOOKS[method], column.accuracies[method].value
        edge = last + 0.25 + 0.12 * place
        axes.plot([-0.25, edge], [100 * value.value] * 2, look.line, color=look.color, linewidth=1.3)
        _point(axes, [edge], [value], method)
        labels.append((100 * value.value, method_name(method).removesuffix(" supervision"), look.color))
    axes.plot(range(last + 1), [100 * v.value for v in sapo], LOOKS["sapo"].line, color=BLUE, linewidth=1.8)
    _point(axes, list(range(last + 1)), sapo, "sapo")
    low, high = axes.get_ylim()
    high = max(min(102.0, high), low + 5)
    low = max(-0.03 * (high - low), low)
    axes.set(ylim=(low, high), xlim=(-0.3, last + 0.55), xticks=range(last + 1))
    axes.set_xticklabels(["0 (SFT)", *map(str, range(1, last + 1))])
    axes.set(xlabel="SAPO round", ylabel="Accuracy (%)")
    domain = "out of domain" if column.out_of_domain else "in domain"
    axes.set_title(f"{column.benchmark} ({domain})\n{column.model} trained on {column.task}", loc="left")
    heights = spread([height for height, _, _ in labels], 0.085 * (high - low))
    lift = max(0.0, low - min(heights))
    for (value, text, color), height in zip(labels, heights, strict=True):
        place = (1.02, height + lift)
        axes.annotate(f"{text} {value:.1f}", place, xycoords=("axes fraction", "data"), color=color, va="center")


def _point(axes: Axes, x: Sequence[float], values: Sequence, method: str) -> None:
    """Markers with 95 % intervals, in %."""
    y = np.array([[100 * v.value, 100 * v.low, 100 * v.high] for v in values])
    reach = np.maximum([y[:, 0] - y[:, 1], y[:, 2] - y[:, 0]], 0)
    look = LOOKS[method]
    axes.errorbar(x, y[:, 0], reach, fmt=look.marker, color=look.color, capsize=2.5, markersize=5, linewidth=1)


def _accuracy_rows(column: Column) -> Rows:
    rows: Rows = []
    for method, a in column.accuracies.items():
        row: dict[str, object] = {"model": column.model, "task": column.task, "benchmark": column.benchmark}
        row |= {"method": method, "questions": a.questions, "accuracy_percent": 100 * a.value.value}
        rows.append(row | {"low_percent": 100 * a.value.low, "high_percent": 100 * a.value.high})
    return rows


def scores_and_pairs_by_round(results: Sequence[TaskResults]) -> tuple[Figure, Rows]:
    """Rewards of right and wrong trajectories, pairs, and questions with a pair, by round; a row a model and task."""
    with styled():
        figure, grid = panels(len(results), (3.6, 2.6, 2.6), gap=0.75, right=0.5)
        for (scores, pairs, share), entry in zip(grid, results, strict=True):
            _draw_rewards(scores, entry)
            _draw_bars(pairs, entry, [float(r.pairs) for r in entry.pairs.values()])
            pairs.set(ylabel="Preference pairs")
            _draw_bars(share, entry, [100 * r.kept / r.questions for r in entry.pairs.values()])
            share.set(ylabel="Training questions with a pair (%)", ylim=(0, 112), yticks=range(0, 101, 20))
            share.axhline(TARGET_PERCENT, color="black", linestyle="--", linewidth=1)
            place = (1.01, TARGET_PERCENT)
            share.annotate("goal\n40 %", place, xycoords=("axes fraction", "data"), va="center", fontsize=8)
    return figure, [row for entry in results for row in _reward_rows(entry) + _pair_rows(entry)]


def _draw_rewards(axes: Axes, entry: TaskResults) -> None:
    """Two histograms back to back for each round: wrong trajectories to the left, right ones to the right."""
    edges = np.linspace(0, 1, BINS + 1)
    for place, rewards in enumerate(entry.rewards.values()):
        shares = _shares(rewards)
        widest = max(max(share) for share in shares.values()) or 1.0
        for kind, side, color, hatch in (("wrong", -1, ORANGE, "////"), ("right", 1, BLUE, "")):
            reach = 0.45 * side * np.array(shares[kind]) / widest
            bars = axes.barh(edges[:-1], reach, 1 / BINS, place, align="edge", color=color, linewidth=0)
            for bar in bars:
                bar.set(hatch=hatch, edgecolor="white")
            if values := getattr(rewards, kind):
                mean = sum(values) / len(values)
                axes.plot([place, place + 0.45 * side], [mean, mean], color="black", linewidth=1.2)
        axes.plot([place, place], [0, 1], color=GREY, linewidth=0.8)
        axes.text(place - 0.03, 1.03, "wrong", ha="right", fontsize=8, color=VERMILLION)
        axes.text(place + 0.03, 1.03, "right", ha="left", fontsize=8, color=BLUE)
    axes.set(xlim=(-0.55, len(entry.rewards) - 0.45), ylim=(0, 1.12), xticks=range(len(entry.rewards)))
    axes.set_xticklabels(map(str, entry.rewards))
    axes.set(xlabel="SAPO round (black: mean)", ylabel="Trajectory reward (mean step score)")
    axes.set(yticks=[0, 0.25, 0.5, 0.75, 1])
    axes.set_title(f"{entry.task}\n{entry.model}", loc="left")


def _draw_bars(axes: Axes, entry: TaskResults, values: list[float]) -> None:
    names = {"orpo_outcome": "outcomes", "orpo_mc": "MC"}
    places = [place + 0.4 * (method.startswith("sapo")) for place, method in enumerate(entry.pairs)]
    colors = [LOOKS.get(method, LOOKS["sapo"]).color for method in entry.pairs]
    hatches = ["" if method.startswith("sapo") else "////" for method in entry.pairs]
    bars = axes.bar(places, values, 0.75, color=colors, hatch=hatches, edgecolor="white", linewidth=0)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
    axes.bar_label(bars, [f"{value:.0f}" for value in values], padding=3, fontsize=8, bbox=box, zorder=3)
    axes.margins(y=0.12)
    axes.set_xticks(places, [names.get(method, method.removeprefix("sapo")) for method in entry.pairs])
    axes.set_xlabel("Baselines (ORPO)  |  SAPO round")


def _shares(rewards: Rewards) -> dict[str, list[float]]:
    """Share of the right and of the wrong trajectories in each bin of the reward."""
    counts = {kind: np.histogram(getattr(rewards, kind), BINS, (0, 1))[0] for kind in ("wrong", "right")}
    return {kind: [float(n) for n in count / max(count.sum(), 1)] for kind, count in counts.items()}


def _reward_rows(entry: TaskResults) -> Rows:
    return [
        _row(entry, number, f"reward_{kind}", place / BINS, share)
        for number, rewards in entry.rewards.items()
        for kind, shares in _shares(rewards).items()
        for place, share in enumerate(shares)
    ]


def _pair_rows(entry: TaskResults) -> Rows:
    rows: Rows = []
    for method, report in entry.pairs.items():
        rows.append(_row(entry, method, "pairs", "", report.pairs))
        rows.append(_row(entry, method, "questions_with_a_pair_percent", "", 100 * report.kept / report.questions))
    return rows


def _row(entry: TaskResults, where: int | str, quantity: str, bin_low: float | str, value: float) -> dict[str, object]:
    """`where` is a round (SAPO) or a method; `bin_low` is the lower edge of a reward's bin, `value` its share."""
    method = f"sapo{where}" if isinstance(where, int) else where
    place = {"model": entry.model, "task": entry.task, "method": method}
    return {**place, "quantity": quantity, "reward_bin_low": bin_low, "value": value}
