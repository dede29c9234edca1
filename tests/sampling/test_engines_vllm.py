"""The adapter to vLLM: what it passes on, what it makes of the answers, and that vLLM has such parameters.

vLLM itself needs a GPU. The fake takes the parameters of the released version and no others; where a wheel is at hand,
`SAPO_VLLM_WHEEL=…/vllm-0.33.0-….whl` has its source compared with them (`pip download vllm --no-deps`).
"""

import ast
import os
import zipfile
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
from fake_vllm import CORE, ENGINE, LLM, METHODS, MODEL, OUTPUT, OUTPUTS, PARAMETERS, FakeVllm, install
from tiny_models import tiny_reasoner

from sapo.models.loading import save_reasoner
from sapo.records import Cost
from sapo.sampling.factory import Drawing, engine_name, open_sampler
from sapo.sampling.hf_engine import LocalSampler
from sapo.sampling.protocol import Request
from sapo.sampling.token_requests import EngineError
from sapo.settings.configure import compose

SETTINGS = compose(Path(__file__).parents[2], ["profile=nano", "engine.kind=vllm", "engine.memory=0.4"])[1]
DRAWING = Drawing(SETTINGS.engine, SETTINGS.tuning, 8)
REQUESTS = [Request("Ben has 15 coins.\n", "", 5), Request("def f(xs):\n", "    xs = ", 6), Request("so\n", "", 7)]


@pytest.fixture(scope="module")
def reasoner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "reasoner"
    save_reasoner(*tiny_reasoner("llama"), folder)
    return folder


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeVllm:
    made = FakeVllm(LocalSampler(*tiny_reasoner("llama"), 8))
    install(made, monkeypatch)
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


def test_a_line_says_how_far_the_drawing_is(
    fake: FakeVllm, reasoner: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_sampler(reasoner, DRAWING, tmp_path, "rollouts").complete(REQUESTS, 0.0, 12)
    assert "rollouts: 3/3 samples" in capsys.readouterr().err


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
            for path in (LLM, "engine/arg_utils.py", "sampling_params.py", "outputs.py", CORE, "inputs/engine.py")
        }
    assert arguments(trees[LLM], "LLM", "__init__") >= MODEL
    assert "self.llm_engine = LLMEngine." in ast.unparse(trees[LLM])
    for method, names in METHODS.items():
        assert arguments(trees[CORE], "LLMEngine", method) >= names
    (given,) = [node for node in ast.walk(trees["inputs/engine.py"]) if getattr(node, "name", "") == "tokens_input"]
    assert isinstance(given, ast.FunctionDef) and given.args.args[0].arg == "prompt_token_ids"
    assert fields(trees["engine/arg_utils.py"], "EngineArgs") >= ENGINE
    assert fields(trees["sampling_params.py"], "SamplingParams") >= PARAMETERS
    assert fields(trees["outputs.py"], "CompletionOutput") >= OUTPUT
    assert arguments(trees["outputs.py"], "RequestOutput", "__init__") >= OUTPUTS


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
