"""Answers graded per second on one core, beside math-verify used directly on the same answers in the same run.

Numbers: GSM8K-like rationales with distinct final answers, caches emptied each round. LaTeX: the hand-made tables
of the tests, as eight completions a question would bring them (every answer eight times, a third of them equal to
the gold as text), with a new judge whose worker process shares the core; its start is not counted. The other side
is math-verify's `parse` and `verify` in this process, without limits of time. Rounds alternate, medians count.
Run alone: python benchmarks/grading.py [ROUNDS] → one JSON line, exit status 1 below the targets.
"""

import json
import logging
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from math_verify import parse, verify

from sapo.tasks.math_grading.clean import clean
from sapo.tasks.math_grading.grading import LatexJudge, grade_latex, grade_numbers
from sapo.tasks.math_grading.numbers import read_number

TABLES = Path(__file__).resolve().parents[1] / "tests" / "data"
NUMBERS, LATEX = 50_000.0, 200.0  # answers per second
REPEATS = 8

Pairs = list[tuple[str, str]]


def number_pairs(count: int) -> Pairs:
    """Gold numbers and rationales that end in them, in four spellings; a quarter are wrong."""
    spellings = ("{0}", "${0:,}", "{0}.00 dollars a day", "{1}")
    rationale = "She buys {0} apples for $3 each.\nThat costs {0} * 3 = ${1}.\n#### "
    return [(str(n), rationale.format(n, 3 * n) + spellings[n % 4].format(n, n + 1)) for n in range(1000, 1000 + count)]


def latex_pairs() -> Pairs:
    """Golds and completions from the tables, repeated as samples of one question are."""
    lines = [line for name in ("equivalents", "near_misses") for line in (TABLES / f"{name}.tsv").open()]
    rows = [line.rstrip("\n").split("\t")[1:] for line in lines]
    answers = [(gold, f"So it is\n#### {answer}") for gold, answer in rows for _ in range(REPEATS - REPEATS // 3)]
    return answers + [(gold, f"So it is\n#### {gold}") for gold, _ in rows for _ in range(REPEATS // 3)]


def per_second(pairs: Pairs, run: Callable[[Pairs], object]) -> float:
    start = time.perf_counter()
    run(pairs)
    return len(pairs) / (time.perf_counter() - start)


def ours_numbers(pairs: Pairs) -> None:
    read_number.cache_clear()
    verdicts = grade_numbers([gold for gold, _ in pairs], [completion for _, completion in pairs])
    if verdicts.count("right") != len(pairs) * 3 // 4:
        raise SystemExit(f"{verdicts.count('right')} of {len(pairs)} numbers were judged right, not three quarters")


def ours_latex(pairs: Pairs) -> float:
    """Answers per second by a judge with one worker, whose start is not counted."""
    clean.cache_clear()
    read_number.cache_clear()
    judge = LatexJudge(workers=1)
    grade_latex(["2x"], ["#### x+x"], judge)
    try:
        return per_second(pairs, lambda p: grade_latex([g for g, _ in p], [c for _, c in p], judge))
    finally:
        judge.close()


def math_verify(pairs: Pairs) -> None:
    for gold, completion in pairs:
        answer = completion.rpartition("#### ")[2]
        verify(parse(f"${gold}$", parsing_timeout=0), parse(f"${answer}$", parsing_timeout=0), timeout_seconds=0)


def measure(rounds: int = 5) -> dict[str, float]:
    """Medians over the rounds on one core; the affinity of this process is restored."""
    if not hasattr(os, "sched_setaffinity"):
        raise SystemExit("the benchmark pins itself to one core, which needs Linux")
    logging.disable(logging.WARNING)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    numbers, latex = number_pairs(20_000), latex_pairs()
    sample = [pair for pair in latex if "10^" not in pair[0] + pair[1]][:: len(latex) // 300]
    try:
        math_verify(sample[:50])
        rows = [
            (per_second(numbers, ours_numbers), per_second(numbers[:100], math_verify), ours_latex(latex),
             per_second(sample, math_verify))
            for _ in range(rounds)
        ]  # fmt: skip
    finally:
        os.sched_setaffinity(0, cores)
    ours, theirs, ours_tex, theirs_tex = (statistics.median(column) for column in zip(*rows, strict=True))
    return {
        "numbers_per_second": round(ours),
        "numbers_math_verify_per_second": round(theirs),
        "numbers_ratio": round(ours / theirs, 1),
        "latex_per_second": round(ours_tex),
        "latex_math_verify_per_second": round(theirs_tex),
        "latex_ratio": round(ours_tex / theirs_tex, 1),
        "latex_distinct_pairs": len(set(latex)),
        "rounds": rounds,
    }


def main() -> None:
    result = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    sys.stdout.write(json.dumps(result) + "\n")
    if result["numbers_per_second"] < NUMBERS or result["latex_per_second"] < LATEX:
        raise SystemExit(f"below the targets of {NUMBERS:.0f} numbers and {LATEX:.0f} LaTeX answers a second")


if __name__ == "__main__":
    main()
