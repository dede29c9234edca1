"""Tables as data, LaTeX and HTML: the same cells, and nothing of them is taken for markup."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sapo.report.tables.exports import as_data, latex, page, slug, tex
from sapo.report.tables.method_tables import Table

TABLE = Table("50 % of x_1", ("Name", "A & B"), (("<b>", "1.0 † [0, 2]"), ("c_1", "–")), "≥ 3 → {so}")


def test_latex_by_hand() -> None:
    assert latex([TABLE]).splitlines() == [
        r"\begin{table}",
        r"\caption{50 \% of x\_1}\label{tab:50-of-x-1}",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"Name & A \& B \\",
        r"\midrule",
        r"<b> & 1.0 \dag{} [0, 2] \\",
        r"c\_1 & -- \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\par\smallskip\footnotesize $\ge$ 3 $\to$ \{so\}",
        r"\end{table}",
    ]


def test_a_page_holds_every_cell_and_no_markup_of_theirs() -> None:
    text = page("All <of> it", [TABLE])
    assert '<td class="w">&lt;b&gt;</td><td>1.0' in text and "<b>" not in text and "A &amp; B" in text
    assert "<h1>All &lt;of&gt; it</h1>" in text and "http" not in text


def test_a_table_without_rows_keeps_its_header() -> None:
    """A run without third rounds has nothing to say in SAPO's table 2."""
    empty = Table("None", ("Name", "Steps"), ())
    assert "<th>Name</th><th>Steps</th>" in page("t", [empty])
    assert r"Name & Steps \\" in latex([empty])


def test_data_is_named_by_the_title() -> None:
    assert as_data([TABLE]) == {
        "50-of-x-1": {"title": TABLE.title, "header": TABLE.header, "rows": TABLE.rows, "note": TABLE.note}
    }
    with pytest.raises(ValueError, match="2 tables have 1 different titles"):
        as_data([TABLE, TABLE])


@given(st.text())
def test_no_special_character_reaches_latex_alone(text: str) -> None:
    found = tex(text)
    for escaped in ("\\textbackslash{}", "\\textasciitilde{}", "\\textasciicircum{}", *(f"\\{c}" for c in "&%$#_{}")):
        found = found.replace(escaped, "")
    for known in ("$-$", "$\\times$", "\\dag{}", "\\ddag{}", "\\S{}", "$\\le$", "$\\ge$", "$\\to$"):
        found = found.replace(known, "")
    assert not set(found) & set("&%$#_{}~^\\")


@given(st.text())
def test_slugs_are_names(title: str) -> None:
    assert set(slug(title)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
