"""Work that is done once: by content, by one process at a time, whole or not at all."""

import multiprocessing
import os
from pathlib import Path

import pytest

from sapo.methods import kept as module
from sapo.methods.kept import kept
from sapo.records import read_json
from sapo.settings import FitSettings

FIT = FitSettings(lr=0.1, epochs=1, batch_size=2, warmup=0.0)


def note(folder: Path) -> None:
    """Leave one line for every time that something is made."""
    (folder / "made").write_text("made", encoding="utf-8")
    with (folder.parent / "log").open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")


def times(store: Path) -> int:
    return len((store / "log").read_text(encoding="utf-8").splitlines())


def test_the_same_content_is_made_once_in_any_order_of_keys(tmp_path: Path) -> None:
    first = kept(tmp_path, {"a": 1, "fit": FIT}, note)
    again = kept(tmp_path, {"fit": FitSettings(0.1, 1, 2, 0.0), "a": 1}, note)
    other = kept(tmp_path, {"a": 2, "fit": FIT}, note)
    assert first == again != other
    assert times(tmp_path) == 2
    made_from = read_json(first / "made_from.json")
    assert made_from["fit"] == {"lr": 0.1, "epochs": 1, "batch_size": 2, "warmup": 0.0, "micro_batch": 0}
    assert {"code", "versions", "python", "platform"} < made_from.keys()


def test_other_code_makes_it_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = kept(tmp_path, {"a": 1}, note)
    monkeypatch.setattr(module, "code_digest", lambda: "other")
    assert kept(tmp_path, {"a": 1}, note) != before


def test_a_failure_leaves_nothing_and_is_made_again(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        kept(tmp_path, {"a": 1}, fail)
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []
    assert (kept(tmp_path, {"a": 1}, note) / "made").is_file()


def slow(folder: Path) -> None:
    note(folder)
    multiprocessing.Event().wait(0.3)


def test_two_processes_that_want_the_same_make_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=kept, args=(tmp_path, {"a": 1}, slow)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert times(tmp_path) == 1


def test_what_no_key_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="cannot be part of a key"):
        kept(tmp_path, {"a": object()}, note)


def test_the_code_that_methods_run_is_part_of_every_key() -> None:
    """Reports and stages are not: they change no method."""
    modules = [path.relative_to(module.PACKAGE.parent).parts for path in module.relevant_code()]
    names = {parts[1] for parts in modules if parts[0] == "sapo"}
    assert {"methods", "train", "supervise", "models", "tasks", "records", "settings"} <= names
    assert not names & {"report", "stages", "evaluate"}
    assert ("strict_sandbox", "pool.py") in modules
