"""`python -m sapo plan`: forecasts against measured costs, hours by hand, and what would make a phase fit."""

import dataclasses
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as settings_
from hypothesis import strategies as st

from sapo.cli import main as command
from sapo.models.flops import TRAINING, prefill_flops
from sapo.plan import graph
from sapo.plan.architecture import BUNDLED, NoShape, config_of, parameters
from sapo.plan.devices import DEVICES, Device, Part, UnknownDevice, device_of, seconds
from sapo.plan.forecast import forecast
from sapo.plan.graph import all_parts
from sapo.plan.memory import GIB, Lengths, Shape, peaks, too_large
from sapo.plan.methods import Place, method_parts, start_parts
from sapo.plan.texts import TEXTS, UnknownTexts, texts_of
from sapo.settings import ModelSettings, Settings, load_settings, method_settings
from sapo.settings.configure import PARAMS, compose
from sapo.stages import verifiers
from sapo.train.cost import Bill, drawing, learning

ROOT = Path(__file__).parents[2]
WITHIN = 0.3
# What the hub's pages say of the models' sizes.
SIZES = {
    "qwen25_05b": 494_032_768,
    "llama32_1b": 1_235_814_400,
    "gemma2_2b": 2_614_341_888,
    "sipf_gemma_2b": 2_506_172_416,
    "sipf_phi_15": 1_418_270_720,
    "sipf_tinyllama": 1_100_048_384,
}


@cache
def settings_of(*arguments: str) -> Settings:
    return compose(ROOT, list(arguments))[1]


@pytest.fixture(scope="module")
def nano() -> Settings:
    return settings_of("profile=nano")


def owed(settings: Settings, model: str, task: str, method: str) -> dict[str, float]:
    """What a method owes, as `report/costs.py` adds it up."""
    config = config_of(model, settings.models[model], settings.scratch, ROOT)
    place = Place(method_settings(settings, method, 1), model, task, config, texts_of(task))
    parts = list(method_parts(place))
    first = ("sft", "labelling", "verifier") if any(p.what == "detection" for p in parts) else ("sft",)
    parts += [part for part in start_parts(place) if part.what in first]
    scored = sum(p.bill.prompt_tokens for p in parts if p.what in ("detection", "scoring"))
    bill = sum((p.bill for p in parts), Bill())
    return {
        "sampled_tokens": bill.prompt_tokens + bill.generated_tokens - scored,
        "scored_tokens": scored,
        "trained_tokens": bill.trained_tokens,
        "flops": bill.flops,
        "programs": bill.programs,
    }


def compared(settings: Settings, measured: dict[str, Any]) -> list[tuple[str, str, str, float, float]]:
    """(model, task, quantity, forecast, measured), each summed over the methods of the model and task."""
    found = []
    for model, tasks in measured.items():
        for task, methods in tasks.items():
            own = [owed(settings, model, task, method) for method in methods]
            for name in own[0]:
                real = sum(costs[name] for costs in methods.values())
                found.append((model, task, name, sum(costs[name] for costs in own), real))
    return found


def test_the_forecast_of_nano_is_within_30_percent_of_the_last_complete_run(nano: Settings) -> None:
    """Of the committed results, if they are of the profile as it is. Lengths and shares were measured in such a run;
    after another one `python -m sapo plan --measure` measures them anew.

    Samples' tokens, tokens that verifiers read and learn from, FLOPs and programs, summed over a model's methods.
    """
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    used = lock.get("methods@qwen2_nano", {}).get("params", {}).get(PARAMS.name, {})
    for name in ("rollouts", "labels", "sampling", "expansion", "tuning", "sft", "orpo", "verifier"):
        own = json.loads(json.dumps(dataclasses.asdict(getattr(nano, name))))
        if used.get(name) != own:
            pytest.skip(f"dvc.lock has no run of profile nano with these {name}")
    metrics = json.loads((ROOT / "results" / "metrics.json").read_text(encoding="utf-8"))
    measured = {
        model: {
            task: {m: c[max(c, key=int)] for m, c in metrics[model][task]["costs"].items() if m not in ("cot", "sft")}
            for task in nano.tasks
        }
        for model in nano.models
    }
    rows = compared(nano, measured)
    assert len(rows) == 4 * 5
    for model, task, name, ours, real in rows:
        assert ours == pytest.approx(real, rel=WITHIN), f"{model} {task} {name}"


