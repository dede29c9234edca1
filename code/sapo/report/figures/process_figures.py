"""Figures 1, 4 and 5 of SAPO, and what the paper could not draw: labels and rewards beside the truth, best of N."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from sapo.evaluate.interval import Interval
from sapo.evaluate.rerank import best_of, pass_at, voted
from sapo.report.figures.drawing import Drawn, Rows, note, percent_range, percents
from sapo.report.figures.labels import Label, label_edge
from sapo.report.process_names import LOOKS, MCE, NAMES, OTHER, verifier_name
from sapo.report.process_records import V0, ProcessResults
from sapo.report.stats import mean_interval
from sapo.report.style import Look, ink, panels, styled

COUNTS = (1, 2, 4, 8, 16, 32, 64)
SUPERVISION = {"sapo": "process supervision", "sapo_without_pf": "outcomes only"}
Series = Mapping[int, Interval]
Panel = Callable[[Axes, ProcessResults], Rows]  # draws one model and task; returns the numbers that it shows


def verifiers_by_round(results: Sequence[ProcessResults]) -> Drawn | None:
    """Figure 5: step accuracy of every verifier by round, and of the reasoner's own estimates (MCE) above them."""
    return _by_round(results, tuple(NAMES), with_mce=True)


def sapo_and_outcome_verifier(results: Sequence[ProcessResults]) -> Drawn | None:
    """Figure 4: SAPO's verifier beside the one that learns from outcomes."""
    return _by_round(results, ("sapo_without_pf", "sapo"), with_mce=False)


def _by_round(results: Sequence[ProcessResults], methods: Sequence[str], with_mce: bool) -> Drawn | None:
    def draw(axes: Axes, entry: ProcessResults) -> Rows:
        drawn = [(verifier_name(m), LOOKS[m], own) for m in methods if (own := _series(entry, m))]
        drawn += [("MCE", MCE, own)] if with_mce and (own := _mce(entry, "sapo")) else []
        _lines(axes, drawn)
        return [_row(entry, name, n, "step_accuracy", i) for name, _, own in drawn for n, i in own.items()]

    shown = [(entry, draw) for entry in results if _series(entry, "sapo")]
    return _figure(shown, "Half of the questions; thresholds come from the other half. Bars: 95 % intervals.")


def gap_by_round(results: Sequence[ProcessResults]) -> Drawn | None:
    """Figure 1: verifier, reasoner (MCE) and the gap between them, with and without process supervision."""
    shown = [(entry, partial(_draw_gap, m)) for entry in results for m in SUPERVISION if _mce(entry, m)]
    return _figure(shown, "Grey: the reasoner-verifier gap, MCE minus verifier, in points. First seed for MCE.")


def _draw_gap(method: str, axes: Axes, entry: ProcessResults) -> Rows:
    verifier, mce = _series(entry, method), _mce(entry, method)
    drawn = [("verifier", LOOKS[method], verifier), ("MCE", MCE, mce)]
    every = [i for m in SUPERVISION for own in (_series(entry, m), _mce(entry, m)) for i in own.values()]
    axes.set(ylim=percent_range(every))  # of both panels
    _lines(axes, drawn)
    axes.set_title(f"{entry.task}, {entry.model}\n{SUPERVISION[method]}", loc="left")
    for number in sorted(verifier.keys() & mce.keys()):
        low, high = sorted((100 * verifier[number].value, 100 * mce[number].value))
        axes.fill_between([number - 0.12, number + 0.12], low, high, color="#dddddd", zorder=0)
        gap = 100 * (mce[number].value - verifier[number].value)
        box = {"facecolor": "#dddddd", "edgecolor": "none", "pad": 0.5}
        axes.annotate(f"{gap:+.1f}", (number, (low + high) / 2), ha="center", va="center", fontsize=8, bbox=box)
    return [_row(entry, f"{method} {name}", n, "step_accuracy", i) for name, _, own in drawn for n, i in own.items()]


def rewards_beside_truth(results: Sequence[ProcessResults]) -> Drawn | None:
    """Reward hacking: the mean reward of a round's samples, and the share of their step prefixes that is true."""
    foot = "Solid: what the round's verifier gives; dotted: share of true prefixes. Bars: 95 % intervals."
    return _figure([(entry, _draw_rewards) for entry in results if _known(entry, "sapo", "reward")], foot)


