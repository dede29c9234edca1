"""The report of what labels cost and how true they are, on files whose numbers are worked by hand."""

from pathlib import Path

import pytest
from efficiency_settings import small_efficiency_settings
from fakes import trajectory

from sapo.evaluate.efficiency import LABELLERS, LabelRow, TruthRow
from sapo.records import RecordError, StepScores, Trajectory, write_json, write_plain_json, write_records
from sapo.report.efficiency import SECONDS, Target, TaskEfficiency, read_efficiency, read_seconds, targets
from sapo.report.figures.labelling_cost import UNKNOWN, UNMEASURED, figure6
from sapo.report.tables.labelling_tables import cost_table, efficiency_metrics, targets_table
from sapo.runtime.workspace import StageArguments, Workspace
from sapo.settings import (
    Settings,
)

PLACE = StageArguments("tiny", "lines")
LONG = ("ok", "ok", "bad", "x", "y", "lose")
SHORT = ("ok", "bad", "lose")


@pytest.fixture
def settings() -> Settings:
    return small_efficiency_settings()


def cost(rollouts: int, flops: float) -> dict[str, float]:
    return {"rollouts": rollouts, "prompt_tokens": 4, "generated_tokens": 2 * rollouts, "flops": flops, "programs": 0}


@pytest.fixture
def by_hand(settings: Settings, tmp_path: Path) -> Workspace:
    """Two long and one short wrong trajectory, one held out.

    Shepherd: first errors 3, 3, 2 as in truth. Ours: 3, 3, 2. Everyone else: 3, 2, 2. Two long ones cost shepherd 80
    rollouts and 800 FLOPs, omega 40 and 400, saps 20 and 160 and ours 10 and 40, both with 40 FLOPs of detection. Two
    right ones cost ours nothing and everyone else as much as two wrong ones.
    """
    workspace = Workspace(tmp_path, "test")
    folder = workspace.efficiency("tiny", "lines")
    measured = [trajectory("a", LONG, "q0"), trajectory("b", LONG, "q1"), trajectory("c", SHORT, "q2")]
    held_out = [trajectory("h", SHORT, "q3")]
    right = [(1, 1, 0, 0, 0, 0), (1, 1, 0, 0, 0, 0), (1, 0, 0)]
    other = [right[0], (1, 0, 0, 0, 0, 0), right[2]]
    write_records(folder / "measured.jsonl", measured, Trajectory)
    write_records(folder / "held_out.jsonl", held_out, Trajectory)
    truth = [TruthRow(t.id, t.question_id, c) for t, c in zip(measured, right, strict=True)]
    write_records(folder / "truth.jsonl", truth, TruthRow)
    write_records(folder / "held_out_truth.jsonl", [TruthRow("h", "q3", (1, 0, 0))], TruthRow)
    costs = {"detection": cost(0, 40), "shepherd": cost(80, 800), "omega": cost(40, 400), "ours": cost(10, 40)}
    written = {f"detection/{length}": cost(0, 40) for length in ("long", "short")}
    for name in LABELLERS:
        found = right if name in ("shepherd", "ours") else other
        rows = [LabelRow(t.id, t.question_id, c, (), 0) for t, c in zip(measured, found, strict=True)]
        write_records(folder / name / "labels.jsonl", rows, LabelRow)
        write_records(folder / name / "scores.jsonl", [StepScores("h", (0.9, 0.4, 0.6))], StepScores)
        written |= {f"{name}/{kind}": costs.get(name, cost(20, 160)) for kind in ("long", "short", "right")}
    written |= {"detection/right": cost(0, 40), "ours/right": cost(0, 0)}
    write_json(folder / "summary.json", {"costed_right": 2})
    write_json(folder / "costs.json", written)
    return workspace


@pytest.fixture
def entry(settings: Settings, by_hand: Workspace) -> TaskEfficiency:
    (found,) = read_efficiency(settings, by_hand)
    return found


def test_costs_and_agreements_by_hand(entry: TaskEfficiency) -> None:
    """Per long trajectory: 40, 20, 10, 5 rollouts; FLOPs 400, 200, (160 + 40) / 2, (40 + 40) / 2. Of all: 2 x / 3.

    Saps errs at step 2 of b: 14 of 15 steps, 2 of 3 first errors. Scores .9 .4 .6 are called 101: 2 of 3 steps of 100,
    and the same first error.
    """
    shown = [entry.labellers[name].cost for name in ("shepherd", "omega", "saps", "ours")]
    assert [(each.rollouts, each.flops) for each in shown] == [(40, 400), (20, 200), (10, 100), (5, 40)]
    assert entry.labellers["omega"].cost_all.rollouts == pytest.approx(80 / 3)
    saps = entry.labellers["saps"]
    assert (saps.shepherd.steps.value, saps.shepherd.first_error.value) == (
        pytest.approx(14 / 15),
        pytest.approx(2 / 3),
    )
    assert saps.truth == saps.shepherd
    assert saps.verifier is not None
    assert (saps.verifier.steps.value, saps.verifier.first_error.value) == (pytest.approx(2 / 3), 1)
    assert entry.labellers["ours"].same_as_saps == pytest.approx(2 / 3)


