"""Splits of the embedded tasks: disjoint, regenerable byte for byte, refused when edited."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sapo.records import Question, RecordError, read_records, write_records
from sapo.tasks.catalog import COUNTS, EMBEDDED, OOD_COUNTS, write_questions
from sapo.tasks.nano import embedded, nano_math
from sapo.tasks.task import DataSource, EmbeddedTask

REPOSITORY = Path(__file__).resolve().parents[2]
FROZEN = REPOSITORY / "assets" / "questions"
FILES = {
    f"{name}_{split}.jsonl": count
    for name in EMBEDDED
    for split, count in (OOD_COUNTS if name.endswith("_ood") else COUNTS).items()
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root") / "questions"
    assert {path.name for path in write_questions(folder)} == set(FILES)
    return folder


def test_splits_have_their_size_and_share_no_prompt(written: Path) -> None:
    """2,000 to train on and 500 to test on for each in-domain task; no prompt twice, in or between any of the files."""
    prompts: Counter[str] = Counter()
    for file, count in FILES.items():
        questions = read_records(written / file, Question)
        assert len(questions) == count
        prompts.update(question.prompt for question in questions)
    assert COUNTS["train"] >= 2000 and COUNTS["test"] >= 500
    assert set(prompts.values()) == {1}


def test_ids_are_unique_and_say_where_a_question_belongs(written: Path) -> None:
    ids = [question.id for file in FILES for question in read_records(written / file, Question)]
    assert len(set(ids)) == len(ids) == sum(FILES.values())
    assert read_records(written / "nano_math_test.jsonl", Question)[7].id == "nano_math/test/7"


def test_the_same_bytes_in_another_process_with_another_hash_seed(written: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sapo", "questions", "--folder", str(tmp_path)]
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": str(REPOSITORY / "code")}
    shown = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert shown.stdout.splitlines() == [str(tmp_path / file) for file in FILES]
    for file in FILES:
        assert (tmp_path / file).read_bytes() == (written / file).read_bytes(), file


def test_the_frozen_files_are_what_the_generator_writes(written: Path) -> None:
    if not FROZEN.is_dir():
        pytest.skip("assets/questions is not there: `python -m sapo questions` writes it")
    for file in FILES:
        assert (FROZEN / file).read_bytes() == (written / file).read_bytes(), file


def test_another_seed_gives_other_questions() -> None:
    one, other = (nano_math.generate("dev", 20, seed) for seed in (1, 2))
    assert {q.prompt for q in one} != {q.prompt for q in other}


def test_what_is_written_is_loaded(written: Path) -> None:
    questions = EMBEDDED["nano_code_ood"].load("test", DataSource(written.parent))
    assert questions == read_records(written / "nano_code_ood_test.jsonl", Question)


def test_a_question_of_another_split_is_refused(written: Path, tmp_path: Path) -> None:
    """A test question moved into the training file is named with its line."""
    stolen = read_records(written / "nano_math_test.jsonl", Question)[:1]
    mixed = [*read_records(written / "nano_math_train.jsonl", Question)[:2], *stolen]
    write_records(tmp_path / "questions" / "nano_math_train.jsonl", mixed, Question)
    with pytest.raises(RecordError, match=r"line 4: question nano_math/test/0 does not belong to split 'train'"):
        nano_math.load("train", DataSource(tmp_path))


def test_every_prompt_has_one_bucket_of_the_promised_share() -> None:
    """10,000 texts: 10, 5, 25 and 60 per cent; the largest standard error is sqrt(.6 · .4 / 10000) = .0049."""
    found = Counter(embedded.bucket(f"prompt {i}") for i in range(10_000))
    for name, share in {"test": 0.10, "dev": 0.05, "train": 0.25, "pretrain": 0.60}.items():
        assert found[name] / 10_000 == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("task", EMBEDDED.values(), ids=EMBEDDED)
def test_steps_are_lines_and_blank_lines_belong_to_them_as_in_real_tasks(task: EmbeddedTask) -> None:
    assert task.split("a\n\nb\n  \n") == ("a\n\n", "b\n  \n")
    assert task.split("\n\na\n    b") == ("\n\na\n", "    b")
    assert task.split("") == ()
    assert embedded.bare("\n a \n\n  ") == " a \n"


@given(st.lists(st.text("ab =1:#", min_size=1).filter(str.strip), max_size=5), st.booleans())
def test_without_blank_lines_every_line_is_a_step(lines: list[str], ended: bool) -> None:
    text = "\n".join(lines) + ("\n" if ended and lines else "")
    steps = EMBEDDED["nano_math"].split(text)
    assert steps == tuple(text.splitlines(keepends=True)) and tuple(map(embedded.bare, steps)) == steps
