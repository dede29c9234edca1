"""Figures 1, 4 and 5 of SAPO, and three that it could not draw: labels and rewards beside the truth, best of N."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sapo.evaluate.rerank import best_of, pass_at, voted
from sapo.report.figures.drawing import Drawn, Rows, note, percent_range, percents
from sapo.report.intervals import Interval, mean_interval
from sapo.report.process.names import LOOKS, MCE, NAMES, OTHER, verifier_name
from sapo.report.process.results import V0, ProcessResults
from sapo.report.results import Checkpoint
from sapo.report.style import Look, ink, panels, spread, styled

COUNTS = (1, 2, 4, 8, 16, 32, 64)
Series = Mapping[int, Interval]


def verifiers_by_round(results: Sequence[ProcessResults]) -> Drawn | None:
    """Figure 5: step accuracy of every verifier by round, and of the reasoner's own estimates (MCE) above them."""
    return _by_round(results, tuple(NAMES), with_mce=True)


def sapo_and_outcome_verifier(results: Sequence[ProcessResults]) -> Drawn | None:
    """Figure 4: SAPO's verifier beside the one that learns from outcomes."""
    return _by_round(results, ("sapo_without_pf", "sapo"), with_mce=False)


def _by_round(results: Sequence[ProcessResults], methods: Sequence[str], with_mce: bool) -> Drawn | None:
    rows: Rows = []
    with styled():
        figure, places = _grid([entry for entry in results if _series(entry, "sapo")])
        for axes, entry in places:
            drawn: list[tuple[str, Look, Series]] = []
            drawn += [(verifier_name(m), LOOKS[m], own) for m in methods if (own := _series(entry, m))]
            if with_mce and (own := _mce(entry, "sapo")):
                drawn.append(("MCE", MCE, own))
            _lines(axes, drawn, f"{entry.task}, {entry.model}", "Step accuracy (%)")
            rows += [_row(entry, name, n, "step_accuracy", i) for name, _, own in drawn for n, i in own.items()]
        if figure:
            note(figure, "Half of the questions; thresholds come from the other half. Bars: 95 % intervals.")
    return (figure, rows) if figure and rows else None


def gap_by_round(results: Sequence[ProcessResults]) -> Drawn | None:
    """Figure 1: verifier, reasoner (MCE) and the gap between them, with and without process supervision."""
    kinds = {"sapo": "process supervision", "sapo_without_pf": "outcomes only"}
    shown = [(entry, m) for entry in results for m in kinds if any(one.method == m for one in entry.mce)]
    rows: Rows = []
    with styled():
        figure, places = _grid([entry for entry, _ in shown])
        for (axes, entry), (_, method) in zip(places, shown, strict=True):
            verifier, mce = _series(entry, method), _mce(entry, method)
            drawn = [("verifier", LOOKS[method], verifier), ("MCE", MCE, mce)]
            every = [i for m in kinds for own in (_series(entry, m), _mce(entry, m)) for i in own.values()]
            axes.set(ylim=percent_range(every))  # of both panels
            _lines(axes, drawn, f"{entry.task}, {entry.model}\n{kinds[method]}", "Step accuracy (%)")
            for number in sorted(verifier.keys() & mce.keys()):
                low, high = sorted((100 * verifier[number].value, 100 * mce[number].value))
                axes.fill_between([number - 0.12, number + 0.12], low, high, color="#dddddd", zorder=0)
                gap = 100 * (mce[number].value - verifier[number].value)
                box = {"facecolor": "#dddddd", "edgecolor": "none", "pad": 0.5}
                axes.annotate(f"{gap:+.1f}", (number, (low + high) / 2), ha="center", va="center", fontsize=8, bbox=box)
            for name, _, own in drawn:
                rows += [_row(entry, f"{method} {name}", n, "step_accuracy", i) for n, i in own.items()]
        if figure:
            note(figure, "Grey: the reasoner-verifier gap, MCE minus verifier, in points. First seed for MCE.")
    return (figure, rows) if figure and rows else None


