"""`verify-run` on a made-up run in a repository of its own: equal, different and why, and nothing to compare."""

import copy
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import run

from sapo.records import RecordError, write_plain_json
from sapo.report import run_files
from sapo.report import verify_run as verify
from sapo.report.environment import EVERYWHERE, NOWHERE, THIS_PROCESSOR, here, processor
from sapo.report.run_files import VerifyError
from sapo.report.verdict_agreement import agreement
from sapo.report.verify_run import Aspect, Change, Run, changed_values, verdict

ROOT = Path(__file__).parents[2]
LOCK: dict[str, Any] = {
    "schema": "2.0",
    "stages": {
        "start@m": {
            "cmd": "python -m sapo start",
            "deps": [{"path": "code/sapo/train", "md5": "c1"}, {"path": "data/questions", "md5": "d1"}],
            "params": {"params.yaml": {"sft": {"lr": 0.01, "epochs": 2}}},
            "outs": [{"path": "runs/nano/m/start", "md5": "o1"}],
        },
        "report": {
            "cmd": "python -m sapo report",
            "deps": [{"path": "runs/nano", "md5": "o2"}, {"path": "code/sapo/report", "md5": "c2"}],
            "outs": [{"path": "results/metrics.json", "md5": "r1"}],
        },
        "start@other": {"deps": [{"path": "code/old", "md5": "x"}], "outs": [{"path": "runs/smoke/m", "md5": "y"}]},
    },
}
METRICS = {"m": {"accuracy": {"value": 40.0, "low": 35.0}, "questions": 500, "note": "same"}}


def git(*arguments: str) -> None:
    name = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *name, *arguments], check=True, capture_output=True)


