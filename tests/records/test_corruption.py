"""Damaged files of every kind: refused by name, or read as the value that was written; never a bare trace.

Thousands of mutations drawn from a fixed seed: a byte range cut off, a bit flipped, lines swapped, doubled or taken
out, another kind's file in its place. What is left of paid answers may be fewer, for they are only ever appended to
(a lost one is asked for again), but none may differ.
"""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import tiny_reasoner

from sapo.evaluate.efficiency import LabelRow, TruthRow
from sapo.evaluate.process.items import ProcessItem, read_items, write_items
from sapo.models.loading import SEAL
from sapo.models.verifier import Verifier
from sapo.recipes.experiment import read_costs, write_costs
from sapo.records import (
    BadInput,
    Cost,
    Outcome,
    PreferencePair,
    Question,
    StepLabels,
    StepScores,
    Trajectory,
    read_json,
    read_records,
    write_json,
    write_plain_json,
    write_records,
)
from sapo.report.files import read_rows
from sapo.runtime.pins import verify
from sapo.runtime.workspace import WorkspaceError, digest
from sapo.sampling.http.answer_cache import AnswerCache, read_answers
from sapo.sampling.http.replies import Reply

STEPS = ("Ben has 3 coins.\n", "naïve: 3 + 2 = 5\n", "answer 5\n")
RECORDS: dict[type, list[Any]] = {
    Question: [Question(f"t/test/{n}", f"How many? {n}\n", str(n), "so\n", tests=("assert f(1)",)) for n in range(4)],
    Trajectory: [Trajectory(f"t{n}", "q", STEPS, "wrong", "sample") for n in range(4)],
    StepScores: [StepScores(f"t{n}", (0.5, 1.0, 0.125 * n)) for n in range(4)],
    StepLabels: [StepLabels(f"t{n}", (1, 1, 0), (3, 2), "bisection") for n in range(4)],
    PreferencePair: [PreferencePair(f"q{n}", "p\n", "good\n", "bad\n", 1.0, 0.25) for n in range(4)],
    Outcome: [Outcome(f"q{n}", "g", "answer 5\n", "right") for n in range(4)],
    LabelRow: [LabelRow(f"t{n}", "g", (1, 0), (1,), 8) for n in range(4)],
    TruthRow: [TruthRow(f"t{n}", "g", (1, 0)) for n in range(4)],
}
ITEMS = [ProcessItem(f"i{n}", "q", "g", "p\n", STEPS, 2, "wrong", "llm", (2, 0), "m") for n in range(4)]
LOG = [{"step": n, "loss": 1.5 / n, "measures": {"chosen_logp": -0.25}} for n in range(1, 4)]
EACH, OF_MODELS, UNSEALED = 200, 60, 60


@dataclass(frozen=True)
class Artefact:
    """A file that code reads back, and how; `fewer` where what is left may be a part."""

    path: Path
    read: Callable[[], Any]
    count: int = EACH
    fewer: bool = False


def _state(folder: Path) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in Verifier.load(folder).state_dict().items()}