def test_work_that_methods_share_is_planned_once(nano: Settings) -> None:
    """RFT is the first round of online RFT; SAPO's first labels are those of its six rounds; keys say so."""
    parts = all_parts(nano, ROOT)
    assert len({part.key for part in parts}) == len(parts)
    config = config_of("qwen2_nano", nano.models["qwen2_nano"], nano.scratch, ROOT)

    def keys(method: str) -> list[Any]:
        own = method_settings(nano, method, 1)
        return [part.key for part in method_parts(Place(own, "qwen2_nano", "nano_math", config, TEXTS["nano_math"]))]

    assert keys("online_rft")[:2] == keys("rft")
    assert keys("sapo_six_rounds")[: len(keys("sapo"))] == keys("sapo")
    assert keys("sapo")[0] == keys("grpo")[0]  # the samples of round 1 are those of the start
    assert not {*keys("sapo")[1:]} & {*keys("orpo_mc")[1:]}
    assert not {*keys("sapo_without_dv")[1:]} & {*keys("sapo")[1:]}


def test_the_plan_of_stage_verifiers_is_of_the_methods_that_the_stage_names() -> None:
    assert graph.MCE == verifiers.MCE
    assert len(verifiers.RERANKERS) == graph.RERANKERS


def test_samples_and_rollouts_are_counts_of_the_settings(nano: Settings) -> None:
    """208 questions x 8 samples; saps asks at most 2 positions of a wrong trajectory, 16 rollouts each."""
    config = config_of("qwen2_nano", nano.models["qwen2_nano"], nano.scratch, ROOT)
    place = Place(nano, "qwen2_nano", "nano_math", config, TEXTS["nano_math"])
    by = {part.what: part.bill for part in method_parts(place) if part.stage == "methods"}
    assert by["sampling"].rollouts == 1664
    assert by["sampling"].generated_tokens == pytest.approx(1664 * TEXTS["nano_math"].completion)
    assert 0 < by["labelling"].rollouts <= 208 * 2 * 16


def test_bills_by_hand() -> None:
    """10 rows of 7 tokens learned twice: 140 tokens, 3 passes of 140 tokens. Nothing drawn costs nothing."""
    config = config_of("qwen2_nano", ModelSettings("nano", "qwen2", "", ""), settings_of("profile=nano").scratch, ROOT)
    bill = learning(config, 70, 7, 2)
    assert bill.trained_tokens == 140
    assert bill.flops == pytest.approx(TRAINING * 2 * 10 * prefill_flops(config, 7, True))
    assert drawing(config, 0, 0, 5, 5) == Bill()


def test_seconds_by_hand(nano: Settings) -> None:
    """A peak of 1e12 FLOPs a second, half used: 1e12 FLOPs of reading take 2 s; so do those of full training.

    Adapters on frozen weights compute 2 passes of 3, checkpointing one more: 2/3 and 3/3 of it.
    """
    device = Device(24, 1e12, 1e11, (0.5, 0.5), 0.01, 1.0, "assumed")
    config = config_of("qwen2_nano", nano.models["qwen2_nano"], nano.scratch, ROOT)

    def of(kind: Any, what: str = "full", checkpointing: bool = False) -> float:
        tuning = dataclasses.replace(nano.tuning, kind=what, gradient_checkpointing=checkpointing)
        part = Part("s", "m", "w", kind, "k", Bill(flops=1e12))
        return seconds(part, dataclasses.replace(nano, tuning=tuning), config, 10**6, device)

    assert of("read") == 2.0
    assert of("train") == 2.0
    assert of("train", "lora") == pytest.approx(4 / 3)
    assert of("train", "lora", True) == pytest.approx(2.0)


