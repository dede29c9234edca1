"""Our numbers beside the printed ones, from the tiny run and hand-made errors: each difference worked out by hand."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from claims_evidence import FLOPS, labelling
from report_runs import MODEL, OOD, TASK, tiny_settings, write_runs

from sapo.evaluate.interval import Interval
from sapo.report.accuracies import Column, measure
from sapo.report.claims.evidence import Evidence
from sapo.report.efficiency import Seconds
from sapo.report.load_run import read_results
from sapo.report.process_records import ProcessResults, Rerank
from sapo.report.summary import summaries, write_summaries
from sapo.report.tables.method_tables import Table
from sapo.report.tables.paper_comparison import beside_tables, paper_model
from sapo.settings import ModelSettings

ERRORS = {"V1-R1": 0.60, "V1-R3": 0.65, "V3-R3": 0.50}


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> list[Column]:
    settings = tiny_settings()
    results = read_results(settings, write_runs(tmp_path_factory.mktemp("beside"), settings))
    return measure(results, settings.report.resamples, settings.seed)


def process(errors: Mapping[str, float] = ERRORS) -> ProcessResults:
    """Errors of self-verification that reach 3 points to each side as the reasoner says."""
    found = {name: (Interval(e, e - 0.03, e + 0.03), Interval(1.0, 1.0, 1.0)) for name, e in errors.items()}
    return ProcessResults(MODEL, TASK, 1, 0, 1, 1, {}, {}, found, Rerank((), (), (), {}, {}, 100, 1))


def evidence(**changed: Any) -> Evidence:
    return replace(Evidence(tiny_settings(), [], labelling(), None, []), **changed)


def tables(columns: list[Column], *entries: ProcessResults) -> dict[str, Table]:
    return {table.title: table for table in beside_tables(evidence(process=entries), columns)}


def test_table_1_has_levels_and_gains(columns: list[Column]) -> None:
    """RFT 25.0, 12.5 less than SFT's 37.5; printed 37.83, 3.64 more than 34.19: -12.5 - 3.64 = -16.1.

    SAPO's second round 100.0, +62.5; printed 38.14, +3.95: 61.9 points apart in level, 58.5 (58.55) in gain.
    """
    rows = [row for row in tables(columns)["Beside SAPO's table 1"].rows if row[1] == TASK]
    place = (MODEL, TASK, "Qwen-2.5-0.5B, GSM8K")
    assert rows[1] == (*place, "SFT", "37.5", "34.19", "+3.3", "–", "–", "–")
    assert rows[2] == (*place, "RFT", "25.0", "37.83", "-12.8", "-12.5 [-25.0, +0.0]", "+3.64", "-16.1")
    assert rows[-1][3:8] == ("SAPO-iter 2", "100.0", "38.14", "+61.9", "+62.5 [+50.0, +75.0]")
    assert float(rows[-1][-1]) == pytest.approx(58.55, abs=0.051)
    assert [row[3] for row in rows] == ["CoT (pretrained)", "SFT", "RFT", "SAPO-iter 1", "SAPO-iter 2"]


def test_sipf_is_held_against_the_one_model_whose_numbers_are_known(columns: list[Column]) -> None:
    """No SIPF in the tiny run, so SFT alone; out of domain stands for MMLU_Math."""
    rows = tables(columns)["Beside SIPF's tables 1 and 2"].rows
    assert [row[:4] for row in rows] == [
        (MODEL, TASK, "Gemma-2B, GSM8K", "SFT"),
        (MODEL, OOD, "Gemma-2B, MMLU_Math", "SFT"),
    ]
    assert rows[0][4:7] == ("37.5", "31.54", "+6.0")


def test_table_2_is_measured_from_the_last_round(columns: list[Column]) -> None:
    """V1-R1: 60 - 50 = +10 ± 3 * sqrt 2 = 4.2; printed 58.59 - 54.63 = 3.96, so 6.0 apart."""
    rows = tables(columns, process())["Beside SAPO's table 2"].rows
    place = (MODEL, TASK, "Qwen-2.5-0.5B, GSM8K")
    assert rows[0] == (*place, "V1-R1", "60.0", "58.59", "+1.4", "+10.0 [+5.8, +14.2]", "+3.96", "+6.0")
    assert rows[2] == (*place, "V3-R3", "50.0", "54.63", "-4.6", "–", "–", "–")
    (row,) = tables(columns, process({"V1-R1": 0.6}))["Beside SAPO's table 2"].rows  # one round: nothing to compare
    assert row[4:] == ("60.0", "58.59", "+1.4", "–", "–", "–")


def test_what_has_no_cell_has_no_table(columns: list[Column]) -> None:
    """Two rounds of SAPO are not table 3's three."""
    assert set(tables(columns)) == {
        "Beside SAPO's table 1",
        "Beside SIPF's tables 1 and 2",
        "Beside SAPO's figure 6",
    }
    assert beside_tables(evidence(labelling=[]), []) == []


def test_figure_6_is_said_to_be_two_to_three(columns: list[Column]) -> None:
    """FLOPs 600 / 1200 = 0.5, which is 1.5 below two; seconds 5 / 2 = 2.5 are within."""
    assert (FLOPS["shepherd"], FLOPS["saps"]) == (600, 1200)
    seconds = Seconds("a machine", {f"{MODEL}/{TASK}": {"shepherd": 5.0, "saps": 2.0}})
    table = beside_tables(evidence(seconds=seconds), columns)[-1]
    assert [row[2:] for row in table.rows] == [
        ("FLOPs", "0.50", "2 to 3", "-1.50"),
        ("seconds", "2.50", "2 to 3", "within"),
    ]


def test_summaries_are_a_file_a_model_and_task(columns: list[Column], tmp_path: Path) -> None:
    numbers = summaries(columns, labelling(), [process()], {"holds": 3, "not run": 1})
    assert numbers == {
        f"{MODEL}.{TASK}": {
            "cot": 0.0, "sft": 37.5, "rft": 25.0, "orpo_outcome": 62.5, "sapo": 100.0, "label_flops": 2.0
        },
        "claims": {"holds": 3, "not_run": 1},
    }  # fmt: skip
    (tmp_path / "old.json").write_text("{}", encoding="utf-8")
    paths = write_summaries(tmp_path, numbers)
    assert sorted(tmp_path.iterdir()) == sorted(paths) and (tmp_path / "claims.json") in paths


@pytest.mark.parametrize(
    ("model", "paper"),
    [
        (ModelSettings("nano", "gemma2", "", ""), "Gemma-2-2B"),
        (ModelSettings("scratch", "qwen2", "", ""), "Qwen-2.5-0.5B"),
        (ModelSettings("hub", "llama", "meta-llama/Llama-3.2-1B", "main"), "Llama-3.2-1B"),
        (ModelSettings("hub", "llama", "TinyLlama/TinyLlama-1.1B", "main"), ""),
        (ModelSettings("hub", "phi", "microsoft/phi-1_5", "main"), ""),
    ],
)
def test_a_hub_model_stands_for_itself_and_a_trained_one_for_its_architecture(model: ModelSettings, paper: str) -> None:
    assert paper_model(model) == paper
