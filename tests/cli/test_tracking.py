"""Setting `tracking`: what is read from a finished stage, and what the three trackers are given of it."""

import inspect
import json
import math
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_trackers import FakeClient, FakeLive, FakeRun, FakeWandb, Metric, Param, with_dvclive, with_mlflow, with_wandb

from sapo.cli import main as command
from sapo.records import Outcome, write_json, write_records
from sapo.report import trackers
from sapo.report.tracker_rows import Tracked, tracked
from sapo.report.trackers import TRACKERS, TrackerMissing, check_tracker, send
from sapo.runtime.cache import code_of
from sapo.runtime.workspace import StageArguments, Workspace
from sapo.settings import Settings
from sapo.settings.configure import PARAMS, compose

ROOT = Path(__file__).parents[2]
PLACE = StageArguments("qwen2_nano", "nano_math")


@pytest.fixture(scope="module")
def nano() -> Settings:
    return compose(ROOT, ["profile=nano"])[1]


def log(path: Path, *losses: float) -> None:
    """A training log with a step for each loss."""
    own = {"epoch": 1, "lr": 0.5, "gradient_norm": 2.0, "measures": {"nll": 3.0}}
    write_json(path, [{"step": step, "loss": loss} | own for step, loss in enumerate(losses, start=1)])


def answers(folder: Path, *right: bool) -> None:
    outcomes = [Outcome(f"q{n}", f"q{n}", "", "right" if one else "wrong") for n, one in enumerate(right)]
    write_records(folder / "nano_math.jsonl", outcomes, Outcome)
    write_json(folder / "nano_math.json", {"generated_tokens": 7, "flops": 8.0, "right_with_wrong_step": None})


def runs(settings: Settings, root: Path, stage: str) -> list[Tracked]:
    return list(tracked(settings, Workspace(root, "nano"), stage, PLACE))


def test_a_method_is_one_run_with_every_training_of_every_round(nano: Settings, tmp_path: Path) -> None:
    """Two steps of the first update and one of its verifier: step 2 has the update's values alone."""
    folder = Workspace(tmp_path, "nano").methods(PLACE.model, PLACE.task) / "3" / "sipf"
    log(folder / "1" / "log.json", 1.0, 0.5)
    log(folder / "1" / "verifier_log.json", 4.0)
    log(folder / "2" / "log.json", 9.0)
    write_json(folder / "1" / "costs.json", {})
    (one,) = runs(nano, tmp_path, "methods")
    assert (one.stage, one.group) == ("methods", "nano/qwen2_nano/nano_math")
    assert one.name == "nano/qwen2_nano/nano_math/methods/3/sipf"
    assert one.values[1]["round_1/update/loss"] == 1.0
    assert one.values[1]["round_1/verifier/loss"] == 4.0
    assert one.values[1]["round_2/update/loss"] == 9.0
    assert one.values[2] == {
        "round_1/update/loss": 0.5,
        "round_1/update/lr": 0.5,
        "round_1/update/gradient_norm": 2.0,
        "round_1/update/nll": 3.0,
    }
    assert (one.parameters["seed"], one.parameters["labels.by"], one.parameters["method"]) == (3, "shepherd", "sipf")
    assert one.parameters["loop.updates"] == "orpo, orpo, orpo"
    assert one.parameters["orpo.fit.lr"] == nano.orpo.fit.lr


def test_a_start_is_a_run_a_seed(nano: Settings, tmp_path: Path) -> None:
    for seed in (1, 2):
        folder = Workspace(tmp_path, "nano").start(PLACE.model, PLACE.task, seed)
        log(folder / "sft" / "log.json", 1.0)
        log(folder / "verifier_log.json", float(seed))
    first, second = runs(nano, tmp_path, "start")
    assert first.name.endswith("/start/1/start")
    assert (first.values[1]["sft/loss"], second.values[1]["verifier/loss"]) == (1.0, 2.0)


