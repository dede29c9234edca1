"""Two checkpoints compared on the answers of the last run: paired difference, who is right how often, what flips.

Intervals are those of `results/table.md`. A checkpoint is named METHOD (its last round) or METHOD@ROUND.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sapo.evaluate.interval import Interval
from sapo.records import BadInput, Outcome
from sapo.report.accuracies import difference
from sapo.report.load_run import reached, read_benchmarks, rounds_of
from sapo.report.names import checkpoint_name, in_order
from sapo.report.run_records import COT, SFT, BenchmarkResults, Checkpoint
from sapo.report.tables.method_tables import Table, difference_text
from sapo.runtime.workspace import Workspace, derive_seed
from sapo.settings import Settings
from sapo.settings.configure import PARAMS


class CompareError(BadInput):
    """There is no such method or round, or two methods have nothing in common."""


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


def known_rounds(settings: Settings) -> dict[str, int]:
    """Rounds of every method that any cell of the settings runs."""
    places = [(model, task) for model in settings.models for task in settings.tasks]
    return {method: last for place in places for method, last in rounds_of(settings, *place).items()}


def find_checkpoint(text: str, rounds: dict[str, int]) -> Checkpoint:
    """What METHOD or METHOD@ROUND names. Raises CompareError with what there is."""
    method, _, number = text.partition("@")
    fixed = {one.method: one for one in (COT, SFT)}
    if method not in rounds and method not in fixed:
        raise CompareError(f"{method!r} is no method of {PARAMS}; known: {', '.join([*fixed, *in_order(rounds)])}")
    if method in fixed:
        if number not in ("", "0"):
            raise CompareError(f"{text}: {method} has no rounds")
        return fixed[method]
    if not number:
        return Checkpoint(method, rounds[method])
    if not number.isdecimal() or not 1 <= int(number) <= rounds[method]:
        raise CompareError(f"{text}: {method} has the rounds 1 to {rounds[method]}")
    return Checkpoint(method, int(number))


def compare_task(
    settings: Settings, workspace: Workspace, model: str, task: str, pair: tuple[Checkpoint, Checkpoint]
) -> dict[str, Comparison]:
    """Comparisons on the benchmarks of a model and task, by name; none where the two have no seed in common."""
    seeds = reached(settings, workspace, model, task)
    if not set(seeds.get(pair[0], [])) & set(seeds.get(pair[1], [])):
        return {}
    found: dict[str, Comparison] = {}
    for benchmark in read_benchmarks(settings, workspace, model, task, {one: seeds[one] for one in pair}):
        chance = derive_seed(settings.seed, "report", model, task, benchmark.name)
        name = f"{model}, {task}" if benchmark.name == task else f"{model}, {task} → {benchmark.name}"
        if result := compare(benchmark, *pair, settings.report.resamples, chance):
            found[name] = result
    return found


def comparison_tables(
    settings: Settings,
    workspace: Workspace,
    named: tuple[str, str],
    places: Sequence[tuple[str, str]],
    most: int,
) -> list[Table]:
    """Comparisons of two checkpoints by what they are called, and at most so many questions that flip a benchmark.

    Args:
        places: models and tasks.

    Raises:
        CompareError: there is no such checkpoint, or the two have no seed in common anywhere.
    """
    rounds = known_rounds(settings)
    one, other = (find_checkpoint(text, rounds) for text in named)
    found: dict[str, Comparison] = {}
    for model, task in places:
        found |= compare_task(settings, workspace, model, task, (one, other))
    if not found:
        where = ", ".join(f"{model} on {task}" for model, task in places)
        raise CompareError(f"{named[0]} and {named[1]} have no seed in common: {where}")
    names = checkpoint_name(one, rounds.get(one.method)), checkpoint_name(other, rounds.get(other.method))
    flips = [flips_table(names, name, own, most) for name, own in found.items() if own.flips and most > 0]
    return [comparison_table(names, found), *flips]


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
