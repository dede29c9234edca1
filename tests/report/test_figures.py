"""Figures from hand-made accuracies and rounds: their numbers, panels and names, and that no words overlap."""

import csv
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from figure_findings import FEW, MANY, OOD, SWEPT, TASK, findings
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from sapo.report.figures.ablations import ablations
from sapo.report.figures.accuracy import accuracy_by_round
from sapo.report.figures.all_figures import FIGURES
from sapo.report.figures.drawing import Drawn, Rows
from sapo.report.figures.flops import accuracy_by_flops
from sapo.report.figures.reasoning import flawed_reasoning
from sapo.report.figures.rounds import scores_and_pairs_by_round
from sapo.report.figures.samples import length_and_diversity
from sapo.report.figures.sweeps import sweeps
from sapo.report.figures.training import log_probabilities
from sapo.report.run_records import Checkpoint, Stopped
from sapo.report.style import save


def drawn(made: Drawn | None) -> Drawn:
    assert made is not None
    return made


def words(figure: Figure) -> list[str]:
    """All that is written beside points and lines, panel by panel."""
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def chosen(rows: Rows, **wanted: object) -> Rows:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def test_accuracy_by_round_has_lines_and_single_points() -> None:
    """SAPO's second round: 30 + 20 + 4 letters = 54 ± 4. Two panels for each of two benchmarks."""
    figure, rows = drawn(accuracy_by_round(findings(FEW)))
    assert len(figure.axes) == 4
    assert words(figure) == ["SAPO", "CoT", "RFT", "ORPO on outcomes", "ORPO + MC"] * 2
    assert len(rows) == 2 * (5 + 2)  # CoT, SFT and three that train once; two rounds of SAPO
    (row,) = chosen(rows, method="sapo", round=2, benchmark=OOD)
    assert (row["accuracy_percent"], row["low_percent"], row["high_percent"]) == pytest.approx((54, 50, 58))
    assert (row["seeds"], row["questions"]) == (2, 100)
    ticks = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert ticks == ["0 (SFT)", "1", "2"]


def test_a_method_that_stopped_keeps_the_rounds_it_has() -> None:
    """SAPO should have three rounds; no seed came further than two. RFT never finished."""
    found = findings(FEW)
    stopped = [replace(one, last={**FEW, "sapo": 3, "grpo": 1}) for one in found.columns]
    figure, rows = drawn(accuracy_by_round(replace(found, columns=stopped)))
    assert [row["round"] for row in chosen(rows, method="sapo", benchmark=TASK)] == [1, 2]
    assert "SAPO" in words(figure) and "GRPO" not in words(figure)
    _, rows = accuracy_by_flops(replace(found, columns=stopped))
    assert not chosen(rows, method="sapo")  # its cost is that of another method: one of two rounds


def test_accuracy_by_flops_counts_what_a_method_owes() -> None:
    """SAPO's two rounds: SFT 1e8, samples 2 x 1e9, updates 2 x 4e9."""
    figure, rows = accuracy_by_flops(findings(FEW))
    assert len([axes for axes in figure.axes if axes.get_visible()]) == 1
    assert sorted(words(figure)) == sorted(["CoT", "SFT", "RFT", "ORPO on outcomes", "ORPO + MC", "SAPO"])
    assert len(rows) == 2 + 3 + 2
    (row,) = chosen(rows, method="sapo", round=2)
    assert (row["flops"], row["accuracy_percent"]) == pytest.approx((1.01e10, 54))
    assert figure.axes[0].get_xscale() == "log"


def test_flawed_reasoning_lists_methods_where_truth_is_known() -> None:
    found = findings(FEW)
    blind = {one: replace(accuracy, flawed=None) for one, accuracy in found.columns[1].accuracies.items()}
    columns = [found.columns[0], replace(found.columns[1], accuracies=blind)]
    figure, rows = drawn(flawed_reasoning(replace(found, columns=columns)))
    names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert names == ["CoT", "SFT", "RFT", "ORPO on outcomes", "ORPO + MC", "SAPO"]
    assert words(figure) == ["not known"]
    assert [(row["method"], row["learns_from"]) for row in rows[2:]] == [
        ("rft", "outcome"),
        ("orpo_outcome", "outcome"),
        ("orpo_mc", "process"),
        ("sapo", "process"),
    ]
    assert (rows[0]["flawed_percent"], rows[0]["low_percent"]) == pytest.approx((10, 7))
    blind_columns = [replace(one, accuracies=blind) for one in columns]
    assert flawed_reasoning(replace(found, columns=blind_columns)) is None


