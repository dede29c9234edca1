"""Accuracies, differences, pairs and costs as tables of text, and as the numbers of `results/metrics.json`.

A table is plain text in rows; `rendering.py` makes Markdown and terminal output of it, so both say the same.
"""

from dataclasses import asdict, dataclass

from sapo.report.accuracies import REFERENCES, Column, method_name
from sapo.report.intervals import Interval
from sapo.report.results import Supervision, TaskResults
from sapo.train.pairs import PairReport

MARKS = dict(zip(REFERENCES, ("†", "‡"), strict=True))


@dataclass(frozen=True, slots=True)
class Table:
    """A title, a row of headers, rows of as many cells, and a line of explanation below (or none)."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def accuracy_tables(columns: list[Column]) -> list[Table]:
    """One table a model: methods by benchmarks, accuracy in %, marked where it is better than a reference."""
    marks = "; ".join(f"{mark} better than {method_name(reference)}" for reference, mark in MARKS.items())
    note = f"{marks}: the 95 % interval of the paired difference excludes 0. A → B: trained on A, tested on B."
    return [
        Table(
            f"Accuracy of {model} in %, with 95 % intervals",
            _header("Method", own),
            tuple((method_name(m), *(_accuracy_cell(column, m) for column in own)) for m in own[0].accuracies),
            " ".join(filter(None, [note, _ungraded(own)])),
        )
        for model, own in _by_model(columns).items()
    ]


def difference_tables(columns: list[Column]) -> list[Table]:
    """A table for each model and reference: paired differences in points, marked where the interval excludes 0."""
    return [
        Table(
            f"Accuracy of {model} minus that of {method_name(reference)}, in points",
            _header("Method", own),
            tuple(
                (method_name(m), *(_difference_cell(column.accuracies[m].differences[reference]) for column in own))
                for m in own[0].accuracies
                if m != reference
            ),
            "Paired by question. * the 95 % interval excludes 0; no adjustment for the number of comparisons.",
        )
        for model, own in _by_model(columns).items()
        for reference in REFERENCES
    ]


def pairs_table(results: list[TaskResults]) -> Table:
    """Pairs of every alignment, the share of training questions that keep one, and why the others lost theirs."""
    header = ("Model", "Task", "Method", "Pairs", "Questions with a pair", "Too few texts", "Equal rewards")
    rows = [
        (entry.model, entry.task, method_name(method), str(report.pairs), *_fates(report))
        for entry in results
        for method, report in entry.pairs.items()
    ]
    note = "Shares of the training questions; the last four columns say why a question has no pair."
    return Table("Preference pairs", (*header, "None right", "Gap below eta"), tuple(rows), note)


def supervision_table(results: list[TaskResults]) -> Table:
    """Rollouts, tokens and FLOPs per labelled trajectory of each labeller."""
    header = ("Model", "Task", "Labeller", "Trajectories", "Of these wrong", "Rollouts", "Generated tokens", "FLOPs")
    rows = [
        (entry.model, entry.task, supervision_name(item), str(item.trajectories), str(item.wrong), *_each(item))
        for entry in results
        for item in entry.supervision
    ]
    note = "The last three columns are means per labelled trajectory; saps includes the verifier's pass that detects."
    return Table("What supervision cost", header, tuple(rows), note)


def supervision_name(item: Supervision) -> str:
    return f"{item.labeller}, round {item.round}" if item.round else item.labeller


def per_trajectory(item: Supervision) -> dict[str, float]:
    """Mean cost of one labelled trajectory: counts of rollouts, tokens, FLOPs and programs."""
    return {name: value / max(item.trajectories, 1) for name, value in asdict(item.cost).items() if name != "seconds"}


def _fates(report: PairReport) -> list[str]:
    counts = (report.kept, report.few_texts, report.flat, report.none_right, report.small_gap)
    return [f"{_percent(count, report.questions):.1f} %" for count in counts]


def _each(item: Supervision) -> tuple[str, str, str]:
    cost = per_trajectory(item)
    return f"{cost['rollouts']:.2f}", f"{cost['generated_tokens']:.1f}", f"{cost['flops']:.2e}"


def metrics(results: list[TaskResults], columns: list[Column]) -> dict[str, object]:
    """Every number of the tables, nested model → task → kind → …; accuracies in %, differences in points."""
    nested: dict[str, dict[str, dict[str, object]]] = {}
    for entry in results:
        own = [column for column in columns if (column.model, column.task) == (entry.model, entry.task)]
        nested.setdefault(entry.model, {})[entry.task] = {
            "accuracy": {column.benchmark: _accuracy_metrics(column) for column in own},
            "pairs": {m: asdict(r) | {"kept_percent": _percent(r.kept, r.questions)} for m, r in entry.pairs.items()},
            "supervision": {
                f"{item.labeller}{item.round or ''}": {"trajectories": item.trajectories, "wrong": item.wrong}
                | {f"{name}_each": round(value, 2) for name, value in per_trajectory(item).items()}
                for item in entry.supervision
            },
        }
    return dict(nested)


def _accuracy_metrics(column: Column) -> dict[str, object]:
    return {
        method: {"questions": a.questions, "percent": _rounded(a.value)}
        | {f"minus_{reference}": _rounded(interval) for reference, interval in a.differences.items()}
        for method, a in column.accuracies.items()
    }


def _rounded(interval: Interval) -> dict[str, float]:
    return {name: round(100 * value, 2) + 0.0 for name, value in asdict(interval).items()}


def _by_model(columns: list[Column]) -> dict[str, list[Column]]:
    models = dict.fromkeys(column.model for column in columns)
    return {model: [column for column in columns if column.model == model] for model in models}


def _header(first: str, columns: list[Column]) -> tuple[str, ...]:
    names = [f"{c.task} → {c.benchmark}" if c.out_of_domain else c.task for c in columns]
    counts = [next(iter(c.accuracies.values())).questions for c in columns]
    return (first, *(f"{name} ({count})" for name, count in zip(names, counts, strict=True)))


def _accuracy_cell(column: Column, method: str) -> str:
    accuracy = column.accuracies[method]
    better = "".join(mark for r, mark in MARKS.items() if r in accuracy.differences and accuracy.differences[r].better)
    value, low, high = (100 * v for v in (accuracy.value.value, accuracy.value.low, accuracy.value.high))
    return f"{value:.1f} [{low:.1f}, {high:.1f}] {better}".rstrip()


def _difference_cell(interval: Interval) -> str:
    value, low, high = (round(100 * v, 1) + 0.0 for v in (interval.value, interval.low, interval.high))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]{' *' if interval.excludes_zero else ''}"


def _ungraded(columns: list[Column]) -> str:
    count = sum(column.ungraded for column in columns)
    return f"{count} answers that the grader could not judge count as wrong." if count else ""


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2)
