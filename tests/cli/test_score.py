"""`python -m sapo score`: any JSONL of trajectories to scores, whole or not at all, and one line for what is broken."""

import itertools
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import run as run_command
from tiny_models import tiny_reasoner

from sapo.evaluate import score_file
from sapo.evaluate.process.items import ProcessItem, write_items
from sapo.evaluate.score_file import Line, Row, output_line
from sapo.models.verifier import Verifier
from sapo.records import BadInput, RecordError, Trajectory, write_records
from sapo.records.checksummed import write_lines
from sapo.settings import SettingsError
from sapo.tasks.nano import nano_math
from sapo.tasks.task import DataSource

ROOT = Path(__file__).parents[2]
LINES: list[dict[str, Any]] = [
    {"id": "a", "prompt": "Ben has 3.\n", "steps": ["3 + 2 = 5\n", "answer 5"]},
    {"question": "naïve?\n", "steps": ["café 数\n"], "extra": [1]},
    {"id": 7, "prompt": "Ben has 15 coins.\n", "question": "not read", "steps": ["Cy : Ben + 3\n", "so\n", "18\n"]},
]


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    """Untrained, with a large head, so that scores differ visibly."""
    made = Verifier.from_reasoner(*tiny_reasoner(), 1).eval()
    with torch.no_grad():
        made.head.weight.mul_(20)
    return made