def _lines(folder: Path) -> list[Artefact]:
    found = []
    for kind, records in RECORDS.items():
        path = folder / f"{kind.__name__}.jsonl"
        write_records(path, records, kind)
        found.append(Artefact(path, lambda path=path, kind=kind: read_records(path, kind), EACH // 2))
    write_items(folder / "items.jsonl", ITEMS)
    rows = folder / "Trajectory.jsonl"
    return [
        *found,
        Artefact(folder / "items.jsonl", lambda: read_items(folder / "items.jsonl")),
        Artefact(rows, lambda: read_rows(rows, Trajectory, ("id", "verdict", "steps", "question_id", "source"))),
    ]


def _objects(folder: Path) -> list[Artefact]:
    write_costs(folder, {"sampling": Cost(20, 100, 200, 1.5e9, 2.5), "update": Cost(trained_tokens=7)})
    write_json(folder / "log.json", LOG)
    content = {"questions": {"nested": [1, None, "naïve"], "empty": {}}, "beams": [True, False]}
    write_json(folder / "rerank.json", content)
    (folder / "data").mkdir()
    (folder / "data" / "questions").write_text("one\ntwo\n", encoding="utf-8")
    write_plain_json(folder / "pins.json", {"questions": digest(folder / "data" / "questions")})
    return [
        Artefact(folder / "costs.json", lambda: read_costs(folder)),
        Artefact(folder / ".seconds.json", lambda: read_costs(folder)),
        Artefact(folder / "log.json", lambda: read_json(folder / "log.json", list)),
        Artefact(folder / "rerank.json", lambda: read_json(folder / "rerank.json")),
        Artefact(folder / "pins.json", lambda: verify(folder / "data", folder / "pins.json")),
        Artefact(folder / "data" / "questions", lambda: verify(folder / "data", folder / "pins.json")),
    ]


def _answers(folder: Path) -> list[Artefact]:
    path = folder / "answers.jsonl"
    with AnswerCache(path) as cache:
        for n in range(4):
            cache.add(f"{n}" * 64, Reply(f"first error: {n}\n", True, 10 + n, None), "model", f"i{n}", 0)
    return [Artefact(path, lambda: read_answers(path), fewer=True)]


def _models(folder: Path) -> list[Artefact]:
    made = folder / "verifier"
    Verifier.from_reasoner(*tiny_reasoner(), 1).save(made)
    return [Artefact(path, lambda: _state(made), OF_MODELS) for path in sorted(made.iterdir())]


def _swap(lines: list[bytes], draw: random.Random) -> list[bytes]:
    one, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return lines


def _double(lines: list[bytes], draw: random.Random) -> list[bytes]:
    return [*lines, lines[-1]] if draw.random() < 0.5 else [lines[0], *lines]


def _take_out(lines: list[bytes], draw: random.Random) -> list[bytes]:
    del lines[draw.randrange(len(lines))]
    return lines


def mutated(data: bytes, draw: random.Random, others: list[bytes]) -> bytes:
    """One mutation of a file's bytes."""
    kind = draw.randrange(6)
    if kind == 0:
        return data[: draw.randrange(len(data))]
    if kind in (1, 2):
        place = draw.randrange(len(data))
        return data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :]
    if kind == 3:
        return draw.choice(others)
    change = draw.choice((_swap, _double, _take_out))
    return b"".join(change(data.splitlines(keepends=True), draw))


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> list[Artefact]:
    folder = tmp_path_factory.mktemp("artefacts")
    return [entry for make in (_lines, _objects, _answers, _models) for entry in make(folder)]


def test_no_mutation_is_read_as_something_else_and_none_ends_in_a_trace(artefacts: list[Artefact]) -> None:
    draw = random.Random(20261121)
    contents = {entry.path: entry.path.read_bytes() for entry in artefacts}
    refused = equal = 0
    for entry in artefacts:
        whole, expected = contents[entry.path], entry.read()
        others = [other for path, other in contents.items() if path != entry.path]
        for _ in range(entry.count):
            damaged = mutated(whole, draw, others)
            entry.path.write_bytes(damaged)
            try:
                found = entry.read()
            except BadInput as error:
                refused += 1
                assert damaged != whole, entry.path
                assert entry.path.name in str(error), error
                assert "\n" not in str(error) or isinstance(error, WorkspaceError), error  # names every file
            else:
                equal += 1
                assert found.items() <= expected.items() if entry.fewer else found == expected, (entry.path, damaged)
        entry.path.write_bytes(whole)
    assert refused + equal >= 2000
    assert refused >= 1600, (refused, equal)


def test_models_of_others_have_no_seal_and_still_end_in_no_trace(tmp_path: Path, artefacts: list[Artefact]) -> None:
    """A flipped bit of a number is another number there; what cannot be read is refused by the folder's name."""
    draw = random.Random(7)
    made = artefacts[-1].path.parent
    folder = tmp_path / "hub"
    shutil.copytree(made, folder)
    (folder / SEAL).unlink()
    refused = 0
    for name in (
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "verifier_head.safetensors",
    ):
        whole = (made / name).read_bytes()
        for _ in range(UNSEALED // 5):
            front = mutated(whole[:600], draw, [b"", b"{}", b"[]"])
            (folder / name).write_bytes(front + whole[600:] if draw.random() < 0.5 else front)
            try:
                Verifier.load(folder)
            except BadInput as error:
                refused += 1
                assert "hub" in str(error) and "\n" not in str(error)
        (folder / name).write_bytes(whole)
    assert refused >= UNSEALED // 2
    assert torch.equal(Verifier.load(folder).head.weight, Verifier.load(made).head.weight)
