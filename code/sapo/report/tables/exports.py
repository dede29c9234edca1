"""The same tables of text as data, as LaTeX (booktabs) and as one HTML page, for papers and browsers."""

import html
import re
from collections.abc import Sequence

from sapo.report.tables.method_tables import Table, text_columns

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "×": r"$\times$",
}
_LATEX |= {character: rf"\{character}" for character in "&%$#_{}"}
_LATEX |= {"†": r"\dag{}", "‡": r"\ddag{}", "§": r"\S{}", "≤": r"$\le$", "≥": r"$\ge$", "→": r"$\to$", "–": "--"}
_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; padding: 0 1rem }
figure { margin: 0 0 2.5rem; overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #8884 }
.w { text-align: left; white-space: normal; max-width: 30rem }
caption { text-align: left; font-weight: 600; padding-bottom: .4rem }
figcaption { color: GrayText; max-width: 60rem; padding-top: .4rem }
""".strip()


def slug(title: str) -> str:
    """A title as a name of letters, digits and dashes.

    >>> slug("Accuracy of qwen2_nano in %, with 95 % intervals")
    'accuracy-of-qwen2-nano-in-with-95-intervals'
    """
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def as_data(tables: Sequence[Table]) -> dict[str, dict[str, object]]:
    """Tables by the slug of their title. Raises ValueError where two have the same."""
    found = {slug(t.title): {"title": t.title, "header": t.header, "rows": t.rows, "note": t.note} for t in tables}
    if len(found) < len(tables):
        raise ValueError(f"{len(tables)} tables have {len(found)} different titles")
    return found


def latex(tables: Sequence[Table]) -> str:
    """One `table` environment each; the document needs `\\usepackage{booktabs}`."""
    return "\n".join(_latex(table) for table in tables)


def _latex(table: Table) -> str:
    columns = "".join("l" if text else "r" for text in text_columns(table))
    lines = [
        r"\begin{table}",
        rf"\caption{{{tex(table.title)}}}\label{{tab:{slug(table.title)}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(map(tex, table.header)) + r" \\",
        r"\midrule",
        *(" & ".join(map(tex, row)) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        *([rf"\par\smallskip\footnotesize {tex(table.note)}"] if table.note else []),
        r"\end{table}",
        "",
    ]
    return "\n".join(lines)


def tex(text: str) -> str:
    """Text whose special characters are safe in LaTeX.

    >>> tex("50 % of x_1")
    '50 \\\\% of x\\\\_1'
    """
    return "".join(_LATEX.get(character, character) for character in text)


def page(title: str, tables: Sequence[Table]) -> str:
    """A page of its own, with nothing from outside."""
    body = "\n".join(_html(table) for table in tables)
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    heading = f"<h1>{html.escape(title)}</h1>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{heading}\n{body}\n</body></html>\n'


def _html(table: Table) -> str:
    kinds = [' class="w"' if text else "" for text in text_columns(table)]
    head, *body = [_cells(kinds, cells, tag) for cells, tag in ((table.header, "th"), *((r, "td") for r in table.rows))]
    rows = "\n".join(f"<tr>{cells}</tr>" for cells in body)
    note = f"<figcaption>{html.escape(table.note)}</figcaption>" if table.note else ""
    caption = f"<caption>{html.escape(table.title)}</caption>"
    return (
        f'<figure id="{slug(table.title)}"><table>{caption}\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table>{note}</figure>"
    )


def _cells(kinds: Sequence[str], cells: Sequence[str], tag: str) -> str:
    """Cells of a row; words lean left and may take several lines (`kinds`)."""
    return "".join(f"<{tag}{kind}>{html.escape(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))
