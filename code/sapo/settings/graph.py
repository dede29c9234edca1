"""All settings of a run together, read from `params.yaml` and checked: names become folders and name each other."""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from sapo.settings import methods as sections
from sapo.settings import run as about
from sapo.settings.typed_values import SettingsError, build, changed


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a run depends on besides code and data."""

    profile: str
    seed: int
    threads: int
    workers: int
    arithmetic: Literal["pinned", "native"]
    tracking: Literal["none", "dvclive", "mlflow", "wandb"]
    data: about.DataSettings
    models: dict[str, about.ModelSettings]
    tasks: dict[str, about.TaskSettings]
    groups: dict[str, about.GroupSettings]
    cells: dict[str, about.CellSettings]
    methods: dict[str, dict[str, Any]]
    tuning: about.TuningSettings
    engine: about.EngineSettings
    scratch: about.ScratchSettings
    loop: sections.LoopSettings
    sampling: sections.SamplingSettings
    rollouts: sections.RolloutSettings
    labels: sections.LabelSettings
    detect: sections.DetectSettings
    saps: sections.SapsSettings
    expansion: sections.ExpansionSettings
    sft: sections.FitSettings
    verifier: sections.VerifierSettings
    pairs: sections.PairSettings
    orpo: sections.OrpoSettings
    dpo: sections.DpoSettings
    grpo: sections.GrpoSettings
    filter: sections.FilterSettings
    budget: sections.BudgetSettings
    efficiency: about.EfficiencySettings
    process_benchmarks: dict[str, about.ProcessBenchmarkSettings]
    process: about.ProcessSettings
    report: about.ReportSettings


def load_settings(path: Path, where: str = "") -> Settings:
    """Read and check `params.yaml`; errors speak of `where` instead of the path if given.

    Raises:
        SettingsError: the file is missing or not YAML, or a key is unknown, missing, of the wrong type or out of range.
    """
    where = where or str(path)
    if not path.is_file():
        raise SettingsError(f"{where}: no such file; write it with `python -m sapo configure profile=nano`")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{where}: not YAML: {' '.join(str(error).split())}") from error
    settings = build(Settings, values, where)
    _check_graph(settings, where)
    return settings


def method_settings(settings: Settings, method: str, seed: int, where: str = "params.yaml") -> Settings:
    """What one method runs with: the common settings, or those of the method it is `like`, with its own changes.

    Raises:
        SettingsError: there is no such method, or it changes a setting that does not exist or to a wrong type.
    """
    return dataclasses.replace(_with_changes(settings, method, f"{where}: methods"), seed=seed)


def _with_changes(settings: Settings, method: str, where: str) -> Settings:
    if method not in settings.methods:
        raise SettingsError(f"{where}: {method!r} is no method; known: {', '.join(settings.methods)}")
    changes = dict(settings.methods[method])
    where = f"{where}: {method}"
    like = changes.pop("like", None)
    if like in where.split(": "):
        raise SettingsError(f"{where}: like: {like!r} is like itself")
    return changed(_with_changes(settings, like, where) if like else settings, changes, where)


def seeds_of(settings: Settings, model: str, task: str) -> list[int]:
    """All seeds that methods of a model and task run with, in order."""
    own = [cell for cell in settings.cells.values() if (cell.model, cell.task) == (model, task)]
    return sorted({seed for cell in own for seed in settings.groups[cell.group].seeds})


def _check_graph(settings: Settings, where: str) -> None:
    """Names become folders and stage names; cells, groups and methods name each other. Raises SettingsError."""
    if settings.report.profile != settings.profile:
        raise SettingsError(
            f"{where}: profile is {settings.profile!r}, but the settings are those of {settings.report.profile!r}; "
            f"`python -m sapo configure profile={settings.profile}` composes its own"
        )
    for section, names in (("models", settings.models), ("tasks", settings.tasks), ("cells", settings.cells)):
        if not names:
            raise SettingsError(f"{where}: {section}: {names!r} names none")
    named = (("models", settings.models), ("tasks", settings.tasks))
    for section, names in (*named, ("groups", settings.groups), ("methods", settings.methods)):
        for name in names:
            if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
                raise SettingsError(f"{where}: {section}: name {name!r} is not lower-case letters, digits and _")
    for method in settings.methods:
        if method in ("cot", "sft"):
            raise SettingsError(f"{where}: methods: {method!r} is what every method starts from; call it otherwise")
        updates = method_settings(settings, method, settings.seed, where).loop.updates
        if not updates:
            raise SettingsError(f"{where}: methods: {method}: loop: updates: () has no round")
        _check_known(updates, sections.UPDATES, f"{where}: methods: {method}: loop: updates")
    for name, group in settings.groups.items():
        _check_known(group.methods, settings.methods, f"{where}: groups: {name}: methods")
        if not group.seeds or len({*group.seeds}) < len(group.seeds):
            raise SettingsError(f"{where}: groups: {name}: seeds {group.seeds} must be different ones, at least one")
    for name, cell in settings.cells.items():
        for section in ("model", "task", "group"):
            _check_known([getattr(cell, section)], getattr(settings, f"{section}s"), f"{where}: cells: {name}")
        if name != f"{cell.model}-{cell.task}-{cell.group}":
            raise SettingsError(f"{where}: cells: {name}: call it {cell.model}-{cell.task}-{cell.group}")
    _check_process(settings, where)
    for model in settings.models:
        for task in settings.tasks:
            if not seeds_of(settings, model, task):
                raise SettingsError(f"{where}: cells: none has model {model} and task {task}")
            _check_once(settings, model, task, where)


def _check_process(settings: Settings, where: str) -> None:
    """Process benchmarks are named by a task and name models; a benchmark has two different writers."""
    for task, benchmark in settings.process_benchmarks.items():
        _check_known([task], settings.tasks, f"{where}: process_benchmarks")
        own = [benchmark.first, benchmark.second, *([benchmark.judge] if benchmark.annotator == "rollout" else [])]
        _check_known(own, settings.models, f"{where}: process_benchmarks: {task}")
        if benchmark.first == benchmark.second:
            raise SettingsError(
                f"{where}: process_benchmarks: {task}: {benchmark.first} cannot write both trajectories"
            )
    process = settings.process
    if not 1 <= process.agree <= process.votes:
        raise SettingsError(f"{where}: process: agree is {process.agree} of {process.votes} votes: expected 1 to all")


def _check_known(names: Iterable[str], known: Iterable[str], where: str) -> None:
    for name in names:
        if name not in known:
            raise SettingsError(f"{where}: {name!r} is not one of {', '.join(known)}")


def _check_once(settings: Settings, model: str, task: str, where: str) -> None:
    """A method runs once for each model, task and seed, or two folders would hold its results."""
    own = [cell.group for cell in settings.cells.values() if (cell.model, cell.task) == (model, task)]
    runs = [(m, s) for name in own for m in settings.groups[name].methods for s in settings.groups[name].seeds]
    twice = [run for run, count in Counter(runs).items() if count > 1]
    if twice:
        raise SettingsError(f"{where}: cells: {model} and {task} run {twice[0][0]} with seed {twice[0][1]} twice")
