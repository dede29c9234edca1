"""The real benchmarks: counts of the protocols, identical records from files and hub, bad files, code grading."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import datasets
import pytest

from sapo.records import Question, RecordError
from sapo.tasks.benchmarks import few_shot, gsm8k, hendrycks_math, humaneval, mbpp, mmlu_math, protocols
from sapo.tasks.benchmarks.source import Origin, is_pinned, read_rows, rows_digest
from sapo.tasks.program_grading import judging
from sapo.tasks.task import DataSource, ProtocolName, Split

TASKS = (gsm8k, hendrycks_math, mbpp, humaneval, mmlu_math)
ORIGINS = (gsm8k.TRAIN, gsm8k.TEST, hendrycks_math.ORIGIN, mbpp.ORIGIN, humaneval.ORIGIN, mmlu_math.ORIGIN)


@pytest.mark.parametrize(
    ("task", "split", "paper", "standard"),
    [
        (gsm8k, "train", 6973, 6973),
        (gsm8k, "dev", 500, 500),
        (gsm8k, "test", 1319, 1319),
        (hendrycks_math, "test", 3342, 5000),
        (mbpp, "train", 371, 371),
        (mbpp, "dev", 90, 90),
        (mbpp, "test", 2994, 500),
        (humaneval, "test", 164, 164),
        (mmlu_math, "test", 354, 354),
    ],
)
def test_counts_of_the_protocols(real_data: Path, task: ModuleType, split: Split, paper: int, standard: int) -> None:
    expected: dict[ProtocolName, int] = {"paper": paper, "standard": standard}
    for protocol, count in expected.items():
        questions = task.load(split, DataSource(real_data, protocol=protocol))
        assert len(questions) == count == len({question.id for question in questions})


def test_the_real_files_are_the_pinned_ones(real_data: Path) -> None:
    for origin in ORIGINS:
        assert is_pinned(origin, real_data)
        assert rows_digest(read_rows(origin, DataSource(real_data))) == origin.rows_sha256
        assert not is_pinned(origin, real_data / "nowhere")


def test_gsm8k_dev_is_the_end_of_train_and_rationales_have_no_annotations(real_data: Path) -> None:
    source = DataSource(real_data)
    train, dev = gsm8k.load("train", source), gsm8k.load("dev", source)
    assert (train[0].id, train[-1].id, dev[0].id) == ("gsm8k/train/0", "gsm8k/train/6972", "gsm8k/train/6973")
    assert train[0].solution == (
        "Natalia sold 48/2 = 24 clips in May.\nNatalia sold 48+24 = 72 clips altogether in April and May.\n#### 72"
    )
    assert train[0].prompt.startswith("Question: Natalia") and train[0].prompt.endswith("\nAnswer:\n")
    assert not any("<<" in question.solution or "," in question.answer for question in train + dev)


def test_mbpp_prompts_show_the_asserts_of_the_protocol(real_data: Path) -> None:
    """Task 11 under the paper's protocol: six prompts, ids a, b, c, ab, ac, bc, one group, all asserts judge."""
    paper = mbpp.load("test", DataSource(real_data))
    first = paper[:6]
    assert [q.id for q in first] == [f"mbpp/test/11/{letters}" for letters in ("a", "b", "c", "ab", "ac", "bc")]
    assert {q.group for q in first} == {"mbpp/test/11"} and {len(q.tests) for q in first} == {3}
    assert [sum(test in q.prompt for test in q.tests) for q in first] == [1, 1, 1, 2, 2, 2]
    assert not any(q.group == "mbpp/test/367" for q in paper)
    standard = mbpp.load("test", DataSource(real_data, protocol="standard"))
    assert all(all(test in q.prompt for test in q.tests) for q in standard)
    assert not any("\r" in q.prompt + q.answer for q in standard)
    shown = Counter(sum(test in q.prompt for test in q.tests) for q in mbpp.load("train", DataSource(real_data)))
    assert shown[3] < 10 and shown[1] > 150 and shown[2] > 150


