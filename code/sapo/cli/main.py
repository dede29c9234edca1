"""Entry of the command line: all commands by section, and the exit codes.

0: done. 1: `verify-run` found a difference. 2: a wrong command line, bad input, or no room on disk or in memory, said
in one line `error: …`. 130: interrupted. Anything else is a bug and shows its trace.
"""

import logging
import sys
from collections.abc import Sequence

import click
from safetensors import SafetensorError

from sapo import __doc__ as about
from sapo.cli import results, stages, tools
from sapo.records import BadInput
from sapo.runtime.arithmetic import apply, chosen
from sapo.settings.configure import PARAMS

SECTIONS = {
    "Stages of the graph (dvc.yaml), in order": stages.COMMANDS,
    "Look at results": results.COMMANDS,
    "Tools": tools.COMMANDS,
}
COMMANDS = {str(command.name): command for section in SECTIONS.values() for command in section}

# Messages of the operating system and of PyTorch when a disk or a memory is full; exceptions have no class for these.
DISK = ("No space left on device", "Disk quota exceeded", "Read-only file system", "Permission denied")
MEMORY = ("out of memory", "can't allocate memory", "Cannot allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
LOWER = "lower sampling.rows or workers, or engine.memory where vLLM draws; `sapo plan` says what fits"
GO_ON = "what is finished is kept, and the same command goes on from there"


class Sections(click.Group):
    """A group whose help lists the commands below the headings of `SECTIONS`."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, commands in SECTIONS.items():
            with formatter.section(heading):
                formatter.write_dl([(str(one.name), one.get_short_help_str(100)) for one in commands])


@click.command(
    cls=Sections,
    commands=COMMANDS,
    help=about,
    epilog="`sapo COMMAND --help` shows options and an example; `dvc repro` runs all stages.",
    context_settings={"max_content_width": 120, "help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="sapo-replication")
def sapo() -> None: ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, by default that of `sys.argv`; the exit code, as the module's docstring lists them."""
    apply(chosen(PARAMS))  # before anything imports torch or numpy
    for library in ("httpx2", "httpcore2"):  # they log what servers send, where a key may come back
        logging.getLogger(library).setLevel(logging.WARNING)
    try:
        return sapo.main(arguments, prog_name="sapo", standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
    except click.UsageError as error:
        where = error.ctx or click.Context(sapo, info_name="sapo")
        _say(f"{where.get_usage()}\nerror: {error.format_message()}\n`{where.command_path} --help` says more")
    except BadInput as error:
        _say(f"error: {error}")
    except (click.Abort, KeyboardInterrupt):
        _say(f"interrupted: {GO_ON}")
        return 130
    except (OSError, SafetensorError, RuntimeError, MemoryError) as error:
        refusal = _refusal(error)
        if not refusal:
            raise
        _say(f"error: {refusal}; {GO_ON}")
    return 2


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _refusal(error: Exception) -> str:
    """What the machine refused, on one line; "" for a bug. PyTorch's memory errors are told by their message."""
    words = " ".join(str(error).split())
    if isinstance(error, MemoryError) or any(reason in words for reason in MEMORY):
        return f"too little memory{': ' if words else ''}{words[:300]}; {LOWER}"
    full = isinstance(error, OSError | SafetensorError) and next((reason for reason in DISK if reason in words), "")
    return f"{full}: {words[:300]}" if full else ""
