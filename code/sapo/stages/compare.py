"""Command `compare A B`: two methods on the same seeds and questions, from the answers of the last run.

A and B are methods of params.yaml, `cot` or `sft`, at their last round, or at another as METHOD@ROUND: `sapo@1`.
Prints for every benchmark the paired difference with its 95 % interval, how often both, one or neither is right, and
the questions that only one of both answers right. Intervals are those of `results/table.md`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from sapo.configure import PARAMS
from sapo.records import BadInput
from sapo.report.comparison import Comparison, compare, comparison_table, flips_table
from sapo.report.names import checkpoint_name, in_order
from sapo.report.reading import reached, read_benchmarks, rounds_of
from sapo.report.rendering import show
from sapo.report.results import COT, SFT, Checkpoint
from sapo.settings import Settings, load_settings
from sapo.workspace import Workspace, derive_seed


class CompareError(BadInput):
    """There is no such method, round, model or task, or the two methods have nothing in common."""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m sapo compare", description=__doc__)
    parser.add_argument("a", metavar="A", help="METHOD or METHOD@ROUND")
    parser.add_argument("b", metavar="B", help="METHOD or METHOD@ROUND")
    parser.add_argument("--model", help="default: all")
    parser.add_argument("--task", help="default: all")
    parser.add_argument("--show", type=int, default=10, metavar="N", help="questions that flip, a benchmark")
    given = parser.parse_args(arguments)
    settings = load_settings(PARAMS)
    rounds = known_rounds(settings)
    pair = find_checkpoint(given.a, rounds), find_checkpoint(given.b, rounds)
    models, tasks = _chosen("model", given.model, settings.models), _chosen("task", given.task, settings.tasks)
    workspace = Workspace(Path(), settings.profile)
    found: dict[str, Comparison] = {}
    for model in models:
        for task in tasks:
            found |= compare_task(settings, workspace, model, task, pair)
    if not found:
        raise CompareError(f"{given.a} and {given.b} have no seed in common on {', '.join(models)}: {', '.join(tasks)}")
    names = checkpoint_name(pair[0], rounds.get(pair[0].method)), checkpoint_name(pair[1], rounds.get(pair[1].method))
    flips = [flips_table(names, name, one, given.show) for name, one in found.items() if one.flips and given.show > 0]
    show([comparison_table(names, found), *flips])


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


def _chosen(what: str, given: str | None, known: Sequence[str] | dict) -> list[str]:
    """One model or task, or all of them. Raises CompareError."""
    if given is None:
        return list(known)
    if given not in known:
        raise CompareError(f"{PARAMS}: {what}s: {given!r} is not one of {', '.join(known)}")
    return [given]
