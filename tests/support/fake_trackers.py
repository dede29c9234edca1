"""Stand-ins for the parts of DVCLive, MLflow and W&B that `report/trackers.py` uses, with their parameters' names."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest


class FakeLive:
    """DVCLive's `Live`; `made` are those that were opened."""

    made: ClassVar[list["FakeLive"]] = []

    def __init__(self, dir: str = "dvclive", save_dvc_exp: bool = True, dvcyaml: Any = "dvc.yaml") -> None:
        self.dir, self.experiment, self.dvcyaml = dir, save_dvc_exp, dvcyaml
        self.step, self.logged, self.params, self.ended = 0, [], {}, False
        self.made.append(self)

    def __enter__(self) -> "FakeLive":
        return self

    def __exit__(self, *error: object) -> None:
        self.ended = True

    def log_params(self, params: dict[str, Any]) -> None:
        self.params |= params

    def log_metric(self, name: str, val: float) -> None:
        self.logged.append((self.step, name, val))


class FakeClient:
    """MLflow's client over a store that all share."""

    experiments: ClassVar[dict[str, str]] = {}
    batches: ClassVar[list[dict[str, Any]]] = []
    made: ClassVar[list[Any]] = []

    def __init__(self, tracking_uri: str | None = None) -> None:
        self.made.append(tracking_uri)

    def get_experiment_by_name(self, name: str) -> Any:
        known = self.experiments.get(name)
        return known and SimpleNamespace(experiment_id=known)

    def create_experiment(self, name: str) -> str:
        assert name not in self.experiments
        self.experiments[name] = "e1"
        return "e1"

    def create_run(self, experiment_id: str, tags: Any = None, run_name: str | None = None) -> Any:
        self.made.append((experiment_id, tags, run_name))
        return SimpleNamespace(info=SimpleNamespace(run_id="r1"))

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = ()) -> None:
        assert run_id == "r1"
        self.batches.append({"metrics": list(metrics), "params": list(params)})

    def set_terminated(self, run_id: str) -> None:
        self.made.append(("ended", run_id))


class Metric(SimpleNamespace):
    def __init__(self, key: str, value: float, timestamp: int, step: int) -> None:
        super().__init__(key=key, value=value, timestamp=timestamp, step=step)


class Param(SimpleNamespace):
    def __init__(self, key: str, value: str) -> None:
        super().__init__(key=key, value=value)


class FakeRun:
    """W&B's run; steps must not fall."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given, self.logged, self.ended = given, [], False

    def __enter__(self) -> "FakeRun":
        return self

    def __exit__(self, *error: object) -> None:
        self.ended = True

    def log(self, data: dict[str, Any], step: int | None = None) -> None:
        assert step is not None and all(step > before for before, _ in self.logged)
        self.logged.append((step, data))


class FakeWandb(ModuleType):
    Settings = dict

    def __init__(self) -> None:
        super().__init__("wandb")
        self.errors = SimpleNamespace(Error=type("Error", (Exception,), {}))
        self.made: list[FakeRun] = []

    def init(self, **given: Any) -> FakeRun:
        self.made.append(FakeRun(given))
        return self.made[-1]


def module(name: str, **members: Any) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(members)
    return made


def with_wandb(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


def with_dvclive(monkeypatch: pytest.MonkeyPatch, live: type = FakeLive) -> None:
    FakeLive.made.clear()
    monkeypatch.setitem(sys.modules, "dvclive", module("dvclive", Live=live))
    monkeypatch.setitem(sys.modules, "dvclive.error", module("dvclive.error", DvcLiveError=LookupError))


def with_mlflow(monkeypatch: pytest.MonkeyPatch, named: bool) -> None:
    for store in (FakeClient.experiments, FakeClient.batches, FakeClient.made):
        store.clear()
    members = {"MlflowClient": FakeClient, "is_tracking_uri_set": lambda: named}
    monkeypatch.setitem(sys.modules, "mlflow", module("mlflow", **members))
    monkeypatch.setitem(sys.modules, "mlflow.entities", module("mlflow.entities", Metric=Metric, Param=Param))
    monkeypatch.setitem(sys.modules, "mlflow.exceptions", module("e", MlflowException=LookupError))
