"""The same bytes, whatever the machine's habits: hash seed, locale, time zone, folder, workers, rows of a batch.

Stages of a graph smaller than profile smoke (`tiny_graph`) run in processes of their own. Across numbers of threads
floats are added in another order, so that weights agree within `TOLERANCE`; nothing more is promised there.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_graph import GRAPH, QWEN, SHORT, TASK, begin_stage, lay_out, outputs

HERE = Path(__file__).parents[1] / "support"
START = ("base", "start")
TOLERANCE = 1e-4  # of a weight after SFT with another number of threads; steps are of 1e-3
USUAL = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", "TZ": "UTC", "OMP_NUM_THREADS": "1"}
ODD = {"PYTHONHASHSEED": "4711", "LC_ALL": "C", "LANG": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu"}
Run = tuple[Path, subprocess.Popen[bytes]]


def begin(
    folder: Path, stages: tuple[str, ...], changes: Mapping[str, Any], variables: Mapping[str, str] | None = None
) -> Run:
    """Start all stages in one process, in a folder laid out for it."""
    lay_out(folder, changes)
    command = [sys.executable, str(HERE / "tiny_graph.py"), str(folder), *stages]
    environment = os.environ | USUAL | dict(variables or {})
    return folder, subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def end(run: Run) -> dict[str, bytes]:
    """What it wrote."""
    folder, process = run
    said, _ = process.communicate(timeout=3600)
    assert process.returncode == 0, said.decode()[-3000:]
    return outputs(folder)


def differing(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    assert one.keys() == other.keys()
    return [name for name in one if one[name] != other[name]]


def test_a_start_has_the_same_bytes_under_odd_habits(tmp_path: Path) -> None:
    """All at once, beside what a fork server makes; the nightly tests tell them apart."""
    odd = begin(tmp_path / "another folder ä", START, SHORT | {"workers": 1}, ODD)
    usual = lay_out(tmp_path / "usual", SHORT)
    for stage in START:
        process = begin_stage(usual, stage)
        process.join(1800)
        assert process.exitcode == 0, (usual / "stderr").read_text(encoding="utf-8")[-3000:]
    assert differing(outputs(usual), end(odd)) == []


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return end(begin(tmp_path_factory.mktemp("usual") / "graph", GRAPH, {}))


@pytest.mark.nightly
@pytest.mark.parametrize("variable", sorted(ODD))
def test_no_variable_of_the_environment_matters(usual: dict[str, bytes], tmp_path: Path, variable: str) -> None:
    assert differing(usual, end(begin(tmp_path / "graph", GRAPH, {}, {variable: ODD[variable]}))) == []


@pytest.mark.nightly
def test_the_folder_does_not_matter(usual: dict[str, bytes], tmp_path: Path) -> None:
    assert differing(usual, end(begin(tmp_path / "another folder ä", GRAPH, {}))) == []


@pytest.mark.nightly
def test_the_number_of_workers_does_not_matter(usual: dict[str, bytes], tmp_path: Path) -> None:
    assert differing(usual, end(begin(tmp_path / "graph", GRAPH, {"workers": 1}))) == []


@pytest.mark.nightly
def test_the_rows_of_a_batch_change_costs_alone(usual: dict[str, bytes], tmp_path: Path) -> None:
    """Equal prompts that join a batch together are read once: fewer rows read more tokens. All else stays.

    The report, which tells the costs in many places, is not part of it.
    """
    few = end(begin(tmp_path / "graph", GRAPH[: GRAPH.index("report")], {"sampling.rows": 7}))
    changed = {Path(name).name for name, content in few.items() if content != usual[name]}
    assert changed <= COSTS
    assert "costs.json" in changed, "rows were not read at all"
    assert {name for name in usual if name.startswith("runs/smoke/")} <= few.keys()


COSTS = {"made_from.json", "costs.json"}


@pytest.mark.nightly
def test_threads_change_weights_by_little(tmp_path: Path) -> None:
    """Losses of the first step agree in their first five digits, weights after SFT within the tolerance."""
    made = [begin(tmp_path / n, START, SHORT | {"threads": int(n)}, {"OMP_NUM_THREADS": n}) for n in ("1", "2")]
    for run in made:
        end(run)
    sft = [folder / "runs" / "smoke" / QWEN / "start" / TASK / "1" / "sft" for folder, _ in made]
    one, two = (load_file(folder / "model.safetensors") for folder in sft)
    assert one.keys() == two.keys()
    assert max((one[name].float() - two[name].float()).abs().max().item() for name in one) <= TOLERANCE
    losses = [json.loads((folder / "log.json").read_text(encoding="utf-8"))["content"][0]["loss"] for folder in sft]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert all(torch.isfinite(weight).all() for weight in two.values())
