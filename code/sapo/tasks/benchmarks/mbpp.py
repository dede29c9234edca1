r"""MBPP: short Python tasks with three asserts each (Google 2021, CC-BY-4.0).

Task ids 601-974 are `train`, 511-600 `dev`, 11-510 `test`; prompts show the asserts that the protocol says, and all
three judge. Gold programs have `\n` line ends. Which text of a completion is the program: `program_text`; base models
run on with a top-level `assert`, `print`, opening docstring mark or `if __name__`, where the cut rule ends it.

Three tasks (367, 601, 927) build objects of a class that the solution defines, two of them in set-up code; the class
is an entry point like the function, and the set-up runs with the tests.
"""

import ast
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from sapo.records import Question, RecordError, Verdict
from sapo.tasks.benchmarks.few_shot import code_prompt
from sapo.tasks.benchmarks.protocols import MBPP_SPLITS, PROTOCOLS, Subset
from sapo.tasks.benchmarks.source import Origin, Row, read_rows, refuse_split
from sapo.tasks.program_grading import judging
from sapo.tasks.program_grading.judging import unparsable_kind
from sapo.tasks.program_grading.program_text import ProgramRule, ProgramText, read_program, stopped
from sapo.tasks.steps import split_code
from sapo.tasks.task import DataSource, Split

__all__ = ["NAME", "answered", "grade", "load", "normalise", "read", "split", "unparsable_kind"]

NAME = "mbpp"

ORIGIN = Origin(
    path="mbpp/mbpp.jsonl",
    sha256="ccf64ceae9c5403bf50a044cb6d505bfd2a2963ee58338ba268fd65beab92a9f",
    fields={"task_id": int, "text": str, "code": str, "test_list": list, "test_setup_code": str},
    rows_sha256="9fc730315c1ed2b7c1140a76e574f91f79c9ed2041e405c875413e0c9f092ba5",
    hub=("google-research-datasets/mbpp", "full", "4bb6404fdc6cacfda99d4ac4205087b89d32030c"),
    hub_splits=("prompt", "test", "validation", "train"),  # task ids 1-10, 11-510, 511-600, 601-974
)

STOPS = ("\nassert", "\nprint", '\n"""', "\nif __name__", "\nQuestion:", "\n<")
_FUNCTION = re.compile(r"^(?:async )?def \w", re.MULTILINE)
TEST_IMPORTS = "import math\nimport sys\n"  # what asserts of the benchmark use


def load(split: Split, source: DataSource) -> list[Question]:
    """Questions of a split in file order, `group` is the task.

    Raises:
        RecordError: unknown split, unreadable file or row, a task id that no split holds.
    """
    if split not in MBPP_SPLITS:
        raise refuse_split(NAME, split, tuple(MBPP_SPLITS))
    rows = read_rows(ORIGIN, source)
    for row in rows:
        if not 1 <= row["task_id"] <= MBPP_SPLITS["train"].last:
            raise RecordError(f"{row.where}: unknown task_id {row['task_id']}, they go from 1 to 974")
    left_out = PROTOCOLS[source.protocol].mbpp_left_out
    kept = [row for row in rows if row["task_id"] in MBPP_SPLITS[split] and row["task_id"] not in left_out]
    return [q for row in kept for q in _questions(row, split, source)]


def _questions(row: Row, split: Split, source: DataSource) -> Iterable[Question]:
    protocol = PROTOCOLS[source.protocol]
    number, code, asserts = row["task_id"], _unix(row["code"]), tuple(_unix(t).strip() for t in row["test_list"])
    if len(asserts) != 3:
        raise RecordError(f"{row.where}: task {number} has {len(asserts)} asserts, not 3")
    shown: tuple[Subset, ...] = protocol.mbpp_shown
    if split != "test":
        shown = (shown[number % len(shown)],) if protocol.mbpp_train_rotates else ((0, 1, 2),)
    for text in (code, *asserts):
        if not judging.parses(text):
            raise RecordError(f"{row.where}: task {number} is no Python: {text!r:.80}")
    entry = sorted(_used(asserts, code, ast.FunctionDef))
    if len(entry) != 1:
        raise RecordError(f"{row.where}: the asserts of task {number} call {entry} of the program, not one function")
    group = f"{NAME}/{split}/{number}"
    for subset in shown:
        prompt = code_prompt(row["text"].strip(), [asserts[i] for i in subset], source.shots)
        name = group if len(shown) == 1 else f"{group}/{''.join('abc'[i] for i in subset)}"
        yield Question(name, prompt, code, code, group, asserts, _unix(row["test_setup_code"]), entry[0])


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _used(tests: Sequence[str], code: str, kind: type[ast.FunctionDef] | type[ast.ClassDef]) -> set[str]:
    """Names that the tests call and that the program's top level defines as functions or as classes."""
    tree, calls = judging.syntax_tree(code), judging.syntax_tree("\n".join(tests))
    defined = {node.name for node in tree.body if isinstance(node, kind)} if tree else set()
    names = [node.func for node in ast.walk(calls) if isinstance(node, ast.Call)] if calls else []
    return defined & {name.id for name in names if isinstance(name, ast.Name)}


@lru_cache(maxsize=4096)
def _trusted(question: Question) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tests with their set-up, and the names that the program must define for them."""
    tests = (question.context, *question.tests) if question.context else question.tests
    return tests, (question.entry_point, *sorted(_used(tests, question.answer, ast.ClassDef)))


def read(question: Question, completion: str, rule: ProgramRule = "extract") -> ProgramText:
    """The program that a completion states, and the rule that found it."""
    return read_program(completion, question.entry_point, STOPS, rule=rule)


def split(text: str) -> tuple[str, ...]:
    """Steps are lines that end a statement."""
    return split_code(text)


def grade(questions: Sequence[Question], completions: Sequence[str], rule: ProgramRule = "extract") -> list[Verdict]:
    """Run the programs against all asserts of their tasks in the sandbox."""
    from strict_sandbox import Program

    pairs = zip(questions, completions, strict=True)
    return judging.judge([Program(read(q, c, rule).source, *_trusted(q), TEST_IMPORTS) for q, c in pairs])


def answered(text: str) -> int | None:
    """A bare program is complete where the text goes on with something else (`STOPS`)."""
    end = stopped(text, STOPS)
    return end if end and _FUNCTION.search(text, 0, end) else None


def normalise(text: str) -> str:
    """Comments and layout do not distinguish two programs."""
    return judging.canonical(read_program(text, "", STOPS).source)