def test_protocols_are_plain_data_for_result_files() -> None:
    for name in ("paper", "standard"):
        assert json.loads(json.dumps(protocols.describe(name)))["name"] == name


@pytest.mark.parametrize(
    ("boxed", "passes"),
    [
        ("18", True), (r"\$18.90", True), (r"5\text{ cm}^2", True), (r"144 \mbox{ m}^3", True), (r"90^{\circ}", True),
        (r"0.25\,\text{ cm}", True), ("2112_6", True), ("15,600", False), (r"19 \text{ and }43", False),
        (r"\frac{1}{2}", False), (r"50\%", False), ("x=5", False), (r"15,\!000", False), (r"4210_{7}", False),
    ],
)  # fmt: skip
def test_filter_of_the_paper_for_math(boxed: str, passes: bool) -> None:
    assert protocols.is_plain_number(boxed) is passes


def test_shots_are_put_before_the_question_and_cannot_exceed_the_examples(real_data: Path) -> None:
    for task, split, most in ((gsm8k, "test", 8), (hendrycks_math, "test", 8), (mbpp, "test", 3)):
        bare = task.load(split, DataSource(real_data))[0].prompt
        shot = task.load(split, DataSource(real_data, shots=most))[0].prompt
        assert shot.endswith(bare) and len(shot) > len(bare)
        with pytest.raises(RecordError, match=f"shots is {most + 1}"):
            task.load(split, DataSource(real_data, shots=most + 1))


def test_worked_examples_are_right_by_our_own_graders() -> None:
    questions = [Question(str(n), "?", text.rpartition("#### ")[2]) for n, (_, text) in enumerate(few_shot.MATHS)]
    assert gsm8k.grade(questions, [text for _, text in few_shot.MATHS]) == ["right"] * 8
    coded = [
        Question(str(n), "?", program, tests=tests, entry_point=program[4 : program.index("(")])
        for n, (_, tests, program) in enumerate(few_shot.CODE)
    ]
    assert mbpp.grade(coded, [program for _, _, program in few_shot.CODE]) == ["right"] * 3


class HubTable(list[dict[str, Any]]):
    """What the hub's copy of a file gives: rows under the hub's field names."""


@pytest.fixture
def hub(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """`datasets.load_dataset` answered from the real files; collects (repository, revision) of each call."""
    calls: list[tuple[str, str]] = []
    by_hub = {(o.hub[0], split): o for o in ORIGINS if o.hub for split in o.hub_splits}

    def load_dataset(repository: str, configuration: str, *, split: str, revision: str) -> HubTable:
        calls.append((repository, revision))
        origin = by_hub[repository, split]
        names = origin.hub_names or {}
        rows = [row.values for row in read_rows(origin, DataSource(real_data))]
        if origin is mbpp.ORIGIN:
            ids = {"prompt": range(1, 11), "test": range(11, 511), "validation": range(511, 601)}
            rows = [row for row in rows if row["task_id"] in ids.get(split, range(601, 975))]
        return HubTable({**{names.get(k, k): v for k, v in row.items()}, "extra": 1} for row in rows)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    yield calls


@pytest.mark.parametrize("task", [gsm8k, hendrycks_math, mbpp, humaneval], ids=lambda task: task.NAME)
def test_hub_and_files_give_identical_records(real_data: Path, hub: list[tuple[str, str]], task: ModuleType) -> None:
    files = task.load("test", DataSource(real_data))
    assert task.load("test", DataSource(real_data / "unused", hub=True)) == files
    assert hub and all(len(revision) == 40 for _, revision in hub)


def test_a_changed_mirror_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"question": "1 + 1?", "answer": "2\n#### 2"}
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: HubTable([row]))
    with pytest.raises(RecordError, match=r"openai/gsm8k@e53f0488.*its 1 rows are not those of gsm8k/test\.jsonl"):
        gsm8k.load("test", DataSource(Path(), hub=True))
    with pytest.raises(RecordError, match="no copy on the hub"):
        mmlu_math.load("test", DataSource(Path(), hub=True))