def write(lock: dict[str, Any], metrics: object) -> None:
    Path("dvc.lock").write_text(yaml.safe_dump(lock), encoding="utf-8")
    write_plain_json(Path("results/metrics.json"), metrics)
    write_plain_json(Path("results/environment.json"), here("cpu", "hf"))
    Path("results/table.md").write_text("| a |\n", encoding="utf-8")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A committed run of profile nano below a folder of the repository."""
    folder = tmp_path / "inner"
    folder.mkdir()
    monkeypatch.chdir(folder)
    shutil.copy(ROOT / "params.yaml", folder)
    write(LOCK, METRICS)
    git("init", "-q", "..")
    git("add", "-A", ".")
    git("commit", "-qm", "a run")
    return folder


def main(arguments: list[str]) -> object:
    return run("verify-run", arguments)


def different(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main([*arguments]) == 1
    return capsys.readouterr().out


@pytest.mark.usefixtures("repository")
def test_the_committed_run_is_equal_to_itself(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("HEAD (") and last.endswith("), profile nano: equal")


@pytest.mark.usefixtures("repository")
def test_every_cause_is_named_and_so_is_what_follows(capsys: pytest.CaptureFixture[str]) -> None:
    """Accuracy falls by 4 of 40, its lower end by 7 of 35: a tenth and a fifth, so the lower end comes first."""
    lock = copy.deepcopy(LOCK)
    start = lock["stages"]["start@m"]
    start["deps"][0]["md5"], start["deps"][1]["md5"], start["outs"][0]["md5"] = "c9", "d9", "o9"
    start["params"]["params.yaml"]["sft"]["lr"] = 0.02
    lock["stages"]["start@other"]["deps"][0]["md5"] = "of another profile"
    write(lock, {"m": {"accuracy": {"value": 36.0, "low": 28.0}, "questions": 500, "note": "same", "new": True}})
    environment: Any = here("cpu", "hf")
    environment["machine"]["cpu"], environment["versions"]["torch"] = "Z80", "1.0"
    write_plain_json(Path("results/environment.json"), environment)
    Path("results/table.md").unlink()
    out = different(capsys)
    assert f"cpu: {processor()[:20]}" in out and "Z80" in out
    rows = {line.split("│")[1].strip(): line for line in out.splitlines() if line.startswith("│")}
    assert "1 of 4" in rows["machine"] and "torch: " in rows["versions"]
    assert "1 of 2" in rows["code"] and "code/sapo/train" in rows["code"] and "code/old" not in out
    assert "1 of 2" in rows["settings"] and "sft.lr: 0.01 → 0.02 (+0.01)" in rows["settings"]
    assert "1 of 1" in rows["data"] and "data/questions" in rows["data"]
    assert "1 of 2" in rows["outputs"] and "runs/nano/m/start" in rows["outputs"]
    assert "3 of 5" in rows["results/metrics.json"] and "m.new: – → True" in rows["results/metrics.json"]
    assert out.index("m.accuracy.low: 35.0 → 28.0 (-7)") < out.index("m.accuracy.value: 40.0 → 36.0 (-4)")
    assert "6 bytes → no such file" in out
    assert out.splitlines()[-1].endswith(
        "different: another machine (machine), other libraries (versions), another code (code), "
        "other settings or data (settings, data)"
    )


@pytest.mark.usefixtures("repository")
def test_an_older_revision_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    write(LOCK, METRICS | {"more": 1})
    git("commit", "-qam", "another run")
    main(["HEAD"])
    out = different(capsys, "HEAD~1")
    assert "more: – → 1" in out
    assert out.splitlines()[-1].endswith("same everything: not repeatable, or dvc.lock is of another run")


@pytest.mark.usefixtures("repository")
def test_a_run_from_before_environments_were_written_says_that_it_is_not_on_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    git("rm", "-q", "results/environment.json")
    git("commit", "-qm", "without")
    main([])
    assert capsys.readouterr().out.count("not on file") == 4
    write_plain_json(Path("results/metrics.json"), METRICS | {"more": 1})
    assert "nothing on file says why; not on file: machine, arithmetic, versions, builds" in different(capsys)


def _spoil_lock() -> None:
    Path("dvc.lock").write_text("stages: [1]\n", encoding="utf-8")


def _no_results() -> None:
    shutil.rmtree("results")


def _no_lock() -> None:
    Path("dvc.lock").unlink()


def _spoil_metrics() -> None:
    Path("results/metrics.json").write_text("{", encoding="utf-8")


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("spoil", "arguments", "message"),
    [
        (_spoil_lock, (), "dvc.lock: no dvc.lock: "),
        (_no_results, (), "results: no run is here; `dvc repro` makes one"),
        (_no_lock, (), "dvc.lock: no run is here"),
        (_spoil_metrics, (), r"results/metrics.json: not JSON"),
        (lambda: None, ("nowhere",), "git rev-parse: no such revision"),
        (lambda: None, ("--", "--output=x"), "git rev-parse: no such revision"),
    ],
)
def test_what_cannot_be_compared_is_named(spoil: Callable[[], None], arguments: tuple[str, ...], message: str) -> None:
    spoil()
    with pytest.raises((VerifyError, RecordError), match=message):
        main([*arguments])


def test_a_revision_without_a_run_and_a_folder_without_git_are_named(repository: Path, tmp_path: Path) -> None:
    git("rm", "-q", "--cached", "dvc.lock")
    git("commit", "-qm", "no lock")
    with pytest.raises(VerifyError, match=r"no run is committed there \(dvc.lock and files in results are needed\)"):
        main([])
    shutil.rmtree(tmp_path / ".git")
    with pytest.raises(VerifyError, match="git rev-parse: "):
        main([])


def test_git_that_is_not_there_is_named(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    with pytest.raises(VerifyError, match="git is not installed"):
        run_files.find_commit("HEAD")


def test_changes_by_hand() -> None:
    """From 2 to 3 is a third of the larger, from -1 to 1 twice; a text counts 1; what is not finite is a text."""
    assert [Change("x", *pair).size for pair in ((2, 3), (-1, 1), ("a", "b"), (1, None))] == [1 / 3, 2.0, 1.0, 1.0]
    assert Change("x", float("inf"), 1).size == 1.0
    assert str(Change("x", True, False)) == "x: True → False"
    assert str(Change("x", "a" * 50, 2)) == f"x: {'a' * 39}… → 2"
    run = [Run({}, {"r/a.json": json.dumps(value).encode()}) for value in ([1, {"b": []}], [1, {"b": [2]}])]
    assert changed_values(*run) == {"r/a.json": ([Change("1.b", "[]", "–"), Change("1.b.0", "–", 2)], 3)}


def aspects(*changed: str) -> list[Aspect]:
    return [Aspect(name, ("x",) if name in changed else (), 3) for names in verify.REASONS.values() for name in names]


@pytest.mark.parametrize(
    ("changed", "by_verdicts", "said"),
    [
        (("machine",), True, "different: another machine (machine)"),
        (("machine",), False, "different: another machine (machine), although its arithmetic promises the same bytes"),
        (("machine", "arithmetic"), False, "different: another machine (machine, arithmetic)"),
        (("code", "builds"), False, "different: other libraries (builds), another code (code)"),
        ((), False, "different: same everything: not repeatable, or dvc.lock is of another run"),
        ((), True, "different: same everything, on a device or an engine that promises no bytes"),
    ],
)
def test_the_verdict_names_the_reason(changed: tuple[str, ...], by_verdicts: bool, said: str) -> None:
    assert verdict(aspects(*changed), True, by_verdicts) == said


def test_equal_runs_are_equal_whatever_differs() -> None:
    assert verdict(aspects(), False, False) == "equal"
    assert verdict(aspects("machine"), False, False) == "equal, although another machine (machine)"


def environments(then: tuple[str, str], now: tuple[str, str]) -> list[Run]:
    """Two runs, each by its processor and where its bytes are promised to be the same."""
    return [
        Run({}, {"r/environment.json": json.dumps({"machine": {"cpu": cpu}, "arithmetic": arithmetic}).encode()})
        for cpu, arithmetic in ((cpu, {"same_bytes_on": where}) for cpu, where in (then, now))
    ]


@pytest.mark.parametrize(
    ("then", "now", "by_verdicts"),
    [
        (("EPYC", EVERYWHERE), ("Xeon", EVERYWHERE), False),
        (("EPYC", THIS_PROCESSOR), ("EPYC", THIS_PROCESSOR), False),
        (("EPYC", THIS_PROCESSOR), ("Xeon", THIS_PROCESSOR), True),
        (("EPYC", EVERYWHERE), ("EPYC", THIS_PROCESSOR), True),
        (("EPYC", NOWHERE), ("EPYC", NOWHERE), True),
    ],
)
def test_bytes_are_compared_where_they_are_promised(
    then: tuple[str, str], now: tuple[str, str], by_verdicts: bool
) -> None:
    first, second = environments(then, now)
    assert verify.compared_by_verdicts(first, second, Path("r")) == by_verdicts


def judged(*verdicts: str, low: float = 1.0) -> dict[str, Any]:
    """A `claims.json` of claims named a, b, …, with one interval of width 2 each."""
    measured = [{"what": "accuracy", "low": low, "high": low + 2, "value": low + 1}, {"what": "more", "missing": "x"}]
    cells = [{"model": "m", "task": "t", "benchmark": "t", "verdict": "holds", "comparisons": measured}]
    return {"claims": {name: {"verdict": said, "cells": cells} for name, said in zip("abc", verdicts, strict=False)}}


def test_verdicts_are_counted_and_intervals_compared() -> None:
    """[1, 3] and [2, 4] overlap, [1, 3] and [3.5, 5.5] do not."""
    then = judged("holds", "holds", "not run")
    assert str(agreement(then, judged("holds", "holds", "not run"))) == "3 of 3 verdicts agree"
    one = agreement(then, judged("holds", "contradicted", "not run", low=2.0))
    assert str(one) == "2 of 3 verdicts agree; 1 differs, and its intervals overlap"
    assert one.differing == ("b: holds → contradicted",) and not one.complete
    far = agreement(then, judged("holds", "contradicted", "not run", low=3.5))
    assert str(far) == "2 of 3 verdicts agree; 1 differs, and its intervals do not overlap"
    two = agreement(then, judged("contradicted", "contradicted"))
    assert (
        str(two) == "0 of 2 verdicts agree; 2 differ, and the intervals of 2 of them overlap; only one run has 1 more"
    )


@pytest.mark.usefixtures("repository")
def test_on_a_gpu_a_run_passes_by_its_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    """The numbers differ and all verdicts agree: 0; one verdict differs: 1."""
    write_plain_json(Path("results/environment.json"), here("cuda", "hf"))
    write_plain_json(Path("results/claims.json"), judged("holds", "holds"))
    git("add", "-A", ".")
    git("commit", "-qm", "on a GPU")
    write_plain_json(Path("results/metrics.json"), METRICS | {"more": 1})
    main([])
    assert capsys.readouterr().out.splitlines()[-1] == "2 of 2 verdicts agree"
    write_plain_json(Path("results/claims.json"), judged("holds", "not run", low=2.0))
    assert "1 of 2 verdicts agree; 1 differs, and its intervals overlap" in different(capsys)
    write_plain_json(Path("results/claims.json"), {"claims": [1]})
    with pytest.raises(RecordError, match=r"results/claims.json: not the verdicts of a report"):
        main([])