def rewards_beside_truth(results: Sequence[ProcessResults]) -> Drawn | None:
    """Reward hacking: the mean reward of a round's samples, and the share of their step prefixes that is true."""
    methods = ("sapo", "sapo_without_pf", "sapo_ours")
    rows: Rows = []
    with styled():
        figure, places = _grid([entry for entry in results if _known(entry, "sapo")])
        for axes, entry in places:
            ends = []
            for method in methods:
                for kind, line in (("reward", "-"), ("true_steps", ":")):
                    own: Series = {c.round: getattr(v, kind) for c, v in _known(entry, method).items()}
                    if not own:
                        continue
                    x, y = list(own), [100 * i.value for i in own.values()]
                    look = LOOKS[method]
                    _bars(axes, np.array(x), own, look)
                    axes.plot(x, y, look.marker, linestyle=line, color=look.color, markersize=4)
                    words = f"{'reward' if kind == 'reward' else 'truth'}, {verifier_name(method)}"
                    ends.append((x[-1], y[-1], words, look.color))
                    rows += [_row(entry, f"{method} {kind}", n, "percent", value) for n, value in own.items()]
            _end_labels(axes, ends)
            axes.set(xlabel="Round", ylabel="Mean over samples (%)")
            axes.set_title(f"{entry.task}, {entry.model}", loc="left")
            axes.set_xticks(range(1, 1 + max((int(x) for x, *_ in ends), default=1)))
        if figure:
            note(
                figure, "Solid: what the round's verifier gives; dotted: share of true prefixes. Bars: 95 % intervals."
            )
    return (figure, rows) if figure and rows else None


def label_noise(results: Sequence[ProcessResults]) -> Drawn | None:
    """How true a round's labels are, against the accuracy of the verifier that learned from them."""
    rows: Rows = []
    with styled():
        figure, places = _grid([entry for entry in results if any(v.label_steps for v in entry.verifiers.values())])
        for axes, entry in places:
            named: set[str] = set()
            for one, verified in entry.verifiers.items():
                if verified.label_steps is None:
                    continue
                look = LOOKS.get(one.method, OTHER)
                x, y = 100 * verified.label_steps, 100 * verified.steps.value
                reach = [[y - 100 * verified.steps.low], [100 * verified.steps.high - y]]
                axes.errorbar(x, y, reach, fmt="none", ecolor=look.color, elinewidth=0.6, alpha=0.35)
                axes.plot(x, y, look.marker, color=look.color, markerfacecolor=look.face, markersize=6)
                if one.method in LOOKS:
                    axes.annotate(str(one.round), (x, y), xytext=(4, 3), textcoords="offset points", fontsize=7)
                named.add(one.method if one.method in LOOKS else "")
                row = _row(entry, verifier_name(one.method), one.round, "step_accuracy", verified.steps)
                rows.append(row | {"labels_true_percent": x})
            _legend(axes, named)
            axes.set(xlabel="Labels that are true (%)", ylabel="Verifier's step accuracy (%)")
            axes.set_title(f"{entry.task}, {entry.model}", loc="left")
        if figure:
            note(figure, "A point is a round of a method; numbers are rounds. Bars: 95 % intervals.")
    return (figure, rows) if figure and rows else None


