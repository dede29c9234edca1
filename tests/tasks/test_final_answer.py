"""Which part of a completion is its answer, and why there is none."""

from collections import Counter
from pathlib import Path

import pytest

from sapo.evaluate.accuracy import unparsable_kinds
from sapo.evaluate.interval import Interval
from sapo.records import Outcome
from sapo.report.accuracies import Accuracy, Column
from sapo.report.run_records import COT
from sapo.report.tables.method_tables import notes
from sapo.tasks.benchmarks import gsm8k
from sapo.tasks.math_grading.final_answer import answered, final_answer, unparsable_kind
from sapo.tasks.math_grading.grading import grade_latex, grade_number

TABLE = Path(__file__).parents[1] / "data" / "final_answers.tsv"


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("She has 8.\n#### 18", "18"),
        ("#### 8\nWait.\n#### 18 \n", "18"),
        ("#### 18\n\nQuestion: and now?\nAnswer:\n#### 8", "18"),
        ("\nQuestion: again?\nAnswer: 3*4=12\n#### 12\n\nQuestion: other?\n#### 5", "12"),
        ("so it is \\boxed{8}, no, \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
        ("\\boxed{8}\n#### 18", "18"),
        ("#### 8\nso \\boxed{18}", "18"),
        ("\\boxed{8}, so the answer is 18.", "18"),
        ("\\boxed{\\text{the answer is } 18}", "\\text{the answer is } 18"),
        ("\\boxed 5.", "5"),
        ("\\boxed{\\{1,2\\}}", "\\{1,2\\}"),
        ("The answer is 8. The answer is 18.5. Good.", "18.5"),
        ("The answer is 18. That answer is correct, the answer is reasonable.", "18"),
        ("the final answer is: $x=5$", "$x=5$"),
        ("Answer: 18 eggs", "18 eggs"),
        ("x #### 18", "18"),
        ("\\boxed{18}. We check our answer: $2 \\cdot 18$ is 36. The final answer is positive.", "18"),
        ("#### Evelyn", "Evelyn"),
        ("#### Add them\n#### 18", "18"),
        ("#### Step 2", None),
        ("#### Step 2\n2*9=18", None),
        ("It is 18", None),
        ("####", None),
        ("\\boxed{18", None),
        ("", None),
    ],
)
def test_final_answer(completion: str, answer: str | None) -> None:
    assert final_answer(completion) == answer


def test_answers_in_the_wild_are_right_or_not_for_both_graders() -> None:
    rows = [line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines()]
    golds, completions = [gold for _, gold, _ in rows], [text.replace("⏎", "\n") for _, _, text in rows]
    numbers = [grade_number(gold, text) for gold, text in zip(golds, completions, strict=True)]
    latex = grade_latex(golds, completions)
    assert [row for row, v in zip(rows, numbers, strict=True) if (v == "right") != (row[0] == "right")] == []
    assert [row for row, v in zip(rows, latex, strict=True) if (v == "right") != (row[0] == "right")] == []


@pytest.mark.parametrize(
    ("completion", "kind"),
    [
        ("It is 18", "no marker"),
        ("so\n####", "nothing behind the marker"),
        ("#### 18 or 19", "several values"),
        ("#### no idea", "words, no value"),
        ("#### 18x", "no notation that is read"),
        ("\\boxed{" + "1+" * 700 + "1}", "over-long"),
    ],
)
def test_why_an_answer_is_unparsable(completion: str, kind: str) -> None:
    assert unparsable_kind(completion) == kind
    assert grade_number("18", completion) == "unparsable"


def test_a_rationale_ends_with_its_answer_line_and_not_with_a_heading() -> None:
    assert answered("2+2\n#### 4\nmore") == len("2+2\n#### 4\n")
    assert answered("#### Step 1: add 2\n2+2\n#### Sum\n") is None
    assert answered("#### Step 1\n2+2\n#### 4\n") == len("#### Step 1\n2+2\n#### 4\n")
    assert answered("2+2 #### 4") is None


def test_unparsable_answers_are_counted_by_kind_and_named_in_the_report() -> None:
    """Of 10 answers 4 have no marker and 1 has two values: 50 % unparsable."""
    texts = ["It is 18"] * 4 + ["#### 18 or 19"]
    outcomes = [Outcome(str(n), "g", text, "unparsable") for n, text in enumerate(texts)]
    outcomes += [Outcome(str(n), "g", "no marker either, but judged", "wrong") for n in range(5, 10)]
    kinds = unparsable_kinds(gsm8k, outcomes)
    assert kinds == {"no marker": 4, "several values": 1}
    accuracy = Accuracy(10, (1,), Interval(0.0, 0.0, 0.0), unparsable=Counter(kinds))
    column = Column("m", "gsm8k", "gsm8k", 10, {COT: accuracy}, {}, {})
    assert [note.partition(": ")[2] for note in notes([column], {"cot"})] == [
        "50 % unparsable (40 % no marker, 10 % several values)."
    ]
