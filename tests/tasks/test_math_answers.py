"""Numbers, final answers and LaTeX: what counts as equal, what must not, and what happens to hostile input."""

import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sapo.records import Verdict
from sapo.tasks.benchmarks import gsm8k, hendrycks_math, mmlu_math
from sapo.tasks.math_grading.clean import clean
from sapo.tasks.math_grading.final_answer import last_boxed
from sapo.tasks.math_grading.grading import (
    GraderErrors,
    LatexJudge,
    check_grader_errors,
    grade_latex,
    grade_number,
    shared_judge,
)
from sapo.tasks.math_grading.numbers import read_latex_number, read_number
from sapo.tasks.task import DataSource

TABLES = Path(__file__).parents[1] / "data"


def table(name: str) -> list[tuple[str, str, str]]:
    """Rows `category, answer, other answer` of a hand-made table."""
    lines = (TABLES / name).read_text(encoding="utf-8").split("\n")
    return [(kind, a, b) for kind, a, b in (line.split("\t") for line in lines if line)]


def judged(golds: list[str], answers: list[str]) -> list[Verdict]:
    return grade_latex(golds, [f"#### {answer}" for answer in answers])


def test_tables_hold_enough_distinct_cases() -> None:
    for name in ("near_misses.tsv", "equivalents.tsv"):
        rows = table(name)
        assert len({frozenset((clean(a), b.strip())) for _, a, b in rows}) >= 300
        assert len({kind for kind, _, _ in rows}) >= 18


def test_near_misses_are_never_right_from_either_side() -> None:
    rows = table("near_misses.tsv")
    golds, answers = [a for _, a, _ in rows], [b for _, _, b in rows]
    forward, backward = judged(golds, answers), judged(answers, golds)
    assert [row for row, verdict in zip(rows, forward, strict=True) if verdict not in ("wrong", "unparsable")] == []
    assert [row for row, verdict in zip(rows, backward, strict=True) if verdict == "right"] == []


def test_equivalents_are_right_from_both_sides() -> None:
    rows = table("equivalents.tsv")
    golds, answers = [a for _, a, _ in rows], [b for _, _, b in rows]
    for verdicts in (judged(golds, answers), judged(answers, golds)):
        assert [(row, v) for row, v in zip(rows, verdicts, strict=True) if v != "right"] == []


def test_near_misses_of_plain_numbers_hold_for_the_numeric_grader_too() -> None:
    rows = [(a, b) for kind, a, b in table("near_misses.tsv") if kind != "times" and read_number(a) is not None]
    assert len(rows) > 100
    assert [row for row in rows if grade_number(row[0], f"#### {row[1]}") == "right"] == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", 18), ("$1,234.50", Fraction(2469, 2)), ("-3/4", Fraction(-3, 4)), ("2 1/2", Fraction(5, 2)),
        ("50%", 50), ("50 percent of them", 50), ("3 million people", 3_000_000),
        ("1.5e-3", Fraction(3, 2000)), ("x = 7", 7), ("− 4", -4), ("18 eggs/day", 18), ("5kg", 5), ("7 a.m.", 7),
        ("5 m^2", 5), ("5 more apples", 5), ("18!", None), ("18x", None), ("1,00", None), ("1_000", None),
        ("1 000", None), ("٣", None), ("nan", None), ("inf", None), ("1/0", None), ("", None), ("--5", None),
        ("3:30", None), ("5 or 6", None), ("5 more than 3", None), ("1e99999", None), ("0x10", None), ("2/3/4", None),
    ],
)  # fmt: skip
def test_read_number(text: str, value: Fraction | int | None) -> None:
    assert read_number(text) == value


@given(st.fractions(), st.sampled_from(["", " apples", ".", " dollars per day"]))
def test_written_fractions_are_read_back(value: Fraction, tail: str) -> None:
    assert read_number(f"{value.numerator}/{value.denominator}{tail}") == value


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9))
def test_written_decimals_are_read_back(value: object) -> None:
    assert read_number(f"{value:,}") == Fraction(str(value))


@given(st.text(max_size=60))
def test_any_text_is_a_number_or_none(text: str) -> None:
    value = read_number(text)
    assert value is None or isinstance(value, int | Fraction)
    assert grade_number("18", text) in ("right", "wrong", "unparsable")


