"""Smaller SVG is the same drawing: by hand, and again from its own output."""

import io
import re
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from sapo.report.vector import rounded, small_svg

DRAWN = b"""<?xml version="1.0" encoding="utf-8" standalone="no"?>
<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="10pt" viewBox="0 0 10 10" xmlns="http://www.w3.org/2000/svg">
 <metadata>by somebody</metadata>
 <defs><style type="text/css">*{stroke-linecap: butt}</style></defs>
 <g id="figure_1">
  <g id="line_1">
   <path d="M 0 1.2345
L 2.999 0.5
" clip-path="url(#pabc)" style="fill: none; stroke: #000000"/>
   <path d="M 1 1" style="fill: none; stroke: #000000"/>
  </g>
  <g id="text_1">
   <!-- ab -->
   <g transform="translate(1.00499 2) scale(0.08 -0.08)">
    <defs><path id="DejaVuSans-44" d="M 3 4" transform="scale(0.015625)"/></defs>
    <use xlink:href="#DejaVuSans-44"/>
    <use xlink:href="#DejaVuSans-44" transform="translate(61.279297 0)"/>
   </g>
  </g>
 </g>
 <defs><clipPath id="pabc"><rect x="46.801" y="36" width="172.8" height="0.004"/></clipPath></defs>
</svg>
"""
SMALL = """<?xml version='1.0' encoding='utf-8'?>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="10pt" viewBox="0 0 10 10">
<defs>
<style type="text/css">*{stroke-linecap: butt}
.c0{fill:none;stroke:#000000}</style>
</defs>
<path d="M0 1.23L3 .5" clip-path="url(#i0)" class="c0" />
<path d="M1 1" class="c0" />
<!-- ab -->
<g transform="translate(1 2) scale(0.08 -0.08)">
<defs>
<path id="i1" d="M3 4" transform="scale(0.015625)" />
</defs>
<use xlink:href="#i1" />
<use xlink:href="#i1" x="61.28" />
</g>
<defs>
<clipPath id="i0">
<rect x="46.8" y="36" width="172.8" height="0" />
</clipPath>
</defs>
</svg>
"""


def test_by_hand() -> None:
    """One style twice is one class; groups that only carry a name go; the scale of a glyph keeps all its digits."""
    assert small_svg(DRAWN).decode() == SMALL


def test_again_changes_nothing() -> None:
    assert small_svg(small_svg(DRAWN)).decode() == SMALL


@given(st.floats(-1e4, 1e4))
def test_rounding_moves_by_half_a_hundredth_at_most(value: float) -> None:
    assert abs(float(rounded(repr(value) if "e" not in repr(value) else f"{value:.20f}")) - value) <= 0.005 + 1e-9


def test_a_figure_keeps_its_marks_and_every_reference_leads_somewhere() -> None:
    """Three points as one marker used three times, two words as many glyphs: nothing is lost on the way."""
    figure = Figure()
    axes = figure.subplots()
    axes.plot([1, 2, 3], [1, 3, 2], "o")
    axes.set_title("ab ba")
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    before, after = (ElementTree.fromstring(text) for text in (file.getvalue(), small_svg(file.getvalue())))
    for kind in ("use", "path", "clipPath"):
        count = [len(list(root.iter("{http://www.w3.org/2000/svg}" + kind))) for root in (before, after)]
        assert count[0] == count[1] > 0
    text = small_svg(file.getvalue()).decode()
    names = re.findall(r' id="([^"]+)"', text)
    assert len(names) == len(set(names)) and set(re.findall(r'#(i\d+)[")]', text)) == set(names)
    assert len(text) < 0.7 * len(file.getvalue())
