"""Tables of text to Markdown, to the terminal, and into a section of the README between two markers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from sapo.records import BadInput
from sapo.report.tables.method_tables import Table, text_columns

PLAIN_WIDTH = 160  # of output that is no terminal


class ReadmeError(BadInput):
    """The README has no place for the results; the message names file and marker."""


def markdown(tables: Sequence[Table]) -> str:
    """The tables as Markdown, a blank line between them; the first column is text, the others lean right."""
    return "\n\n".join(_markdown(table) for table in tables) + "\n"


def _markdown(table: Table) -> str:
    rule = ["---" if text else "---:" for text in text_columns(table)]
    lines = [f"| {' | '.join(cells)} |" for cells in (table.header, rule, *table.rows)]
    return "\n".join([f"**{table.title}**", "", *lines, *(["", table.note] if table.note else [])])


def show(tables: Sequence[Table], console: Console | None = None) -> None:
    """Print the tables; output that is no terminal gets lines wide enough for all columns."""
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=PLAIN_WIDTH)
    for table in tables:
        view = RichTable(title=Text(table.title), caption=Text(table.note), title_justify="left")
        view.caption_justify = "left"
        for name, text in zip(table.header, text_columns(table), strict=True):
            view.add_column(Text(name), justify="left" if text else "right")
        for row in table.rows:
            view.add_row(*map(Text, row))
        console.print(view)


def document(title: str, tables: Sequence[Table]) -> str:
    """A file of tables, each below a heading, so that it can be linked to."""
    body = [f"## {table.title}\n\n" + _markdown(table).split("\n\n", 1)[1] for table in tables]
    return "\n\n".join([f"# {title}", *body]) + "\n"


def with_sections(path: Path, bodies: Mapping[str, str]) -> str:
    """The text of a README with each body between the markers of its section. Raises ReadmeError, as below."""
    if not path.is_file():
        raise ReadmeError(f"{path}: no such file")
    text = path.read_text(encoding="utf-8")
    for name, body in bodies.items():
        text = _with_section(path, text, name, body)
    return text


def with_section(path: Path, name: str, body: str) -> str:
    """The text of a README with `body` between the markers of section `name`, each on a line of its own, once.

    Raises:
        ReadmeError: the file or a marker is missing, or a marker is there twice or in the wrong order.
    """
    return with_sections(path, {name: body})


def _with_section(path: Path, text: str, name: str, body: str) -> str:
    lines = text.split("\n")
    first, last = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    for marker in (first, last):
        if lines.count(marker) != 1:
            raise ReadmeError(f"{path}: {lines.count(marker)} lines {marker!r}, expected one")
    begin, end = lines.index(first), lines.index(last)
    if end < begin:
        raise ReadmeError(f"{path}: line {end + 1}: {last!r} comes before {first!r}")
    return "\n".join([*lines[: begin + 1], "", *body.strip("\n").split("\n"), "", *lines[end:]])
