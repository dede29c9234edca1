"""Data goes one way: a module imports from its own folder or from layers before it, never downwards."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "code" / "sapo"
SANDBOX = PACKAGE.with_name("strict_sandbox")
LAYERS = ("records", "settings", "runtime", "strict_sandbox", "tasks", "models", "sampling", "labelling", "train")
LAYERS += ("recipes", "evaluate", "plan", "report", "stages", "cli", "__main__")

MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def imported(source: str) -> list[str]:
    """Dotted names below `sapo` that a module imports, wherever in it, and those of `strict_sandbox`."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name.removeprefix("sapo.") for name in names if name.startswith(("sapo.", "strict_sandbox."))]


def layer_of(name: str) -> str:
    return name.replace("/", ".").split(".")[0]


@pytest.mark.parametrize("module", [module for module in MODULES if module != "__init__.py"])
def test_a_module_imports_only_from_its_own_layer_or_earlier_ones(module: str) -> None:
    assert layer_of(module) in LAYERS, f"{module} is in no layer"
    allowed = {*LAYERS[: LAYERS.index(layer_of(module)) + 1], "__doc__"}
    names = imported((PACKAGE / module).read_text(encoding="utf-8"))
    assert {layer_of(name) for name in names} <= allowed


def test_the_check_sees_imports_inside_functions() -> None:
    assert imported("def f():\n    from sapo.report import tables\n    import sapo.stages.x") == [
        "report.tables",
        "stages.x",
    ]


@pytest.mark.parametrize("path", sorted(SANDBOX.rglob("*.py")), ids=lambda path: path.name)
def test_the_sandbox_needs_python_alone(path: Path) -> None:
    """It is a package of its own: the standard library and itself, never `sapo`."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    assert {name.split(".")[0] for name in names} <= {"strict_sandbox", *sys.stdlib_module_names}


def test_the_package_root_imports_nothing_and_code_is_no_package() -> None:
    assert imported((PACKAGE / "__init__.py").read_text(encoding="utf-8")) == []
    assert not (PACKAGE.parent / "__init__.py").exists(), "it would shadow the standard module `code`"
