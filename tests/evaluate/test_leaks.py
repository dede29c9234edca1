"""No test question in what is trained on: the comparison by hand, the stage on a made-up run, and real data."""

import dataclasses
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_runs import MODEL, OOD, TASK, tiny_settings

from sapo.evaluate.leaks import LONG, Held, LeakError, folded, statement
from sapo.records import Outcome, Question, RecordError, StepLabels, Trajectory, read_json, read_records, write_records
from sapo.runtime.workspace import StageArguments, Workspace
from sapo.settings import Settings
from sapo.stages import leaks
from sapo.tasks.benchmarks import gsm8k, mbpp, protocols
from sapo.tasks.catalog import EMBEDDED, find_task
from sapo.tasks.task import DataSource
from sapo.train.pretrain import PretrainSettings, documents

ROOT = Path(__file__).parents[2]
PLACE = StageArguments(MODEL, TASK)
MATHS = "Ben has 15 coins. Cy has 3 more than Ben. How many coins does Cy have?"  # 16 words
ASSERTS = ("assert f(1) == 2", "assert f(2) == 3", "assert f(3) == 4")


def asks(text: str, name: str = "t/test/0", shown: int = 0) -> Question:
    if shown:
        return Question(name, "\n".join(['"""', text, *ASSERTS[:shown], '"""', ""]), "x", tests=ASSERTS)
    return Question(name, f"Question: {text}\nAnswer:\n", "18")


def test_a_statement_has_neither_layout_nor_asserts() -> None:
    assert statement(asks(MATHS)) == MATHS
    assert statement(asks("Write f.", shown=1)) == statement(asks("Write f.", shown=3)) == "Write f."


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("How many?", "how  MANY", True),
        ("twenty-five eggs", "Twenty five eggs.", True),
        ("x² + 1", "x2 + 1", True),  # NFKC
        ("“Sums” of $x$", "sums of x", True),
        ("x + 1", "x - 1", False),
        ("7 - 3", "7 3", False),
        ("a < b", "a > b", False),
        ("first 12 words", "first 21 words", False),
    ],
)
def test_folding_forgets_layout_and_keeps_what_is_asked(one: str, other: str, same: bool) -> None:
    assert (folded(one) == folded(other)) is same


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert folded(folded(text)) == folded(text)


def test_training_questions_and_texts_by_hand() -> None:
    """MATHS has 16 words, so it is looked for inside texts; `What is 1 + 1?` has 5 and is compared whole only."""
    assert len(folded(MATHS).split(" ")) == 16 >= LONG
    held = Held([asks(MATHS, "m/test/0"), asks("What is 1 + 1?", "m/test/1"), asks("Write f.", "c/test/2", 2)])
    assert (held.statements, held.searched, held.ids) == (3, 1, {"m/test/0", "m/test/1", "c/test/2"})
    for question, test, form in (
        (asks(MATHS), "m/test/0", "word for word"),
        (asks(MATHS.upper().replace(".", "")), "m/test/0", "folded"),
        (asks("what is  1+1"), "m/test/1", "folded"),
        (asks("Write f.", shown=3), "c/test/2", "word for word"),
    ):
        leak = held.asked_by(question, "file: line 2")
        assert leak is not None and (leak.test, leak.form) == (test, form)
    assert held.asked_by(asks(MATHS.replace("15", "16")), "") is None
    inside = held.inside(f"So\n{MATHS.lower()}\nCy = 18\n", "t.jsonl: line 7")
    assert str(inside) == "t.jsonl: line 7 holds test question m/test/0 (inside the text)"
    assert held.inside(MATHS.removesuffix("have?"), "") is None
    assert held.inside("What is 1 + 1? 2", "") is None


@given(st.text(max_size=40), st.text(max_size=40), st.sampled_from([str.upper, str.title, str.swapcase]))
def test_a_long_question_is_found_in_any_text(before: str, after: str, change: object) -> None:
    held = Held([asks(MATHS)])
    assert held.inside(f"{before}\n{change(MATHS)}\n{after}", "") is not None  # pyright: ignore[reportCallIssue]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (tmp_path / "data").symlink_to(ROOT / "assets")
    monkeypatch.chdir(tmp_path)
    return tiny_settings()


@pytest.fixture
def workspace(settings: Settings) -> Workspace:
    """Samples of two training questions, and labels of one of them with an expansion."""
    workspace = Workspace(Path(), settings.profile)
    start = workspace.start(MODEL, TASK, 1)
    drawn = [
        Trajectory(f"{n}/s/{k}", f"{TASK}/train/{n}", ("a\n", "b\n"), "wrong", "s") for n in (0, 9) for k in (0, 1)
    ]
    write_records(start / "sampled.jsonl", drawn, Trajectory)
    folder = workspace.methods(MODEL, TASK) / "1" / "sapo" / "1"
    write_records(folder / "labelled.jsonl", [drawn[0], dataclasses.replace(drawn[0], steps=("a\n",))], Trajectory)
    write_records(folder / "labels.jsonl", [StepLabels("0/s/0", (1, 0), (1,), "bisection")], StepLabels)
    return workspace


def test_a_run_without_leaks_says_what_was_checked(settings: Settings, workspace: Workspace) -> None:
    """500 test questions in and 500 out of domain; 10 to train on, three files, 4 + 2 trajectories, 2 texts."""
    leaks.run(settings, workspace, PLACE)
    path = workspace.runs / "leaks" / MODEL / f"{TASK}.json"
    assert read_json(path) == {
        "test_questions": 1000,
        "of_them_searched_in_texts": 1000,
        "training_questions": 10,
        "files": 3,
        "trajectories": 6,
        "different_texts": 2,
        "leaks": 0,
    }


