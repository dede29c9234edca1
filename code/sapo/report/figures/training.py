"""Log-probabilities of chosen and rejected completions while a method trains: ORPO against DPO (SIPF, section 5)."""

import math
import statistics
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sapo.report.figures.drawing import Drawn, Findings, Rows, first_round, note, short_name
from sapo.report.figures.labels import Label, label_edge
from sapo.report.run_records import Checkpoint, TaskResults, TrainingStep
from sapo.report.style import GREY, look, panels, styled

MEASURES = {"chosen_logp": ("chosen", "-"), "rejected_logp": ("rejected", "--")}
# Loss: methods whose first round shows it, the best first. The first two learn from pairs by outcome.
LOSSES = {"ORPO": ("orpo_outcome", "sapo", "sipf", "orpo_mc"), "DPO": ("srf", "rpo", "psrf")}


def log_probabilities(found: Findings) -> Drawn | None:
    """Mean log-probability a token by step of training, with ORPO and with DPO; first round, first seed.

    Steps see different pairs, epochs see the same: so each epoch has its mean with the 95 % interval of its steps (two
    standard errors). A row a model and task; a panel says so where no method has its loss. None where no row has any.
    """
    shown: list[tuple[TaskResults, dict[str, str]]] = []
    for entry in found.results:
        logged = {loss: [m for m in methods if _log(entry, m)] for loss, methods in LOSSES.items()}
        if any(logged.values()):
            shown.append((entry, {loss: next(iter(methods), "") for loss, methods in logged.items()}))
    if not shown:
        return None
    with styled():
        figure, grid = panels([2.4] * len(shown), (3.3, 3.3), (0.75, 1.35, 0.85))
        for pair, (entry, methods) in zip(grid, shown, strict=True):
            limits = _limits([_log(entry, method) for method in methods.values() if method])
            for axes, (loss, method) in zip(pair, methods.items(), strict=True):
                axes.set(ylim=limits, xlabel="Training step")
                if method:
                    _draw(axes, _log(entry, method), look(method).color)
                else:
                    words = f"No method of this run\ntrains with {loss}"
                    axes.text(0.5, 0.5, words, ha="center", va="center", transform=axes.transAxes, color=GREY)
                    axes.set(xticks=[])
                words = f"{loss} loss ({short_name(method)})" if method else f"{loss} loss"
                axes.set_title(f"{words}\n{entry.model} on {entry.task}", loc="left")
            pair[0].set_ylabel("Log-probability a token (nats)")
        begin = "the pretrained model" if found.settings.loop.start == "base" else "SFT"
        words = f"Round 1, first seed; ORPO starts from {begin}, DPO from SFT."
        note(figure, f"{words} Thin: steps. Thick: means of epochs, with 95 % intervals over steps.")
    numbers: Rows = [
        {"model": entry.model, "task": entry.task, "method": method, "round": 1}
        | {"epoch": step.epoch, "step": step.step}
        | {name: step.measures[name] for name in MEASURES}
        for entry, methods in shown
        for method in methods.values()
        for step in _log(entry, method)
    ]
    return figure, numbers


def _log(entry: TaskResults, method: str) -> tuple[TrainingStep, ...]:
    found = first_round(entry, Checkpoint(method, 1))
    steps = found.log if found else ()
    return tuple(step for step in steps if all(name in step.measures for name in MEASURES))


def _limits(logs: Sequence[Sequence[TrainingStep]]) -> tuple[float, float]:
    values = [step.measures[name] for log in logs for step in log for name in MEASURES]
    air = 0.08 * (max(values) - min(values)) or 0.1
    return min(values) - air, max(values) + air


def _draw(axes: Axes, log: Sequence[TrainingStep], color: str) -> None:
    labels = []
    x = [step.step for step in log]
    mean = 0.0
    for place, (name, (word, line)) in enumerate(MEASURES.items()):
        axes.plot(x, [step.measures[name] for step in log], line, color=color, linewidth=0.8, alpha=0.45)
        for first, last, mean, reach in _epochs(log, name):
            middle = (first + last) / 2 + (0.5 - place) * 0.04 * len(x)  # whiskers side by side
            axes.plot([first, last], [mean, mean], line, color=color, linewidth=2.2)
            axes.errorbar([middle], [mean], [reach], fmt="none", ecolor=color, elinewidth=1.2, capsize=3)
        labels.append(Label(x[-1] + 0.4, mean, word, color))
    axes.set_xlim(x[0] - 0.02 * (x[-1] - x[0]) - 0.5, x[-1] + 0.02 * (x[-1] - x[0]) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    label_edge(axes, labels)


def _epochs(log: Sequence[TrainingStep], name: str) -> list[tuple[float, float, float, float]]:
    """Of each epoch: where its steps begin and end, the mean of a measure, and two standard errors of it."""
    found = []
    for epoch in sorted({step.epoch for step in log}):
        own = [step for step in log if step.epoch == epoch]
        values = [step.measures[name] for step in own]
        error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
        found.append((own[0].step - 0.4, own[-1].step + 0.4, statistics.fmean(values), 2 * error))
    return found
