"""Setting `tracking`: what a stage has written (`report/tracker_rows.py`) goes to DVCLive, MLflow or W&B when it ends.

Logs are read after the fact, so that no result and no key of kept work depends on the setting, and a tracker that
refuses costs a line on stderr and no result. What was sent once is not sent again (`runs/.tracking/sent`).
`dvclive` writes a folder a run; `mlflow` goes to MLFLOW_TRACKING_URI, or to an SQLite file; `wandb` to its service, or
to the disk with WANDB_MODE=offline. Their own environment variables hold; project and experiment are `sapo`.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from sapo.records import BadInput, write_text
from sapo.report.tracker_rows import Tracked

PROJECT = "sapo"
PARAMETERS, MEASURES = 100, 1000  # that a server of MLflow takes at once


class TrackerMissing(BadInput):
    """The tracker of the settings is not installed; the message says what installs it."""


@dataclass(frozen=True, slots=True)
class Tracker:
    """Takes runs; `refusals` are the errors that it ends with where its disk or its service does not take one."""

    log: Callable[[Tracked, Path], None]
    refusals: tuple[type[Exception], ...]


def check_tracker(name: str) -> None:
    """Whether it is installed, without importing it: trackers start threads, and stages fork. Raises TrackerMissing."""
    try:
        if name != "none":
            metadata.version("mlflow-skinny" if name == "mlflow" else name)  # the part of MLflow that logs
    except metadata.PackageNotFoundError:
        raise TrackerMissing(
            f'tracking: {name} is not installed: pip install -e ".[{name}]", or configure with tracking=none'
        ) from None


def send(name: str, runs: Iterable[Tracked], folder: Path) -> None:
    """Send the runs that have not been sent yet, and say on stderr how many, or why the tracker takes no more.

    Args:
        folder: runs/.tracking. What trackers write to a disk goes below it, unless their own variables say otherwise.
    """
    marked = [(run, folder / "sent" / name / run.digest) for run in runs]
    fresh = [(run, mark) for run, mark in marked if not mark.is_file()]
    if not fresh:
        return
    tracker = TRACKERS[name]()
    for run, mark in fresh:
        try:
            tracker.log(run, folder)
        except tracker.refusals as error:
            reason = " ".join(str(error).split())[:300]
            sys.stderr.write(f"{name} did not take {run.name}: {reason}; the stage's results are whole\n")
            return
        write_text(mark, run.name + "\n")
    sys.stderr.write(f"{name}: {len(fresh)} runs sent\n")


def _dvclive() -> Tracker:
    from dvclive import Live  # pyright: ignore[reportMissingImports]
    from dvclive.error import DvcLiveError  # pyright: ignore[reportMissingImports]

    def log(run: Tracked, folder: Path) -> None:
        """A bare Live() would rewrite dvc.yaml and make an experiment."""
        with Live(dir=str(folder / "dvclive" / run.name), dvcyaml=None, save_dvc_exp=False) as live:
            live.log_params(run.parameters)
            for step, values in run.values.items():
                live.step = step
                for name, value in values.items():
                    live.log_metric(name, value)

    return Tracker(log, (DvcLiveError, OSError))


def _mlflow() -> Tracker:
    from mlflow import MlflowClient, is_tracking_uri_set  # pyright: ignore[reportMissingImports]
    from mlflow.entities import Metric, Param  # pyright: ignore[reportMissingImports]
    from mlflow.exceptions import MlflowException  # pyright: ignore[reportMissingImports]

    def log(run: Tracked, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        client = MlflowClient(None if is_tracking_uri_set() else f"sqlite:///{folder.resolve() / 'mlflow.db'}")
        found = client.get_experiment_by_name(PROJECT)
        experiment = found.experiment_id if found else client.create_experiment(PROJECT)
        started = client.create_run(experiment, tags={"group": run.group}, run_name=run.name).info.run_id
        now = round(time.time() * 1000)
        measures = [Metric(n, v, now, step) for step, values in run.values.items() for n, v in values.items()]
        parameters = [Param(name, str(value)) for name, value in run.parameters.items()]
        for some in _batches(parameters, PARAMETERS):
            client.log_batch(started, params=some)
        for some in _batches(measures, MEASURES):
            client.log_batch(started, metrics=some)
        client.set_terminated(started)

    return Tracker(log, (MlflowException, OSError))


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[first : first + size] for first in range(0, len(items), size))


def _wandb() -> Tracker:
    import wandb  # pyright: ignore[reportMissingImports]

    def log(run: Tracked, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        quiet = wandb.Settings(silent=True, console="off", x_disable_stats=True)
        with wandb.init(
            project=PROJECT,
            dir=str(folder),
            name=run.name,
            group=run.group,
            job_type=run.stage,
            config=run.parameters,
            reinit="create_new",
            settings=quiet,
        ) as live:
            for step, values in run.values.items():
                live.log(values, step=step)

    return Tracker(log, (wandb.errors.Error, OSError))


TRACKERS: dict[str, Callable[[], Tracker]] = {"dvclive": _dvclive, "mlflow": _mlflow, "wandb": _wandb}
