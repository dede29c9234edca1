"""A disk or a memory that is full ends a command with one line that says what helps; finished work is kept."""

import os

import pytest
import torch

from sapo.cli import main as command
from sapo.runtime.process_pool import Work, run_all

CUDA = "CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has a total capacity of 23.5 GiB"
KEPT = "what is finished is kept, and the same command goes on from there"


def exhausted() -> None:
    raise torch.OutOfMemoryError(CUDA)


def in_a_worker() -> None:
    """Two works, for one alone would need no other process."""
    run_all([Work("one", exhausted, ()), Work("two", exhausted, ())], 2)


def more_than_there_is() -> None:
    torch.empty(2**60, dtype=torch.uint8)


def nothing_said() -> None:
    raise MemoryError


def no_process() -> None:
    raise OSError(12, os.strerror(12))


@pytest.mark.parametrize("fail", [exhausted, in_a_worker, more_than_there_is, nothing_said, no_process])
def test_too_little_memory_is_one_line_with_what_to_lower(
    fail: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """PyTorch's error on a GPU, here and in a worker process; its real one on a CPU; Python's; the system's."""
    monkeypatch.setattr(command.sapo, "main", lambda *_, **__: fail())  # pyright: ignore[reportCallIssue]
    assert command.main(["evaluate"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: too little memory")
    assert said.endswith(f"; {command.LOWER}; {KEPT}\n") and said.count("\n") == 1
    assert "sampling.rows" in command.LOWER
    assert ("2.00 GiB" in said) == (fail in (exhausted, in_a_worker))


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28), "x" * 400)

    monkeypatch.setattr(command.sapo, "main", fail)
    assert command.main(["start"]) == 2
    assert capsys.readouterr().err.startswith("error: No space left on device: [Errno 28] No space left on device")


@pytest.mark.parametrize("bug", [RuntimeError("size mismatch, got 3"), OSError(2, "No such file or directory")])
def test_other_errors_keep_their_trace(bug: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise bug

    monkeypatch.setattr(command.sapo, "main", fail)
    with pytest.raises(type(bug), match=r"size mismatch|No such file"):
        command.main(["start"])