def test_log_probabilities_show_both_losses_or_say_that_there_is_none() -> None:
    """ORPO on outcomes, round 1: chosen -0.5 and -1, rejected -1 and -2."""
    figure, rows = drawn(log_probabilities(findings({"srf": 2, "orpo_outcome": 1})))
    assert words(figure) == ["chosen", "rejected"] * 2
    assert [axes.get_title(loc="left").split("\n")[0] for axes in figure.axes] == [
        "ORPO loss (ORPO on outcomes)",
        "DPO loss (SRF)",
    ]
    assert [(row["step"], row["chosen_logp"], row["rejected_logp"]) for row in chosen(rows, method="orpo_outcome")] == [
        (1, -0.5, -1.0),
        (2, -1.0, -2.0),
    ]
    figure, rows = drawn(log_probabilities(findings(FEW)))
    assert words(figure)[2:] == ["No method of this run\ntrains with DPO"]
    assert len(rows) == 2
    assert log_probabilities(findings({"rft": 1})) is None


def test_length_and_diversity_are_means_over_seeds() -> None:
    """Round 2: 22 tokens, 60 % different; the second seed has 24 tokens, so the mean is 23."""
    found = findings(FEW)
    by_seed = found.results[0].rounds[Checkpoint("sapo", 2)]
    by_seed[2] = replace(by_seed[2], samples=replace(by_seed[2].samples, mean_tokens=24.0))
    figure, rows = drawn(length_and_diversity(found))
    assert words(figure) == ["SAPO"] * 2
    (row,) = chosen(rows, quantity="mean_tokens", round=2)
    assert (row["mean"], row["low"], row["high"]) == (23, 22, 24)
    (row,) = chosen(rows, quantity="different_percent", round=2)
    assert row["mean"] == pytest.approx(60)
    assert length_and_diversity(findings({"rft": 1, "star": 3})) is None


def test_rewards_and_pairs_are_those_of_saps_rounds_and_the_baselines() -> None:
    """Rewards 0.9 and 0.72 of right trajectories: bins 18 and 14 of 20. Round 2: 10 pairs of 6 of 10 questions."""
    figure, rows = drawn(scores_and_pairs_by_round(findings(FEW)))
    assert len(figure.axes) == 3
    shares = chosen(rows, method="sapo", round=1, quantity="reward_right")
    assert {row["reward_bin_low"]: row["value"] for row in shares if row["value"]} == {0.7: 0.5, 0.9: 0.5}
    pairs = {(row["method"], row["round"]): row["value"] for row in chosen(rows, quantity="pairs")}
    assert pairs == {("orpo_outcome", 1): 9, ("orpo_mc", 1): 9, ("sapo", 1): 9, ("sapo", 2): 10}
    (row,) = chosen(rows, method="sapo", round=2, quantity="questions_with_a_pair_percent")
    assert row["value"] == 60
    assert scores_and_pairs_by_round(findings({"rft": 1})) is None


def test_sweeps_are_drawn_with_the_value_of_the_settings_where_there_are_any() -> None:
    """Eta 0 and 0.2 beside SAPO's 0.1; rounds 0 (SFT) to 3, of which the second is SAPO itself."""
    figure, rows = drawn(sweeps(findings(FEW | SWEPT)))
    assert len(figure.axes) == 2 * 3  # two benchmarks
    not_run = "other values were not run\nin profile tiny"
    assert words(figure) == ["SAPO", "SAPO", not_run, "SAPO"] * 2  # no method sweeps beta
    of_eta = chosen(rows, setting="eta", benchmark=TASK)
    assert [(row["value"], row["method"]) for row in of_eta] == [(0, "sapo_eta_0"), (0.1, "sapo"), (0.2, "sapo_eta_02")]
    of_rounds = chosen(rows, setting="rounds", benchmark=TASK)
    assert [row["value"] for row in of_rounds] == [0, 1, 2, 3]
    assert [row["method"] for row in of_rounds] == ["sft", "sapo_six_rounds", "sapo", "sapo_six_rounds"]
    figure, rows = drawn(sweeps(findings(FEW)))
    assert words(figure) == ["SAPO", not_run] * 3  # one row says it for all
    assert [(row["setting"], row["value"], row["method"]) for row in rows] == [
        ("eta", 0.1, "sapo"), ("beta", 0.1, "sapo"), ("rounds", 2, "sapo")
    ]  # fmt: skip
    assert sweeps(findings({"rft": 1})) is None


