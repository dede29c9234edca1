"""dvc.yaml declares what stages use: the code that they import and the settings that they read."""

import ast
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from sapo.cli.stages import STAGES
from sapo.settings import Settings

ROOT = Path(__file__).parents[2]
CODE = ROOT / "code"
PACKAGES = ("sapo", "strict_sandbox")
GRAPH: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
# Settings that code below a stage mentions and that cannot change what the stage makes.
IDLE: dict[str, set[str]] = {
    "base": {"workers", "sampling", "tuning", "engine"},
    "start": {"workers", "seed", "detect", "saps"},  # V_0's labels are omega's; seeds are those of the groups
    "methods": {"workers", "seed"},
    "evaluate": {"workers", "seed"},
    "efficiency": {"workers", "seed"},
    "process": {"workers", "seed"},
    "verifiers": {"workers", "seed", "expansion", "verifier"},  # trained by their methods
}
# Functions of settings.py that read sections.
READERS = {"seeds_of": {"groups", "cells"}, "method_settings": {"methods"}}


def graph(stage: str) -> dict[str, Any]:
    """The stage's entry, without its `foreach`."""
    return GRAPH[stage].get("do", GRAPH[stage])


def stage_module(stage: str) -> Path:
    return CODE / "sapo" / "stages" / f"{stage}.py"


def module_file(name: str) -> Path | None:
    """File of a dotted name of the project's packages; a package's own file only if it holds more than a docstring."""
    path = CODE / Path(*name.split("."))
    if path.with_suffix(".py").is_file():
        return path.with_suffix(".py")
    package = path / "__init__.py"
    if package.is_file() and len(ast.parse(package.read_text(encoding="utf-8")).body) > 1:
        return package
    return None


def imports(path: Path) -> set[Path]:
    """Files of the project's packages that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {file for name in names if name.startswith(PACKAGES) and (file := module_file(name))}


def closure(path: Path) -> set[Path]:
    found, todo = {path}, [path]
    while todo:
        new = imports(todo.pop()) - found
        found |= new
        todo += new
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_all_code_that_it_imports(stage: str) -> None:
    declared = [ROOT / dep for dep in graph(stage)["deps"] if "code/" in dep]
    used = closure(stage_module(stage))
    missing = [file for file in used if not any(file.is_relative_to(dep) for dep in declared)]
    assert not missing, f"add to stage {stage}: {sorted(file.relative_to(ROOT).as_posix() for file in missing)}"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_no_code_folder_that_it_does_not_import(stage: str) -> None:
    used = closure(stage_module(stage))
    folders = tuple(f"code/{package}" for package in PACKAGES)
    declared = [ROOT / dep for dep in graph(stage)["deps"] if dep.startswith(folders) and not dep.endswith(".json")]
    idle = [dep for dep in declared if not any(file.is_relative_to(dep) for file in used)]
    assert not idle, f"remove from stage {stage}: {[dep.relative_to(ROOT).as_posix() for dep in idle]}"


def sections_read(stage: str) -> set[str]:
    """Sections read as `settings.NAME` or named in a tuple SECTIONS, by the stage and the code of methods below it."""
    sections: set[str] = set()
    for file in closure(stage_module(stage)):
        if file.parent.name in ("stages", "methods", "updates"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute) and ast.unparse(node.value).split(".")[-1] == "settings":
                    sections.add(node.attr)
                elif isinstance(node, ast.Name):
                    sections |= READERS.get(node.id, set())
                elif isinstance(node, ast.Assign | ast.AugAssign) and "SECTIONS" in ast.unparse(node).split(" ")[0]:
                    sections |= set(ast.literal_eval(node.value))
    return sections & {field.name for field in fields(Settings)} - {"profile"} - IDLE.get(stage, set())


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_every_section_of_the_settings_that_it_reads(stage: str) -> None:
    read = sections_read(stage)
    declared = {name.split(".")[0] for name in graph(stage).get("params", [])}
    assert read <= declared, f"add to params of stage {stage}: {sorted(read - declared)}"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_itself_with_the_arguments_that_name_its_instance(stage: str) -> None:
    """`process` goes over a dictionary whose keys are tasks."""
    named = {"task": "${key}"} if stage == "process" else {}
    arguments = [f"--{name} {named.get(name, f'${{item.{name}}}')}" for name in STAGES[stage][1]]
    assert graph(stage)["cmd"] == " ".join(["python -m sapo", stage, *arguments])


def test_the_lock_file_knows_no_stage_that_the_graph_has_left() -> None:
    """DVC never forgets one by itself. Names of models and tasks hold no hyphen, so instances are counted by parts."""
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    for name in lock:
        stage, _, instance = name.partition("@")
        assert stage in GRAPH, f"dvc.lock: {name}: remove it"
        parts = len(GRAPH[stage].get("matrix", {})) or ("foreach" in GRAPH[stage])
        assert len(instance.split("-")) * bool(instance) == parts, f"dvc.lock: {name}: remove it"
