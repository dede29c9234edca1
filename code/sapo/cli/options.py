"""What the commands share: how they are declared, their option types, and the settings that they open."""

import os
from collections.abc import Callable, Collection
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import click
from click.shell_completion import CompletionItem

from sapo.records import BadInput
from sapo.runtime.workspace import Workspace
from sapo.settings import Settings, load_settings
from sapo.settings.configure import PARAMS

PATH = click.Path(path_type=Path)


def opened() -> tuple[Settings, Workspace]:
    """The settings of params.yaml and the workspace of their profile; every command with settings begins here.

    PyTorch reads some settings only while it is imported, so they are set here, before the command imports it.

    Raises:
        SettingsError: params.yaml is missing or not valid.
    """
    settings = load_settings(PARAMS)
    os.environ["OMP_NUM_THREADS"] = str(settings.threads)
    return settings, Workspace(Path(), settings.profile)


class Command(click.Command):
    """A command whose usage names the options that it requires.

    Args:
        records: gives dataclasses that have an option for each field with a default. It is called when the options are
            asked for, not when the command is declared, because their modules import slow libraries.
    """

    def __init__(self, *args: Any, records: Callable[[], tuple[type, ...]], **named: Any) -> None:
        super().__init__(*args, **named)
        self.records = records

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        options = [_option(field) for record in self.records() for field in fields(record) if _has_option(field)]
        return [*self.params, *options, *super().get_params(ctx)[len(self.params) :]]

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        required = [one for one in self.params if isinstance(one, click.Option) and one.required]
        return [*(f"{one.opts[0]} {one.make_metavar(ctx)}" for one in required), *super().collect_usage_pieces(ctx)]


def command(name: str, example: str, records: Callable[[], tuple[type, ...]] = tuple) -> Callable[..., click.Command]:
    """Declare a command: its function's docstring is its help, whose first line stands in the list of commands.

    Args:
        example: a command line, the last line of the help.
        records: as of `Command`.
    """
    return click.command(name, cls=Command, records=records, epilog=f"\b\nExample:\n  {example}")


def of_record(record: type, given: dict[str, Any]) -> Any:
    """The record that these options make; options that are no field of it are left out."""
    return record(**{field.name: given[field.name] for field in fields(record) if field.name in given})


def _has_option(field: Any) -> bool:
    return isinstance(field.default, str | int | float)


def _option(field: Any) -> click.Option:
    kind = click.Choice(get_args(field.type)) if get_args(field.type) else type(field.default)
    return click.Option([f"--{field.name.replace('_', '-')}"], type=kind, default=field.default, show_default=True)


class OneOf(click.ParamType):
    """A name among those that `known` gives, which is asked when the option is used or completed.

    Raises:
        BadInput: another name; the message begins with `where` and lists the known ones.
    """

    def __init__(self, name: str, where: str, known: Callable[[], Collection[str]]) -> None:
        self.name, self.where, self.known = name, where, known

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        known = self.known()
        if value not in known:
            raise BadInput(f"{self.where}: {value!r} is not one of {', '.join(known)}")
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            return [CompletionItem(name) for name in self.known() if name.startswith(incomplete)]
        except BadInput:
            return []


MODEL = OneOf("name", f"{PARAMS}: models", lambda: load_settings(PARAMS).models)
TASK = OneOf("name", f"{PARAMS}: tasks", lambda: load_settings(PARAMS).tasks)
METHOD = OneOf("name", f"{PARAMS}: methods", lambda: load_settings(PARAMS).methods)