def test_a_sweep_says_which_values_stopped() -> None:
    """Eta 0 has a first round and no second one."""
    found = findings(FEW | SWEPT)
    (whole, *_) = found.columns
    accuracies = {one: entry for one, entry in whole.accuracies.items() if one != Checkpoint("sapo_eta_0", 2)}
    stopped = replace(whole, accuracies=accuracies, stopped={"sapo_eta_0": {1: Stopped(2, "no preference pair")}})
    figure, rows = drawn(sweeps(replace(found, columns=(stopped,))))
    assert words(figure)[:2] == ["SAPO", "eta 0 stopped in round 2"]
    assert [row["value"] for row in chosen(rows, setting="eta")] == [0.1, 0.2]


def test_ablations_are_paired_differences_to_the_whole_method() -> None:
    """A row of panels for SAPO and one for SIPF; sweeps are no ablations."""
    last = FEW | SWEPT | {"sipf": 1, "sapo_ours": 2, "sapo_without_ep": 2, "sipf_without_or": 1}
    figure, rows = drawn(ablations(findings(last)))
    assert len(figure.axes) == 4
    names = [[tick.get_text() for tick in axes.get_yticklabels()] for axes in figure.axes]
    assert names == [["w/o EP", "ours"]] * 2 + [["w/o OR"]] * 2
    (row,) = chosen(rows, method="sapo_ours", benchmark=TASK)
    assert (row["difference_percent"], row["low_percent"], row["high_percent"]) == pytest.approx((-5, -8, 1))
    assert (row["whole"], row["seeds"]) == ("sapo", 2)
    assert ablations(findings(FEW)) is None


def test_a_run_with_nothing_but_the_beginning_has_figures_that_say_so() -> None:
    found = findings({})
    made = {name: draw(found) for name, draw in FIGURES.items()}
    assert [name for name, figure in made.items() if figure] == [
        "accuracy_by_round",
        "accuracy_by_flops",
        "flawed_reasoning",
    ]
    assert "no method finished" in words(drawn(made["accuracy_by_flops"])[0])


def written(figure: Figure) -> list[tuple[str, Bbox]]:
    """All words of a figure and the pixels that they take, without labels of ticks beyond the ends of their axis."""
    FigureCanvasAgg(figure).draw()
    unseen = {
        tick.label1
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    }
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and text not in unseen]
    texts = [text for text in texts if text.get_visible() and text.get_text().strip()]
    # the words alone: an annotation's own extent has its line too
    return [(text.get_text(), Text.get_window_extent(text)) for text in texts]


@pytest.mark.parametrize("name", FIGURES)
def test_no_words_overlap_or_are_cut_off(name: str) -> None:
    """All methods of profile nano and sweeps, seen as pixels; edges may touch by two of them."""
    figure, _ = drawn(FIGURES[name](findings(MANY | SWEPT)))
    boxes = written(figure)
    assert len(boxes) > 10
    for text, box in boxes:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height
        assert inside, f"{text!r} is cut off"
    for (one, box), (other, second) in combinations(boxes, 2):
        across, up = min(box.x1, second.x1) - max(box.x0, second.x0), min(box.y1, second.y1) - max(box.y0, second.y0)
        assert min(across, up) <= 2, f"{one!r} lies on {other!r}"


@pytest.mark.parametrize("name", ["accuracy_by_flops", "sweeps"])  # the others: tests of the report
def test_a_figure_has_the_same_bytes_twice_and_its_numbers_beside_it(tmp_path: Path, name: str) -> None:
    for folder in ("one", "two"):
        figure, rows = drawn(FIGURES[name](findings(FEW | SWEPT | {"sapo_ours": 2})))
        paths = save(figure, tmp_path / folder, "figure", rows)
        assert [path.suffix for path in paths] == [".png", ".pdf", ".svg", ".csv"]
        with paths[-1].open(encoding="utf-8", newline="") as file:
            assert len(list(csv.DictReader(file))) == len(rows)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
