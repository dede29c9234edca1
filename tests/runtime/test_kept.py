"""Work that is done once: by content, by one process at a time, whole or not at all."""

import multiprocessing
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sapo.records import read_json
from sapo.runtime import cache as module
from sapo.runtime.cache import cached
from sapo.settings import FitSettings

FIT = FitSettings(lr=0.1, epochs=1, batch_size=2, warmup=0.0)


@dataclass(frozen=True)
class Given:
    """Inputs of a step of this file."""

    a: int
    fit: FitSettings = FIT
    place: Path = field(default=Path("here"), metadata=module.NOT_KEY)


ONE = Given(1)


def note(folder: Path) -> None:
    """Leave one line for every time that something is made."""
    (folder / "made").write_text("made", encoding="utf-8")
    with (folder.parent / "log").open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")


def times(store: Path) -> int:
    return len((store / "log").read_text(encoding="utf-8").splitlines())


def test_the_same_inputs_are_made_once_wherever_they_are(tmp_path: Path) -> None:
    first = cached(tmp_path, ONE, note)
    again = cached(tmp_path, Given(1, FitSettings(0.1, 1, 2, 0.0), Path("there")), note)
    other = cached(tmp_path, Given(2), note)
    assert first == again != other
    assert times(tmp_path) == 2
    made_from = read_json(first / "made_from.json")
    fit = {"lr": 0.1, "epochs": 1, "batch_size": 2, "warmup": 0.0, "micro_batch": 0}
    assert made_from["inputs"] == {"a": 1, "fit": fit} and made_from["step"] == "Given"
    assert {"code", "versions", "python", "platform"} < made_from.keys()


def test_other_code_makes_it_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = cached(tmp_path, ONE, note)
    monkeypatch.setattr(module, "code_digest", lambda _: "other")
    assert cached(tmp_path, ONE, note) != before


def test_a_failure_leaves_nothing_and_is_made_again(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        cached(tmp_path, ONE, fail)
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []
    assert (cached(tmp_path, ONE, note) / "made").is_file()


def slow(folder: Path) -> None:
    note(folder)
    multiprocessing.Event().wait(0.3)


def test_two_processes_that_want_the_same_make_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=cached, args=(tmp_path, ONE, slow)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert times(tmp_path) == 1


def test_what_no_key_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="cannot be part of a key"):
        cached(tmp_path, object(), note)


def test_code_is_what_the_steps_module_imports_and_no_more() -> None:
    """Lazy imports and packages too; reports and plans change no round, evaluation no label."""

    def names(step: str) -> set[str]:
        return {
            path.relative_to(module.PACKAGE.parent).as_posix().removeprefix("sapo/") for path in module.code_of(step)
        }

    rounds, labels = names("sapo.recipes.round_state"), names("sapo.recipes.label_step")
    assert {"recipes/round_state.py", "train/orpo.py", "sampling/vllm_engine.py", "settings/__init__.py"} <= rounds
    assert {"strict_sandbox/pool.py", "strict_sandbox/inside/judge.py", "tasks/math_grading/worker.py"} <= rounds
    assert {"labelling/labellers.py", "train/verifier.py", "records/schema.py"} <= labels
    assert not [name for name in rounds | labels if name.startswith(("report", "plan", "stages", "evaluate"))]
    assert "evaluate/accuracy.py" in names("sapo.stages.evaluate")
    assert "evaluate/efficiency.py" not in names("sapo.stages.evaluate")
