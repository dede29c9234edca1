"""Figure 2 of SAPO: rewards by the verifier and preference pairs by round."""

import numpy as np
from matplotlib.axes import Axes

from sapo.report.figures.drawing import Drawn, Findings, Rows, first_round, note
from sapo.report.run_records import Checkpoint, Rewards, RoundResults, TaskResults
from sapo.report.style import BLUE, GREY, ORANGE, VERMILION, look, panels, styled
from sapo.train.pairs import PairReport

BINS = 20  # of the histograms of rewards, over 0 to 1
TARGET_PERCENT = 40.0  # of the training questions should keep a pair in every round
BASELINES = {"orpo_outcome": "outcomes", "orpo_mc": "MC"}


def scores_and_pairs_by_round(found: Findings) -> Drawn | None:
    """Rewards of right and wrong trajectories, pairs, and questions with a pair, by round of SAPO, for the first seed.

    A row a model and task; those without a round of SAPO are left out, and without any there is no figure.
    """
    results = [entry for entry in found.results if _rounds(entry)]
    if not results:
        return None
    with styled():
        figure, grid = panels([2.4] * len(results), (3.6, 2.6, 2.6), (0.7, 0.75, 0.75, 0.5))
        for (scores, pairs, share), entry in zip(grid, results, strict=True):
            _draw_rewards(scores, entry)
            kept = _pairs(entry)
            _draw_bars(pairs, {one: float(report.pairs) for one, report in kept.items()})
            pairs.set(ylabel="Preference pairs")
            _draw_bars(share, {one: 100 * report.kept / report.questions for one, report in kept.items()})
            share.set(ylabel="Training questions with a pair (%)", ylim=(0, 112), yticks=range(0, 101, 20))
            share.axhline(TARGET_PERCENT, color="black", linestyle="--", linewidth=1)
            place = (1.01, TARGET_PERCENT)
            share.annotate("goal\n40 %", place, xycoords=("axes fraction", "data"), va="center", fontsize=8)
        note(figure, "First seed. Each histogram is drawn to its own scale.")
    return figure, [row for entry in results for row in _reward_rows(entry) + _pair_rows(entry)]


def _rounds(entry: TaskResults) -> dict[int, RoundResults]:
    """SAPO's rounds, each of the first seed that has it."""
    numbers = range(1, entry.last.get("sapo", 0) + 1)
    return {number: one for number in numbers if (one := first_round(entry, Checkpoint("sapo", number)))}


def _pairs(entry: TaskResults) -> dict[Checkpoint, PairReport]:
    """Pairs of the baselines that train on pairs once, then of SAPO's rounds."""
    wanted = [Checkpoint(method, 1) for method in BASELINES]
    wanted += [Checkpoint("sapo", number) for number in _rounds(entry)]
    found = {checkpoint: one.pairs for checkpoint in wanted if (one := first_round(entry, checkpoint))}
    return {checkpoint: pairs for checkpoint, pairs in found.items() if pairs}


def _draw_rewards(axes: Axes, entry: TaskResults) -> None:
    """Two histograms back to back for each round: wrong trajectories to the left, right ones to the right."""
    edges = np.linspace(0, 1, BINS + 1)
    rounds = _rounds(entry)
    for place, rewards in enumerate(one.rewards for one in rounds.values()):
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
        axes.text(place - 0.03, 1.03, "wrong", ha="right", fontsize=8, color=VERMILION)
        axes.text(place + 0.03, 1.03, "right", ha="left", fontsize=8, color=BLUE)
    axes.set(xlim=(-0.55, len(rounds) - 0.45), ylim=(0, 1.12), xticks=range(len(rounds)))
    axes.set_xticklabels(map(str, rounds))
    axes.set(xlabel="SAPO round (black: mean)", ylabel="Trajectory reward (mean step score)")
    axes.set(yticks=[0, 0.25, 0.5, 0.75, 1])
    axes.set_title(f"{entry.task}\n{entry.model}", loc="left")


def _draw_bars(axes: Axes, values: dict[Checkpoint, float]) -> None:
    places = [place + 0.4 * (one.method == "sapo") for place, one in enumerate(values)]
    colors = [look(one.method).color for one in values]
    hatches = ["" if one.method == "sapo" else "////" for one in values]
    bars = axes.bar(places, list(values.values()), 0.75, color=colors, hatch=hatches, edgecolor="white", linewidth=0)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
    axes.bar_label(bars, [f"{value:.0f}" for value in values.values()], padding=3, fontsize=8, bbox=box, zorder=3)
    axes.margins(y=0.12)
    axes.set_xticks(places, [BASELINES.get(one.method, str(one.round)) for one in values])
    axes.set_xlabel("Baselines (ORPO)  |  SAPO round")


def _shares(rewards: Rewards) -> dict[str, list[float]]:
    """Share of the right and of the wrong trajectories in each bin of the reward."""
    counts = {kind: np.histogram(getattr(rewards, kind), BINS, (0, 1))[0] for kind in ("wrong", "right")}
    return {kind: [float(n) for n in count / max(count.sum(), 1)] for kind, count in counts.items()}


def _reward_rows(entry: TaskResults) -> Rows:
    return [
        _row(entry, Checkpoint("sapo", number), f"reward_{kind}", place / BINS, share)
        for number, one in _rounds(entry).items()
        for kind, shares in _shares(one.rewards).items()
        for place, share in enumerate(shares)
    ]


def _pair_rows(entry: TaskResults) -> Rows:
    rows: Rows = []
    for one, report in _pairs(entry).items():
        rows.append(_row(entry, one, "pairs", "", report.pairs))
        rows.append(_row(entry, one, "questions_with_a_pair_percent", "", 100 * report.kept / report.questions))
    return rows


def _row(entry: TaskResults, one: Checkpoint, quantity: str, bin_low: float | str, value: float) -> dict[str, object]:
    """`bin_low` is the lower edge of a reward's bin, `value` the bin's share."""
    place = {"model": entry.model, "task": entry.task, "method": one.method, "round": one.round}
    return {**place, "quantity": quantity, "reward_bin_low": bin_low, "value": value}
