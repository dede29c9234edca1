"""The command line: its help, its errors and exit codes, and that help and errors import nothing slow."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from sapo.cli.main import COMMANDS, SECTIONS, main
from sapo.cli.options import MODEL
from sapo.cli.stages import STAGES
from sapo.cli.tools import GPUS, simulate
from sapo.plan.devices import DEVICES
from sapo.report.figures.simulation import REASONERS

ROOT = Path(__file__).parents[2]
SLOW = ("torch", "transformers", "trl", "datasets", "dvc", "hydra", "matplotlib", "numpy", "rich", "huggingface_hub")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def imported_by(code: str) -> list[str]:
    """Slow libraries that a new process has imported after `code`."""
    script = f"import sys\n{code}\nsys.stdout.write('\\n' + ' '.join(n for n in {SLOW} if n in sys.modules))"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "code"), "PYTHONWARNINGS": "error"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    return done.stdout.rpartition("\n")[2].split()


@pytest.mark.parametrize(
    "code",
    [
        "import sapo",
        "from sapo.cli.main import main; main(['--help'])",
        "from sapo.cli.main import main; main(['score', '--help'])",
        "from sapo.cli.main import main; main(['scor'])",
    ],
)
def test_help_and_errors_import_nothing_slow(code: str) -> None:
    assert imported_by(code) == []
    assert imported_by("import matplotlib") != [], "the check sees imports"


def test_help_lists_every_command_with_one_line_below_its_section(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In 80 columns; a line that does not fit would be broken, and its end would be a line of its own."""
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for heading, commands in SECTIONS.items():
        start = lines.index(f"{heading}:") + 1
        assert [line.split()[0] for line in lines[start : start + len(commands)]] == [one.name for one in commands]
        assert all(len(line.split()) > 2 and line.endswith((".", "?")) for line in lines[start : start + len(commands)])
        assert lines[start + len(commands)] == ""
    assert sum(map(len, SECTIONS.values())) == len(COMMANDS) == 26


def test_no_command_shows_the_help(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr().out
    assert main(["-h"]) == 0
    assert capsys.readouterr().out.strip() == shown.strip()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_usage_first_and_an_example_last(
    name: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"Usage: sapo {name}")
    assert lines[-2:] == ["  Example:", lines[-1]] and lines[-1].startswith(f"    sapo {name}")
    assert len(lines) <= (40 if name == "annotate" else 24)
    parser = COMMANDS[name].make_context(name, lines[-1].split()[2:], resilient_parsing=True)
    assert not parser.args, "the example has options that the command knows"


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


@pytest.mark.parametrize(
    ("arguments", "usage", "message"),
    [
        (
            ["scor"],
            "sapo [OPTIONS] COMMAND [ARGS]...",
            "No such command 'scor'. (Did you mean one of: 'doctor', 'score'?)",
        ),
        (["verify_run"], "sapo [OPTIONS] COMMAND [ARGS]...", "No such command 'verify_run'."),
        (
            ["leaks", "--model", "qwen2_nano"],
            "sapo leaks --model NAME --task NAME [OPTIONS]",
            "Missing option '--task'.",
        ),
        (["report", "--model", "m"], "sapo report [OPTIONS]", "No such option '--model'."),
        (["score"], "sapo score --verifier PATH [OPTIONS] FILE", "Missing argument 'FILE'."),
        (["compare", "a", "b", "c"], "sapo compare [OPTIONS] A B", "Got unexpected extra argument (c)"),
        (["score", "f", "--verifier", "v", "--threshold", "x"], "sapo score ", "Invalid value for '--threshold': 'x'"),
    ],
)
def test_a_wrong_command_line_is_usage_error_and_hint(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], usage: str, message: str
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    first, error, hint = shown.err.splitlines()
    assert shown.out == ""
    assert first.startswith(f"Usage: {usage}") and error.startswith(f"error: {message}") and "--help` says more" in hint


def test_an_interrupt_is_one_line_and_130(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(COMMANDS["doctor"], "callback", interrupt)
    assert main(["doctor"]) == 130
    assert capsys.readouterr().err.strip().startswith("interrupted: what is finished is kept")


def test_the_module_and_the_console_script_are_the_same(project: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "code")}
    arguments = [sys.executable, "-m", "sapo", "configure"]
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2 and done.stderr.startswith("error: code/conf/profile: holds no profile")
    script = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '[project.scripts]\nsapo = "sapo.cli.main:main"\n' in script


def test_a_shell_completes_commands_and_names_of_the_settings(project: Path) -> None:
    context = click.Context(COMMANDS["base"])
    assert [one.value for one in MODEL.shell_complete(context, COMMANDS["base"].params[0], "qw")] == ["qwen2_nano"]
    (project / "params.yaml").unlink()
    assert MODEL.shell_complete(context, COMMANDS["base"].params[0], "qw") == []


def test_names_that_help_repeats_are_those_of_the_code() -> None:
    assert set(GPUS.replace(" or ", ", ").split(", ")) == set(DEVICES)
    choices = next(one.type for one in simulate.params if one.name == "reasoner")
    assert isinstance(choices, click.Choice) and set(choices.choices) == set(REASONERS)


def test_threads_are_set_before_a_stage_is_imported(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (project / "params.yaml").read_text(encoding="utf-8")
    old = next(line for line in text.splitlines() if line.startswith("threads:"))
    (project / "params.yaml").write_text(text.replace(old, "threads: 3"), encoding="utf-8")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    seen: list[str] = []

    def look(stage: str) -> None:
        seen.append(os.environ["OMP_NUM_THREADS"])
        raise KeyboardInterrupt

    monkeypatch.setattr("sapo.cli.stages._import_stage", look)
    assert main(["report"]) == 130
    assert seen == ["3"]


def test_the_doctor_refuses_another_version_than_the_pinned_one(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "constraints.txt").write_text("# pins\ntorch==0.0.1\n", encoding="utf-8")
    assert main(["doctor"]) == 2
    assert "error: torch: version 2." in capsys.readouterr().err


def test_stages_have_the_names_and_order_of_the_graph() -> None:
    assert list(yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]) == [*STAGES, "simulate"]
