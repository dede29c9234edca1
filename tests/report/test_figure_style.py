"""Looks that can be told apart, panels placed by arithmetic, and names that keep their distance."""

import math
import re
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from sapo.report.figures.drawing import ITERATED, short_name
from sapo.report.figures.labels import beside, text_size
from sapo.report.names import KNOWN, learns_from, whole_of
from sapo.report.style import LINES, ink, look, panels, save, spread, styled


def test_every_known_method_has_a_look_of_its_own() -> None:
    """Variants are told apart by their names alone; the others by shape and filling, as in grey; lines by dashes."""
    methods = [method for method in KNOWN if not whole_of(method)]
    for one, other in combinations(ITERATED, 2):
        assert (look(one).color, LINES[one]) != (look(other).color, LINES[other]), (one, other)
    greys = {method: (look(method).marker, look(method).filled) for method in methods}
    for one, other in combinations(methods, 2):
        assert greys[one] != greys[other], f"{one} and {other} look the same in grey"


def test_a_hollow_marker_learns_from_outcomes() -> None:
    for method in KNOWN:
        if learns_from(method) in ("outcome", "process"):
            assert look(method).filled == (learns_from(method) == "process"), method
            assert (look(method).face == "white") == (learns_from(method) == "outcome"), method
    assert look("sapo_lazy").color == look("sapo").color != look("sipf_without_or").color == look("sipf").color
    assert look("mine") == look("yours")  # unknown ones are drawn too


def test_ink_is_three_quarters_of_a_colour() -> None:
    """D5 is 213, three quarters of which are 160 (A0); 5E is 94 and gives 70 (46)."""
    assert ink("#D55E00") == "#A04600"


@given(st.lists(st.floats(0, 100), max_size=12), st.floats(0.1, 5))
def test_labels_keep_their_order_and_their_distance(wanted: list[float], gap: float) -> None:
    heights = spread(wanted, gap)
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    placed = [heights[index] for index in order]
    assert all(above - below >= gap - 1e-9 for below, above in pairwise(placed))
    free = all(abs(one - other) > gap for one, other in combinations(wanted, 2))
    assert not free or heights == pytest.approx(wanted)
    room = spread(wanted, gap, 0.0, 100.0)
    placed = [room[index] for index in order]
    assert all(above - below >= gap - 1e-9 for below, above in pairwise(placed))
    assert all(-1e-9 <= height <= 100 + 1e-9 for height in room)


def test_panels_lie_where_the_arithmetic_says() -> None:
    """0.5 + 1 + 1 + 2 + 0.5 = 5 inches wide; 0.5 above, 1 and 2 with 1.1 between, 0.75 below: 5.35 high."""
    figure, grid = panels([1.0, 2.0], (1.0, 2.0), (0.5, 1.0, 0.5))
    assert tuple(figure.get_size_inches()) == pytest.approx((5.0, 5.35))
    assert tuple(grid[0, 0].get_position().bounds) == pytest.approx((0.1, 3.85 / 5.35, 0.2, 1 / 5.35))
    assert tuple(grid[1, 1].get_position().bounds) == pytest.approx((0.5, 0.75 / 5.35, 0.4, 2 / 5.35))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=12, unique=True))
def test_names_beside_points_neither_overlap_nor_leave_the_panel(places: list[tuple[int, int]]) -> None:
    """Points at least 1 inch apart in x and 0.4 in y, in a panel of 4 x 2.8 inches."""
    anchors = [(0.5 + x, 0.4 + 0.4 * y) for x, y in places]
    size = text_size("Online RFT")
    centres = beside(anchors, [size] * len(anchors), [], (4.0, 2.8))
    for (x, y), (other_x, other_y) in combinations(centres, 2):
        assert abs(x - other_x) >= size[0] - 1e-9 or abs(y - other_y) >= size[1] - 1e-9
    for (x, y), anchor in zip(centres, anchors, strict=True):
        assert size[0] / 2 - 1e-9 <= x <= 4 - size[0] / 2 + 1e-9
        assert math.dist((x, y), anchor) < 0.8
        assert abs(x - anchor[0]) >= size[0] / 2 or abs(y - anchor[1]) >= size[1] / 2, "the point is hidden"


def test_names_in_figures_are_short() -> None:
    assert [short_name(method) for method in ("cot", "srf", "orpo_mc", "mine")] == ["CoT", "SRF", "ORPO + MC", "mine"]


def test_a_smaller_svg_keeps_its_marks_and_every_reference_leads_somewhere(tmp_path: Path) -> None:
    """Three points as one marker used three times, a word as many glyphs, in less bytes."""
    with styled():
        figure = Figure()
        axes = figure.subplots()
        axes.plot([1, 2, 3], [1, 3, 2], "o")
        axes.set_title("abba")
        figure.savefig(tmp_path / "before.svg")
    save(figure, tmp_path, "after", [{"x": 1}])
    before, after = ((tmp_path / f"{name}.svg").read_text(encoding="utf-8") for name in ("before", "after"))
    assert before.count("<use ") == after.count("<use ") > 0
    names = re.findall(r' id="([^"]+)"', after)
    assert len(names) == len(set(names)) and set(re.findall(r"(?:url\(|href=\")#(\w+)", after)) <= set(names)
    assert len(after) < 0.7 * len(before)
