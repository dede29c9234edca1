"""All benchmarks by name, where their files are, and the generated questions of `assets/questions/`.

The committed files of generated questions are the frozen input of every run; a test compares them with what
`write_questions` writes.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast, get_args

from sapo.records import Question, Verdict, write_records
from sapo.settings import DataSettings, SettingsError
from sapo.tasks.benchmarks import gsm8k, hendrycks_math, humaneval, mbpp, mmlu_math
from sapo.tasks.benchmarks.protocols import PROTOCOLS
from sapo.tasks.nano import nano_code, nano_code_ood, nano_math, nano_math_ood
from sapo.tasks.task import CodeTask, DataSource, EmbeddedTask, ProtocolName, Split, Task

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
# How many questions of each split are generated; out-of-domain tasks are only evaluated on.
SEED = 2026
COUNTS: dict[Split, int] = {"train": 2000, "dev": 300, "test": 500}
OOD_COUNTS: dict[Split, int] = {"test": 500}


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


@dataclass(slots=True)
class QuestionBank:
    """Questions of known tasks by id, TASK/SPLIT/NUMBER; a split is read when the first of its questions is asked for.

    Args:
        data: gives the settings of where questions are; called only if one is asked for.
    """

    data: Callable[[], DataSettings]
    splits: dict[tuple[str, str], dict[str, Question]] = field(default_factory=dict)

    def find(self, question_id: str) -> Question | None:
        """The question; None where no known task has it."""
        task, split = [*question_id.split("/"), "", ""][:2]
        if task not in TASKS or split not in get_args(Split):
            return None
        if (task, split) not in self.splits:
            found = TASKS[task].load(cast(Split, split), source_of(task, self.data()))
            self.splits[task, split] = {question.id: question for question in found}
        return self.splits[task, split].get(question_id)


def write_questions(folder: Path) -> list[Path]:
    """Generate every split of every embedded task, byte for byte the same every time; the files written."""
    written = []
    for name, task in EMBEDDED.items():
        for split, count in (OOD_COUNTS if name.endswith("_ood") else COUNTS).items():
            written.append(folder / f"{name}_{split}.jsonl")
            write_records(written[-1], task.generate(split, count, SEED), Question)
    return written