def test_verdicts_tell_wrong_unparsable_and_unjudged_apart() -> None:
    assert grade_number("18", "#### 18.0") == "right"
    assert grade_number("18", "#### 8") == "wrong"
    assert grade_number("18", "#### eighteen") == "unparsable"
    assert grade_number("18", "no answer") == "unparsable"


def test_a_gold_without_a_value_is_compared_as_text() -> None:
    assert grade_number("eighteen", "#### 18") == "wrong"
    golds = [r"\frac{1}{", r"\frac{1}{", r"y''=\iint_D"]
    assert judged(golds, ["3x", r"\frac{1}{", r"$y'' = \iint_D$"]) == ["wrong", "right", "right"]


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("9", "x+y=9"),
        ("24", "ab=24"),
        ("10", "a+b+c+d = 10"),
        ("7:31", "a:b = 7:31"),
        ("11", "|a-b| = 11"),
        (r"\frac12", r"\frac{m}{n}=0.5"),
    ],
)
def test_what_a_sum_of_names_is_counts_for_answers_and_not_for_golds(gold: str, answer: str) -> None:
    """`x + y = 9` answers a question for the sum; a gold `x + y = 9` is a line, which `9` is not."""
    assert judged([gold, answer], [answer, gold]) == ["right", "wrong"]


def test_variables_are_real_and_where_both_sides_are_real_they_must_agree() -> None:
    """sqrt(x^2) = |x| is -x at negative x; sqrt(x^3) is not real there, so that only positive x decide."""
    golds = [r"\sqrt{x^3}", r"\sqrt{x^2}", r"\sqrt{x^2}", r"\ln|x|", r"\ln(x^2)", r"|x-3|"]
    answers = [r"x\sqrt{x}", "x", "|x|", r"\ln x", r"2\ln x", "3-x"]
    assert judged(golds, answers) == ["right", "wrong", "right", "wrong", "right", "wrong"]
    assert judged(answers, golds) == ["right", "wrong", "right", "wrong", "right", "wrong"]


def test_grader_errors_are_counted_and_fail_above_a_rate() -> None:
    verdicts: list[Verdict] = [*["right"] * 998, "grader_error", "grader_error"]  # pyright: ignore[reportAssignmentType]
    assert check_grader_errors(verdicts, ceiling=0.002) == 2
    assert check_grader_errors([]) == 0
    with pytest.raises(GraderErrors, match=r"2 of 1000 answers could not be judged, more than 0\.10%"):
        check_grader_errors(verdicts, ceiling=0.001)


BOMBS = [
    "9" * 10**6,
    "0." + "3" * 10**6,
    "1/" + "7" * 10**6,
    "1" + ",000" * 10**5,
    "1e" + "9" * 1000,
    "9^{9^{9^{9^{9}}}}",
    "10^{10^{10}}!",
    "\\frac{" * 300 + "1" + "}{2}" * 300,
    "(" * 1000,
    "|" * 60 + "x" + "|" * 60,
    " " * 10**5 + "x",
    "a" * 1000 + "!",
    "5 " + "dollars " * 140 + "8",
    "\\boxed{" * 10**4,
    "1" + "!" * 400,
    "\x00",
    "\ud800",
    "x" + "\n" * 10**5,
    "#" * 10**5 + ")",
    "AB" * 500 + "=18x",
    "a b " * 290 + "=18x",
    "the answer to " * 10**4,
    "{a \\over " * 140,
]


@pytest.mark.parametrize("bomb", BOMBS, ids=range(len(BOMBS)))
def test_hostile_answers_end_in_time_and_are_not_right(bomb: str) -> None:
    start = time.perf_counter()
    for completion in (f"#### {bomb}", f"\\boxed{{{bomb}}}", f"The answer is {bomb}", bomb):
        assert grade_number("18", completion) in ("wrong", "unparsable")
        assert grade_latex(["18"], [completion])[0] in ("wrong", "unparsable")
    assert time.perf_counter() - start < 20


@pytest.fixture
def judge() -> Iterator[LatexJudge]:
    judge = LatexJudge(workers=1, seconds=2.0)
    yield judge
    judge.close()