def test_drawing_waits_for_launches_or_for_the_weights(nano: Settings) -> None:
    """100 rows of 10 tokens with 100 rows at once (125 x 0.8) are 10 steps of at least 10 ms; slower memory, longer."""
    config = config_of("qwen2_nano", nano.models["qwen2_nano"], nano.scratch, ROOT)
    settings = dataclasses.replace(nano, sampling=dataclasses.replace(nano.sampling, rows=125))
    part = Part("s", "m", "w", "draw", "k", drawing(config, 100, 500, 5, 10))
    fast = Device(24, 1e18, 1e18, (1.0, 1.0), 0.01, 1.0, "assumed")
    assert seconds(part, settings, config, 10**6, fast) == pytest.approx(0.1, rel=1e-3)
    slow = dataclasses.replace(fast, bandwidth=4e6)  # 4 MB of weights at half of it: 2 s a step, and the cache
    assert seconds(part, settings, config, 10**6, slow) > 10 * 2


@pytest.mark.parametrize("profile", SIZES)
def test_bundled_shapes_have_the_published_number_of_parameters(profile: str) -> None:
    settings = settings_of(f"profile={profile}")
    ((name, model),) = settings.models.items()
    config = config_of(name, model, settings.scratch, ROOT)
    assert parameters(config) == SIZES[profile]
    assert config.model_type == model.architecture


def test_every_bundled_config_is_of_a_profile() -> None:
    hubs = {m.hub_id.replace("/", "--") for p in SIZES for m in settings_of(f"profile={p}").models.values()}
    assert {path.stem for path in BUNDLED.glob("*.json")} == hubs


@pytest.mark.parametrize("profile", SIZES)
def test_every_profile_plans_and_fits_on_the_card_that_it_names(profile: str) -> None:
    settings = settings_of(f"profile={profile}")
    device = device_of("a100" if profile == "llama32_1b" else "rtx3090")
    found = forecast(settings, device, ROOT)
    assert found.unfit == {}
    assert set(found.rows) == {"start", "methods", "evaluate", "efficiency"}
    assert 1 < found.seconds / 3600 < 1000
    assert found.rows["start"].samples == (6973 + 371) * 8


@pytest.mark.parametrize("profile", SIZES)
def test_the_page_on_gpus_says_what_the_plan_says(profile: str) -> None:
    """Hours, dollars and what fits on three devices, the largest phase, the disk: one line of the page's table."""
    settings, cells = settings_of(f"profile={profile}"), []
    for name in ("rtx3090", "a100", "h200"):
        found, device = forecast(settings, DEVICES[name], ROOT), DEVICES[name]
        hours = found.seconds / 3600
        cells.append(f"{hours:,.0f} h, ${hours * device.price:,.0f}{' (does not fit)' if found.unfit else ''}")
        largest, disk = max(found.peaks.values()) / GIB, found.disk / GIB
    line = f"| {profile} | {settings.tuning.kind} | {largest:.0f} GiB | {' | '.join(cells)} | {disk:,.0f} GiB |"
    page = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8").splitlines()
    assert line in page


def test_what_does_not_fit_comes_with_the_setting_that_would() -> None:
    """Llama's Adam alone takes 18.4 GiB of 24: adapters it is. Doing as told makes it fit."""
    settings = settings_of("profile=llama32_1b")
    ((name, model),) = settings.models.items()
    shape = Shape.of(config_of(name, model, settings.scratch, ROOT))
    lengths = Lengths(210, 512)
    found = too_large(settings, shape, lengths, DEVICES["rtx3090"])
    assert found["dpo"][0] > 23 * GIB
    changes = found["dpo"][1].split()
    assert any(change.startswith(("tuning.kind", "dpo.fit.micro_batch")) for change in changes)
    told = settings_of("profile=llama32_1b", *changes)
    assert peaks(told, shape, lengths)["dpo"] <= 23 * GIB
    many = settings_of("profile=llama32_1b", "sampling.rows=4096")
    (said,) = [
        words
        for phase, (_, words) in too_large(many, shape, lengths, DEVICES["rtx3090"]).items()
        if phase == "sampling"
    ]
    assert peaks(settings_of("profile=llama32_1b", said), shape, lengths)["sampling"] <= 23 * GIB