def reliability_of_verifiers(results: Sequence[ProcessResults]) -> Drawn | None:
    """Scores in ten bins against the share of steps that is right, for the last verifier of each method."""
    rows: Rows = []
    with styled():
        figure, places = _grid([entry for entry in results if _series(entry, "sapo")])
        for axes, entry in places:
            axes.plot([0, 100], [0, 100], color="black", linewidth=0.8)
            shown: set[str] = set()
            for method in NAMES:
                last = max((c for c in entry.verifiers if c.method == method), key=lambda c: c.round, default=None)
                if last is None:
                    continue
                shown.add(method)
                look, bins, rights = LOOKS[method], entry.verifiers[last].bins, entry.verifiers[last].rights
                x, y = [100 * b.score for b in bins], [100 * b.right for b in bins]
                _bars(axes, np.array(x), dict(enumerate(rights)), look)
                axes.plot(x, y, look.marker, linestyle=look.line, color=look.color, markersize=4, mfc=look.face)
                rows += [
                    {"model": entry.model, "task": entry.task, "verifier": verifier_name(method), "round": last.round}
                    | {"steps": b.steps, "score_percent": 100 * b.score, **percents("right", right)}
                    for b, right in zip(bins, rights, strict=True)
                ]
            _legend(axes, shown)
            axes.set(xlabel="Score (%)", ylabel="Steps that are right (%)", xlim=(0, 100), ylim=(0, 100))
            axes.set_title(f"{entry.task}, {entry.model}", loc="left")
        if figure:
            note(figure, "Last round, first seed. On the line a score says how often it is right. Bars: 95 %.")
    return (figure, rows) if figure and rows else None


def best_of_n(results: Sequence[ProcessResults]) -> Drawn | None:
    """What re-ranking N samples of M_0 gains, between one sample and pass@N, with the majority vote beside."""
    rows: Rows = []
    with styled():
        figure, places = _grid([entry for entry in results if entry.rerank.rewards])
        for axes, entry in places:
            ends = []
            for name, look, own in _choices(entry):
                x, y = list(own), [100 * i.value for i in own.values()]
                if name == "SAPRM":
                    shade = [100 * i.low for i in own.values()], [100 * i.high for i in own.values()]
                    axes.fill_between(x, *shade, color=look.color, alpha=0.12)
                axes.plot(x, y, look.marker, linestyle=look.line, color=look.color, markersize=4, mfc=look.face)
                ends.append((x[-1], y[-1], name, look.color))
                rows += [_row(entry, name, n, "accuracy", i) for n, i in own.items()]
            axes.set_xscale("log", base=2)
            axes.set_xticks(COUNTS, [str(n) for n in COUNTS])
            _end_labels(axes, ends, factor=1.08)
            axes.set(xlabel="Samples to choose from (N)", ylabel="Accuracy (%)")
            axes.set_title(f"{entry.task}, {entry.model}", loc="left")
        if figure:
            note(figure, "Largest reward of N samples of M_0; exact over all subsets. Shade: SAPRM's 95 % interval.")
    return (figure, rows) if figure and rows else None


def _choices(entry: ProcessResults) -> list[tuple[str, Look, Series]]:
    """Curves over N: pass@N, majority, and every verifier of the papers that re-ranked."""
    again = entry.rerank
    most = min(len(right) for right in again.right)
    counts = [count for count in COUNTS if count <= most]

    def curve(of: Callable[[int, int], float]) -> Series:
        """Mean over questions of what `of(question, N)` gives, with an interval over questions."""
        number = range(len(again.right))
        return {n: mean_interval([[of(q, n) for q in number]], again.groups, 2000, 1) for n in counts}

    found = [
        ("pass@N", MCE, curve(lambda q, n: pass_at(again.right[q], n))),
        ("majority", OTHER, curve(lambda q, n: voted(again.right[q], again.answers[q], n, q))),
    ]
    for method in NAMES:
        if own := again.rewards.get(method):
            rewards = own
            found.append(
                (verifier_name(method), LOOKS[method], curve(lambda q, n, r=rewards: best_of(again.right[q], r[q], n)))
            )
    return found


def _series(entry: ProcessResults, method: str) -> Series:
    """Step accuracy of a method's verifier by round."""
    return {one.round: own.steps for one, own in entry.verifiers.items() if one.method == method}


def _mce(entry: ProcessResults, method: str) -> Series:
    """Step accuracy of the reasoner's own estimates by round."""
    return {one.round: own for one, own in entry.mce.items() if one.method == method}


