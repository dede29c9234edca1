"""The adapter to vLLM: what it passes on, what it makes of the answers, and that vLLM has such parameters.

vLLM itself needs a GPU. The fake below takes the parameters of the released version and no others; where a wheel is at
hand, `SAPO_VLLM_WHEEL=…/vllm-0.33.0-….whl` has its source compared with them (`pip download vllm --no-deps`).
"""

import ast
import os
import sys
import types
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import tiny_reasoner

from sapo.configure import compose
from sapo.engines.opening import Drawing, engine_name, open_sampler
from sapo.engines.prompts import EngineError
from sapo.models.loading import save_reasoner
from sapo.models.local import LocalSampler
from sapo.models.sampling import Request
from sapo.records import Cost

SETTINGS = compose(Path(__file__).parents[1], ["profile=nano", "engine.kind=vllm", "engine.memory=0.4"])[1]
DRAWING = Drawing(SETTINGS.engine, SETTINGS.tuning, 8)
REQUESTS = [Request("Ben has 15 coins.\n", "", 5), Request("def f(xs):\n", "    xs = ", 6), Request("so\n", "", 7)]

# Of vLLM 0.33.0, as far as the adapter uses them.
LLM = {"model", "dtype", "seed", "gpu_memory_utilization", "trust_remote_code"}
ENGINE = {"enable_prefix_caching", "generation_config"}  # of EngineArgs, which takes what LLM passes on
PARAMETERS = {"n", "temperature", "seed", "max_tokens", "top_p", "top_k", "min_p", "skip_special_tokens", "detokenize"}
GENERATE = {"prompts", "sampling_params", "use_tqdm"}
OUTPUT = {"token_ids", "finish_reason"}


class Parameters:
    """vllm.SamplingParams."""

    def __init__(self, **given: Any) -> None:
        assert given.keys() <= PARAMETERS
        self.given = given


@dataclass
class Output:
    """vllm.CompletionOutput."""

    token_ids: list[int]
    finish_reason: str


@dataclass
class Outputs:
    """vllm.RequestOutput."""

    outputs: list[Output]


@dataclass
class FakeVllm:
    """vllm.LLM over the embedded sampler: greedy draws are those of the model."""

    local: LocalSampler
    made: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[list[int], dict[str, Any]]] = field(default_factory=list)
    loses: int = 0

    def llm(self, model: str, **given: Any) -> "FakeVllm":
        assert given.keys() <= LLM | ENGINE
        self.made.append({"model": model, **given})
        return self

    def generate(
        self, prompts: Sequence[dict[str, list[int]]], sampling_params: Sequence[Parameters], *, use_tqdm: bool
    ) -> list[Outputs]:
        found = []
        for prompt, parameters in zip(prompts, sampling_params, strict=True):
            ids = prompt["prompt_token_ids"]
            self.asked.append((ids, parameters.given))
            found.append(Outputs([self._draw(ids, parameters.given)]))
        return found[self.loses :]

    def _draw(self, ids: list[int], given: dict[str, Any]) -> Output:
        """The likeliest tokens, whatever the temperature."""
        drawn: list[int] = []
        while len(drawn) < given["max_tokens"] and drawn[-1:] != [self.local.encoder.eos_id]:
            with torch.inference_mode():
                drawn.append(int(self.local.model(torch.tensor([ids + drawn])).logits[0, -1].argmax()))
        return Output(drawn, "stop" if drawn[-1] == self.local.encoder.eos_id else "length")


@pytest.fixture(scope="module")
def reasoner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "reasoner"
    save_reasoner(*tiny_reasoner("llama"), folder)
    return folder


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeVllm:
    """vLLM as installed."""
    made = FakeVllm(LocalSampler(*tiny_reasoner("llama"), 8))
    module: Any = types.ModuleType("vllm")
    module.LLM, module.SamplingParams, module.__version__ = made.llm, Parameters, "0.33.0"
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setattr(metadata, "version", lambda name: "0.33.0")
    monkeypatch.delitem(sys.modules, "sapo.engines.vllm_engine", raising=False)
    return made


