"""The whole graph, tiny: a copy of the working tree, profile smoke, `dvc repro`, and again."""

import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml
from clone import ROOT, changed, commit, copy_tree, run

from sapo.cli.stages import STAGES
from sapo.settings import load_settings

WRITTEN_BY_STAGES = ("dvc.lock", "params.yaml", "README.md", "results/", "figures/")

if not ((ROOT / "code" / "sapo" / "stages" / "report.py").is_file() and (ROOT / "data.dvc").is_file()):
    pytest.skip("the stages are not all written", allow_module_level=True)


def test_the_graph_runs_cold_and_then_has_nothing_to_do(tmp_path: Path) -> None:
    copy_tree(tmp_path)
    run(tmp_path, sys.executable, "-m", "sapo", "configure", "profile=smoke")
    run(tmp_path, "dvc", "repro")
    assert [name for name in changed(tmp_path) if not name.startswith(WRITTEN_BY_STAGES)] == []

    settings = load_settings(tmp_path / "params.yaml")
    stages = yaml.safe_load((tmp_path / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    smoke = {name: stage for name, stage in stages.items() if "smoke" in str(stage)}
    made = Counter(name.split("@")[0] for name in smoke)
    models = len(settings.models)
    assert (made["start"], made["methods"], made["evaluate"]) == (models, models, models)
    assert set(made) == {*STAGES, "simulate"}
    outs = [out["path"] for stage in smoke.values() for out in stage["outs"]]
    assert [out for out in outs if not (tmp_path / out).exists()] == []

    commit(tmp_path)
    start = time.monotonic()
    assert "Running stage" not in run(tmp_path, "dvc", "repro")
    assert time.monotonic() - start < 30
    assert changed(tmp_path) == []
