"""`benchmarks/gpu.py`: rows and ratios by hand; the profile that it is for has the size and the shape that it says."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from sapo.plan.architecture import config_of, parameters
from sapo.plan.devices import DEVICES, seconds
from sapo.plan.forecast import forecast
from sapo.records import Cost
from sapo.settings.configure import compose

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu", ROOT / "benchmarks" / "gpu.py")
    assert spec and spec.loader
    made = importlib.util.module_from_spec(spec)
    sys.modules["gpu"] = made  # dataclasses look their module up
    spec.loader.exec_module(made)
    return made


def test_speed_share_and_ratios_by_hand(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """1000 tokens in 2 s: 500 a second; 9e10 FLOPs in 2 s are all of a core's 45e9; twice the plan's: 0.50."""
    monkeypatch.chdir(ROOT)
    settings = compose(ROOT, ["profile=nano"])[1]
    planned = gpu.forecasts(settings)["start", "sampling"]
    config = config_of("qwen2_nano", settings.models["qwen2_nano"], settings.scratch, ROOT)
    expected = seconds(planned, settings, config, parameters(config), DEVICES["cpu"])
    drawn = Cost(generated_tokens=1000, flops=9e10, seconds=2.0)
    twice = Cost(generated_tokens=1, flops=2 * planned.bill.flops, seconds=2 * expected)
    phases = [gpu.Phase("base", "model", Cost(seconds=3.0), 2**30), gpu.Phase("start", "made up", drawn, 2**29)]
    *_, model, first, second = gpu.lines(settings, "cpu", [*phases, gpu.Phase("start", "sampling", twice, 0)])
    assert model == "| base: model | 0 | 3.0 | – | – | – | – | 1.00 |"
    assert first == "| start: made up | 1,000 | 2.0 | 500 | 100.0% | – | – | 0.50 |"
    assert "| 0.50 | 0.50 | 0.00 |" in second


def test_the_plan_forecasts_every_phase_of_a_round(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = gpu.forecasts(compose(ROOT, ["profile=gsm8k_100m"])[1])
    assert {what for stage, what in found if stage == "start"} == {"sft", "sampling", "labelling", "verifier"}
    assert {"detection", "labelling", "verifier", "scoring", "update"} <= {w for s, w in found if s == "methods"}


def test_the_profile_has_98_million_weights_and_fits_on_a_small_gpu() -> None:
    """Embeddings 16384 x 768; 12 layers of 768 x (768 + 2 x 384 + 768) and 3 x 768 x 2304; biases and norms."""
    settings = compose(ROOT, ["profile=gsm8k_100m"])[1]
    ((name, model),) = settings.models.items()
    weights = parameters(config_of(name, model, settings.scratch, ROOT))
    matrices = 16384 * 768 + 12 * (768 * (768 + 768 + 768) + 3 * 768 * 2304)
    assert matrices < weights < 1.001 * matrices and round(weights, -6) == 98_000_000
    found = forecast(settings, DEVICES["rtx3090"], ROOT)
    assert found.unfit == {} and found.seconds < 3600
    assert not {phase for _, phase in found.peaks} & {"dpo", "grpo"}, "no method of a cell uses them"


def test_the_page_says_how_to_fill_it() -> None:
    page = (ROOT / "benchmarks" / "gpu.md").read_text(encoding="utf-8")
    for profile in ("nano", "gsm8k_100m"):
        assert f"python benchmarks/gpu.py --gpu rtx3090 profile={profile} " in page