def test_greedy_completions_are_those_of_the_embedded_sampler(fake: FakeVllm, reasoner: Path, tmp_path: Path) -> None:
    completions, cost = open_sampler(reasoner, DRAWING, tmp_path).complete(REQUESTS, 0.0, 12)
    local, spent = fake.local.complete(REQUESTS, 0.0, 12)
    assert completions == local
    assert cost == Cost(3, spent.prompt_tokens, spent.generated_tokens, spent.flops)


def test_every_request_has_its_seed_and_the_models_own_distribution(
    fake: FakeVllm, reasoner: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_sampler(reasoner, DRAWING, tmp_path).complete(REQUESTS, 0.7, 12)
    (engine,) = fake.made
    assert engine["model"] == str(reasoner) and engine["gpu_memory_utilization"] == 0.4
    assert engine["enable_prefix_caching"] and engine["generation_config"] == "vllm" and not engine["trust_remote_code"]
    assert engine["dtype"] == "float32"
    assert [given["seed"] for _, given in fake.asked] == [5, 6, 7]
    assert all(given["temperature"] == 0.7 and given["max_tokens"] == 12 for _, given in fake.asked)
    assert all((given["top_p"], given["top_k"], given["min_p"]) == (1.0, 0, 0.0) for _, given in fake.asked)
    assert "vllm 0.33.0" in capsys.readouterr().err


def test_the_version_is_part_of_what_results_are_made_from(fake: FakeVllm) -> None:
    assert engine_name(SETTINGS.engine) == "vllm 0.33.0"


def test_fewer_completions_than_asked_for_are_an_error(fake: FakeVllm, reasoner: Path, tmp_path: Path) -> None:
    fake.loses = 1
    with pytest.raises(EngineError, match="vllm gave 2 answers to 3 requests"):
        open_sampler(reasoner, DRAWING, tmp_path).complete(REQUESTS, 0.0, 12)


@pytest.mark.parametrize(("name", "actors"), [("vllm", 0), ("ray", 2)])
def test_an_engine_that_is_not_installed_is_one_line_with_the_command(
    name: str, actors: int, monkeypatch: pytest.MonkeyPatch, reasoner: Path, tmp_path: Path
) -> None:
    def version(asked: str) -> str:
        raise metadata.PackageNotFoundError(asked)

    monkeypatch.setattr(metadata, "version", version)
    drawing = replace(DRAWING, engine=replace(SETTINGS.engine, actors=actors))
    with pytest.raises(EngineError) as caught:
        open_sampler(reasoner, drawing, tmp_path)
    assert str(caught.value) == f'engine: {name} is not installed: pip install -e ".[{name}]"'


def test_the_released_version_has_the_parameters_that_the_adapter_uses() -> None:
    wheel = os.environ.get("SAPO_VLLM_WHEEL", "")
    if not Path(wheel).is_file():
        pytest.skip("SAPO_VLLM_WHEEL names no wheel of vLLM")
    with zipfile.ZipFile(wheel) as file:
        trees = {
            path: ast.parse(file.read(f"vllm/{path}"))
            for path in ("entrypoints/llm.py", "engine/arg_utils.py", "sampling_params.py", "outputs.py")
        }
    assert arguments(trees["entrypoints/llm.py"], "LLM", "__init__") >= LLM
    assert arguments(trees["entrypoints/llm.py"], "LLM", "generate") >= GENERATE
    assert fields(trees["engine/arg_utils.py"], "EngineArgs") >= ENGINE
    assert fields(trees["sampling_params.py"], "SamplingParams") >= PARAMETERS
    assert fields(trees["outputs.py"], "CompletionOutput") >= OUTPUT
    assert "outputs" in arguments(trees["outputs.py"], "RequestOutput", "__init__")


def body(tree: ast.Module, name: str) -> list[ast.stmt]:
    (found,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    return found.body


def arguments(tree: ast.Module, name: str, method: str) -> set[str]:
    """Names of a method's parameters."""
    (found,) = [node for node in body(tree, name) if isinstance(node, ast.FunctionDef) and node.name == method]
    return {argument.arg for argument in [*found.args.args, *found.args.kwonlyargs]}


def fields(tree: ast.Module, name: str) -> set[str]:
    """Annotated names of a class."""
    found = [node.target for node in body(tree, name) if isinstance(node, ast.AnnAssign)]
    return {target.id for target in found if isinstance(target, ast.Name)}
