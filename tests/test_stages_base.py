"""Stage `base`: shipped models are copied as plain files, a missing or unreachable one is one line that helps."""

import dataclasses
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import byte_level, tiny_model, tiny_reasoner
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from sapo.cli import main as command
from sapo.models.loading import LoadingError, load_reasoner, save_reasoner
from sapo.records import BadInput
from sapo.runtime.workspace import StageArguments, Workspace
from sapo.settings import ModelSettings, Settings, load_settings
from sapo.settings.configure import PARAMS
from sapo.stages import base

ROOT = Path(__file__).parents[1]
HUB = ModelSettings("hub", "qwen2", "Qwen/Qwen2-0.5B", "91d2aff3f957f99e4c74c962f2f408dcc88a18d8")


@pytest.fixture
def settings() -> Settings:
    nano = load_settings(ROOT / PARAMS)
    return dataclasses.replace(nano, models={"tiny": ModelSettings("nano", "qwen2", "", ""), "far": HUB})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, "test")


def test_a_shipped_model_is_copied_as_writable_files_of_its_own(settings: Settings, workspace: Workspace) -> None:
    """As DVC may leave it: read-only and hard-linked to a cache."""
    shipped, cache = workspace.data / "models" / "tiny", workspace.root / "cache"
    save_reasoner(*tiny_reasoner(), shipped)
    cache.mkdir()
    for number, file in enumerate(sorted(shipped.iterdir())):
        os.link(file, cache / str(number))
        file.chmod(0o444)
    base.run(settings, workspace, StageArguments("tiny"))
    copied = sorted(workspace.base("tiny").iterdir())
    assert [file.name for file in copied] == [file.name for file in sorted(shipped.iterdir())]
    for file in copied:
        assert file.read_bytes() == (shipped / file.name).read_bytes()
        assert file.stat().st_nlink == 1
        assert file.stat().st_mode & stat.S_IWUSR
    assert {file.stat().st_nlink for file in shipped.iterdir()} == {2}


def test_a_missing_model_is_one_line_that_says_how_to_make_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole command, in a folder that has only params.yaml."""
    workspace.root.joinpath(PARAMS).write_bytes((ROOT / PARAMS).read_bytes())
    monkeypatch.chdir(workspace.root)
    assert command.main(["base", "--model", "qwen2_nano"]) == 2
    said = capsys.readouterr().err
    assert said == "error: data/models/qwen2_nano: no such base model; `python -m sapo pretrain qwen2_nano` makes it\n"
    assert [path for path in Path("runs").rglob("*") if "timings" not in path.as_posix() and path.is_file()] == []


def test_a_broken_copy_leaves_the_last_good_one(settings: Settings, workspace: Workspace) -> None:
    shipped = workspace.data / "models" / "tiny"
    save_reasoner(*tiny_reasoner(), shipped)
    base.run(settings, workspace, StageArguments("tiny"))
    before = (workspace.base("tiny") / "model.safetensors").read_bytes()
    (shipped / "model.safetensors").write_bytes(before[: len(before) // 2])
    with pytest.raises(LoadingError, match="damaged or replaced"):
        base.run(settings, workspace, StageArguments("tiny"))
    assert (workspace.base("tiny") / "model.safetensors").read_bytes() == before
    assert [path.name for path in workspace.base("tiny").parent.iterdir()] == ["base"]


def test_a_hub_model_is_fetched_at_its_revision_without_its_code(
    settings: Settings, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def weights(name: str, **options: Any) -> object:
        asked.append((name, options))
        return tiny_model("qwen2", len(byte_level()))

    def tokenizer(name: str, **options: Any) -> PreTrainedTokenizerFast:
        asked.append((name, options))
        return byte_level()

    with monkeypatch.context() as patch:
        patch.setattr(AutoModelForCausalLM, "from_pretrained", weights)
        patch.setattr(PreTrainedTokenizerFast, "from_pretrained", tokenizer)
        base.run(settings, workspace, StageArguments("far"))
    assert [name for name, _ in asked] == [HUB.hub_id] * 2
    assert [options["revision"] for _, options in asked] == [HUB.revision] * 2
    assert asked[0][1]["trust_remote_code"] is False
    assert asked[0][1]["use_safetensors"] is True
    model, _ = load_reasoner(workspace.base("far"))
    expected = tiny_model("qwen2", len(byte_level())).state_dict()
    assert all(torch.equal(weight, expected[name]) for name, weight in model.state_dict().items())


def test_a_hub_that_refuses_is_one_error_with_the_way_out(
    settings: Settings, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> object:
        raise OSError("403 Client Error: gated repo")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", refuse)
    expected = f"{HUB.hub_id} at revision {HUB.revision} cannot be loaded: 403 Client Error: gated repo. Gated models"
    with pytest.raises(LoadingError, match=re.escape(expected)) as error:
        base.run(settings, workspace, StageArguments("far"))
    assert "`hf auth login`" in str(error.value)
    assert isinstance(error.value, BadInput)
    assert not workspace.base("far").exists()


def test_a_revision_that_moves_is_refused_before_anything_is_fetched(settings: Settings, workspace: Workspace) -> None:
    moving = dataclasses.replace(HUB, revision="main")
    there = dataclasses.replace(settings, models={"far": moving})
    with pytest.raises(LoadingError, match=r"Qwen/Qwen2-0\.5B at revision main: a revision is a commit of 40 hex"):
        base.run(there, workspace, StageArguments("far"))


@pytest.mark.parametrize(
    ("architecture", "vocabulary", "message"),
    [("llama", 0, "is of architecture llama, not qwen2"), ("qwen2", 20, "the tokenizer's largest id is")],
)
def test_another_architecture_and_another_models_tokenizer_are_refused(
    settings: Settings,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    architecture: str,
    vocabulary: int,
    message: str,
) -> None:
    tokenizer = byte_level()
    model = tiny_model(architecture, len(tokenizer) - vocabulary)
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lambda *_, **__: model)
    monkeypatch.setattr(PreTrainedTokenizerFast, "from_pretrained", lambda *_, **__: tokenizer)
    with pytest.raises(LoadingError, match=message):
        base.run(settings, workspace, StageArguments("far"))
    assert not workspace.base("far").exists()


def test_a_scratch_model_of_an_architecture_that_is_not_made_here_is_refused(
    settings: Settings, workspace: Workspace
) -> None:
    there = dataclasses.replace(settings, models={"own": ModelSettings("scratch", "phi", "", "")})
    with pytest.raises(BadInput, match="models: own: a scratch model is one of qwen2, gemma2, llama"):
        base.run(there, workspace, StageArguments("own"))
