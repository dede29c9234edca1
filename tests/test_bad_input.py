"""Failures that a user can mend end a command with one line; bugs keep their trace."""

import pytest

from sapo.cli import main as command
from sapo.evaluate.simulation import SimulationError
from sapo.models.loading import LoadingError
from sapo.records import RecordError
from sapo.report.claims.catalog import ClaimsError
from sapo.report.claims.published import PublishedError
from sapo.runtime.workspace import WorkspaceError
from sapo.settings import SettingsError
from sapo.stages.paper import PaperError
from sapo.tasks.math_grading.grading import GraderErrors, LatexWorkerError
from sapo.tasks.program_grading.judging import CodeJudgeError
from sapo.train.fit import TrainingDiverged
from sapo.train.pairs import PairError
from sapo.train.trainer import NothingLeft

MENDABLE = [
    ClaimsError,
    CodeJudgeError,
    GraderErrors,
    LatexWorkerError,
    LoadingError,
    NothingLeft,
    PairError,
    PaperError,
    PublishedError,
    RecordError,
    SettingsError,
    SimulationError,
    TrainingDiverged,
    WorkspaceError,
]


@pytest.mark.parametrize("kind", MENDABLE)
def test_a_failure_that_can_be_mended_is_one_line(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise kind("loss is nan at step 3")

    monkeypatch.setattr(command.sapo, "main", fail)
    assert command.main(["start"]) == 2
    assert capsys.readouterr().err == "error: loss is nan at step 3\n"


@pytest.mark.parametrize("kind", [ValueError, RuntimeError, KeyError])
def test_a_bug_is_not_hidden(kind: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise kind("a bug")

    monkeypatch.setattr(command.sapo, "main", fail)
    with pytest.raises(kind, match="a bug"):
        command.main(["start"])
