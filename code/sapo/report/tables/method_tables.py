"""Accuracies, differences and ablations as tables of text.

A table is plain text in rows; `rendering.py` makes Markdown and terminal output of it, so both say the same.
Nothing is averaged away: a cell that lacks seeds is marked, and the note says which ones stopped, where and why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

from sapo.evaluate.interval import Interval
from sapo.report.accuracies import Column
from sapo.report.names import BY_ROUND, checkpoint_name, in_order, learns_from, method_name, whole_of
from sapo.report.run_records import COT, SFT, Checkpoint

MARKS = {"sft": "†", "orpo_outcome": "‡"}
UNFINISHED = "§"
NONE = "–"
UNREAD = 0.05  # share of unparsable answers above which the notes say why
STAR = "* the 95 % interval excludes 0; no adjustment for the number of comparisons."


@dataclass(frozen=True, slots=True)
class Table:
    """A title, a row of headers, rows of as many cells, and a line of explanation below (or none)."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def text_columns(table: Table) -> list[bool]:
    """Which columns hold words: those whose first cell, dashes for nothing left aside, does not begin like a number."""
    columns = zip(*table.rows, strict=True) if table.rows else [()] * len(table.header)
    first = [next((cell for cell in column if not cell.startswith("–")), "–") for column in columns]
    return [not (cell[:1].isdigit() or cell[:1] in "+-–") for cell in first]


def by_model(columns: Sequence[Column]) -> dict[str, list[Column]]:
    models = dict.fromkeys(column.model for column in columns)
    return {model: [column for column in columns if column.model == model] for model in models}


def shown_rows(columns: Sequence[Column]) -> list[Checkpoint]:
    """Checkpoints of the main tables: no variants, SAPO's rounds each, of the other methods the last round."""
    rounds = {method: last for column in columns for method, last in column.last.items() if not whole_of(method)}
    found = [COT, SFT]
    for method in in_order(rounds):
        first = 1 if method in BY_ROUND else rounds[method]
        found += [Checkpoint(method, number) for number in range(first, rounds[method] + 1)]
    return found


def variants(columns: Sequence[Column]) -> list[Checkpoint]:
    """Last rounds of the methods that have variants, each followed by its variants; none where there is no variant."""
    rounds = {method: last for column in columns for method, last in column.last.items()}
    found = []
    for whole in dict.fromkeys(whole_of(method) for method in in_order(rounds) if whole_of(method) in rounds):
        own = [method for method in in_order(rounds) if whole_of(method) == whole]
        found += [Checkpoint(method, rounds[method]) for method in (whole, *own)]
    return found


def accuracy_tables(columns: Sequence[Column]) -> list[Table]:
    """One table a model: methods by benchmarks, accuracy in %, marked where it is better than a reference."""
    tables = []
    for model, own in by_model(columns).items():
        rows = shown_rows(own)
        cells = [(_name(own, o), learns_from(o.method), *_accuracies(own, o), _seeds(own, o)) for o in rows]
        note = " ".join([_meaning(own), *notes(own, {one.method for one in rows})])
        header = ("Method", "Learns from", *benchmark_names(own), "Seeds")
        tables.append(Table(f"Accuracy of {model} in %, with 95 % intervals", header, tuple(cells), note))
    return tables


def ablation_tables(columns: Sequence[Column]) -> list[Table]:
    """A table for each model that ran variants: accuracy, and the difference to the whole method, in pairs of columns.

    Only benchmarks on which a variant ran have columns.
    """
    tables = []
    for model, every in by_model(columns).items():
        found = []
        rows = variants(every)
        own = [c for c in every if any(whole_of(one.method) and one.method in c.last for one in rows)]
        for one in rows:
            name = method_name(one.method) + (f" ({one.round} rounds)" if one.round > 1 else "")
            both = zip(_accuracies(own, one, marks={}), _differences(own, one, whole_of(one.method)), strict=True)
            found.append((name, *(text for cells in both for text in cells), _seeds(own, one)))
        header = [text for name in benchmark_names(own) for text in (name, "minus whole")]
        title = f"Ablations and variants on {model}: accuracy in %, and difference to the whole method in points"
        note = f"Last rounds; differences are paired by seed and question, over the seeds that both have. {STAR}"
        note = " ".join([note, *notes(own, {one.method for one in rows})])
        tables += [Table(title, ("Method", *header, "Seeds"), tuple(found), note)] if own else []
    return tables


def difference_tables(columns: Sequence[Column]) -> list[Table]:
    """A table for each model and reference: paired differences in points, marked where the interval excludes 0."""
    tables = []
    for model, own in by_model(columns).items():
        every = dict.fromkeys([*shown_rows(own), *variants(own)])
        for reference in _known_references(own):
            title = f"Accuracy of {model} minus that of {method_name(reference)}, in points"
            rows = [(_name(own, o), *_differences(own, o, reference)) for o in every if o.method != reference]
            header = ("Method", *benchmark_names(own))
            tables.append(Table(title, header, tuple(rows), f"Paired by seed and question. {STAR}"))
    return tables


def process_tables(columns: Sequence[Column]) -> list[Table]:
    """A table a model: share of the right answers that rest on a wrong step, where the truth of steps is known."""
    tables = []
    for model, every in by_model(columns).items():
        own = [column for column in every if any(a.flawed for a in column.accuracies.values())]
        found = []
        for one in dict.fromkeys([*shown_rows(own), *variants(own)]):
            shares = [a.flawed if (a := column.accuracies.get(one)) else None for column in own]
            found.append((_name(own, one), learns_from(one.method), *map(accuracy_text, shares)))
        title = f"Right answers of {model} that rest on a wrong step, in %"
        header = ("Method", "Learns from", *benchmark_names(own))
        note = f"Lower is better; {NONE}: no right answer, or not run."
        tables += [Table(title, header, tuple(found), note)] if own else []
    return tables


