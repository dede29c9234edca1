"""Which Pythons are supported is said once; `.ci/install` tries the bounds, and its tests are there."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SCRIPT = (ROOT / ".ci" / "install").read_text(encoding="utf-8")


def test_supported_pythons_are_the_same_everywhere() -> None:
    classifiers = " ".join(PROJECT["project"]["classifiers"])
    versions = re.findall(r"Python :: (3\.\d+)", classifiers)
    assert versions == [f"3.{minor}" for minor in range(11, 11 + len(versions))]
    assert PROJECT["project"]["requires-python"] == f">={versions[0]}"
    assert PROJECT["tool"]["pyright"]["pythonVersion"] == versions[0]
    assert PROJECT["tool"]["ruff"]["target-version"] == "py" + versions[0].replace(".", "")
    first = (ROOT / "constraints.txt").read_text(encoding="utf-8").partition("\n")[0]
    assert f"(Python {versions[0]} to {versions[-1]}, any platform)" in first


def test_the_tests_that_are_run_without_a_network_are_there() -> None:
    (names,) = re.findall(r"^tests='([\w ]+)'$", SCRIPT, re.MULTILINE)
    assert len(names.split()) > 5
    assert [name for name in names.split() if not [*(ROOT / "tests").glob(f"*/test_{name}.py")]] == []
