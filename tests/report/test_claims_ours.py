"""Claims held against a tiny run of two seeds (report_runs.py): every kind of test, and every verdict.

Right answers of 4 questions by seed: cot 0, 0; sft 2, 1; rft 2, 0; orpo_outcome 3, 2; sapo@1 3, 3; sapo@2 4, 4. An
interval reaches from seed to seed.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from claims_evidence import evidence_of
from report_runs import MODEL, OOD, TASK, stop, tiny_settings, write_runs

from sapo.evaluate.interval import Interval
from sapo.report.claims.catalog import (
    AccuracyTest,
    ChangeTest,
    Claim,
    CostTest,
    ProcessTest,
    Source,
    TrendTest,
    Where,
)
from sapo.report.claims.evidence import Evidence
from sapo.report.claims.tests import cells, epoch_change
from sapo.report.claims.verdicts import Cell
from sapo.report.claims.verifier_metrics import measured
from sapo.report.efficiency import Seconds
from sapo.report.process_records import ProcessResults, Rerank, Verified
from sapo.report.run_records import Checkpoint


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return evidence_of(write_runs(tmp_path_factory.mktemp("claims"), tiny_settings()))


def claim(test: Any, *benchmarks: str, architectures: tuple[str, ...] = ()) -> Claim:
    where = Where(architectures, benchmarks or (TASK,))
    return Claim("id", Source("SAPO", "table 1"), "words", (), where, test, "a run")


def only(test: Any, evidence: Evidence) -> Cell:
    (cell,) = cells(claim(test), evidence)
    return cell


def test_a_claim_holds_where_every_paired_difference_excludes_0(evidence: Evidence) -> None:
    """SAPO's last round minus SFT: 4 - 2 and 4 - 1 of 4, so 50 and 75 points."""
    cell = only(AccuracyTest("sapo 2", ("sft",), "all"), evidence)
    (found,) = cell.comparisons
    assert (cell.verdict, cell.model, cell.task, cell.benchmark) == ("holds", MODEL, TASK, TASK)
    assert (found.what, found.seeds) == ("SAPO-iter 2 minus SFT", 2)
    assert found.interval == Interval(62.5, 50, 75)


def test_a_claim_is_contradicted_where_one_difference_lies_below_0(evidence: Evidence) -> None:
    """ORPO minus SAPO: 3 - 4 and 2 - 4 of 4, whatever else it is better than."""
    cell = only(AccuracyTest("orpo_outcome", ("cot", "sapo"), "all"), evidence)
    assert cell.verdict == "contradicted"
    assert cell.deciding and cell.deciding.interval == Interval(-37.5, -50, -25)


def test_an_interval_that_includes_0_decides_nothing(evidence: Evidence) -> None:
    """RFT minus SFT: 2 - 2 and 0 - 1 of 4."""
    cell = only(AccuracyTest("rft", ("sft",), "all"), evidence)
    assert cell.verdict == "not decided"
    assert cell.comparisons[0].interval == Interval(-12.5, -25, 0)


def test_what_a_run_does_not_have_is_not_run(evidence: Evidence) -> None:
    cell = only(AccuracyTest("sapo 3", ("sft", "grpo"), "all"), evidence)
    assert cell.verdict == "not run"
    assert [one.missing for one in cell.comparisons] == ["SAPO has 2 rounds", "SAPO has 2 rounds"]
    assert only(AccuracyTest("sapo", ("grpo",), "all"), evidence).comparisons[0].missing == "GRPO was not run"


def test_seeds_are_those_that_both_sides_have(evidence: Evidence) -> None:
    """The ablation ran with seed 1 alone: 4 - 2 of 4."""
    (found,) = only(AccuracyTest("sapo", ("sapo_without_ep",), "all"), evidence).comparisons
    assert (found.seeds, found.interval) == (1, Interval(50, 50, 50))


def test_a_method_that_stopped_says_so(tmp_path: Path) -> None:
    workspace = write_runs(tmp_path, tiny_settings())
    stop(workspace, "sapo_without_ep", 1, 1, "No pair was left.")
    (found,) = only(AccuracyTest("sapo", ("sapo_without_ep",), "all"), evidence_of(workspace)).comparisons
    assert found.missing == "SAPO w/o EP stopped in round 1"


