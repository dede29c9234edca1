"""Stage `verify_data`: the embedded inputs are those that the results were made from, or nothing runs."""

from sapo.records import write_plain_json
from sapo.runtime.pins import verify
from sapo.runtime.workspace import StageArguments, Workspace
from sapo.settings import Settings


def run(settings: Settings, workspace: Workspace, arguments: StageArguments) -> None:
    """Check `data/` against the pins in the code; the digests are what later stages depend on."""
    write_plain_json(workspace.verified_data, verify(workspace.data))
