"""What stage `methods` gives its processes to do, in profile nano."""

from pathlib import Path

import pytest

from sapo.runtime.process_pool import Work
from sapo.runtime.workspace import StageArguments, Workspace
from sapo.settings import Settings, method_settings
from sapo.settings.configure import compose
from sapo.stages import methods

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def nano() -> Settings:
    return compose(ROOT, ["profile=nano"])[1]


@pytest.mark.parametrize(
    ("method", "rounds"),
    [("rft", 1), ("sapo", 3), ("sapo_six_rounds", 6), ("grpo", 3), ("orpo_mc", 2), ("sipf", 6), ("sapo_shepherd", 6)],
)
def test_lengths_are_counted_in_rounds_of_sapo(nano: Settings, method: str, rounds: int) -> None:
    """GRPO is one update as long as three; a round whose labels are shepherd's is as long as two."""
    assert methods.length(method_settings(nano, method, 1)) == rounds


def test_all_tasks_of_a_model_share_the_processes_the_longest_first(
    nano: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Work] = []
    monkeypatch.setattr(methods, "run_all", lambda works, workers: given.extend(works))
    workspace = Workspace(tmp_path, "nano")
    methods.run(nano, workspace, StageArguments("gemma2_nano"))
    folders = [work.arguments[1] for work in given]
    assert len(set(map(str, folders))) == len(given) == 2 * 4  # tasks x rft, orpo_outcome, orpo_mc, sapo
    assert [work.name.split(": ")[1].split()[0] for work in given] == (
        ["sapo"] * 2 + ["orpo_mc"] * 2 + ["rft", "orpo_outcome"] * 2
    )
    assert sorted(path.name for path in workspace.methods_of("gemma2_nano").iterdir()) == ["nano_code", "nano_math"]
