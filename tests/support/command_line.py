"""Runs a command of `sapo` in this process, and lets its errors through instead of making exit codes of them."""

from collections.abc import Sequence

from sapo.cli.main import sapo


def run(command: str, arguments: Sequence[str]) -> object:
    """The command's own return value, or the exit code of `--help`."""
    return sapo.main([command, *arguments], prog_name="sapo", standalone_mode=False)
