"""Where a completion's answer ends, so that no token is drawn behind it; grades do not change by stopping there."""

from pathlib import Path

import pytest
from fakes import ScriptedSampler
from hypothesis import given
from hypothesis import strategies as st

from sapo.evaluate.accuracy import solve
from sapo.records import Question
from sapo.tasks.benchmarks import gsm8k, hendrycks_math, humaneval, mbpp, mmlu_math
from sapo.tasks.catalog import EMBEDDED, TASKS
from sapo.tasks.nano import nano_code, nano_math
from sapo.tasks.task import Task

ASSETS = Path(__file__).parents[2] / "assets"
BODY = "    return 1\n"


@pytest.mark.parametrize(
    ("task", "complete", "behind"),
    [
        (gsm8k, "Half is 5.\n#### 5\n", "Question: what now?\n"),
        (hendrycks_math, "So $x = 2$.\n #### 2\n", "more\n"),
        (mmlu_math, "#### 2,2,4\n", "#### 5\n"),
        (nano_math, "Cy : Ben + 3\nCy = 15 + 3 = 18\nanswer 18\n", "answer 19\n"),
        (nano_code, "def f(xs):\n    a = sorted(xs)\n    return sum(a)\n", "    return 3\n"),
        (mbpp, "def f():\n" + BODY, "\nassert f() == 1\n"),
        (humaneval, BODY, "\ndef g():\n"),
    ],
)
def test_a_completion_ends_where_its_answer_does(task: Task, complete: str, behind: str) -> None:
    assert task.answered(complete + behind) in (len(complete), len(complete) - 1)  # a program's end is before the break
    assert task.answered(complete.rstrip("\n")) is None


@pytest.mark.parametrize(
    ("task", "open_"),
    [
        (gsm8k, "The answer is 5.\nOr is it?\n"),
        (gsm8k, "4 #### 5\n"),
        (hendrycks_math, "\\boxed{5}\nwhere 5 is even\n"),
        (nano_math, "the answer 5\n"),
        (nano_code, "        return 5\n"),
        (mbpp, "```python\ndef f():\n    return 1\n\nprint(f())\n```\n"),
        (humaneval, "def f():\n    return 1\n\ndef g():\n    return 2\n"),
    ],
)
def test_what_may_go_on_is_not_stopped(task: Task, open_: str) -> None:
    assert task.answered(open_) is None


@given(st.text(alphabet="a5#\n :=+answer rtu()`", max_size=80))
def test_an_end_lies_within_the_text(text: str) -> None:
    for task in TASKS.values():
        end = task.answered(text)
        assert end is None or 0 <= end <= len(text)


@pytest.mark.parametrize("name", EMBEDDED)
def test_gold_is_complete_where_it_ends(name: str) -> None:
    """Drawing stops behind the last line of every gold solution of the embedded tasks, and not before it."""
    from pathlib import Path

    import sapo.tasks.nano.embedded as nano_files

    assets = Path(__file__).parents[2] / "assets"
    for one in nano_files.read_embedded(assets, name, "test")[:50]:
        text = one.solution or one.answer
        if text.endswith("\n"):
            assert EMBEDDED[name].answered(text) == len(text)
            for cut in range(len(text)):
                assert EMBEDDED[name].answered(text[:cut]) is None


def test_answers_are_drawn_with_the_tasks_own_end() -> None:
    """The sampler is told where to stop; what it would have said behind it is not part of the outcome."""
    sampler = ScriptedSampler(lambda _: "answer 5\nanswer 6\n")
    outcomes, _ = solve(nano_math, sampler, [Question("q", "Ben has 5 coins. How many does Ben have?\n", "5")], 20)
    assert [(o.completion, o.verdict) for o in outcomes] == [("answer 5\n", "right")]
