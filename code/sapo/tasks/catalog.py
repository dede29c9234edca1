"""All benchmarks by name, and where their files are."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sapo.records import Question, Verdict
from sapo.settings import DataSettings, SettingsError
from sapo.tasks import (
    gsm8k,
    hendrycks_math,
    humaneval,
    mbpp,
    mmlu_math,
    nano_code,
    nano_code_ood,
    nano_math,
    nano_math_ood,
)
from sapo.tasks.protocols import PROTOCOLS
from sapo.tasks.task import CodeTask, DataSource, EmbeddedTask, ProtocolName, Task

EMBEDDED: dict[str, EmbeddedTask] = {
    "nano_math": nano_math,
    "nano_math_ood": nano_math_ood,
    "nano_code": nano_code,
    "nano_code_ood": nano_code_ood,
}
PROGRAMS: dict[str, CodeTask] = {"mbpp": mbpp, "humaneval": humaneval}
TASKS: dict[str, Task] = {
    **EMBEDDED,
    "gsm8k": gsm8k,
    "math": hendrycks_math,
    **PROGRAMS,
    "mmlu_math": mmlu_math,
}


def find_task(name: str) -> Task:
    """The task of that name. Raises SettingsError naming the known ones."""
    if name not in TASKS:
        raise SettingsError(f"tasks: {name!r} is no task; known: {', '.join(TASKS)}")
    return TASKS[name]


def grade_by_protocol(
    task: Task, questions: Sequence[Question], completions: Sequence[str], protocol: ProtocolName
) -> list[Verdict]:
    """Verdicts where the protocol says which text of an answer is the program (`Protocol.program_rule`)."""
    if task.NAME in PROGRAMS:
        return PROGRAMS[task.NAME].grade(questions, completions, PROTOCOLS[protocol].program_rule)
    return task.grade(questions, completions)


def programs_found(name: str, questions: Sequence[Question], completions: Sequence[str]) -> dict[str, int]:
    """How many answers to MBPP or HumanEval hold a program that the `cut` rule, the `extract` rule or `none` finds."""
    found = Counter(PROGRAMS[name].read(q, c).found_by for q, c in zip(questions, completions, strict=True))
    return {by: found[by] for by in ("cut", "extract", "none")}


def source_of(name: str, data: DataSettings) -> DataSource:
    """Where the task's questions are: embedded ones always in `data/`, real ones where the settings say."""
    if name in EMBEDDED:
        return DataSource(Path("data"))
    return DataSource(Path(data.root), data.hub, data.protocol)