def test_evaluation_is_a_value_a_round(nano: Settings, tmp_path: Path) -> None:
    """1 of 4 right, then 3 of 4."""
    folder = Workspace(tmp_path, "nano").evaluation(PLACE.model, PLACE.task) / "1" / "sapo"
    answers(folder / "1", True, False, False, False)
    answers(folder / "2", True, True, True, False)
    (one,) = runs(nano, tmp_path, "evaluate")
    assert one.values == {
        1: {"nano_math/accuracy": 0.25, "nano_math/generated_tokens": 7.0, "nano_math/flops": 8.0},
        2: {"nano_math/accuracy": 0.75, "nano_math/generated_tokens": 7.0, "nano_math/flops": 8.0},
    }


def test_a_stage_without_logs_has_no_runs(nano: Settings, tmp_path: Path) -> None:
    assert [runs(nano, tmp_path, stage) for stage in ("base", "start", "report")] == [[], [], []]


def test_no_result_can_depend_on_the_setting() -> None:
    """No stage of the graph reads it, its code is none that keys of kept work count, and it is off."""
    graph = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    read = [name for stage in graph.values() for name in stage.get("do", stage).get("params", [])]
    assert "tuning" in read and "tracking" not in read
    assert Path(trackers.__file__) not in code_of("sapo.recipes.self_improvement") | code_of("sapo.stages.evaluate")
    assert yaml.safe_load((ROOT / PARAMS).read_text(encoding="utf-8"))["tracking"] == "none"


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    return with_wandb(monkeypatch)


RUN = Tracked(
    "methods", "p/m/t", "p/m/t/methods/1/sapo", {"seed": 1, "a.b": "x"}, {1: {"u/loss": 2.0}, 3: {"u/loss": 1.0}}
)


def test_dvclive_gets_a_folder_a_run_and_leaves_dvc_yaml_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_dvclive(monkeypatch)
    send("dvclive", [RUN], tmp_path)
    (live,) = FakeLive.made
    assert live.dir == str(tmp_path / "dvclive/p/m/t/methods/1/sapo")
    assert (live.experiment, live.dvcyaml, live.ended) == (False, None, True)
    assert live.params == {"seed": 1, "a.b": "x"}
    assert live.logged == [(1, "u/loss", 2.0), (3, "u/loss", 1.0)]


@pytest.mark.parametrize("named", [False, True])
def test_mlflow_writes_a_database_unless_the_environment_names_a_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: bool
) -> None:
    with_mlflow(monkeypatch, named)
    send("mlflow", [RUN], tmp_path)
    send("mlflow", [RUN], tmp_path)
    uri = None if named else f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert FakeClient.made == [uri, ("e1", {"group": "p/m/t"}, RUN.name), ("ended", "r1")]
    params, metrics = FakeClient.batches
    assert [(p.key, p.value) for p in params["params"]] == [("seed", "1"), ("a.b", "x")]
    assert [(m.key, m.value, m.step) for m in metrics["metrics"]] == [("u/loss", 2.0, 1), ("u/loss", 1.0, 3)]


