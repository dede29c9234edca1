"""`python -m sapo annotate`: a file of trajectories becomes one of items, and its costs are told before and after."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import run as run_command
from fake_endpoint import Answer, FakeEndpoint, Response, completion, serve

from sapo.evaluate.process.items import ProcessItem, read_items, write_items
from sapo.records import BadInput, RecordError, Trajectory, write_records
from sapo.sampling.http.endpoint import EndpointError
from sapo.tasks.nano import nano_math
from sapo.tasks.task import DataSource

ROOT = Path(__file__).parents[2]
KEY = "sk-canary/4711+abcdef"
FAST = ["--model", "judge", "--per-minute", "60000", "--attempts", "1", "--timeout", "5"]
STEPS = ("Ana = 3 + 4 = 7\n", "Ben = 7 - 2 = 6\n", "6")


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def items(tmp_path: Path) -> Path:
    """Three items of nobody's questions; the oracle says 2, none and 2."""
    made = [
        ProcessItem(f"{q}/small/0", q, q, f"Problem {q[1]}.\n", STEPS, error, "wrong", "oracle", (), "small")
        for q, error in (("q0", 2), ("q1", None), ("q2", 2))
    ]
    write_items(tmp_path / "items.jsonl", made)
    return tmp_path / "items.jsonl"


def by_problem(said: dict[str, list[str]]) -> Answer:
    """Of the problem with this text, the vote with seed s says `said[text][s]`."""

    def answer(body: dict[str, Any], number: int) -> Response:
        text = body["messages"][0]["content"]
        (own,) = [votes for problem, votes in said.items() if problem in text]
        return completion(own[body["seed"]], (200, 20))

    return answer


VOTES = by_problem(
    {
        "Problem 0": ["first error: 2"] * 3,
        "Problem 1": ["first error: 1", "first error: 1", "first error: 9"],
        "Problem 2": ["first error: 3", "no idea \x1b[31m", "first error: 2"],
    }
)


def run(server: FakeEndpoint, file: Path, *more: str) -> Path:
    out = file.with_name("voted.jsonl")
    run_command("annotate", [str(file), "--endpoint", server.url, "--out", str(out), *FAST, *more])
    return out