def test_nothing_makes_a_model_fit_that_is_larger_than_the_device() -> None:
    settings = settings_of("profile=gemma2_2b")
    ((name, model),) = settings.models.items()
    shape = Shape.of(config_of(name, model, settings.scratch, ROOT))
    tiny = dataclasses.replace(DEVICES["rtx3090"], memory=1.5)
    assert "take a larger device" in too_large(settings, shape, Lengths(210, 512), tiny)["sft"][1]


@pytest.fixture(scope="module")
def qwen() -> tuple[Settings, Shape]:
    settings = settings_of("profile=qwen25_05b")
    ((name, model),) = settings.models.items()
    return settings, Shape.of(config_of(name, model, settings.scratch, ROOT))


@settings_(max_examples=20, deadline=None)
@given(rows=st.integers(1, 64), completion=st.integers(1, 2000))
def test_more_rows_and_longer_ones_never_need_less(qwen: tuple[Settings, Shape], rows: int, completion: int) -> None:
    settings, shape = qwen
    less = peaks(settings, shape, Lengths(100, completion))
    assert all(more >= less[phase] for phase, more in peaks(settings, shape, Lengths(100, completion + 1)).items())
    own = [dataclasses.replace(settings.sampling, rows=count) for count in (rows, rows + 1)]
    few, many = (peaks(dataclasses.replace(settings, sampling=s), shape, Lengths(100, 100)) for s in own)
    assert few["sampling"] < many["sampling"]


def test_orpo_has_a_portion_of_its_logits_at_most(qwen: tuple[Settings, Shape]) -> None:
    """A pair of 2 x 210 tokens: 420 x 151,936 logits, 3,295,744 fewer than 2^26. The second one adds 12 bytes of each
    of these to what its tokens take, the third nothing.
    """
    own, orpo = qwen[0], qwen[0].orpo
    fits = [dataclasses.replace(orpo.fit, micro_batch=pairs) for pairs in (1, 2, 3)]
    many = [dataclasses.replace(own, orpo=dataclasses.replace(orpo, fit=fit)) for fit in fits]
    one, two, three = (peaks(settings, qwen[1], Lengths(100, 110))["orpo"] for settings in many)
    assert (two - one) - (three - two) == pytest.approx(39_548_928)


def test_unknown_devices_tasks_and_models_are_named(nano: Settings) -> None:
    with pytest.raises(UnknownDevice, match="--gpu rtx9090: no such device; known: cpu, rtx3090"):
        device_of("rtx9090")
    with pytest.raises(UnknownTexts, match="tasks: chess: a plan knows the texts of nano_code, nano_math, gsm8k"):
        texts_of("chess")
    foreign = ModelSettings("hub", "llama", "nobody/nothing", "0" * 40)
    with pytest.raises(NoShape, match=r"models: far: no config of nobody/nothing .* `hf download nobody/nothing"):
        config_of("far", foreign, nano.scratch, ROOT)
    with pytest.raises(NoShape, match=r"models: none_nano: .* no config.json of a shipped model"):
        config_of("none_nano", ModelSettings("nano", "qwen2", "", ""), nano.scratch, ROOT)


def test_the_command_prints_work_memory_and_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / PARAMS).write_text(compose(ROOT, ["profile=qwen25_05b"])[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert command.main(["plan", "--gpu", "rtx3090"]) == 0
    said = capsys.readouterr().out
    assert "Plan of qwen25_05b on rtx3090" in said
    assert "throughput of rtx3090" in said and "assumed: 40 % of the printed peak" in said
    assert load_settings(tmp_path / PARAMS).profile == "qwen25_05b"
    assert command.main(["plan", "--gpu", "rtx9090"]) == 2
    assert capsys.readouterr().err.startswith("error: --gpu rtx9090")