def _worker_pid(judge: LatexJudge) -> int:
    worker = judge._idle.get()
    judge._idle.put(worker)
    assert worker is not None
    return worker.process.pid


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs POSIX signals")
@pytest.mark.parametrize("fatal", ["SIGSTOP", "SIGKILL"])
def test_a_late_or_dead_worker_is_a_grader_error_and_is_replaced(judge: LatexJudge, fatal: str) -> None:
    assert grade_latex([r"2\sqrt{3}"], [r"#### \sqrt{12}"], judge) == ["right"]
    pid = _worker_pid(judge)
    os.kill(pid, getattr(signal, fatal))
    verdicts = grade_latex([r"\sqrt{8}", r"\sqrt{27}"], [r"#### 2\sqrt{2}", r"#### 3\sqrt{3}"], judge)
    assert verdicts.count("grader_error") == 1 and verdicts.count("right") == 1
    assert _worker_pid(judge) != pid


def test_grading_from_threads_gives_the_same_verdicts() -> None:
    rows = table("equivalents.tsv")[::3] + table("near_misses.tsv")[::3]
    golds, answers = [a for _, a, _ in rows], [b for _, _, b in rows]
    expected = judged(golds, answers)
    results: list[list[Verdict]] = []
    threads = [threading.Thread(target=lambda: results.append(judged(golds, answers))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


def test_gold_against_itself(real_data: Path) -> None:
    source = DataSource(real_data, protocol="standard")
    trained = gsm8k.load("train", source) + gsm8k.load("dev", source) + gsm8k.load("test", source)
    for task, questions, count in (
        (gsm8k, trained, 8792),
        (hendrycks_math, hendrycks_math.load("test", source), 5000),
        (mmlu_math, mmlu_math.load("test", source), 354),
    ):
        assert len(questions) == count
        assert task.grade(questions, [question.solution for question in questions]).count("right") == count
        assert task.grade(questions, [f"\\boxed{{{q.answer}}}" for q in questions]).count("right") == count


def test_equality_is_symmetric_and_transitive_on_the_gold_answers(real_data: Path) -> None:
    """Answers that share a key with one and the same answer share one with each other, over all distinct golds."""
    source = DataSource(real_data, protocol="standard")
    golds = [q.answer for task in (hendrycks_math, mmlu_math) for q in task.load("test", source)]
    texts = sorted({clean(gold) for gold in golds})
    keys = dict(zip(texts, shared_judge().keys(texts), strict=True))
    assert [text for text in texts if not keys[text]] == []
    holders: dict[str, set[str]] = defaultdict(set)
    plain = {
        text: {key for key in found or () if not key.startswith(("label ", "real "))} for text, found in keys.items()
    }
    for text, found in plain.items():
        for key in found:
            holders[key].add(text)
    linked = {text: set[str]().union(*(holders[key] for key in found)) for text, found in plain.items()}
    assert [text for text in texts if any(linked[other] != linked[text] for other in linked[text])] == []
    numbers = {text: read_latex_number(text) for text in texts}
    for text in texts:  # the short cut for plain numbers agrees with the keys
        for other in linked[text]:
            if numbers[text] is not None and numbers[other] is not None:
                assert numbers[text] == numbers[other]


def test_other_golds_are_wrong_for_a_question(real_data: Path) -> None:
    """Against the gold of the next question the verdicts are symmetric and no judge fails."""
    golds = [q.answer for q in hendrycks_math.load("test", DataSource(real_data, protocol="standard"))]
    others = golds[1:] + golds[:1]
    forward = grade_latex(golds, [f"\\boxed{{{answer}}}" for answer in others])
    backward = grade_latex(others, [f"\\boxed{{{answer}}}" for answer in golds])
    assert forward == backward
    assert set(forward) == {"right", "wrong"} and forward.count("right") < 60


def test_boxed_golds_with_line_breaks_and_braces() -> None:
    assert last_boxed("\\boxed{90\\text{ square\nunits}}") == "90\\text{ square\nunits}"
    assert last_boxed("\\boxed{\\frac{1}{\\sqrt{2}}}") == "\\frac{1}{\\sqrt{2}}"
    assert last_boxed("none") is None
