"""Counts of a process benchmark, and its data card in Markdown.

1. A first error at step j of n lies at (j - 1/2) / n; `BINS` equal bins of [0, 1] count these places.
2. An annotator is compared with the truth by item (same first error) and by step label, the latter also by Cohen's
   kappa; kappa is None where chance alone gives all agreement (0 / 0).
"""

import statistics as moments
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sapo.evaluate.efficiency import shares
from sapo.evaluate.process.items import NO_ERROR, ProcessItem, good
from sapo.evaluate.process.select_pairs import place
from sapo.records import RecordError

BINS = 5
_OF_GENERATORS = ("items", "right", "with_error")
PLACES = ("none", "early", "late")  # of the first error, as `choose.place` says it

FIELDS: dict[str, tuple[str, str]] = {
    "id": ("string", "unique in the file, `QUESTION/GENERATOR/NUMBER`"),
    "question_id": ("string", "the question that the trajectory answers"),
    "group": ("string", "cluster of questions, drawn together by bootstrap intervals"),
    "prompt": ("string", "what the reasoner read, and what a verifier reads"),
    "steps": ("list of strings", "the trajectory; joined without separators they are its exact text"),
    "first_error": ("integer or null", "the first wrong step, counted from 1; null where no step is wrong"),
    "outcome": ("string", "of the final answer: `right`, `wrong`, `unparsable` or `grader_error`"),
    "annotator": ("string", "who named the first error: `oracle`, `rollout`, `llm` or `people`"),
    "votes": ("list of integers", "first errors that single annotations named, 0 for none; empty without votes"),
    "generator": ("string", "the reasoner that wrote the trajectory"),
}
ANNOTATORS: dict[str, str] = {
    "oracle": "the task's own definition of a right step, computed; exact.",
    "rollout": "a reasoner completes every prefix; the first one that it never completes to a right answer is wrong.",
    "llm": "a language model reads the steps and names the first wrong one; several votes, kept on agreement.",
    "people": "persons read the steps and named the first wrong one.",
}
_LIMITS: dict[str, str] = {
    "oracle": "Right means right by the task's definition, for synthetic questions; it says little of other texts.",
    "rollout": "A prefix that the completing reasoner fails on counts as wrong though it may be right, and one that it "
    "mends counts as right.",
    "llm": "Votes come from one model and share its faults; agreement is no truth.",
    "people": "Persons err too, and what they could not decide was left out.",
}
_BALANCE = "Trajectories were chosen for balance: shares of right ones or of early errors are no reasoner's own."


@dataclass(frozen=True, slots=True)
class Facts:
    """What a card says that items do not.

    Args:
        name: of the benchmark.
        summary: one sentence: which questions, whose trajectories.
        licence: of questions and trajectories.
        built: settings and counts of how it was made, by their names: reasoners, seeds, votes, what was lost.
        limits: further known limits, a sentence each; `balanced` adds that shares are no sample.
    """

    name: str
    summary: str
    licence: str
    built: Mapping[str, str | int | float]
    limits: tuple[str, ...] = ()
    balanced: bool = True


def statistics(items: Sequence[ProcessItem], truth: Mapping[str, int | None] | None = None) -> dict[str, Any]:
    """Counts of a benchmark as plain data for JSON.

    Args:
        truth: true first errors by item id (None: no step is wrong), where they are known.

    Raises:
        RecordError: there are no items, or an item is missing from the truth.
    """
    if not items:
        raise RecordError("a process benchmark of no items has no statistics")
    labels = [label for item in items for label in good(item)]
    lengths = [len(item.steps) for item in items]
    return {
        "items": len(items),
        "questions": len({item.question_id for item in items}),
        "groups": len({item.group for item in items}),
        "labels": {"steps": len(labels), "good": sum(labels), "good_share": sum(labels) / len(labels)},
        "outcomes": outcomes(items),
        "error_positions": error_positions(items),
        "steps": {
            "least": min(lengths),
            "median": moments.median(lengths),
            "mean": moments.fmean(lengths),
            "most": max(lengths),
            "counts": {str(n): count for n, count in sorted(Counter(lengths).items())},
        },
        "generators": _generators(items),
        "annotators": dict(sorted(Counter(item.annotator for item in items).items())),
        "votes": votes(items),
        "truth": None if truth is None else _truths(items, truth),
    }


def outcomes(items: Sequence[ProcessItem]) -> dict[str, dict[str, int]]:
    """Items by outcome and by place of the first error; step 2 of 4 is early, 3 of 4 late."""
    table: dict[str, dict[str, int]] = {}
    for item in items:
        row = table.setdefault(item.outcome, dict.fromkeys(PLACES, 0))
        row[place(item.first_error, len(item.steps))] += 1
    return dict(sorted(table.items()))


