"""The command line: known bad input is one line and exit code 2, and nothing is written."""

import os
from pathlib import Path

import pytest
import yaml

from sapo.__main__ import STAGES, main

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["base", "--model", "none"], "error: params.yaml: models: 'none' is not one of qwen2_nano"),
        (
            ["verifiers", "--model", "qwen2_nano", "--task", "none"],
            "error: params.yaml: tasks: 'none' is not one of nano_math",
        ),
        (["verify_data"], "error: data: no such folder"),
    ],
)
def test_bad_instances_are_one_line(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1
    assert os.listdir(project) == ["params.yaml"]


@pytest.mark.parametrize("arguments", [[], ["none"], ["leaks", "--model", "qwen2_nano"], ["report", "--model", "m"]])
def test_what_cannot_be_parsed_exits_with_2(project: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_the_doctor_refuses_another_version_than_the_pinned_one(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "constraints.txt").write_text("# pins\ntorch==0.0.1\n", encoding="utf-8")
    assert main(["doctor"]) == 2
    assert "error: torch: version 2." in capsys.readouterr().err


def test_stages_have_the_names_and_order_of_the_graph() -> None:
    assert list(yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]) == [*STAGES, "simulate"]