def _draw_rewards(axes: Axes, entry: ProcessResults) -> Rows:
    ends: list[Label] = []
    rows: Rows = []
    for method in ("sapo", "sapo_without_pf", "sapo_ours"):
        for kind, words, line in (("reward", "reward", "-"), ("true_steps", "truth", ":")):
            if own := _known(entry, method, kind):
                name = f"{words}, {verifier_name(method)}"
                ends.append(_line(axes, name, list(own), own, replace(LOOKS[method], line=line, filled=True)))
                rows += [_row(entry, f"{method} {kind}", n, "percent", value) for n, value in own.items()]
    axes.set(xlabel="Round", ylabel="Mean over samples (%)")
    axes.set_xticks(range(1, 1 + max((int(end.x) for end in ends), default=1)))
    label_edge(axes, ends)
    return rows


def label_noise(results: Sequence[ProcessResults]) -> Drawn | None:
    """How true a round's labels are, against the accuracy of the verifier that learned from them."""
    shown = [(entry, _draw_noise) for entry in results if any(v.label_steps for v in entry.verifiers.values())]
    return _figure(shown, "A point is a round of a method; numbers are rounds. Bars: 95 % intervals.")


def _draw_noise(axes: Axes, entry: ProcessResults) -> Rows:
    rows: Rows = []
    named: set[str] = set()
    for one, verified in entry.verifiers.items():
        if verified.label_steps is None:
            continue
        look, steps = LOOKS.get(one.method, OTHER), verified.steps.percent
        x, reach = 100 * verified.label_steps, [[steps.value - steps.low], [steps.high - steps.value]]
        axes.errorbar(x, steps.value, reach, fmt="none", ecolor=look.color, elinewidth=0.6, alpha=0.35)
        axes.plot(x, steps.value, look.marker, color=look.color, markerfacecolor=look.face, markersize=6)
        if one.method in LOOKS:
            place = (x, steps.value)
            axes.annotate(str(one.round), place, xytext=(4, 3), textcoords="offset points", fontsize=7)
        named.add(one.method if one.method in LOOKS else "")
        row = _row(entry, verifier_name(one.method), one.round, "step_accuracy", verified.steps)
        rows.append(row | {"labels_true_percent": x})
    _legend(axes, named)
    axes.set(xlabel="Labels that are true (%)", ylabel="Verifier's step accuracy (%)")
    return rows


def reliability_of_verifiers(results: Sequence[ProcessResults]) -> Drawn | None:
    """Scores in ten bins against the share of steps that is right, for the last verifier of each method."""
    shown = [(entry, _draw_reliability) for entry in results if _series(entry, "sapo")]
    return _figure(shown, "Last round, first seed. On the line a score says how often it is right. Bars: 95 %.")


def _draw_reliability(axes: Axes, entry: ProcessResults) -> Rows:
    axes.plot([0, 100], [0, 100], color="black", linewidth=0.8)
    rows: Rows = []
    last = {method: max(own) for method in NAMES if (own := _series(entry, method))}
    for method, number in last.items():
        (found,) = (v for one, v in entry.verifiers.items() if (one.method, one.round) == (method, number))
        _line(axes, "", [100 * b.score for b in found.bins], dict(enumerate(found.rights)), LOOKS[method])
        rows += [
            {"model": entry.model, "task": entry.task, "verifier": verifier_name(method), "round": number}
            | {"steps": b.steps, "score_percent": 100 * b.score, **percents("right", right)}
            for b, right in zip(found.bins, found.rights, strict=True)
        ]
    _legend(axes, set(last))
    axes.set(xlabel="Score (%)", ylabel="Steps that are right (%)", xlim=(0, 100), ylim=(0, 100))
    return rows


def best_of_n(results: Sequence[ProcessResults]) -> Drawn | None:
    """What re-ranking N samples of M_0 gains, between one sample and pass@N, with the majority vote beside."""
    shown = [(entry, _draw_choices) for entry in results if entry.rerank.rewards]
    return _figure(shown, "Largest reward of N samples of M_0; exact over all subsets. Shade: SAPRM's 95 % interval.")


def _draw_choices(axes: Axes, entry: ProcessResults) -> Rows:
    rows: Rows = []
    ends: list[Label] = []
    axes.set_xscale("log", base=2)
    for name, look, own in _choices(entry):
        x, percent = list(own), [i.percent for i in own.values()]
        if name == "SAPRM":
            axes.fill_between(x, [i.low for i in percent], [i.high for i in percent], color=look.color, alpha=0.12)
        axes.plot(
            x, [i.value for i in percent], look.marker, linestyle=look.line, color=look.color, mfc=look.face, ms=4
        )
        ends.append(Label(x[-1], percent[-1].value, name, look.color))
        rows += [_row(entry, name, n, "accuracy", i) for n, i in own.items()]
    axes.set_xticks(COUNTS, [str(n) for n in COUNTS])
    axes.set(xlabel="Samples to choose from (N)", ylabel="Accuracy (%)")
    label_edge(axes, ends)
    return rows