GOOD: dict[str, dict[str, Any]] = {
    "gsm8k": {"question": "1 + 1?", "answer": "It is 2.\n#### 2"},
    "math": {"question": "1 + 1?", "answer": r"It is $\boxed{2}$."},
    "mmlu_math": {"idx": 0, "question": "1 + 1?", "answer": "2"},
    "mbpp": {
        "task_id": 11,
        "text": "Write a function to double.",
        "code": "def f(x):\r\n    return 2 * x",
        "test_list": ["assert f(1) == 2", "assert f(2) == 4", "assert f(0) == 0"],
        "test_setup_code": "",
    },
    "humaneval": {
        "task_id": "HumanEval/0",
        "prompt": 'def f(x):\n    """Double."""\n',
        "canonical_solution": "    return 2 * x\n",
        "test": "def check(candidate):\n    assert candidate(1) == 2\n",
        "entry_point": "f",
    },
}
FILES: dict[str, Origin] = {
    "gsm8k": gsm8k.TEST, "math": hendrycks_math.ORIGIN, "mmlu_math": mmlu_math.ORIGIN, "mbpp": mbpp.ORIGIN,
    "humaneval": humaneval.ORIGIN,
}  # fmt: skip


def written(root: Path, task: ModuleType, *lines: str) -> DataSource:
    path = root / FILES[task.NAME].path
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return DataSource(root)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.NAME)
def test_bad_files_are_named_with_line_and_value(tmp_path: Path, task: ModuleType) -> None:
    good, name = GOOD[task.NAME], Path(FILES[task.NAME].path).name
    with pytest.raises(RecordError, match=f"{name}: no such file"):
        task.load("test", DataSource(tmp_path))
    assert len(task.load("test", written(tmp_path, task, json.dumps(good), ""))) in (1, 6)
    for line, complaint in (
        ("{", "not JSON.*'{'"),
        ("[1]", r"not a JSON object: \[1\]"),
        ("[" * 100_000, "not JSON"),
        *((json.dumps({**good, field: None}), f"{field} is None, not") for field in good),
        *((json.dumps({k: v for k, v in good.items() if k != field}), f"field '{field}' is missing") for field in good),
    ):
        with pytest.raises(RecordError, match=f"(?s){name}: line 2: {complaint}"):
            task.load("test", written(tmp_path, task, json.dumps(good), line))
    (tmp_path / FILES[task.NAME].path).write_bytes(b"\xff\xfe")
    with pytest.raises(RecordError, match=f"{name}: unreadable"):
        task.load("test", DataSource(tmp_path))


@pytest.mark.parametrize(
    ("task", "change", "complaint"),
    [
        (gsm8k, {"answer": "It is two."}, "no final line '#### number': 'It is two.'"),
        (gsm8k, {"answer": "It is 2.\n#### two"}, "no final line"),
        (hendrycks_math, {"answer": "It is 2."}, r"no \\boxed.*'It is 2.'"),
        (mmlu_math, {"answer": "two"}, "answer is 'two', not a number"),
        (mbpp, {"task_id": 975}, "unknown task_id 975"),
        (mbpp, {"test_list": ["assert f(1) == 2"]}, "task 11 has 1 asserts, not 3"),
        (mbpp, {"test_list": [1, 2, 3]}, r"test_list holds something else than text: \[1, 2, 3\]"),
        (mbpp, {"code": "def g(:"}, "task 11 is no Python: 'def g"),
        (mbpp, {"code": "def g(x): return x"}, r"the asserts of task 11 call \[\] of the program"),
    ],
)
def test_bad_values_are_named(tmp_path: Path, task: ModuleType, change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(RecordError, match=f"line 1: .*{complaint}"):
        task.load("test", written(tmp_path, task, json.dumps({**GOOD[task.NAME], **change})))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.NAME)