def test_mlflow_is_asked_for_no_more_than_its_servers_take(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """2001 values: 1000, 1000 and 1."""
    with_mlflow(monkeypatch, True)
    many = Tracked("s", "g", "n", {}, {step: {"loss": math.pi} for step in range(2001)})
    send("mlflow", [many], tmp_path)
    assert [len(batch["metrics"]) for batch in FakeClient.batches] == [1000, 1000, 1]


def test_wandb_gets_a_run_in_its_group(wandb: FakeWandb, tmp_path: Path) -> None:
    send("wandb", [RUN], tmp_path / "t")
    (live,) = wandb.made
    given = live.given
    assert (given["project"], given["group"], given["job_type"]) == ("sapo", "p/m/t", "methods")
    assert (given["name"], given["dir"], given["config"]) == (RUN.name, str(tmp_path / "t"), RUN.parameters)
    assert live.logged == [(1, {"u/loss": 2.0}), (3, {"u/loss": 1.0})]
    assert live.ended and (tmp_path / "t").is_dir()


def test_what_was_sent_is_not_sent_again_and_what_changed_is(
    wandb: FakeWandb, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    send("wandb", [RUN], tmp_path)
    changed = Tracked(RUN.stage, RUN.group, RUN.name, RUN.parameters, {1: {"u/loss": 2.5}})
    send("wandb", [RUN, changed], tmp_path)
    assert [run.logged[0][1]["u/loss"] for run in wandb.made] == [2.0, 2.5]
    send("wandb", [RUN, changed], tmp_path)
    send("dvclive", [], tmp_path)  # which is not installed, and not asked for
    assert capsys.readouterr().err == "wandb: 1 runs sent\nwandb: 1 runs sent\n"


def test_a_tracker_that_refuses_is_a_line_and_the_run_is_sent_next_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full(FakeLive):
        def log_params(self, params: dict[str, Any]) -> None:
            raise OSError("No space left\non device")

    with_dvclive(monkeypatch, Full)
    send("dvclive", [RUN, RUN], tmp_path)
    said = capsys.readouterr().err
    assert said == f"dvclive did not take {RUN.name}: No space left on device; the stage's results are whole\n"
    with_dvclive(monkeypatch)
    send("dvclive", [RUN], tmp_path)
    assert len(FakeLive.made) == 1


@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracker_that_is_not_installed_is_refused_before_the_work(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(_: str) -> str:
        raise metadata.PackageNotFoundError

    check_tracker("none")
    monkeypatch.setattr(metadata, "version", missing)
    check_tracker("none")
    with pytest.raises(TrackerMissing, match=rf'tracking: {name} is not installed: pip install -e "\.\[{name}\]"'):
        check_tracker(name)
    text = (ROOT / PARAMS).read_text(encoding="utf-8").replace("tracking: none", f"tracking: {name}")
    (tmp_path / PARAMS).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert command.main(["base", "--model", "qwen2_nano"]) == 2
    assert capsys.readouterr().err.startswith(f"error: tracking: {name} is not installed")
    assert [path.name for path in tmp_path.iterdir()] == [PARAMS.name]


def asks_for_what_there_is(real: Any, fake: Any) -> None:
    """Every parameter of the fake is one of the real function, and can be given in the same way."""
    own, theirs = inspect.signature(fake).parameters, inspect.signature(real).parameters
    for name, parameter in own.items():
        assert name in theirs, f"{real.__qualname__} has no {name}"
        assert parameter.kind == theirs[name].kind


def test_the_fake_dvclive_is_like_the_installed_one() -> None:
    real = pytest.importorskip("dvclive").Live
    for name in ("__init__", "log_params", "log_metric"):
        asks_for_what_there_is(getattr(real, name), getattr(FakeLive, name))


def test_the_fake_mlflow_is_like_the_installed_one() -> None:
    mlflow = pytest.importorskip("mlflow")
    for name in (
        "__init__",
        "get_experiment_by_name",
        "create_experiment",
        "create_run",
        "log_batch",
        "set_terminated",
    ):
        asks_for_what_there_is(getattr(mlflow.MlflowClient, name), getattr(FakeClient, name))
    asks_for_what_there_is(mlflow.entities.Metric, Metric)
    asks_for_what_there_is(mlflow.entities.Param, Param)


def test_the_fake_wandb_is_like_the_installed_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = pytest.importorskip("wandb")
    fake = with_wandb(monkeypatch)
    send("wandb", [RUN], tmp_path)
    inspect.signature(real.init).bind(**fake.made[0].given)
    real.Settings(**fake.made[0].given["settings"])
    asks_for_what_there_is(real.Run.log, FakeRun.log)
    assert issubclass(real.errors.Error, Exception)


def test_digests_tell_runs_apart() -> None:
    assert len(RUN.digest) == 16 and json.loads(json.dumps(RUN.parameters)) == RUN.parameters
    assert RUN.digest != Tracked(RUN.stage, RUN.group, RUN.name, {"seed": 2}, RUN.values).digest