def rewrite(workspace: Workspace, **changes: object) -> None:
    """Change the third sample of the start."""
    path = workspace.start(MODEL, TASK, 1) / "sampled.jsonl"
    drawn = read_records(path, Trajectory)
    drawn[2] = dataclasses.replace(drawn[2], **changes)  # pyright: ignore[reportArgumentType]
    write_records(path, drawn, Trajectory)


def test_a_leak_ends_the_stage_and_names_question_file_and_line(settings: Settings, workspace: Workspace) -> None:
    where = r"runs/tiny/qwen2_nano/start/nano_math/1/sampled.jsonl: line 4"
    rewrite(workspace, question_id=f"{TASK}/test/7")
    with pytest.raises(LeakError, match=rf"{where} holds test question {TASK}/test/7 \(word for word\)"):
        leaks.run(settings, workspace, PLACE)
    stolen = find_task(OOD).load("test", DataSource(Path("data")))[3]
    rewrite(workspace, question_id=f"{TASK}/train/9", steps=("a\n", statement(stolen).upper() + "\n"))
    with pytest.raises(LeakError, match=rf"{where} holds test question {OOD}/test/3 \(inside the text\)"):
        leaks.run(settings, workspace, PLACE)
    assert not (workspace.runs / "leaks").exists()


def test_a_trajectory_of_an_unknown_question_and_another_kind_of_file_are_refused(
    settings: Settings, workspace: Workspace
) -> None:
    """Ten questions are trained on: 0 to 9."""
    rewrite(workspace, question_id=f"{TASK}/train/10")
    with pytest.raises(RecordError, match=rf"sampled.jsonl: line 4: question {TASK}/train/10 is none that is trained"):
        leaks.run(settings, workspace, PLACE)
    rewrite(workspace, question_id=f"{TASK}/train/9")
    write_records(workspace.start(MODEL, TASK, 1) / "other.jsonl", [Outcome("q", "g", "c", "right")], Outcome)
    with pytest.raises(RecordError, match=r"other.jsonl: line 1: schema is 'Outcome/2', expected 'Trajectory/2'"):
        leaks.run(settings, workspace, PLACE)


def test_a_stolen_training_question_is_named_by_its_line(
    settings: Settings, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sixth training question stands in line 7 of the file, below the header."""
    task = EMBEDDED[TASK]
    stolen = task.load("test", DataSource(Path("data")))[2]
    train = task.load("train", DataSource(Path("data")))
    train[5] = dataclasses.replace(train[5], prompt=stolen.prompt.lower())
    given_ = {"train": train, "test": task.load("test", DataSource(Path("data")))}
    monkeypatch.setattr(task, "load", lambda split, source: given_[split])
    with pytest.raises(LeakError, match=rf"{TASK}_train.jsonl: line 7 holds test question {TASK}/test/2 \(folded\)"):
        leaks.run(settings, workspace, PLACE)


@pytest.mark.parametrize("train", ["nano_math", "nano_code"])
def test_embedded_splits_share_no_question_in_any_form(train: str) -> None:
    source = DataSource(ROOT / "assets")
    held = Held(q for name in EMBEDDED for q in find_task(name).load("test", source))
    assert held.statements == held.searched == 2000
    for split in ("train", "dev"):
        questions = find_task(train).load(split, source)
        assert not [leak for q in questions if (leak := held.asked_by(q, q.id) or held.inside(q.solution, q.id))]


def shipped_leaks(count: int) -> list[str]:
    """Test questions among the first documents that the shipped base models were made from."""
    held = Held(q for name in EMBEDDED for q in find_task(name).load("test", DataSource(ROOT / "assets")))
    found = (held.inside(document.prompt, "document") for document in itertools.islice(documents(0), count))
    return [str(leak) for leak in found if leak]


def test_the_first_documents_of_pretraining_hold_no_test_question() -> None:
    assert shipped_leaks(3000) == []


@pytest.mark.nightly
def test_no_document_of_pretraining_holds_a_test_question() -> None:
    assert shipped_leaks(PretrainSettings().documents) == []


def test_real_training_questions_are_no_test_questions(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As published, MBPP trains on three tasks that it also asks; they are left out. GSM8K shares none."""
    source = DataSource(real_data, protocol="standard")
    held = Held(
        q for name in ("gsm8k", "mbpp", "math", "humaneval", "mmlu_math") for q in find_task(name).load("test", source)
    )
    for task in (gsm8k, mbpp):
        assert not [leak for q in task.load("train", source) if (leak := held.asked_by(q, q.id))]
    as_published = dataclasses.replace(protocols.PROTOCOLS["standard"], mbpp_left_out=())
    monkeypatch.setitem(protocols.PROTOCOLS, "standard", as_published)
    found = [leak for q in mbpp.load("train", source) if (leak := held.asked_by(q, q.id))]
    twins = dict(zip(protocols.MBPP_TWINS, (217, 248, 216), strict=True))
    assert {leak.where: leak.test for leak in found} == {f"mbpp/train/{a}": f"mbpp/test/{b}" for a, b in twins.items()}
    assert {leak.form for leak in found} == {"word for word"}
