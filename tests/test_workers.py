"""Work shared among processes: all of it is done, errors come through, nothing is left running."""

import os
import time
from pathlib import Path

import psutil
import pytest

from sapo.records import BadInput
from sapo.stages.workers import Work, share


def leave(folder: Path, name: str) -> None:
    (folder / name).write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(0.05)


def refuse(folder: Path, name: str) -> None:
    raise BadInput(f"{name} has nothing to train on")


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_every_work_is_done_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int) -> None:
    share([Work(f"work {n}", leave, (tmp_path, str(n))) for n in range(5)], workers)
    assert sorted(path.name for path in tmp_path.iterdir()) == list("01234")
    processes = {path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert (processes == {str(os.getpid())}) == (workers == 1)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 5
    assert sorted(line.split(":")[0] for line in said) == [f"work {n}" for n in range(5)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_ends_the_work_with_its_message(tmp_path: Path, workers: int) -> None:
    works = [Work("bad", refuse, (tmp_path, "sapo"))]
    works += [Work(f"work {n}", leave, (tmp_path, str(n))) for n in range(30)]
    before = psutil.Process().children(recursive=True)
    with pytest.raises(BadInput, match="sapo has nothing to train on"):
        share(works, workers)
    assert len(list(tmp_path.iterdir())) < 30
    assert set(psutil.Process().children(recursive=True)) <= set(before)
