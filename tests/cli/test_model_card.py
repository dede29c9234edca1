"""The card beside a checkpoint's weights, against the hand-made runs."""

from dataclasses import replace

import pytest
import yaml
from report_runs import MODEL, OOD, TASK, tiny_settings, write_runs

from sapo.report.load_run import read_benchmarks
from sapo.report.model_card import LICENCE, QUESTIONS, Subject, front_matter, model_card
from sapo.report.run_records import COT, Checkpoint
from sapo.runtime.workspace import Workspace
from sapo.settings import ModelSettings, Settings, method_settings
from sapo.tasks.catalog import EMBEDDED, TASKS

HUB = ModelSettings("hub", "qwen2", "Qwen/Qwen2.5-0.5B", "060db6499f32faf8b98477b0a26969ef7d8b9987")
SAPO = Subject(MODEL, TASK, Checkpoint("sapo", 2), 1)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return write_runs(tmp_path_factory.mktemp("runs"), tiny_settings())


def card(workspace: Workspace, subject: Subject, settings: Settings) -> str:
    answers = {subject.checkpoint: [subject.seed]}
    benchmarks = read_benchmarks(tiny_settings(), workspace, MODEL, TASK, answers)
    return model_card(settings, subject, benchmarks)


def test_results_are_counted_from_the_answers_of_that_seed_alone(workspace: Workspace) -> None:
    """SAPO's second round answers RRRR with seed 1; its first round RRRW, 3 of 4; one cluster gives no width."""
    text = card(workspace, SAPO, tiny_settings())
    assert f"| {TASK} | 4 | 4 | 100.0% | 100.0% to 100.0% |" in text
    assert f"| {OOD}, out of domain | 4 | 4 | 100.0% |" in text
    first = card(workspace, replace(SAPO, checkpoint=Checkpoint("sapo", 1)), tiny_settings())
    assert f"| {TASK} | 4 | 3 | 75.0% | 75.0% to 75.0% |" in first


def test_the_method_says_its_round_and_what_it_changes(workspace: Workspace) -> None:
    settings = tiny_settings()
    ablation = Subject(MODEL, TASK, Checkpoint("sapo_without_ep", 1), 1)
    text = card(workspace, ablation, method_settings(settings, "sapo_without_ep", 1))
    assert "Round 1 of 2 by method *SAPO w/o EP*, which learns from: process." in text
    assert "expansion: {max_per_trajectory: 0}" in text
    assert "none: the defaults are this method" in card(workspace, SAPO, settings)
    assert "Profile `tiny`, seed 1; weights trained: full, in float32. Versions: numpy " in text


def test_data_name_the_task_its_size_and_its_licence(workspace: Workspace) -> None:
    text = card(workspace, SAPO, tiny_settings())
    assert f"Task `{TASK}` (synthetic, made by this code): the first 10 training questions" in text
    assert f"Training questions ({TASK}): Apache-2.0." in text
    assert "None of the task's questions were used." in card(workspace, replace(SAPO, checkpoint=COT), tiny_settings())
    assert QUESTIONS.keys() == TASKS.keys() - EMBEDDED.keys(), "every real task has its licence"


def test_front_matter_is_what_the_hub_reads(workspace: Workspace) -> None:
    text = card(workspace, SAPO, tiny_settings())
    front = yaml.safe_load(text.split("---\n")[1])
    assert front == front_matter(tiny_settings(), SAPO)
    assert front["license"] == LICENCE and "base_model" not in front
    assert front["library_name"] == "transformers" and front["tags"] == ["sapo-replication", TASK, "sapo"]


def test_a_model_made_from_one_of_the_hub_keeps_its_licence(workspace: Workspace) -> None:
    settings = replace(tiny_settings(), models={MODEL: HUB})
    front = front_matter(settings, SAPO)
    assert front["license"] == "other" and front["license_link"] == "https://huggingface.co/Qwen/Qwen2.5-0.5B"
    assert front["base_model"] == "Qwen/Qwen2.5-0.5B"
    text = card(workspace, SAPO, settings)
    assert f"at revision `{HUB.revision}`" in text
    assert "Weights: that of Qwen/Qwen2.5-0.5B, from which they are derived." in text