@pytest.fixture(scope="module")
def folder(verifier: Verifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    verifier.save(place := tmp_path_factory.mktemp("verifier"))
    return place


def main(arguments: list[str]) -> None:
    run_command("score", arguments)


def lines_of(path: Path, *values: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


def run(file: Path, folder: Path, *more: str) -> list[dict[str, Any]]:
    main([str(file), "--verifier", str(folder), *more])
    out = Path(more[more.index("--out") + 1]) if "--out" in more else file.with_suffix(".scores.jsonl")
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def test_lines_of_every_kind_are_scored_in_order(
    verifier: Verifier, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(lines_of(tmp_path / "t.jsonl", *LINES), folder)
    assert [(one["line"], one["id"]) for one in found] == [(1, "a"), (2, None), (3, 7)]
    asked = [(line["prompt"] if "prompt" in line else line["question"], tuple(line["steps"])) for line in LINES]
    for one, scores in zip(found, verifier.score(asked), strict=True):
        assert one["scores"] == pytest.approx(scores, abs=1e-5)
        assert one["reward"] == pytest.approx(sum(scores) / len(scores), abs=1e-5)
    said_of = capsys.readouterr().out
    mean = sum(one["reward"] for one in found) / 3
    suspected = sum(one["first_suspected"] is not None for one in found)
    assert said_of.endswith(f"3 trajectories, mean reward {mean:.4f}, {suspected} with a step below 0.5\n")


def test_a_line_of_the_output_by_hand() -> None:
    """(.9 + .4 + .6) / 3 = .633333; below .5 is the second step, below .95 the first, below .3 none."""
    row = Row(4, "x", "p", ("a", "b", "c"))
    assert output_line(row, (0.9, 0.4, 0.6), 0.5) == Line(4, "x", (0.9, 0.4, 0.6), 0.633333, 2)
    assert output_line(row, (0.9, 0.4, 0.6), 0.95).first_suspected == 1
    assert output_line(row, (0.9, 0.4, 0.6), 0.3).first_suspected is None
    assert output_line(row, (0.9, 0.49999996, 0.6), 0.5).first_suspected is None, (
        "what the file says, .5, is not below .5"
    )


def test_the_threshold_is_an_argument(folder: Path, tmp_path: Path) -> None:
    file = lines_of(tmp_path / "t.jsonl", *LINES)
    assert {one["first_suspected"] for one in run(file, folder, "--threshold", "1")} == {1}
    assert {one["first_suspected"] for one in run(file, folder, "--threshold", "0")} == {None}
    with pytest.raises(RecordError, match=r"--threshold is 1.5, scores lie in 0 to 1"):
        run(file, folder, "--threshold", "1.5")


def test_the_reward_is_an_argument(folder: Path, tmp_path: Path) -> None:
    file = lines_of(tmp_path / "t.jsonl", *LINES)
    for one in run(file, folder, "--reward", "min"):
        assert one["reward"] == min(one["scores"])
    for one in run(file, folder, "--reward", "last"):
        assert one["reward"] == one["scores"][-1]


def test_parts_change_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven lines in parts of two: the last one alone."""
    file = lines_of(tmp_path / "t.jsonl", *(LINES * 3)[:7])
    whole = run(file, folder)
    monkeypatch.setattr(score_file, "PART", 2)
    for one, other in zip(run(file, folder, "--out", str(tmp_path / "new" / "o.jsonl")), whole, strict=True):
        assert one["scores"] == pytest.approx(other["scores"], abs=1e-5)
        assert (one["line"], one["id"]) == (other["line"], other["id"])


def test_texts_are_cut_by_the_task(folder: Path, tmp_path: Path) -> None:
    steps = ["Cy : Ben + 3\n", "15 + 3 = 18\n"]
    apart = lines_of(tmp_path / "a.jsonl", {"prompt": "Ben has 15.\n", "steps": steps})
    joined = lines_of(tmp_path / "b.jsonl", {"prompt": "Ben has 15.\n", "text": "".join(steps)})
    assert run(joined, folder, "--task", "nano_math") == run(apart, folder)
    with pytest.raises(RecordError, match=r"b.jsonl: line 1: text has to be cut into steps: say by which --task"):
        run(joined, folder)
    with pytest.raises(SettingsError, match="'chess' is no task"):
        run(joined, folder, "--task", "chess")


def test_our_records_are_scored(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trajectory has only its question's id: the prompt is looked up; an item has it with it."""
    (tmp_path / "data").symlink_to(ROOT / "assets")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    asked = nano_math.load("test", DataSource(Path("data")))[3]
    steps = ("1 + 1 = 2\n", "answer 2\n")
    write_records(Path("t.jsonl"), [Trajectory("t", asked.id, steps, "wrong", "sample")], Trajectory)
    write_items(Path("i.jsonl"), [ProcessItem("i", "q", "g", asked.prompt, steps, 1, "wrong", "oracle", (), "m")])
    plain = lines_of(Path("p.jsonl"), {"prompt": asked.prompt, "steps": list(steps)})
    (one,), (other,), (third,) = run(Path("t.jsonl"), folder), run(Path("i.jsonl"), folder), run(plain, folder)
    assert (one["line"], one["id"], other["line"], other["id"], third["line"]) == (2, "t", 2, "i", 1)
    assert one["scores"] == other["scores"] == third["scores"]
    for name in ("nano_math/test/99999", "mine", "chess/test/1"):
        lines_of(Path("u.jsonl"), {"question_id": name, "steps": ["a\n"]})
        with pytest.raises(
            RecordError, match=rf"u.jsonl: line 1: question_id is '{name}', not TASK/SPLIT/NUMBER of a question that"
        ):
            run(Path("u.jsonl"), folder)


GOOD = json.dumps(LINES[0])
BROKEN = {
    '{"prompt": "p"}': "there is no field 'steps' or 'text'",
    '{"steps": ["a"]}': "there is no field 'prompt', 'question' or 'question_id'",
    '{"prompt": "p", "steps": []}': "steps is empty: there are no steps",
    '{"prompt": "p", "steps": ["a\\n", ""]}': r"steps\[1\] is empty",
    '{"prompt": "p", "steps": ["a\\n", 3]}': r"steps\[1\] is 3, not str",
    '{"prompt": "p", "steps": "a b"}': 'steps is "a b", not list',
    '{"prompt": "", "steps": ["a"]}': "prompt is empty",
    '{"prompt": "p", "text": ""}': "text has to be cut",
    '{"prompt": "p", "steps": ["a\\ud800"]}': r"steps\[0\] holds half of a character",
    '{"prompt": "p", "steps": ["a"], "id": [1]}': r"id is \[1\], not str or int",
    '["p", "a"]': "is .*, not dict",
    '{"prompt": "p", "steps"': "not JSON",
    "[" * 10**5: "not JSON",
    '{"schema": "Trajectory/1", "rows": 2}': "there is no field",
}


@pytest.mark.parametrize("line", BROKEN, ids=[f"{n}" for n in range(len(BROKEN))])
def test_a_broken_line_is_named_before_anything_is_scored(line: str, folder: Path, tmp_path: Path) -> None:
    """It is the third line, behind a blank one; what was in the output's place stays."""
    file, out = tmp_path / "t.jsonl", tmp_path / "t.scores.jsonl"
    file.write_text(f"{GOOD}\n\n{line}\n", encoding="utf-8")
    out.write_text("kept", encoding="utf-8")
    with pytest.raises(RecordError, match=rf"t.jsonl: line 3: {BROKEN[line]}") as caught:
        main([str(file), "--verifier", str(folder)])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert out.read_text(encoding="utf-8") == "kept" and sorted(tmp_path.iterdir()) == [file, out]


def test_bytes_that_are_no_text_are_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(GOOD.encode() + b"\n\xff\n")
    with pytest.raises(RecordError, match="line 2: not UTF-8 at byte 0 of the line"):
        run(tmp_path / "t.jsonl", folder)


def test_what_cannot_be_scored_is_counted_and_left_out(
    verifier: Verifier, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tokenizer knows `has` as one token, so a step cannot end within it; the model has 256 positions."""
    assert len(verifier.encoder.completion_ids("has")) == 1
    merged, long = {"prompt": "p", "steps": ["h", "as"]}, {"prompt": "p", "steps": ["0" * 256]}
    file = lines_of(tmp_path / "t.jsonl", LINES[0], merged, LINES[1], long)
    assert [one["line"] for one in run(file, folder)] == [1, 3]
    said_of = capsys.readouterr().out
    assert "t.scores.jsonl: 2 trajectories, mean reward" in said_of
    assert "; 2 left out, the first is line 2: step 2 of 2 ('as') ends in no token of its own" in said_of
    lines_of(file, long)
    with pytest.raises(RecordError, match=r"no trajectory can be scored: line 1: has 258 tokens .* has 256 positions"):
        run(file, folder)


def test_scores_that_are_no_numbers_are_not_blamed_on_a_line(tmp_path: Path) -> None:
    broken = Verifier.from_reasoner(*tiny_reasoner(), 1)
    with torch.no_grad():
        broken.head.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match="trajectory 0 has NaN scores") as caught:
        broken.score([("p\n", ("a\n",))])
    assert not isinstance(caught.value, BadInput)


def test_a_truncated_file_of_records_is_refused(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    write_lines(path, "ProcessItem", [json.dumps(line) for line in LINES[:3]])
    whole = path.read_text(encoding="utf-8")
    path.write_text("\n".join(whole.split("\n")[:3]) + "\n", encoding="utf-8")
    with pytest.raises(RecordError, match="header promises 3 rows, the file holds 2: truncated or edited"):
        run(path, folder)
    path.write_text(whole.replace("Ben", "Bea", 1), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != whole
    with pytest.raises(RecordError, match=r"line 1: SHA-256 of the content begins with .*: altered since it was"):
        run(path, folder)


def test_files_that_cannot_be_are_refused(folder: Path, tmp_path: Path) -> None:
    file = lines_of(tmp_path / "t.jsonl", *LINES)
    with pytest.raises(RecordError, match=r"none.jsonl: no such file"):
        run(tmp_path / "none.jsonl", folder)
    with pytest.raises(RecordError, match="which is the file to score"):
        run(file, folder, "--out", str(tmp_path / "." / "t.jsonl"))
    with pytest.raises(RecordError, match="which is a folder"):
        run(file, folder, "--out", str(tmp_path))
    (tmp_path / "empty.jsonl").write_text("\n", encoding="utf-8")
    with pytest.raises(RecordError, match=r"empty.jsonl: no trajectories in it"):
        run(tmp_path / "empty.jsonl", folder)
    with pytest.raises(BadInput, match="no such model directory"):
        run(file, tmp_path / "nothing")
    assert file.read_text(encoding="utf-8").count("\n") == len(LINES)


@pytest.mark.parametrize("place", ["the second part", "the end"])
def test_a_killed_run_leaves_nothing_behind(
    verifier: Verifier, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """While it scores, nothing of it has a name; killed at the end, the next run takes the place of what it left."""
    file, out = lines_of(tmp_path / "t.jsonl", *LINES), tmp_path / "t.scores.jsonl"
    out.write_text("old", encoding="utf-8")
    fork = multiprocessing.get_context("fork")
    reached, parts = fork.Event(), itertools.count(1)

    def stop(*_: object) -> None:
        reached.set()
        time.sleep(300)

    def half(items: Sequence[object]) -> list[tuple[float, ...]]:
        if place == "the second part" and next(parts) == 2:
            stop()
        return [(0.5,)]

    with monkeypatch.context() as forked:  # which is not asked to load or run a model
        forked.setattr(Verifier, "load", lambda _: verifier)
        forked.setattr(score_file, "PART", 1)
        forked.setattr(verifier, "score", half)
        forked.setattr(os, "replace", stop)
        process = fork.Process(target=main, args=([str(file), "--verifier", str(folder)],))
        process.start()
        assert reached.wait(60)
    process.kill()
    process.join(30)
    left = [] if place == "the second part" else [tmp_path / ".t.scores.jsonl.tmp"]
    assert sorted(tmp_path.iterdir()) == [*left, file, out] and out.read_text(encoding="utf-8") == "old"
    assert len(run(file, folder)) == 3
    assert sorted(tmp_path.iterdir()) == [file, out]