def _known(entry: ProcessResults, method: str) -> dict[Checkpoint, object]:
    """Rounds whose samples' truth is known."""
    return {c: v for c, v in entry.verifiers.items() if c.method == method and c != V0 and v.true_steps is not None}


def _grid(entries: Sequence[ProcessResults]) -> tuple[Figure | None, list[tuple[Axes, ProcessResults]]]:
    """A panel for each entry, two a row; no figure without entries."""
    if not entries:
        return None, []
    columns = min(2, len(entries))
    rows = -(-len(entries) // columns)
    figure, grid = panels([2.5] * rows, (3.4,) * columns, (0.7, *(1.75,) * columns))
    cells = list(grid.flat)
    for axes in cells[len(entries) :]:
        axes.set_axis_off()
    return figure, list(zip(cells, entries, strict=False))


def _lines(axes: Axes, drawn: Sequence[tuple[str, Look, Series]], title: str, label: str) -> None:
    """Series by round with intervals, named at their ends."""
    ends = []
    for place, (name, look, own) in enumerate(drawn):
        x = np.array(list(own), float) + 0.05 * (place - (len(drawn) - 1) / 2)
        y = np.array([100 * i.value for i in own.values()])
        _bars(axes, x, own, look)
        axes.plot(x, y, look.marker, linestyle=look.line, color=look.color, markerfacecolor=look.face, markersize=5)
        ends.append((float(x[-1]), float(y[-1]), name, look.color))
    if axes.get_autoscaley_on():
        axes.set(ylim=percent_range([i for _, _, own in drawn for i in own.values()]))
    axes.set_xticks(sorted({n for _, _, own in drawn for n in own}))
    _end_labels(axes, ends)
    axes.set(xlabel="Round", ylabel=label)
    axes.set_title(title, loc="left")


def _bars(axes: Axes, x: np.ndarray, own: Series, look: Look) -> None:
    """Intervals of a series at these places."""
    y = np.array([100 * i.value for i in own.values()])
    reach = np.array([[100 * (i.value - i.low), 100 * (i.high - i.value)] for i in own.values()]).T
    axes.errorbar(x, y, np.maximum(reach, 0), fmt="none", ecolor=look.color, elinewidth=0.8, capsize=2, alpha=0.6)


def _end_labels(axes: Axes, ends: Sequence[tuple[float, float, str, str]], factor: float = 1.0) -> None:
    """Names beside the last points, moved apart where they would touch."""
    if not ends:
        return
    low, high = axes.get_ylim()
    air = 0.04 * (high - low)
    heights = spread([y for _, y, *_ in ends], 0.075 * (high - low), low + air, high - air)
    right = max(x for x, *_ in ends)
    for (_, _, name, color), height in zip(ends, heights, strict=True):
        place = (right * factor if factor > 1 else right + 0.12, height)
        axes.annotate(name, place, color=ink(color), fontsize=8, va="center", annotation_clip=False)


def _legend(axes: Axes, methods: set[str]) -> None:
    names = [name for name in (*NAMES, "") if name in methods]
    for place, method in enumerate(names):
        look = LOOKS.get(method, OTHER)
        at = (1.03, 0.95 - 0.09 * place)
        axes.plot(
            [at[0]], [at[1]], look.marker, color=look.color, markerfacecolor=look.face, transform=axes.transAxes,
            clip_on=False, markersize=5,
        )  # fmt: skip
        words = verifier_name(method) if method else "other methods"
        axes.text(at[0] + 0.04, at[1], words, transform=axes.transAxes, fontsize=8, va="center", color=ink(look.color))


def _row(entry: ProcessResults, name: str, number: int, quantity: str, value: Interval) -> dict[str, object]:
    place = {"model": entry.model, "task": entry.task, "series": name, "x": number, "quantity": quantity}
    return place | percents("value", value)
