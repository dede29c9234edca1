"""House numbers: sizes of files and functions, no prints in the library, no paths of somebody's machine."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEGABYTE = 1_000_000
PRINTERS = ("report/", "stages/report.py")
HOME_PATHS = re.compile("|".join(f"(?<![\\w./]){folder}" for folder in ("/home/", "/root/", "/Users/", "/wor" + "k/")))


def repository_files() -> list[Path]:
    """Files in git, and those that would be added by `git add .`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [ROOT / name for name in sorted(set(names)) if name and (ROOT / name).is_file()]


FILES = repository_files()
MODULES = [path for path in FILES if path.suffix == ".py"]


def test_no_file_is_large_and_the_repository_is_small() -> None:
    sizes = {path.relative_to(ROOT).as_posix(): path.stat().st_size for path in FILES}
    assert [name for name, size in sizes.items() if size > 1.5 * MEGABYTE] == []
    assert sum(sizes.values()) <= 15 * MEGABYTE


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_modules_and_functions_stay_short(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert source.count("\n") <= 300
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    assert [node.name for node in functions if (node.end_lineno or 0) - node.lineno + 1 > 60] == []


def test_the_median_module_is_at_most_120_lines() -> None:
    package = ROOT / "code" / "sapo"
    modules = [path for path in MODULES if path.is_relative_to(package) and path.name != "__init__.py"]
    lengths = sorted(path.read_text(encoding="utf-8").count("\n") for path in modules)
    assert lengths[len(lengths) // 2] <= 120


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_the_command_line_and_reports_print(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    prints = [node.lineno for node in calls if ast.unparse(node.func) == "print" and not _to_file(node)]
    name = path.relative_to(ROOT).as_posix().removeprefix("code/sapo/")
    assert not prints or name.startswith(PRINTERS), f"print in lines {prints}"


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    texts = {path: path.read_bytes().decode("utf-8", errors="replace") for path in FILES if b"\0" not in _head(path)}
    found = {path.relative_to(ROOT).as_posix(): match[0] for path, text in texts.items() for match in _matches(text)}
    assert found == {}


def _to_file(call: ast.Call) -> bool:
    return any(keyword.arg == "file" for keyword in call.keywords)


def _matches(text: str) -> list[re.Match[str]]:
    return [match for line in text.splitlines() for match in HOME_PATHS.finditer(line) if "HOME_PATHS" not in line]


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1024)
