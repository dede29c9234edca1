"""One look for all figures, and files whose bytes depend on the data alone.

Colours are those of Okabe and Ito (2008), which colour-blind readers tell apart; every series also has its own marker
and line style, so that a grey print can be read. Fonts are embedded (TrueType in PDF, outlines in SVG), dates and
versions are left out, and the user's own matplotlib settings have no effect.
"""

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from sapo.records import write_text

BLACK, GREY = "#000000", "#666666"
ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"

_RULES: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "savefig.dpi": 160,
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "sapo-replication",
}
# Bytes would differ from day to day, or from one matplotlib to the next, by these alone.
_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}


@dataclass(frozen=True, slots=True)
class Look:
    """How one series is drawn."""

    color: str
    marker: str
    line: str


LOOKS = {
    "cot": Look(GREY, "s", ":"),
    "orpo_outcome": Look(VERMILLION, "^", "--"),
    "orpo_mc": Look(GREEN, "D", "-."),
    "sapo": Look(BLUE, "o", "-"),
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save figures inside this block; settings outside are untouched."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        for key, value in _RULES.items():
            matplotlib.rcParams[key] = value  # pyright: ignore[reportArgumentType]
        yield


def panels(rows: int, widths: Sequence[float], gap: float, right: float) -> tuple[Figure, np.ndarray]:
    """A figure with a grid of panels of given `widths`, 2.4 high; all lengths in inches.

    Everything is placed by arithmetic: matplotlib's own layout engines differ in the last bits from run to run.

    Args:
        gap: between two columns, for the labels of the right one's axis and what stands beside the left one.
        right: margin to the right of the last column.
    """
    left, top, bottom, height, between = 0.7, 0.5, 0.6, 2.4, 1.1
    width = left + sum(widths) + gap * (len(widths) - 1) + right
    total = top + bottom + rows * height + (rows - 1) * between
    figure = Figure(figsize=(width, total))
    grid = figure.subplots(rows, len(widths), squeeze=False)
    for row in range(rows):
        for column in range(len(widths)):
            x = left + sum(widths[:column]) + gap * column
            y = bottom + (rows - 1 - row) * (height + between)
            grid[row, column].set_position((x / width, y / total, widths[column] / width, height / total))
    return figure, grid


def save(figure: Figure, folder: Path, name: str, rows: Sequence[Mapping[str, object]]) -> list[Path]:
    """Write `name`.png, .pdf and .svg and the numbers behind them as `name`.csv, each file whole or not at all.

    Args:
        rows: one a drawn number, all with the same keys; floats are rounded to 6 decimals.

    Returns:
        The files that were written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with styled():
        for kind, metadata in _METADATA.items():
            paths.append(folder / f"{name}.{kind}")
            drawn = io.BytesIO()
            figure.savefig(drawn, format=kind, metadata=metadata)
            _write_bytes(paths[-1], drawn.getvalue())
    paths.append(folder / f"{name}.csv")
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows({k: round(v, 6) if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    write_text(paths[-1], text.getvalue())
    return paths


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Heights for labels: as wanted where there is room, else moved apart to `gap`, in the wanted order.

    Labels that touch form a block around the mean of what they want.

    >>> spread([1.0, 1.0, 9.0], 2.0)
    [0.0, 2.0, 9.0]
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    blocks: list[list[int]] = []
    for index in order:
        blocks.append([index])
        while len(blocks) > 1 and _low(blocks[-1], wanted, gap) - _high(blocks[-2], wanted, gap) < gap:
            last = blocks.pop()
            blocks[-1] += last
    heights = [0.0] * len(wanted)
    for block in blocks:
        for place, index in enumerate(block):
            heights[index] = _low(block, wanted, gap) + place * gap
    return heights


def _low(block: list[int], wanted: Sequence[float], gap: float) -> float:
    return sum(wanted[index] for index in block) / len(block) - gap * (len(block) - 1) / 2


def _high(block: list[int], wanted: Sequence[float], gap: float) -> float:
    return _low(block, wanted, gap) + gap * (len(block) - 1)


def _write_bytes(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)