def test_better_than_most(evidence: Evidence) -> None:
    """ORPO is better than SFT (25, 25 points) and RFT (25, 50), worse than SAPO: 2 of 3. RFT is better than neither."""
    assert only(AccuracyTest("orpo_outcome", ("sft", "rft", "sapo"), "most"), evidence).verdict == "holds"
    assert only(AccuracyTest("rft", ("orpo_outcome", "sapo"), "most"), evidence).verdict == "contradicted"


def test_a_trend_asks_every_step(evidence: Evidence) -> None:
    """SAPO: 3 to 4 with both seeds; turned round it falls; from SFT to RFT nothing is decided."""
    assert only(TrendTest(("cot", "sapo 1", "sapo 2")), evidence).verdict == "holds"
    assert only(TrendTest(("sapo 2", "sapo 1")), evidence).verdict == "contradicted"
    assert only(TrendTest(("cot", "sft", "rft")), evidence).verdict == "not decided"


def test_a_claim_has_a_cell_for_each_benchmark_and_architecture_that_it_speaks_of(evidence: Evidence) -> None:
    test = AccuracyTest("sapo", ("sft",), "all")
    assert [cell.benchmark for cell in cells(claim(test, TASK, OOD), evidence)] == [TASK, OOD]
    assert cells(claim(test, TASK, architectures=("llama",)), evidence) == []
    assert len(cells(claim(test, TASK, architectures=("qwen2",)), evidence)) == 1


def test_costs_are_counts(evidence: Evidence) -> None:
    """Shepherd and omega spend 600 FLOPs, saps 1,200: shepherd / saps is 0.5, shepherd / omega 1."""
    cell = only(CostTest("flops", "shepherd", "saps", 2.0), evidence)
    assert (cell.verdict, cell.comparisons[0].interval) == ("contradicted", Interval(0.5, 0.5, 0.5))
    assert only(CostTest("flops", "shepherd", "omega", 1.0), evidence).verdict == "holds"


def test_seconds_are_those_on_file(evidence: Evidence) -> None:
    test = CostTest("seconds", "shepherd", "saps", 2.0)
    assert only(test, evidence).comparisons[0].missing == "seconds were not measured"
    seconds = Seconds("machine", {f"{MODEL}/{TASK}": {"shepherd": 0.3, "saps": 0.1}})
    cell = only(test, replace(evidence, seconds=seconds))
    assert cell.verdict == "holds"
    assert cell.comparisons[0].interval and math.isclose(cell.comparisons[0].interval.value, 3.0)


def test_a_change_from_epoch_to_epoch() -> None:
    """Seed 1 goes from 1 to 3, seed 2 from 2 to 3: 2 and 1, 1.5 on average; steps of an epoch are alike."""
    logs = [[(1, 1.0), (1, 1.0), (2, 3.0)], [(1, 2.0), (2, 9.0), (3, 3.0)]]
    assert epoch_change(logs, 200, 1) == Interval(1.5, 1.0, 2.0)
    assert epoch_change([[(1, 1.0), (1, 5.0)]], 200, 1) is None


def test_steps_that_differ_widen_the_change() -> None:
    """From 0 or 2, 1 on average, to 1 and 1: draws of two steps have means 0, 1 and 2, so the change is -1, 0 or 1."""
    assert epoch_change([[(1, 0.0), (1, 2.0), (2, 1.0), (2, 1.0)]], 400, 1) == Interval(0.0, -1.0, 1.0)


def test_a_measure_that_falls_is_turned_round(evidence: Evidence) -> None:
    """The tiny run logs one epoch; with its two steps in two epochs the chosen log-probability goes from -1 to -0.5."""
    test = ChangeTest("chosen_logp", "orpo_outcome 1", "falls")
    assert only(test, evidence).comparisons[0].missing == "ORPO on outcomes trained for one epoch"
    (entry,) = evidence.results
    by_seed = entry.rounds[Checkpoint("orpo_outcome", 1)]
    longer = {
        seed: replace(one, log=tuple(replace(step, epoch=step.step) for step in one.log))
        for seed, one in by_seed.items()
    }
    results = [replace(entry, rounds={**entry.rounds, Checkpoint("orpo_outcome", 1): longer})]
    fell, rose = (
        only(replace(test, direction=direction), replace(evidence, results=results)) for direction in ("falls", "rises")
    )
    assert (fell.verdict, fell.comparisons[0].interval) == ("contradicted", Interval(-0.5, -0.5, -0.5))
    assert (rose.verdict, rose.comparisons[0].interval) == ("holds", Interval(0.5, 0.5, 0.5))