def test_an_unknown_split_is_refused(tmp_path: Path, task: ModuleType) -> None:
    with pytest.raises(RecordError, match=f"{task.NAME} has no split 'validation', only .*test"):
        task.load("validation", DataSource(tmp_path))


def small(tmp_path: Path, task: ModuleType) -> Question:
    return task.load("test", written(tmp_path, task, json.dumps(GOOD[task.NAME])))[0]


def test_mbpp_completions(tmp_path: Path) -> None:
    question = small(tmp_path, mbpp)
    assert question.entry_point == "f" and question.answer == "def f(x):\n    return 2 * x"
    program = "def f(x):\n    return x + x\n"
    completions = {
        program: "right",
        f"```python\n{program}```\nThis doubles.": "right",
        f"Here you are:\n```\n{program}```": "right",
        f"```python\n{program}": "right",
        f"{program}```\nSome words.": "right",
        f"{program}\nassert f(1) == 3\n": "right",
        f"{program}\nprint(open('x'))\n": "right",
        f"{program}\nassert f(": "right",
        "def f(x):\n    return x\n": "wrong",
        "def g(x):\n    return 2 * x\n": "wrong",
        "": "wrong",
        "def f(x)\n    return x": "unparsable",
        "The function doubles its argument.": "unparsable",
        "def f(x):\n    return 2 * x\n\x00": "unparsable",
        "x = " + "(" * 5000: "unparsable",
        "x = 1\n" * 2_000_000: "unparsable",
    }
    assert mbpp.grade([question] * len(completions), list(completions)) == list(completions.values())


def test_humaneval_completions(tmp_path: Path) -> None:
    question = small(tmp_path, humaneval)
    completions = {
        "    return 2 * x\n": "right",
        "    return 2 * x\n\ndef g(:\n": "right",
        "    return 2 * x\n\n# Tests\nassert f(": "right",
        "    return 2 * x\n```\nwords": "right",
        "```python\ndef f(x):\n    return 2 * x\n```\nwords": "right",
        "def f(x):\n    return g(x)\n\ndef g(x):\n    return 2 * x\n": "right",
        "import math\n\ndef f(x):\n    return 2 * x\n": "right",
        "    return x\n": "wrong",
        "": "wrong",
        "    return 2 *\n": "unparsable",
        "  return 2 * x\n": "unparsable",
    }
    assert humaneval.grade([question] * len(completions), list(completions)) == list(completions.values())


def test_gold_programs_are_right_but_for_one_that_is_slow(real_data: Path) -> None:
    """MBPP task 123 sums amicable numbers in 2.8 s of CPU time, more than the sandbox allows."""
    source = DataSource(real_data, protocol="standard")
    for task, splits in ((humaneval, ("test",)), (mbpp, ("train", "dev", "test"))):
        questions = [question for split in splits for question in task.load(split, source)]
        verdicts = task.grade(questions, [question.solution for question in questions])
        failed = {q.id for q, verdict in zip(questions, verdicts, strict=True) if verdict != "right"}
        assert failed <= {"mbpp/test/123"}


def test_normalised_completions_merge_layout_but_not_content(tmp_path: Path) -> None:
    assert gsm8k.normalise("A  is 3.\n\n#### 3 ") == gsm8k.normalise("A is 3.\n#### 3")
    assert gsm8k.normalise("#### 3") != gsm8k.normalise("#### 4")
    assert mbpp.normalise("def f(x):  # double\n  return 2*x") == mbpp.normalise(
        "```\ndef f(x):\n    return 2 * x\n```"
    )
    assert mbpp.normalise("def f(x):\n  return 2*x") != mbpp.normalise("def f(x):\n  return 3*x")
    assert mbpp.normalise("def f(:  \n") == "def f(:"
    assert humaneval.normalise("    return 2*x\n\ndef g") == humaneval.normalise("    return 2 * x  # double\n")
    assert judging.canonical("x = '\\d'") == "x = '\\\\d'"
