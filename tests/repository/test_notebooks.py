"""The notebooks run from a clone, are stored without outputs, and read what they say that they read."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def executed(path: Path, last: str) -> list[Any]:
    """Outputs of the cells, those of one more cell at the end last."""
    notebook = read(path)
    notebook.cells.append(nbformat.v4.new_code_cell(last))
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT / "notebooks")}}).execute()
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_three() -> None:
    assert NAMES == ["01_one_trajectory", "02_labellers_against_truth", "03_results"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_it_is_stored_without_outputs(path: Path) -> None:
    cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_it_runs_and_shows_something(path: Path) -> None:
    """Every notebook draws a figure; only the first one loads a model."""
    *outputs, (last,) = executed(path, "import sys; 'torch' in sys.modules")
    shown = [output for cell in outputs for output in cell]
    assert any("image/png" in output.get("data", {}) for output in shown)
    assert any(output.output_type == "stream" and output.name == "stdout" and output.text.strip() for output in shown)
    assert last.data["text/plain"] == str(path.stem.startswith("01"))
