"""`dvc repro` twice at once, killed, and of two profiles in turn, in a copy of the working tree with tiny settings."""

import os
import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from clone import begin, copy_tree, run
from tiny_graph import SHORT

START = "start@qwen2_nano"
REPRO = ("dvc", "repro", START)
BUSY = r"is busy, it is being blocked by:|Unable to acquire lock\. Most likely another DVC process is running"

pytestmark = pytest.mark.nightly


def configure(folder: Path, profile: str) -> None:
    settings = [f"{key}={value}" for key, value in SHORT.items()]
    run(folder, "python", "-m", "sapo", "configure", f"profile={profile}", *settings)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy_tree(tmp_path)
    configure(tmp_path, "smoke")
    return tmp_path


def contents(folder: Path, profile: str) -> dict[str, bytes]:
    """Of the stages up to a start; a seal besides the bytes would add nothing."""
    files = [path for path in (folder / "runs" / profile).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def stages(said: str) -> list[str]:
    """Those that `dvc repro` said it ran."""
    return re.findall(r"Running stage '([^'@]+)", said)


def until(process: subprocess.Popen[str], beginning: str) -> list[str]:
    """Lines that it says, up to one that begins so."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(beginning):
            return lines
    raise AssertionError(f"nothing begins with {beginning!r}: {lines}")


def test_of_two_at_once_the_second_is_told_and_the_first_ends_as_if_alone(folder: Path) -> None:
    first = begin(folder, *REPRO)
    until(first, "> python -m sapo start")
    second = begin(folder, *REPRO)
    said, _ = second.communicate(timeout=600)
    assert second.returncode != 0
    assert re.search(BUSY, said), said
    assert "Traceback" not in said
    said, _ = first.communicate(timeout=600)
    assert first.returncode == 0, said
    made = contents(folder, "smoke")
    assert stages(run(folder, *REPRO)) == []
    assert stages(run(folder, *REPRO[:2], "--force", "--single-item", START)) == ["start"]
    assert contents(folder, "smoke") == made


def test_a_killed_one_is_in_nobody_s_way(folder: Path) -> None:
    """Neither DVC's locks nor ours outlive it."""
    killed = begin(folder, *REPRO)
    until(killed, "> python -m sapo start")
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert stages(run(folder, *REPRO)) == ["start"]
    assert stages(run(folder, *REPRO)) == []


def test_two_profiles_take_turns_and_nothing_is_made_again(folder: Path) -> None:
    """`other` is `smoke` with a seed of its own. DVC knows both runs when it comes back to the first."""
    text = (folder / "code/conf/profile/smoke.yaml").read_text(encoding="utf-8")
    other = text.replace("profile: smoke\n", "profile: other\nseed: 2\n")
    (folder / "code/conf/profile/other.yaml").write_text(other, encoding="utf-8")
    assert turns(folder, ["smoke", "other"]) == [["verify_data", "base", "start"]] * 2
    made = {profile: contents(folder, profile) for profile in ("smoke", "other")}
    assert {name.partition("/other/")[2] for name in made["other"]} == {
        name.partition("/smoke/")[2] for name in made["smoke"]
    }
    assert turns(folder, ["smoke", "other", "smoke"]) == [[], [], []]
    assert {profile: contents(folder, profile) for profile in made} == made


def test_an_experiment_runs_what_was_configured(folder: Path) -> None:
    """`dvc exp run` composes nothing: the profile and its seed stay; another profile's name alone is refused."""
    run(folder, "python", "-m", "sapo", "configure", "profile=smoke", "seed=7")
    before = (folder / "params.yaml").read_bytes()
    assert stages(run(folder, "dvc", "exp", "run", "verify_data")) == ["verify_data"]
    assert (folder / "params.yaml").read_bytes() == before
    refused = begin(folder, "dvc", "exp", "run", "-S", "profile=nano", "verify_data")
    said, _ = refused.communicate(timeout=600)
    assert refused.returncode != 0 and "profile is 'nano', but the settings are those of 'smoke'" in said


def turns(folder: Path, profiles: Sequence[str]) -> list[list[str]]:
    """Stages that ran for each profile."""
    ran = []
    for profile in profiles:
        configure(folder, profile)
        ran.append(stages(run(folder, *REPRO)))
    return ran
