"""All benchmarks by name, and where their files are."""

from pathlib import Path

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
from sapo.tasks.task import DataSource, EmbeddedTask, Task

EMBEDDED: dict[str, EmbeddedTask] = {
    "nano_math": nano_math,
    "nano_math_ood": nano_math_ood,
    "nano_code": nano_code,
    "nano_code_ood": nano_code_ood,
}
TASKS: dict[str, Task] = {
    **EMBEDDED,
    "gsm8k": gsm8k,
    "math": hendrycks_math,
    "mbpp": mbpp,
    "humaneval": humaneval,
    "mmlu_math": mmlu_math,
}


def find_task(name: str) -> Task:
    """The task of that name. Raises SettingsError naming the known ones."""
    if name not in TASKS:
        raise SettingsError(f"tasks: {name!r} is no task; known: {', '.join(TASKS)}")
    return TASKS[name]


def source_of(name: str, data: DataSettings) -> DataSource:
    """Where the task's questions are: embedded ones always in `data/`, real ones where the settings say."""
    if name in EMBEDDED:
        return DataSource(Path("data"))
    return DataSource(Path(data.root), data.hub, data.protocol)
