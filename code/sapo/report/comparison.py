"""Two checkpoints side by side: paired difference, how often which one is right, and the questions that flip."""

from dataclasses import dataclass

from sapo.records import Outcome
from sapo.report.accuracies import difference
from sapo.report.intervals import Interval
from sapo.report.results import BenchmarkResults, Checkpoint
from sapo.report.tables import Table, difference_text


@dataclass(frozen=True, slots=True)
class Flip:
    """A question that one of two checkpoints answers right and the other does not, with one seed."""

    seed: int
    one: Outcome
    other: Outcome


@dataclass(frozen=True, slots=True)
class Comparison:
    """Accuracy of one checkpoint minus that of another on the `seeds` that both have.

    Args:
        both, only_one, only_other, neither: answers that are right, over questions and seeds; they add up to
            `questions` times the number of seeds.
        flips: in the order of the seeds and questions.
    """

    seeds: tuple[int, ...]
    questions: int
    difference: Interval
    both: int
    only_one: int
    only_other: int
    neither: int
    flips: tuple[Flip, ...]


def compare(
    benchmark: BenchmarkResults, one: Checkpoint, other: Checkpoint, resamples: int, seed: int
) -> Comparison | None:
    """The comparison on one benchmark; None where the two have no seed in common."""
    found = difference(benchmark, one, other, resamples, seed)
    if not found:
        return None
    seeds = benchmark.seeds(one, other)
    flips, both, neither = [], 0, 0
    for run in seeds:
        pairs = zip(benchmark.answers[one][run].outcomes, benchmark.answers[other][run].outcomes, strict=True)
        for ours, theirs in pairs:
            if (ours.verdict == "right") != (theirs.verdict == "right"):
                flips.append(Flip(run, ours, theirs))
            elif ours.verdict == "right":
                both += 1
            else:
                neither += 1
    only_one = sum(flip.one.verdict == "right" for flip in flips)
    counts = (both, only_one, len(flips) - only_one, neither)
    return Comparison(tuple(seeds), len(benchmark.groups_Q), found, *counts, tuple(flips))


def comparison_table(names: tuple[str, str], comparisons: dict[str, Comparison]) -> Table:
    """A row for each benchmark, by what it is called."""
    one, other = names
    rows = tuple(
        (
            name,
            difference_text(found.difference),
            ", ".join(map(str, found.seeds)),
            str(found.questions),
            *map(str, (found.both, found.only_one, found.only_other, found.neither)),
        )
        for name, found in comparisons.items()
    )
    header = ("Benchmark", "Points", "Seeds", "Questions", "Both right", f"Only {one}", f"Only {other}", "Neither")
    note = "Points: 95 % interval of the difference, paired by seed and question; * it excludes 0."
    return Table(f"{one} minus {other}", header, rows, note)


def flips_table(names: tuple[str, str], benchmark: str, found: Comparison, most: int) -> Table:
    """The first `most` questions that flip, with the verdict and the last line of both answers."""
    shown = found.flips[:most]
    rows = tuple((f.one.question_id, str(f.seed), _said(f.one), _said(f.other)) for f in shown)
    title = f"{benchmark}: {len(shown)} of {len(found.flips)} questions that only one of both answers right"
    return Table(title, ("Question", "Seed", *names), rows)


def _said(outcome: Outcome) -> str:
    lines = outcome.completion.strip().splitlines()
    return f"{outcome.verdict}: {lines[-1].strip() if lines else '(nothing)'}"