def _choices(entry: ProcessResults) -> Iterator[tuple[str, Look, Series]]:
    """Curves over N: pass@N, majority, and every verifier of the papers that re-ranked."""
    again = entry.rerank
    most = min(len(right) for right in again.right)

    def curve(of: Callable[[int, int], float]) -> Series:
        """Mean over questions of what `of(question, N)` gives, with an interval over questions."""
        values = {n: [[of(q, n) for q in range(len(again.right))]] for n in COUNTS if n <= most}
        return {n: mean_interval(own, again.groups, again.resamples, again.seed) for n, own in values.items()}

    yield "pass@N", MCE, curve(lambda q, n: pass_at(again.right[q], n))
    yield "majority", OTHER, curve(lambda q, n: voted(again.right[q], again.answers[q], n, q))
    for method in NAMES:
        if rewards := again.rewards.get(method):
            best = partial(lambda rewards, q, n: best_of(again.right[q], rewards[q], n), rewards)
            yield verifier_name(method), LOOKS[method], curve(best)


def _series(entry: ProcessResults, method: str) -> Series:
    """Step accuracy of a method's verifier by round."""
    return {one.round: own.steps for one, own in entry.verifiers.items() if one.method == method}


def _mce(entry: ProcessResults, method: str) -> Series:
    """Step accuracy of the reasoner's own estimates by round."""
    return {one.round: own for one, own in entry.mce.items() if one.method == method}


def _known(entry: ProcessResults, method: str, kind: str) -> Series:
    """`reward` or `true_steps` by round, where the truth of the samples is known."""
    rounds = {c: v for c, v in entry.verifiers.items() if c.method == method and c != V0 and v.true_steps}
    return {c.round: getattr(v, kind) for c, v in rounds.items()}


def _figure(shown: Sequence[tuple[ProcessResults, Panel]], foot: str) -> Drawn | None:
    """A panel for each entry, two a row, and a line below; None without entries or without a number to show."""
    if not shown:
        return None
    rows: Rows = []
    with styled():
        columns = min(2, len(shown))
        figure, grid = panels([2.5] * -(-len(shown) // columns), (3.4,) * columns, (0.7, *(1.75,) * columns))
        for axes, (entry, draw) in zip(grid.flat, shown, strict=False):
            axes.set_title(f"{entry.task}, {entry.model}", loc="left")
            rows += draw(axes, entry)
        for axes in list(grid.flat)[len(shown) :]:
            axes.set_axis_off()
        note(figure, foot)
    return (figure, rows) if rows else None


def _lines(axes: Axes, drawn: Sequence[tuple[str, Look, Series]]) -> None:
    """Step accuracies by round with intervals, side by side in a round, named at their ends."""
    ends = []
    for place, (name, look, own) in enumerate(drawn):
        x = [number + 0.05 * (place - (len(drawn) - 1) / 2) for number in own]
        ends.append(_line(axes, name, x, own, look))
    if axes.get_autoscaley_on():
        axes.set(ylim=percent_range([i for _, _, own in drawn for i in own.values()]))
    axes.set_xticks(sorted({n for _, _, own in drawn for n in own}))
    axes.set(xlabel="Round", ylabel="Step accuracy (%)")
    label_edge(axes, ends)


def _line(axes: Axes, name: str, x: Sequence[float], own: Series, look: Look) -> Label:
    """Values in % with their intervals at these places; the label for its end."""
    y = np.array([i.percent.value for i in own.values()])
    reach = np.array([[100 * (i.value - i.low), 100 * (i.high - i.value)] for i in own.values()]).T
    axes.errorbar(x, y, np.maximum(reach, 0), fmt="none", ecolor=look.color, elinewidth=0.8, capsize=2, alpha=0.6)
    axes.plot(x, y, look.marker, linestyle=look.line, color=look.color, markerfacecolor=look.face, markersize=4)
    return Label(float(x[-1]), float(y[-1]), name, look.color)


def _legend(axes: Axes, methods: set[str]) -> None:
    for place, method in enumerate(name for name in (*NAMES, "") if name in methods):
        look, x, y = LOOKS.get(method, OTHER), 1.03, 0.95 - 0.09 * place
        how = {"color": look.color, "markerfacecolor": look.face, "markersize": 5}
        axes.plot([x], [y], look.marker, transform=axes.transAxes, clip_on=False, **how)
        words = verifier_name(method) if method else "other methods"
        axes.text(x + 0.04, y, words, transform=axes.transAxes, fontsize=8, va="center", color=ink(look.color))


def _row(entry: ProcessResults, name: str, number: int, quantity: str, value: Interval) -> dict[str, object]:
    place = {"model": entry.model, "task": entry.task, "series": name, "x": number, "quantity": quantity}
    return place | percents("value", value)
