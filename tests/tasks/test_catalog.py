"""Every task keeps the protocol, by the same checks: what a new task must pass before anything else looks at it."""

import inspect
from dataclasses import replace
from pathlib import Path

import pytest

from sapo.settings import DataSettings, SettingsError
from sapo.tasks.catalog import EMBEDDED, PROGRAMS, TASKS, find_task, source_of
from sapo.tasks.task import CodeTask, DataSource, EmbeddedTask, Task

TEXTS = [
    "",
    "\n",
    "18",
    "Ben has 15.\n\n15 + 3 = 18\n#### 18",
    "def f(xs):\n\treturn [\n\t\tx for x in xs\n\t]\r\n",
    '\n\n  """open\n# only a comment',
    "naïve → 数学 🙂\n\u2028next\x0b\n",
]
SETTINGS = DataSettings(root="elsewhere", hub=True, protocol="standard")


def parameters(function: object) -> list[str]:
    assert callable(function)
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_has_the_functions_of_the_protocol_with_its_parameters(name: str) -> None:
    task = TASKS[name]
    assert name == task.NAME
    protocol = EmbeddedTask if name in EMBEDDED else CodeTask if name in PROGRAMS else Task
    functions = [f for f in dir(protocol) if not f.startswith("_") and f != "NAME"]
    assert {"load", "split", "grade", "normalise"} <= set(functions)
    for function in functions:
        asked = parameters(getattr(protocol, function))[1:]
        found = inspect.signature(getattr(task, function)).parameters
        assert list(found)[: len(asked)] == asked, function
        assert all(one.default is not one.empty for one in [*found.values()][len(asked) :]), function


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("text", TEXTS)
def test_steps_give_the_text_back_and_none_is_empty(name: str, text: str) -> None:
    steps = TASKS[name].split(text)
    assert "".join(steps) == text
    assert all(steps)
    assert bool(steps) == bool(text)


@pytest.mark.parametrize("name", TASKS)
def test_nothing_to_grade_has_no_verdicts(name: str) -> None:
    assert TASKS[name].grade([], []) == []


@pytest.mark.parametrize("name", TASKS)
def test_layout_at_the_end_does_not_make_another_trajectory(name: str) -> None:
    normalise = TASKS[name].normalise
    assert normalise("x = 1\n") == normalise("x = 1\n\n") != normalise("x = 2\n")


def test_an_unknown_task_is_one_error_that_names_it_and_the_known_ones() -> None:
    with pytest.raises(SettingsError) as error:
        find_task("gsm9k")
    assert str(error.value) == f"tasks: 'gsm9k' is no task; known: {', '.join(TASKS)}"
    assert find_task("gsm8k") is TASKS["gsm8k"]


def test_embedded_questions_are_in_data_and_real_ones_where_the_settings_say() -> None:
    real = sorted(set(TASKS) - set(EMBEDDED))
    assert real == ["gsm8k", "humaneval", "math", "mbpp", "mmlu_math"]
    assert [source_of(name, SETTINGS) for name in EMBEDDED] == [DataSource(Path("data"))] * 4
    assert [source_of(name, SETTINGS) for name in real] == [DataSource(Path("elsewhere"), True, "standard")] * 5
    files = replace(SETTINGS, hub=False, protocol="paper")
    assert source_of("gsm8k", files) == DataSource(Path("elsewhere"), False, "paper")