def test_items_are_voted_on_and_compared_with_what_the_file_said(
    items: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kept are item 0 (2, as the oracle says) and item 1 (1, the oracle says none): half agree with it.

    9 answers of 200 and 20 tokens: 1800 and 180, at 2 and 10 a million 0.0036 + 0.0018 = 0.0054.
    """
    with serve(VOTES) as server:
        out = run(server, items, "--price-prompt", "2", "--price-answer", "10")
    assert [(one.id, one.first_error, one.votes) for one in read_items(out)] == [
        ("q0/small/0", 2, (2, 2, 2)),
        ("q1/small/0", 1, (1, 1)),
    ]
    report = json.loads(out.with_name("voted.report.json").read_text(encoding="utf-8"))
    assert (report["kept"], report["agreement"]["first_error"]) == (2, 0.5)
    assert [entry["id"] for entry in report["dropped"]] == ["q2/small/0"]
    assert {fault: row["answers"] for fault, row in report["unusable"].items()} == {
        "no_such_step": 1,
        "no_last_line": 1,
    }
    assert report["this_run"] == {"requests": 9, "prompt": 1800, "answers": 180, "unknown": 0, "cost": 0.0054}
    said = capsys.readouterr().out
    assert "9 answers are still to be asked" in said
    assert "4 characters a token, an assumption" in said
    assert "2 of 3 trajectories kept, 1 dropped" in said
    assert "same first error as oracle: 50 %" in said
    assert "this run: 9 answers, 1800 tokens of prompts, 180 of answers, cost 0.0054" in said
    assert "no idea \\x1b[31m" in said
    assert "\x1b" not in said


def test_a_second_run_asks_for_nothing_and_needs_no_key(
    items: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(VOTES) as server:
        first = run(server, items).read_bytes()
    monkeypatch.delenv("OPENAI_API_KEY")
    capsys.readouterr()
    assert run(server, items).read_bytes() == first
    said = capsys.readouterr().out
    assert "0 answers are still to be asked" in said
    assert "this run: 0 answers" in said
    assert "in all: 9 answers, 1800 tokens" in said


def test_more_votes_later_ask_for_the_new_ones_alone(items: Path) -> None:
    with serve(VOTES) as server:
        run(server, items, "--votes", "1", "--agree", "1")
        run(server, items)
    assert len(server.bodies) == 9


def test_a_dry_run_asks_nothing_writes_nothing_and_needs_no_key(
    items: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Answers of at most 1024 tokens: 9 are 9216, at 10 a million 0.09216; prompts are free here."""
    monkeypatch.delenv("OPENAI_API_KEY")
    with serve(VOTES) as server:
        run(server, items, "--dry-run", "--price-prompt", "0", "--price-answer", "10")
    assert server.bodies == []
    assert [path.name for path in items.parent.iterdir()] == ["items.jsonl"]
    assert "cost: at most 0.09216, at 0 a million tokens of prompts and 10 of answers" in capsys.readouterr().out


def test_no_file_and_no_word_holds_the_key(items: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serve(lambda body, number: completion(f"My key is {KEY}.\nfirst error: 2")) as server:
        run(server, items)
    assert all(headers["Authorization"] == f"Bearer {KEY}" for headers in server.headers)
    written = b"".join(path.read_bytes() for path in items.parent.iterdir())
    said = capsys.readouterr()
    assert b"canary" not in written
    assert "canary" not in said.out + said.err


def test_an_endpoint_that_goes_down_says_how_to_go_on_and_writes_no_items(items: Path) -> None:
    with (
        serve(lambda body, number: completion("first error: 2") if number < 4 else Response(cuts=True)) as server,
        pytest.raises(EndpointError, match=r"4 of 9 answers are kept in .*voted\.answers\.jsonl: the same command"),
    ):
        run(server, items)
    assert not items.with_name("voted.jsonl").exists()
    with serve(VOTES) as again:
        run(again, items)
    assert len(again.bodies) == 5


@pytest.fixture
def laboratory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the settings and the test questions of nano_math."""
    (tmp_path / "data" / "questions").mkdir(parents=True)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copy(ROOT / "assets" / "questions" / "nano_math_test.jsonl", tmp_path / "data" / "questions")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_trajectories_of_our_questions_become_items_with_reference_answers_shown(
    laboratory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    question = nano_math.load("test", DataSource(laboratory / "data"))[0]
    sampled = [Trajectory(f"t{n}", question.id, ("13",) if n else ("12\n", "x"), "wrong", "sample") for n in range(2)]
    write_records(laboratory / "mine.jsonl", sampled, Trajectory)
    with serve(lambda body, number: completion("first error: 1")) as server:
        out = run(server, laboratory / "mine.jsonl")
    found = read_items(out)
    assert [(one.id, one.first_error, one.prompt) for one in found] == [
        (f"{question.id}/mine/{n}", 1, question.prompt) for n in range(2)
    ]
    assert all("known to be right" in body["messages"][0]["content"] for body in server.bodies)
    assert "2 trajectories, 2 with a reference answer" in capsys.readouterr().out
    with serve(lambda body, number: completion("first error: 1")) as server:
        run(server, laboratory / "mine.jsonl", "--no-reference")
    assert not [body for body in server.bodies if "known to be right" in body["messages"][0]["content"]]


def test_a_trajectory_of_an_unknown_question_is_refused(laboratory: Path) -> None:
    write_records(laboratory / "mine.jsonl", [Trajectory("t", "nano_math/test/9999", ("1",), "wrong", "s")], Trajectory)
    with (
        serve(VOTES) as server,
        pytest.raises(RecordError, match="trajectory t: no task has question nano"),
    ):
        run(server, laboratory / "mine.jsonl")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--price-prompt", "1"], "--price-answer is None"),
        (["--price-prompt", "-1", "--price-answer", "1"], "--price-prompt is -1"),
        (["--agree", "4"], "4 of 3 votes"),
        (["--timeout", "0"], "timeout is 0"),
        (["--key-variable", "NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE holds no key"),
        (["--cache", "voted.jsonl"], "must be different files"),
        (["--cache", "items.jsonl"], "must be different files"),
    ],
)
def test_bad_options_are_one_error_before_anything_is_asked(
    items: Path, monkeypatch: pytest.MonkeyPatch, more: list[str], message: str
) -> None:
    monkeypatch.chdir(items.parent)
    with serve(VOTES) as server, pytest.raises(BadInput, match=message):
        run(server, items, *more)
    assert server.bodies == []


def test_a_missing_or_foreign_file_is_one_error(tmp_path: Path) -> None:
    with serve(VOTES) as server:
        with pytest.raises(RecordError, match=r"none\.jsonl: no such file"):
            run(server, tmp_path / "none.jsonl")
        (tmp_path / "odd.jsonl").write_text("[1]\n", encoding="utf-8")
        with pytest.raises(RecordError, match=r"odd\.jsonl: line 1"):
            run(server, tmp_path / "odd.jsonl")