def benchmark_names(columns: Sequence[Column]) -> list[str]:
    names = [f"{c.task} → {c.benchmark}" if c.out_of_domain else c.task for c in columns]
    return [f"{name} ({column.questions})" for name, column in zip(names, columns, strict=True)]


def accuracy_text(share: Interval | None) -> str:
    """A share in %: `61.5 [58.2, 64.9]`; a dash for none."""
    return f"{share.percent.value:.1f} [{share.percent.low:.1f}, {share.percent.high:.1f}]" if share else NONE


def difference_text(interval: Interval | None, star: str = " *") -> str:
    """A difference in points: `+3.1 [+0.2, +6.0] *`; `star` where it excludes 0, a dash for none."""
    if not interval:
        return NONE
    value, low, high = (round(v, 1) + 0.0 for v in astuple(interval.percent))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]{star if interval.excludes_zero else ''}"


def notes(columns: Sequence[Column], methods: set[str]) -> list[str]:
    """Sentences on what went wrong with these methods: stopped, collapsed, exploded; and what could not be graded."""
    own = {column.task: column for column in columns if not column.out_of_domain}  # one a task
    stops = []
    collapses, losses = [], []
    for task, column in own.items():
        for method in in_order(methods & column.stopped.keys()):
            where = "; ".join(
                f"seed {seed} stopped in round {stop.round}: {stop.reason.rstrip('.')}"
                for seed, stop in sorted(column.stopped[method].items())
            )
            stops.append(f"{method_name(method)} on {task} ({where})")
        for one, accuracy in column.accuracies.items():
            if one.method in methods:
                name = f"{checkpoint_name(one, column.last.get(one.method))} on {task}"
                collapses += [name] if accuracy.collapsed else []
                seeds = ", ".join(map(str, accuracy.exploded))
                losses += [f"{name} (seed {seeds})"] if accuracy.exploded else []
    collapsed = "Collapsed, the whole interval below that of the pretrained model"
    said = [
        (f"{UNFINISHED} only the seeds that finished", "; ".join(stops)),
        (collapsed, ", ".join(collapses)),
        ("The training loss ended above three times its first value", ", ".join(losses)),
    ]
    found = [f"{words}: {which}." for words, which in said if which]
    ungraded = sum(a.ungraded for column in columns for one, a in column.accuracies.items() if one.method in methods)
    found += [f"{ungraded} answers that the grader could not judge count as wrong."] if ungraded else []
    return found + _unparsable(columns, methods)


def _unparsable(columns: Sequence[Column], methods: set[str]) -> list[str]:
    """Where more than a twentieth of the answers could not be read, and mostly why."""
    found = []
    for column in columns:
        for one, accuracy in column.accuracies.items():
            answers, unread = accuracy.questions * len(accuracy.seeds), accuracy.unparsable.total()
            if one.method in methods and unread > UNREAD * answers:
                kinds = ", ".join(f"{100 * n / answers:.0f} % {kind}" for kind, n in accuracy.unparsable.most_common(3))
                name = checkpoint_name(one, column.last.get(one.method))
                found.append(f"{name} on {column.benchmark}: {100 * unread / answers:.0f} % unparsable ({kinds}).")
    return found


def _known_references(columns: Sequence[Column]) -> list[str]:
    return [name for name in MARKS if name == "sft" or any(name in column.last for column in columns)]


def _meaning(columns: Sequence[Column]) -> str:
    marks = "; ".join(f"{MARKS[name]} better than {method_name(name)}" for name in _known_references(columns))
    return (
        f"{marks}: the 95 % interval of the difference, paired by seed and question, excludes 0. A → B: trained on A, "
        "tested on B. Intervals draw seeds and questions; of one seed, questions alone."
    )


def _name(columns: Sequence[Column], one: Checkpoint) -> str:
    return checkpoint_name(one, next((c.last[one.method] for c in columns if one.method in c.last), None))


def _accuracies(columns: Sequence[Column], one: Checkpoint, marks: Mapping[str, str] = MARKS) -> list[str]:
    """A cell a benchmark: accuracy, marks of what it is better than, and what went wrong."""
    cells = []
    for column in columns:
        accuracy = column.accuracies.get(one)
        if not accuracy:
            cells.append(f"{NONE} {UNFINISHED}" if one.method in column.stopped else NONE)
            continue
        better = {name for name, interval in accuracy.differences.items() if interval.better}
        marked = "".join(mark for name, mark in marks.items() if name in better)
        marked += UNFINISHED if accuracy.missing else ""
        words = [accuracy_text(accuracy.value), marked, "collapsed" if accuracy.collapsed else ""]
        cells.append(" ".join(filter(None, words)))
    return cells


def _differences(columns: Sequence[Column], one: Checkpoint, reference: str) -> list[str]:
    found = [column.accuracies.get(one) for column in columns]
    return [difference_text(accuracy.differences.get(reference) if accuracy else None) for accuracy in found]


def _seeds(columns: Sequence[Column], one: Checkpoint) -> str:
    """Number of seeds behind a row; of each task, where tasks differ. The pretrained model has none."""
    tasks = {}
    for column in columns:
        run = one == SFT or (one != COT and one.method in column.last)
        tasks[column.task] = str(len(column.accuracies[one].seeds) if one in column.accuracies else 0) if run else NONE
    return " / ".join(tasks.values() if len({*tasks.values()}) > 1 else {*tasks.values()})
