"""Stage `paper`: `paper/main.typ` to `paper/PROFILE.pdf`, with every number from the report's files.

The same files give the same bytes: no date, and no fonts but those that Typst brings along.
"""

import sys

import typst

from sapo.records import BadInput, write_bytes
from sapo.runtime.workspace import StageArguments, Workspace
from sapo.settings import Settings

SOURCE = "paper/main.typ"


class PaperError(BadInput):
    """The paper cannot be set; the message is Typst's, which names file and place."""


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    inputs = {"results": f"/{settings.report.results}", "figures": f"/{settings.report.figures}"}
    try:
        content = typst.compile(
            workspace.root / SOURCE, root=workspace.root, sys_inputs=inputs, ignore_system_fonts=True
        )
    except typst.TypstError as error:
        raise PaperError(f"{SOURCE}: {error}") from error
    path = workspace.root / f"paper/{settings.profile}.pdf"
    assert isinstance(content, bytes)  # one document without an output path
    write_bytes(path, content)
    sys.stdout.write(f"{path}\n")