def error_positions(items: Sequence[ProcessItem]) -> list[int]:
    """First errors in each of `BINS` equal parts of their trajectories, from the start to the end.

    Errors at step 1 of 2 (place 1/4), 2 of 2 (3/4) and 1 of 1 (1/2) give [0, 1, 1, 1, 0].
    """
    counts = [0] * BINS
    for item in items:
        if item.first_error is not None:
            counts[(2 * item.first_error - 1) * BINS // (2 * len(item.steps))] += 1
    return counts


def votes(items: Sequence[ProcessItem]) -> dict[str, float] | None:
    """How many items were voted on, the share where all votes agree, and the mean share of votes for what was kept."""
    voted = [item for item in items if item.votes]
    if not voted:
        return None
    kept = [item.votes.count(item.first_error or NO_ERROR) / len(item.votes) for item in voted]
    return {"items": len(voted), "unanimous": sum(s == 1 for s in kept) / len(kept), "for_kept": moments.fmean(kept)}


def _generators(items: Sequence[ProcessItem]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for item in sorted(items, key=lambda item: item.generator):
        row = found.setdefault(item.generator, dict.fromkeys(_OF_GENERATORS, 0))
        row["items"] += 1
        row["right"] += item.right
        row["with_error"] += item.first_error is not None
    return found


def _truths(items: Sequence[ProcessItem], truth: Mapping[str, int | None]) -> dict[str, dict[str, float | None]]:
    """Agreement with the truth, by annotator."""
    missing = [item.id for item in items if item.id not in truth]
    if missing:
        raise RecordError(f"process item {missing[0]} has no truth, {len(missing)} of {len(items)} have none")
    names = sorted({item.annotator for item in items})
    return {name: agreement([item for item in items if item.annotator == name], truth) for name in names}


def agreement(items: Sequence[ProcessItem], truth: Mapping[str, int | None]) -> dict[str, float | None]:
    """Shares of items with the true first error and of steps with the true label, and kappa over the steps."""
    ours = [good(item) for item in items]
    true = [good(replace(item, first_error=truth[item.id])) for item in items]
    said, known = [c for row in ours for c in row], [c for row in true for c in row]
    return {"items": len(items), **shares(ours, true), "kappa": kappa(said, known)}


def kappa(ours: Sequence[int], theirs: Sequence[int]) -> float | None:
    """Cohen's kappa of two sequences of labels in {0, 1}.

    1100 and 1000: three of four agree; chance gives 1/2 * 1/4 + 1/2 * 3/4 = 1/2; kappa = (3/4 - 1/2) / (1 - 1/2) = 1/2.
    """
    if not ours:
        return None
    same = sum(a == b for a, b in zip(ours, theirs, strict=True)) / len(ours)
    a, b = sum(ours) / len(ours), sum(theirs) / len(ours)
    chance = a * b + (1 - a) * (1 - b)
    return None if chance == 1 else (same - chance) / (1 - chance)


def data_card(facts: Facts, counted: Mapping[str, Any]) -> str:
    """The benchmark's card in Markdown.

    Args:
        counted: what `statistics` returned.
    """
    names = list(counted["annotators"])
    limits = [*((_BALANCE,) if facts.balanced else ()), *(_LIMITS[n] for n in names if n in _LIMITS), *facts.limits]
    parts = [
        f"# {facts.name}",
        facts.summary,
        f"{counted['items']} trajectories of {counted['questions']} questions, {counted['labels']['steps']} steps.",
        f"**Licence:** {facts.licence}",
        "## How it was built",
        _table(("what", "value"), facts.built.items()),
        "## Annotators",
        "\n".join(f"- `{name}` ({counted['annotators'][name]} items): {ANNOTATORS.get(name, '')}" for name in names),
        "## Fields",
        _table(("field", "type", "meaning"), ((f"`{name}`", *FIELDS[name]) for name in FIELDS)),
        "## Counts",
        *_counts(counted),
        "## Known limits",
        "\n".join(f"- {limit}" for limit in limits) or "None are known.",
    ]
    return "\n\n".join(parts) + "\n"


def _counts(counted: Mapping[str, Any]) -> list[str]:
    """The section of counts: its paragraphs and tables."""
    steps, labels = counted["steps"], counted["labels"]
    bins = [f"{_share(i / BINS)} to {_share((i + 1) / BINS)}" for i in range(BINS)]
    parts = [
        f"{_share(labels['good_share'])} of all steps are good: no step up to them is wrong. Trajectories have "
        f"{steps['least']} to {steps['most']} steps, {_number(steps['mean'])} in the mean.",
        _table(("outcome", *(f"first error {p}" for p in PLACES)), _rows(counted["outcomes"], PLACES)),
        _table(("place of the first error", "items"), zip(bins, counted["error_positions"], strict=True)),
        _table(("generator", "items", "right", "with an error"), _rows(counted["generators"], _OF_GENERATORS)),
    ]
    if counted["votes"]:
        own = counted["votes"]
        parts.append(
            f"{own['items']} items were voted on; all votes agree on {_share(own['unanimous'])} of them, and "
            f"{_share(own['for_kept'])} of an item's votes are for what was kept, in the mean."
        )
    if counted["truth"]:
        head = ("annotator against the truth", "items", "same label of a step", "same first error", "kappa over steps")
        rows = [
            (name, own["items"], _share(own["steps"]), _share(own["first_error"]), _number(own["kappa"]))
            for name, own in counted["truth"].items()
        ]
        parts.append(_table(head, rows))
    return parts


def _rows(table: Mapping[str, Mapping[str, int]], columns: Sequence[str]) -> list[tuple[object, ...]]:
    return [(name, *(row[column] for column in columns)) for name, row in table.items()]


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; bars in cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.4g} %"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3g}"