def test_targets_are_data(entry: TaskEfficiency) -> None:
    """10/40, 100/400, 10/20, 100/200, (40 + 0)/(100 + 100); ours finds one first error of three more: 33.3."""
    found = targets(entry)
    assert [round(t.value, 3) for t in found] == [0.25, 0.25, 0.5, 0.5, 0.2, 33.333, 1.0]
    assert all(t.met for t in found)
    assert str(found[4]) == "FLOPs of ours / saps, every second one right: 0.20, goal ≤ 0.5: met"
    assert not Target("x", 0.51, 0.5, at_most=True).met
    assert not Target("x", 4.9, 5.0, at_most=False).met
    assert targets_table([entry]).rows[4][2:] == (
        "FLOPs of ours / saps, every second one right",
        "0.20",
        "≤ 0.5",
        "yes",
    )


def test_tables_metrics_and_figure_say_the_same(entry: TaskEfficiency, tmp_path: Path) -> None:
    path = tmp_path / SECONDS
    each = {"shepherd": 0.4, "omega": 0.2, "saps": 0.1, "ours": 0.05}
    machine = {"profile": "test", "machine": {"cpu": "Z80", "cores": 1}, "threads": 1, "date": "2026-01-02"}
    write_plain_json(path, {**machine, "seconds": {"tiny/lines": each}})
    seconds = read_seconds(path, "test")
    table = {row[2]: row[3:] for row in cost_table([entry], seconds).rows}
    assert table["saps"] == ("10.0", "4", "20", "1.00e+02", "1.00e+02", "0.0", "0.1000")
    assert table["saps_lazy"][-1] == "–"
    assert "Z80, 1 thread, 2026-01-02" in cost_table([entry], seconds).note
    labellers = efficiency_metrics(entry)["labellers"]
    assert isinstance(labellers, dict)
    assert labellers["ours"]["flops_each"] == 40
    figure, rows = figure6([entry], seconds)
    by_name = {row["labeller"]: row for row in rows}
    assert (by_name["saps"]["rollouts"], by_name["saps"]["seconds"], by_name["saps_lazy"]["seconds"]) == (10, 0.1, "")
    assert by_name["saps"]["shepherd_first_error_value_percent"] == pytest.approx(200 / 3)
    widths = [[bar.get_width() for bar in axes.patches] for axes in figure.axes[:3]]  # pyright: ignore[reportAttributeAccessIssue]
    assert widths == [[40, 20, 10, 5], [400, 200, 100, 40], [400, 200, 100, 50]]
    assert not [text for axes in figure.axes for text in axes.texts if text.get_text() in (UNMEASURED, UNKNOWN)]


def test_seconds_of_another_profile_are_not_shown_and_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / SECONDS
    assert read_seconds(path, "test") is None
    content = {"profile": "nano", "machine": {"cpu": "Z80"}, "threads": 1, "date": "2026-01-02", "seconds": {}}
    write_plain_json(path, content)
    assert read_seconds(path, "test") is None
    write_plain_json(path, {"profile": "nano"})
    with pytest.raises(RecordError, match=r"labelling_seconds\.json: KeyError\('machine'\).*--write"):
        read_seconds(path, "nano")


def test_files_that_do_not_belong_together_are_refused(settings: Settings, by_hand: Workspace) -> None:
    folder = by_hand.efficiency("tiny", "lines")
    scores, labels, costs = folder / "ours" / "scores.jsonl", folder / "saps" / "labels.jsonl", folder / "costs.json"
    good = {path: path.read_bytes() for path in (scores, labels, costs)}
    write_records(scores, [StepScores("other", (0.9, 0.4, 0.6))], StepScores)
    with pytest.raises(RecordError, match=r"scores\.jsonl: line 2: trajectory 'other' of 3 steps, expected 'h' of 3"):
        read_efficiency(settings, by_hand)
    scores.write_bytes(good[scores])
    write_records(labels, [LabelRow("a", "q0", (1,), (), 0)], LabelRow)
    with pytest.raises(RecordError, match=r"saps/labels\.jsonl: 1 rows for 3 trajectories"):
        read_efficiency(settings, by_hand)
    labels.write_bytes(good[labels])
    write_json(costs, {"shepherd/long": cost(1, 1)})
    with pytest.raises(RecordError, match=r"costs\.json: expected costs of detection/long.*found shepherd/long"):
        read_efficiency(settings, by_hand)
