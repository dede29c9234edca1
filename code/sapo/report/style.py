"""Style of all figures, and files whose bytes depend on the data alone.

Colours are those of Okabe and Ito (2008), safe for colour-blind readers; each series also has its own marker and line
style. Fonts are embedded (TrueType in PDF, outlines in SVG), dates and versions are left out, and the user's own
matplotlib settings have no effect.
"""

import csv
import io
import math
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from scour.scour import scourString

from sapo.records import write_bytes, write_text
from sapo.report.names import WHOLE, learns_from, whole_of

BLACK, GREY = "#000000", "#666666"
ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"

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
    "savefig.dpi": 136,
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
    """How one method is drawn; `filled` says whether the inside of its marker is coloured or white."""

    color: str
    marker: str
    line: str | tuple[int, tuple[float, ...]]
    filled: bool = True

    @property
    def face(self) -> str:
        return self.color if self.filled else "white"


# Three rules, so that a reader need not look up every method: the colour tells the family, a filled marker learns from
# the process and a hollow one from outcomes, and the shape tells the training: squares and diamonds are SFT, upward
# triangles are ORPO, the other triangles DPO. Variants of SAPO and SIPF have the colour of the whole method.
FAMILIES = {"sapo": BLUE, "sipf": PURPLE, "process": GREEN, "outcome": VERMILION, "gold rationales": BLACK}
MARKERS = {"cot": "x", "sft": "h", "star": "*", "rft": "s", "prft": "s", "online_rft": "D", "rft_dpo": "v"}
MARKERS |= {"srf": "<", "psrf": "<", "rpo": ">", "grpo": "P", "orpo_outcome": "^", "orpo_mc": "^"}
MARKERS |= {"sapo": "o", "sipf": "p"}
LINES: dict[str, str | tuple[int, tuple[float, ...]]] = {"cot": ":", "sapo": "-", "sipf": (0, (7, 1.5)), "psrf": "--"}
LINES |= {"star": ":", "online_rft": "--", "srf": "-.", "rpo": (0, (1, 1)), "orpo_outcome": "--", "orpo_mc": "-."}


def look(method: str) -> Look:
    """The look of any method; one that is neither known nor a variant is a grey hollow diamond."""
    whole = method if method in WHOLE else whole_of(method)
    family = whole or learns_from(method)
    color = FAMILIES.get(family, GREY)
    filled = method == "sft" or learns_from(method) == "process"
    return Look(color, MARKERS.get(method, "d"), LINES.get(method, "-"), filled)


def ink(color: str) -> str:
    """A darker shade of a colour, for words: letters are thinner than lines."""
    parts = [int(color[place : place + 2], 16) for place in (1, 3, 5)]
    return "#" + "".join(f"{round(0.75 * part):02X}" for part in parts)


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save figures inside this block; settings outside are untouched."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        for key, value in _RULES.items():
            matplotlib.rcParams[key] = value  # pyright: ignore[reportArgumentType]
        yield


def panels(heights: Sequence[float], widths: Sequence[float], gaps: Sequence[float]) -> tuple[Figure, np.ndarray]:
    """A figure with a grid of panels, a height for each row and a width for each column; all lengths in inches.

    Everything is placed by arithmetic: matplotlib's own layout engines differ in the last bits from run to run.

    Args:
        gaps: margin to the left of the first column, gaps between the columns, margin to the right of the last one;
            for the labels of the right one's axis and what stands beside the left one.
    """
    top, bottom, between = 0.5, 0.75, 1.1
    width = sum(widths) + sum(gaps)
    total = top + bottom + sum(heights) + between * (len(heights) - 1)
    figure = Figure(figsize=(width, total))
    grid = figure.subplots(len(heights), len(widths), squeeze=False)
    for row, height in enumerate(heights):
        y = total - top - sum(heights[: row + 1]) - between * row
        for column, wide in enumerate(widths):
            x = sum(widths[:column]) + sum(gaps[: column + 1])
            grid[row, column].set_position((x / width, y / total, wide / width, height / total))
    return figure, grid


def inches(axes: Axes) -> tuple[float, float]:
    """Width and height of a panel."""
    figure, place = axes.get_figure(root=True), axes.get_position()
    if figure is None:
        raise ValueError("a panel without a figure has no size")
    return place.width * figure.get_figwidth(), place.height * figure.get_figheight()


def save(figure: Figure, folder: Path, name: str, rows: Sequence[Mapping[str, object]]) -> list[Path]:
    """Write `name`.png, .pdf and .svg and the numbers behind them as `name`.csv, each file whole or not at all.

    Args:
        rows: one a drawn number, all with the same keys; floats are rounded to 6 decimals.

    Returns:
        The files that were written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{kind}" for kind in (*_METADATA, "csv")]
    smaller = {"png": _small_png, "svg": _small_svg}
    with styled():
        for path, (kind, metadata) in zip(paths, _METADATA.items(), strict=False):
            drawn = io.BytesIO()
            figure.savefig(drawn, format=kind, metadata=metadata)
            write_bytes(path, smaller.get(kind, bytes)(drawn.getvalue()))
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows({k: round(v, 6) if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    write_text(paths[-1], text.getvalue())
    return paths


def _small_png(content: bytes) -> bytes:
    """128 colours: a third of the bytes, and no difference to the eye in figures of few colours."""
    small = io.BytesIO()
    with Image.open(io.BytesIO(content)) as image:
        palette = image.convert("RGB").quantize(128, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        palette.save(small, "png", optimize=True)
    return small.getvalue()


def _small_svg(content: bytes) -> bytes:
    """The same drawing in about half of the bytes; coordinates keep four digits."""
    options = {"digits": 4, "newlines": False, "indent_type": "none", "strip_comments": True, "strip_ids": True}
    options |= {"shorten_ids": True, "remove_metadata": True, "group_create": True}
    return scourString(content.decode("utf-8"), Namespace(**options)).encode("utf-8")


def spread(wanted: Sequence[float], gap: float, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """Heights for labels: as wanted where there is room, else moved apart to `gap`, in the wanted order.

    Labels that touch form a block around the mean of what they want, as far as `low` and `high` allow; where there is
    not room for all between these, they go beyond `high`.

    >>> spread([1.0, 1.0, 9.0], 2.0)
    [0.0, 2.0, 9.0]
    >>> spread([1.0, 1.0, 9.0], 2.0, 1.0, 8.0)
    [1.0, 3.0, 8.0]
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    blocks: list[list[int]] = []
    for index in order:
        blocks.append([index])
        while len(blocks) > 1 and _low(blocks[-1], wanted, gap) - _high(blocks[-2], wanted, gap) < gap:
            last = blocks.pop()
            blocks[-1] += last
    heights = [0.0] * len(wanted)
    rank = 0
    for block in blocks:
        for place, index in enumerate(block):
            least, most = low + rank * gap, high - (len(wanted) - 1 - rank) * gap
            heights[index] = max(least, min(most, _low(block, wanted, gap) + place * gap))
            rank += 1
    return heights


def _low(block: list[int], wanted: Sequence[float], gap: float) -> float:
    return sum(wanted[index] for index in block) / len(block) - gap * (len(block) - 1) / 2


def _high(block: list[int], wanted: Sequence[float], gap: float) -> float:
    return _low(block, wanted, gap) + gap * (len(block) - 1)
