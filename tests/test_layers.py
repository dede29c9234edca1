"""Data goes one way: a module imports from its own folder or from layers before it, never downwards."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "code" / "sapo"
LAYERS = ("arithmetic", "records", "settings", "progress", "workspace", "pins", "configure", "tasks")
LAYERS += ("models", "engines", "supervise", "train", "methods", "evaluate", "plan", "report", "stages", "__main__")

MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def imported(source: str) -> list[str]:
    """Dotted names below `sapo` that a module imports, wherever in it."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name.removeprefix("sapo.") for name in names if name.startswith("sapo.")]


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


def test_the_package_root_imports_nothing_and_code_is_no_package() -> None:
    assert imported((PACKAGE / "__init__.py").read_text(encoding="utf-8")) == []
    assert not (PACKAGE.parent / "__init__.py").exists(), "it would shadow the standard module `code`"
