"""What stages behind the methods keep is named by all that it depends on, and comes out as results alone."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from sapo.configure import PARAMS
from sapo.methods.bench import Bench
from sapo.methods.kept import IRRELEVANT, PACKAGE
from sapo.records import write_text
from sapo.settings import load_settings
from sapo.stages import efficiency, evaluate, keeping, process, verifiers
from sapo.workspace import Workspace

ROOT = Path(__file__).parents[1]
STAGES = {"evaluate": evaluate, "efficiency": efficiency, "process": process, "verifiers": verifiers}
# They say who works and where it is kept, not what is made; the first seed is in the keys.
NEUTRAL = {f"stages/{name}.py" for name in ("keeping", "workers", "benches")} | {"progress.py"}


def bench(tmp_path: Path, **changes: Any) -> Bench:
    settings = dataclasses.replace(load_settings(ROOT / PARAMS), **changes)
    return Bench(settings, Workspace(tmp_path, "test"), "qwen2_nano", "nano_math")


@pytest.mark.parametrize("stage", STAGES)
def test_keys_hold_all_code_that_the_keys_of_methods_leave_out(stage: str) -> None:
    graph: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    deps: list[str] = graph[stage].get("do", graph[stage])["deps"]
    code = {dep.removeprefix("code/sapo/") for dep in deps if dep.startswith("code/sapo/")}
    assert {name for name in code if name.split("/")[0] in IRRELEVANT} - NEUTRAL == set(STAGES[stage].CODE)


def test_a_piece_is_made_once_for_one_engine_precision_and_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def piece(of: Bench, code: str = "own.py", **made_from: object) -> Path:
        return keeping.keep(of, "piece", (code,), made_from, made.append)

    monkeypatch.setattr(keeping, "PACKAGE", tmp_path)
    write_text(tmp_path / "own.py", "one")
    usual = bench(tmp_path)
    settings = usual.settings
    first = piece(usual, a=1)
    others = [
        piece(usual, a=2),
        piece(bench(tmp_path, engine=dataclasses.replace(settings.engine, kind="server")), a=1),
        piece(bench(tmp_path, tuning=dataclasses.replace(settings.tuning, dtype="bfloat16")), a=1),
    ]
    assert piece(usual, a=1) == first
    write_text(tmp_path / "own.py", "two")
    others.append(piece(usual, a=1))
    assert len({first, *others}) == len(made) == 5


def test_folders_stand_for_all_modules_below_them() -> None:
    found = [path.relative_to(PACKAGE).as_posix() for path in keeping.modules(("evaluate/process", "stages/base.py"))]
    assert found[-1] == "stages/base.py" and "evaluate/process/items.py" in found
    assert all(name.endswith(".py") for name in found)


def test_results_alone_join_what_is_in_the_output(tmp_path: Path) -> None:
    output = tmp_path / "1" / "sapo"
    for number in range(2):

        def make(folder: Path, number: int = number) -> None:
            for name in (f"{number}.json", "costs.json", ".seconds.json"):
                write_text(folder / name, str(number))

        keeping.hand_over(keeping.keep(bench(tmp_path), "piece", (), {"number": number}, make), output)
    assert sorted(path.name for path in output.iterdir()) == ["0.json", "1.json", "costs.json"]
