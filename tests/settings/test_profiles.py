"""Profiles of hub models: they resolve, are pinned, and say what the papers and their settings say."""

import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from sapo.settings import Settings, method_settings
from sapo.settings.configure import compose
from sapo.tasks.catalog import TASKS

ROOT = Path(__file__).parents[2]
PROFILES = ["qwen25_05b", "llama32_1b", "gemma2_2b", "sipf_gemma_2b", "sipf_phi_15", "sipf_tinyllama"]
GATED = {"llama32_1b", "gemma2_2b", "sipf_gemma_2b"}


@cache
def settings_of(profile: str) -> Settings:
    return compose(ROOT, [f"profile={profile}"])[1]


def source(profile: str) -> str:
    return (ROOT / "code" / "conf" / "profile" / f"{profile}.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_resolves_and_its_model_is_pinned_to_a_commit(profile: str) -> None:
    settings = settings_of(profile)
    assert settings.profile == profile
    ((name, model),) = settings.models.items()
    assert (name, model.kind) == (profile, "hub")
    assert re.fullmatch(r"[0-9a-f]{40}", model.revision)
    assert (settings.tuning.device, settings.tuning.dtype, settings.data.hub) == ("cuda", "bfloat16", True)
    assert all(task in TASKS and limits.ood in TASKS for task, limits in settings.tasks.items())
    assert not settings.report.readme and settings.report.results == f"runs/{profile}_report/results"


@pytest.mark.parametrize("profile", PROFILES)
def test_a_gated_profile_says_how_to_get_access(profile: str) -> None:
    head = source(profile).split("\nprofile:")[0]
    hub = next(iter(settings_of(profile).models.values())).hub_id
    if profile in GATED:
        assert f"https://huggingface.co/{hub}" in head and "`hf auth login`" in head
    else:
        assert "Not gated." in head


@pytest.mark.parametrize("profile", ["sipf_gemma_2b", "sipf_phi_15", "sipf_tinyllama"])
def test_sipfs_released_settings(profile: str) -> None:
    """QLoRA r 256, alpha 128, dropout .05; SFT 2e-4, 8 epochs, 2 x 10; ORPO 8e-5, .1, 8 epochs; PRM r 16, 10 x 4."""
    settings = settings_of(profile)
    own = settings.tuning
    assert (own.kind, own.reasoner.rank, own.reasoner.alpha, own.reasoner.dropout) == ("qlora", 256, 128, 0.05)
    assert own.verifier.rank == 16
    fit = settings.sft
    assert (fit.lr, fit.epochs, fit.micro_batch, fit.batch_size, fit.warmup) == (2e-4, 8, 2, 20, 0.1)
    assert (settings.orpo.fit.lr, settings.orpo.beta, settings.orpo.fit.epochs, settings.orpo.nll) == (
        8e-5,
        0.1,
        8,
        "full",
    )
    fit = settings.verifier.fit
    assert (fit.lr, fit.epochs, fit.micro_batch, fit.batch_size) == (5e-5, 10, 10, 40)
    assert (settings.sampling.temperature, settings.rollouts.per_position) == (1.0, 8)
    assert {task.max_new_tokens for task in settings.tasks.values()} == {512}
    sipf = method_settings(settings, "sipf", 1)
    assert (sipf.labels.by, sipf.verifier.loss) == ("shepherd", "bce")


def test_sapo_trains_all_weights_but_gemmas() -> None:
    kinds = {profile: settings_of(profile).tuning.kind for profile in PROFILES[:3]}
    assert kinds == {"qwen25_05b": "full", "llama32_1b": "full", "gemma2_2b": "qlora"}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_setting_of_training_and_sampling_says_where_it_is_from(profile: str) -> None:
    """Printed, released or ours, on its own line or on the first line of its section."""
    text = source(profile)
    for section in ("tuning", "sampling", "rollouts", "labels", "sft", "verifier", "orpo", "dpo", "pairs"):
        if section not in yaml.safe_load(text):
            pytest.fail(f"{profile}: {section} is left to the laboratory's default")
        lines = re.search(rf"^{section}:.*(?:\n +.*)*", text, re.MULTILINE)
        assert lines is not None
        assert re.search(r"printed|released|ours", lines[0]), f"{profile}: {section}"
