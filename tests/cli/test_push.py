"""`python -m sapo push`: what it would upload, and that it uploads only when told."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from command_line import run
from huggingface_hub.errors import LocalTokenNotFoundError
from report_runs import MODEL, TASK, tiny_settings, write_runs
from tiny_models import tiny_reasoner

from sapo.models.loading import LoadingError, load_reasoner, save_reasoner
from sapo.records import BadInput
from sapo.report import push
from sapo.report.comparison import CompareError
from sapo.report.push import PushError
from sapo.settings.configure import PARAMS

PLACE = ["--model", MODEL, "--task", TASK, "--repo", "somebody/sapo-nano"]
SENT = Path("runs/.push/somebody--sapo-nano")


def main(arguments: list[str]) -> None:
    run("push", arguments)


@dataclass
class FakeHub:
    """The two calls of HfApi that are made, with its parameters; keeps what was uploaded."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    error: Exception | None = None

    def create_repo(self, repo_id: str, *, private: bool | None = None, exist_ok: bool = False) -> None:
        if self.error:
            raise self.error
        self.calls.append({"repo": repo_id, "private": private, "exist_ok": exist_ok})

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> SimpleNamespace:
        self.calls.append({"repo": repo_id, "files": sorted(path.name for path in folder_path.iterdir())})
        return SimpleNamespace(commit_url=f"https://huggingface.co/{repo_id}/commit/1")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hand-made runs in the folder that the command works in, with a model of SAPO's second round."""
    monkeypatch.chdir(tmp_path)
    settings = tiny_settings()
    PARAMS.write_text(yaml.safe_dump(json.loads(json.dumps(asdict(settings))), sort_keys=False), encoding="utf-8")
    workspace = write_runs(Path(), settings)
    folder = workspace.methods(MODEL, TASK) / "1" / "sapo" / "2" / "model"
    save_reasoner(*tiny_reasoner("llama"), folder)
    return folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub()
    monkeypatch.setattr(push, "HfApi", lambda: fake)
    return fake


def test_without_upload_a_folder_is_written_and_nothing_is_asked_of_the_hub(
    model: Path, hub: FakeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["sapo", *PLACE])
    assert hub.calls == []
    assert "nothing was uploaded; --upload sends" in capsys.readouterr().out
    assert {path.name for path in SENT.iterdir()} == {path.name for path in model.iterdir()} | {"README.md"}
    assert (SENT / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    assert f"| {TASK} | 4 | 4 | 100.0% |" in (SENT / "README.md").read_text(encoding="utf-8")
    load_reasoner(SENT)  # the card does not break the seal


def test_upload_sends_that_folder_in_one_commit_to_a_private_repository(
    model: Path, hub: FakeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["sapo", *PLACE, "--upload"])
    made, sent = hub.calls
    assert made == {"repo": "somebody/sapo-nano", "private": True, "exist_ok": True}
    assert sent == {"repo": "somebody/sapo-nano", "files": sorted(path.name for path in SENT.iterdir())}
    assert "uploaded to https://huggingface.co/somebody/sapo-nano/commit/1" in capsys.readouterr().out
    main(["sapo@2", *PLACE, "--upload", "--public"])
    assert hub.calls[2]["private"] is False and hub.calls[3] == sent


def test_a_hub_that_refuses_is_one_line(model: Path, hub: FakeHub) -> None:
    hub.error = LocalTokenNotFoundError("no token:\nlog in")
    with pytest.raises(PushError, match=r"^somebody/sapo-nano: the hub did not take it: no token: log in$"):
        main(["sapo", *PLACE, "--upload"])


def test_what_is_not_there_is_said_before_anything_is_written(model: Path, hub: FakeHub) -> None:
    refused: list[tuple[list[str], type[BadInput], str]] = [
        (["sapo@1", *PLACE], PushError, "no checkpoint 1/sapo/1 of profile tiny"),
        (["sapo", *PLACE, "--seed", "2"], PushError, "no checkpoint 2/sapo/2 of profile tiny"),
        (["sapo@3", *PLACE], CompareError, "has the rounds 1 to 2"),
        (["other", *PLACE], CompareError, "'other' is no method"),
        (["sapo", *PLACE, "--task", "gsm8k"], BadInput, "tasks: 'gsm8k' is not one of nano_math"),
        (["sapo", *PLACE, "--repo", "nano"], PushError, "'nano' is not of the form OWNER/NAME"),
        (["sapo", *PLACE, "--repo", "a/b/c"], PushError, "--repo: Repo id must be in the form"),
    ]
    for arguments, error, said in refused:
        with pytest.raises(error, match=said):
            main([*arguments, "--upload"])
    assert hub.calls == [] and not SENT.exists()


def test_a_folder_with_other_things_in_it_is_not_replaced(model: Path, hub: FakeHub) -> None:
    Path("thesis").mkdir()
    for name in ("chapter.tex", "README.md"):
        Path("thesis", name).write_text("x", encoding="utf-8")
        with pytest.raises(PushError, match="thesis: holds something else"):
            main(["sapo", *PLACE, "--out", "thesis"])
        assert Path("thesis", name).read_text(encoding="utf-8") == "x"
    main(["sapo", *PLACE, "--out", "sent"])
    Path("sent/README.md").write_text("old", encoding="utf-8")
    main(["sapo", *PLACE, "--out", "sent"])
    assert Path("sent/README.md").read_text(encoding="utf-8") != "old"


def test_damaged_weights_are_not_sent(model: Path, hub: FakeHub) -> None:
    damaged = bytearray((model / "model.safetensors").read_bytes())
    damaged[-1] ^= 1
    (model / "model.safetensors").write_bytes(damaged)
    with pytest.raises(LoadingError, match="damaged or replaced"):
        main(["sapo", *PLACE, "--upload"])
    assert hub.calls == []


def test_pickles_stay_here(model: Path, hub: FakeHub) -> None:
    (model / "training_args.bin").write_bytes(b"x")
    main(["sapo", *PLACE, "--upload"])
    assert "training_args.bin" not in hub.calls[1]["files"]