def test_a_method_without_the_measure_is_not_run(evidence: Evidence) -> None:
    cell = only(ChangeTest("chosen_logp", "srf 1", "falls"), evidence)
    assert (cell.verdict, cell.comparisons[0].missing) == ("not run", "SRF (iterated DPO) was not run")


def judged() -> ProcessResults:
    """Steps right: SAPO's third verifier 80 [77, 83] %, the one of outcomes 70 [66, 74], MCE 90 [87, 93]."""

    def verified(steps: Interval, seeds: int) -> Verified:
        return Verified(seeds, 0.5, steps, steps, None, None, None, None, None, None, None, None, (), ())

    verifiers = {
        Checkpoint("sapo", 3): verified(Interval(0.80, 0.77, 0.83), 2),
        Checkpoint("sapo_without_pf", 3): verified(Interval(0.70, 0.66, 0.74), 1),
    }
    mce = {Checkpoint("sapo", 3): Interval(0.90, 0.87, 0.93)}
    errors = {"V1-R3": Interval(0.6, 0.57, 0.63), "V3-R3": Interval(0.5, 0.46, 0.54)}
    table2 = {name: (interval, Interval(0, 0, 0)) for name, interval in errors.items()}
    return ProcessResults(MODEL, TASK, 9, 0, 9, 9, verifiers, mce, table2, Rerank((), (), (), {}, {}, 100, 1))


@pytest.mark.parametrize(
    ("test", "points", "verdict"),
    [
        # 80 [77, 83] minus 70 [66, 74]: 10 -+ sqrt(3² + 4²)
        (ProcessTest("step_accuracy", ("sapo 3",), ("sapo_without_pf 3",), 0.0), (10, 5, 15), "holds"),
        (ProcessTest("step_accuracy", ("sapo_without_pf 3",), ("sapo 3",), 0.0), (-10, -15, -5), "contradicted"),
        (ProcessTest("step_accuracy", ("sapo_without_pf 3",), ("sapo 3",), 10.0), (-10, -15, -5), "not decided"),
        (ProcessTest("step_accuracy", ("sapo_without_pf 3",), ("sapo 3",), 16.0), (-10, -15, -5), "holds"),
        (ProcessTest("error", ("self_verification V1-R3",), ("self_verification V3-R3",), 0.0), (10, 5, 15), "holds"),
        # 90 [87, 93] minus 70 [66, 74]
        (ProcessTest("step_accuracy", ("mce 3",), ("sapo_without_pf 3",), 0.0), (20, 15, 25), "holds"),
    ],
)
def test_verifiers_are_compared_by_their_intervals(
    evidence: Evidence, test: ProcessTest, points: tuple[float, ...], verdict: str
) -> None:
    cell = only(test, replace(evidence, process=[judged()]))
    (found,) = cell.comparisons
    assert found.interval
    assert (found.interval.value, found.interval.low, found.interval.high) == pytest.approx(points)
    assert (cell.verdict, found.seeds) == (verdict, 1)


def test_each_of_more_is_compared_with_each_of_less(evidence: Evidence) -> None:
    cell = only(ProcessTest("step_accuracy", ("sapo 3", "mce 3"), ("sapo 1", "sapo 2"), 0.0), evidence)
    assert [one.what.replace("accuracy on steps of ", "") for one in cell.comparisons] == [
        "SAPRM, round 3 minus that of SAPRM, round 1",
        "SAPRM, round 3 minus that of SAPRM, round 2",
        "MCE of SAPO, round 3 minus that of SAPRM, round 1",
        "MCE of SAPO, round 3 minus that of SAPRM, round 2",
    ]


def test_the_gap_is_that_between_the_reasoners_estimate_and_its_verifier() -> None:
    """90 [87, 93] minus 80 [77, 83]: 10 -+ sqrt(3² + 3²). Without an estimate there is none."""
    gap = measured(judged(), "sapo 3", "gap")
    assert gap
    assert (gap[0].value, gap[0].low, gap[0].high) == pytest.approx((10, 10 - 18**0.5, 10 + 18**0.5))
    assert measured(judged(), "sapo_without_pf 3", "gap") is None


def test_without_a_process_benchmark_its_claims_are_not_run(evidence: Evidence) -> None:
    cell = only(ProcessTest("step_accuracy", ("sapo 3",), ("sapo 1",), 0.0), evidence)
    missing = "accuracy on steps of SAPRM, round 3 was not measured"
    assert (cell.verdict, cell.comparisons[0].missing) == ("not run", missing)
