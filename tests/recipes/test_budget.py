"""`budget: matched`: every method trains on as many tokens, whatever its rounds, pairs and filters are."""

import dataclasses
from pathlib import Path

import pytest
import torch

from sapo.recipes.experiment import read_costs
from sapo.runtime.workspace import StageArguments, Workspace
from sapo.settings import CellSettings, GroupSettings
from sapo.settings.configure import compose
from sapo.stages import base, methods, start

ROOT = Path(__file__).parents[2]
TOKENS = 20_000
METHODS = ("rft", "online_rft", "orpo_outcome", "rft_dpo", "star", "grpo", "sapo")
SMALLER = ("tasks.nano_math.train_questions=16", "tasks.nano_math.max_new_tokens=60")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[int]]:
    """Tokens that each round of each method trained on, under a budget of `TOKENS` a method."""
    torch.set_num_threads(1)
    budget = ("budget.kind=matched", f"budget.training_tokens={TOKENS}")
    _, smoke = compose(ROOT, ["profile=smoke", "workers=1", "process_benchmarks={}", *SMALLER, *budget])
    settings = dataclasses.replace(
        smoke,
        models={"qwen2_nano": smoke.models["qwen2_nano"]},
        tasks={"nano_math": smoke.tasks["nano_math"]},
        groups={"all": GroupSettings(METHODS, (1,))},
        cells={"qwen2_nano-nano_math-all": CellSettings("qwen2_nano", "nano_math", "all")},
    )
    workspace = Workspace(tmp_path_factory.mktemp("budget"), "smoke")
    workspace.data.symlink_to(ROOT / "assets")
    place = StageArguments("qwen2_nano", "nano_math")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace.root)  # stages read data/ where they run
        for stage in (base, start, methods):
            stage.run(settings, workspace, place)
    folder = workspace.methods("qwen2_nano", "nano_math") / "1"
    assert not list(folder.rglob("stopped.json"))
    return {
        method: [read_costs(path)["update"].trained_tokens for path in sorted((folder / method).iterdir())]
        for method in METHODS
    }


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_on_the_budget(trained: dict[str, list[int]], method: str) -> None:
    """Trainings end after whole steps, and GRPO can only guess how long what it will draw is."""
    slack = 0.4 if method == "grpo" else 0.1
    assert sum(trained[method]) == pytest.approx(TOKENS, rel=slack)


def test_rounds_share_the_budget_evenly(trained: dict[str, list[int]]) -> None:
    assert [len(trained[method]) for method in ("rft", "rft_dpo", "sapo")] == [1, 2, 3]
    for tokens in trained["sapo"]:
        assert tokens == pytest.approx(TOKENS / 3, rel=0.1)
