"""The report from a tiny run of two seeds whose numbers are known (report_runs.py has them all)."""

import contextlib
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from report_runs import ANSWER, ANSWERS, BEGIN, END, MODEL, OOD, TASK, step, stop, tiny_settings, write_runs

from sapo.records import write_json
from sapo.report.accuracies import Column, measure
from sapo.report.claims.catalog import read_claims
from sapo.report.costs import cost_rows
from sapo.report.figures.all_figures import FIGURES, LABELLING
from sapo.report.load_run import read_results
from sapo.report.names import KNOWN, checkpoint_name, in_order, method_name
from sapo.report.readme import HEADLINE
from sapo.report.run_records import Checkpoint
from sapo.report.tables.method_tables import ablation_tables, accuracy_tables
from sapo.report.tables.rendering import ReadmeError, markdown, with_section
from sapo.runtime.workspace import StageArguments, Workspace
from sapo.settings import Settings
from sapo.stages import report

DRAWN = [*FIGURES, LABELLING]
RESULTS = [*(f"{n}.json" for n in ("claims", "environment", "metrics", "paper", "tables")), "claims.md", "table.md"]


def run_report(settings: Settings, workspace: Workspace) -> str:
    """Run the stage; returns what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        report.run(settings, workspace, StageArguments())
    return out.getvalue()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder after the stage ran in it, and what the stage printed."""
    root = tmp_path_factory.mktemp("report")
    return root, run_report(tiny_settings(), write_runs(root, tiny_settings()))


@pytest.fixture
def fresh(tmp_path: Path) -> Workspace:
    return write_runs(tmp_path, tiny_settings())


@pytest.fixture
def table(done: tuple[Path, str]) -> str:
    return (done[0] / "results" / "table.md").read_text(encoding="utf-8")


def measured(workspace: Workspace) -> list[Column]:
    settings = tiny_settings()
    return measure(read_results(settings, workspace), settings.report.resamples, settings.seed)


def tables_of(workspace: Workspace) -> str:
    columns = measured(workspace)
    return markdown([*accuracy_tables(columns), *ablation_tables(columns)])


def with_answers(root: Path, changed: dict[tuple[str, int], tuple[str, str]]) -> Workspace:
    return write_runs(root, tiny_settings(), ANSWERS | changed)


def test_the_table_has_accuracies_marks_and_seeds(table: str) -> None:
    """Of 4 questions, by seed: SFT 2, 1; ORPO on outcomes 3, 2; sapo@1 3, 3; sapo@2 4, 4.

    So sapo@1 is better than SFT (+1, +2 of 4) but not than ORPO (0, +1), and sapo@2 is better than both. An interval
    reaches from seed to seed. A grader error counts as wrong: there are two of them, on two benchmarks.
    """
    cells = {
        "CoT (pretrained) | nothing": ("0.0 [0.0, 0.0]", "–"),
        "SFT | gold rationales": ("37.5 [25.0, 50.0]", "2"),
        "RFT | outcome": ("25.0 [0.0, 50.0]", "2"),
        "ORPO on outcomes | outcome": ("62.5 [50.0, 75.0] †", "2"),
        "ORPO + MC supervision | process": ("12.5 [0.0, 25.0]", "2"),
        "SAPO-iter 1 | process": ("75.0 [75.0, 75.0] †", "2"),
        "SAPO-iter 2 | process": ("100.0 [100.0, 100.0] †‡", "2"),
    }
    rows = [f"| {name} | {cell} | {cell} | {seeds} |" for name, (cell, seeds) in cells.items()]
    header = "| Method | Learns from | nano_math (4) | nano_math → nano_math_ood (4) | Seeds |\n"
    assert header + "| --- | --- | ---: | ---: | ---: |\n" + "\n".join(rows) + "\n" in table
    assert "4 answers that the grader could not judge count as wrong." in table
    assert "§" not in table and "Collapsed" not in table and "training loss" not in table


def test_ablations_are_compared_with_the_whole_method_on_common_seeds(table: str) -> None:
    """Seed 1 alone has the ablation: 2 of 4 where SAPO has 4 of 4."""
    whole, without = "100.0 [100.0, 100.0] | – |", "50.0 [50.0, 50.0] | -50.0 [-50.0, -50.0] * |"
    header = "| Method | nano_math (4) | minus whole | nano_math → nano_math_ood (4) | minus whole | Seeds |\n"
    assert header + "| --- | ---: | ---: | ---: | ---: | ---: |\n" in table
    assert f"| SAPO (2 rounds) | {whole} {whole} 2 |\n| SAPO w/o EP (2 rounds) | {without} {without} 1 |\n" in table


def test_differences_are_in_the_table(table: str) -> None:
    """RFT minus SFT: 0 with seed 1, -1 of 4 with seed 2. sapo@1 minus ORPO: 0 and +1 of 4."""
    to_sft, to_outcomes = table.split("minus that of")[1:3]
    assert "| CoT (pretrained) | -37.5 [-50.0, -25.0] * |" in to_sft
    assert "| RFT | -12.5 [-25.0, +0.0] |" in to_sft
    assert "| SAPO-iter 2 | +62.5 [+50.0, +75.0] * |" in to_sft
    assert "| SAPO w/o EP | +0.0 [+0.0, +0.0] |" in to_sft
    assert "| SAPO-iter 1 | +12.5 [+0.0, +25.0] |" in to_outcomes
    assert "| SAPO-iter 2 | +37.5 [+25.0, +50.0] * |" in to_outcomes


def test_right_answers_on_wrong_steps_are_in_the_table_where_they_are_known(table: str) -> None:
    """One right answer of each seed rests on a wrong step, if there is one: SFT 2 of 3, MC 1 of 1, sapo@2 2 of 8."""
    part = table.split(f"## Right answers of {MODEL} that rest on a wrong step, in %")[1].split("## ")[0]
    assert "| Method | Learns from | nano_math (4) |\n" in part
    assert "| CoT (pretrained) | nothing | – |\n" in part
    assert "| SFT | gold rationales | 66.7 [" in part
    assert "| ORPO + MC supervision | process | 100.0 [100.0, 100.0] |\n" in part
    assert "| SAPO-iter 2 | process | 25.0 [0.0, " in part


def test_what_happened_in_the_rounds_is_in_the_table(table: str) -> None:
    """6 rollouts and 90 tokens for 2 labelled trajectories; FLOPs (6e6 + 2e6 of detection) / 2 for SAPO alone."""
    assert f"| {MODEL} | {TASK} | ORPO on outcomes | 2 | 8 | 40.0 % | 10.0 % | 20.0 % | 0.0 % | 30.0 % |" in table
    assert f"| {MODEL} | {TASK} | SAPO-iter 2 | 2 | 10 | 50.0 % | 10.0 % | 20.0 % | 0.0 % | 20.0 % |" in table
    assert f"| {MODEL} | {TASK} | RFT | 2 | 8 | 50.0 % | 0.0 % | 40.0 % | 10.0 % |" in table
    assert f"| {MODEL} | {TASK} | SAPO w/o EP, round 1 | 1 | 20 | 0 | 50.0 % | 75.0 % | 2.0 | 10.0 |" in table
    assert f"| {MODEL} | {TASK} | First verifier (omega) | 2 | 2 | 1 | 3.00 | 45.0 | 3.00e+06 |" in table
    assert f"| {MODEL} | {TASK} | SAPO-iter 2 | 2 | 2 | 1 | 3.00 | 45.0 | 4.00e+06 |" in table


def test_a_method_pays_for_everything_it_needs(table: str) -> None:
    """RFT owes SFT, the samples and its update. SAPO owes the first verifier too, whose labels are omega's.

    | part                     | sampled | scored | trained | FLOPs |
    |--------------------------|---------|--------|---------|-------|
    | SFT                      |         |        |     300 |   1e6 |
    | sampling                 |     300 |        |         |   1e6 |
    | update                   |         |        |    1000 |   4e6 |
    | labelling, scoring       |     150 |     40 |         |   9e6 |
    | verifier                 |         |        |     500 |   5e6 |
    | detection                |         |     10 |         |   2e6 |
    | V_0: labelling, verifier |     150 |        |     500 |  11e6 |
    """
    words = {"RFT": "outcome | 25.0 [0.0, 50.0]", "ORPO + MC supervision": "process | 12.5 [0.0, 25.0]"}
    words["SAPO-iter 1"] = "process | 75.0 [75.0, 75.0]"
    words["SAPO-iter 2"] = "process | 100.0 [100.0, 100.0]"
    counts = {"RFT": "300 | 0 | 1,300 | 6.00e+06", "ORPO + MC supervision": "450 | 40 | 1,800 | 2.00e+07"}
    counts["SAPO-iter 1"] = "600 | 50 | 2,300 | 3.30e+07"  # 300 + 150 + 150; 300 + 1000 + 500 + 500; 1+1+4+9+5+2+11
    counts["SAPO-iter 2"] = "1,050 | 100 | 3,800 | 5.40e+07"  # and 450; 50; 1500; 21 more
    for name, said in words.items():
        assert f"| {MODEL} | {TASK} | {name} | {said} | {counts[name]} | 0 |\n" in table
    assert f"| {MODEL} | {TASK} | SFT | gold rationales | 37.5 [25.0, 50.0] | 0 | 0 | 300 | 1.00e+06 | 0 |" in table


def test_costs_have_rows_for_a_figure(fresh: Workspace) -> None:
    settings = tiny_settings()
    results = read_results(settings, fresh)
    rows = cost_rows(results, measure(results, settings.report.resamples, settings.seed))
    assert len(rows) == 9  # every checkpoint, the ablation's rounds too
    found = next(row for row in rows if (row["method"], row["round"]) == ("sapo_without_ep", 1))
    assert (found["seeds"], found["accuracy_percent"], found["low_percent"]) == (1, 25.0, 25.0)
    assert (found["sampled_tokens"], found["trained_tokens"], found["flops"]) == (600, 2300, 3.3e7)


def test_metrics_are_nested_numbers(done: tuple[Path, str]) -> None:
    metrics = json.loads((done[0] / "results" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["conditions"] == {"protocol": {"name": "paper"}, "sandbox": "L1"}
    found = metrics[MODEL][TASK]
    sapo = found["accuracy"][OOD]["sapo"]["2"]
    assert sapo["percent"] == {"value": 100, "low": 100, "high": 100}
    assert sapo["minus_sft"] == {"value": 62.5, "low": 50, "high": 75}
    assert (sapo["minus_orpo_outcome"]["value"], sapo["questions"], sapo["seeds"]) == (37.5, 4, 2)
    assert found["accuracy"][TASK]["sapo_without_ep"]["2"]["minus_sapo"]["value"] == -50
    assert (found["rounds"]["sapo"]["1"]["pairs"], found["rounds"]["sapo"]["1"]["kept_percent"]) == (8, 40)
    assert (found["rounds"]["sapo"]["1"]["reward_right"], found["rounds"]["rft"]["1"]["last_loss"]) == (0.875, 1)
    assert found["supervision"]["orpo_mc"]["1"]["rollouts_each"] == 3
    assert found["supervision"]["sapo"]["2"]["flops_each"] == 4e6
    assert (found["supervision"]["omega"]["0"]["wrong"], found["costs"]["sapo"]["2"]["flops"]) == (1, 5.4e7)
    assert found["stopped"] == {}


def test_a_seed_that_stopped_is_marked_and_named_not_averaged(fresh: Workspace) -> None:
    """RFT has seed 1 left: 2 of 4. SAPO has seed 2 left in round 2, all of it in round 1."""
    stop(fresh, "rft", 2, 1, "nothing ends right.")
    stop(fresh, "sapo", 1, 2, "loss is nan")
    text = tables_of(fresh)
    assert "| RFT | outcome | 50.0 [50.0, 50.0] § | 50.0 [50.0, 50.0] § | 1 |" in text
    assert "| SAPO-iter 1 | process | 75.0 [75.0, 75.0] † | 75.0 [75.0, 75.0] † | 2 |" in text
    assert "| SAPO-iter 2 | process | 100.0 [100.0, 100.0] †‡§ | 100.0 [100.0, 100.0] †‡§ | 1 |" in text
    assert (
        "§ only the seeds that finished: RFT on nano_math (seed 2 stopped in round 1: nothing ends right); "
        "SAPO on nano_math (seed 1 stopped in round 2: loss is nan)."
    ) in text
    assert "| SAPO (2 rounds) | 100.0 [100.0, 100.0] § | – |" in text
    assert "| SAPO w/o EP (2 rounds) | 50.0 [50.0, 50.0] | – |" in text  # no seed in common


def test_a_method_that_never_finished_has_a_row_with_a_dash(fresh: Workspace) -> None:
    for seed in (1, 2):
        stop(fresh, "rft", seed, 1, "nothing ends right")
    stop(fresh, "sapo_without_ep", 1, 2, "no pairs")
    text = tables_of(fresh)
    assert "| RFT | outcome | – § | – § | 0 |" in text
    assert "(seed 1 stopped in round 1: nothing ends right; seed 2 stopped in round 1: nothing ends right)" in text
    assert "| SAPO w/o EP (2 rounds) | – § | – | – § | – | 0 |" in text
    run_report(tiny_settings(), fresh)
    found = json.loads((fresh.root / "results" / "metrics.json").read_text(encoding="utf-8"))[MODEL][TASK]
    assert found["stopped"]["rft"]["2"] == {"round": 1, "reason": "nothing ends right"}
    assert "rft" not in found["accuracy"][TASK]


def test_an_accuracy_below_the_pretrained_model_is_called_a_collapse(tmp_path: Path) -> None:
    """CoT 3 of 4; RFT 2 and 3 of 4 touches it; MC 1 and 2 of 4 lies below it, on both benchmarks alike."""
    answers = {("cot", 0): ("RRRW", "RRRW"), ("rft", 1): ("RRWW", "RRRW"), ("orpo_mc", 1): ("RWWW", "RRWW")}
    text = tables_of(with_answers(tmp_path, answers | {("sft", 0): ("RRRR", "RRRR")}))
    assert "| ORPO + MC supervision | process | 37.5 [25.0, 50.0] collapsed | 37.5 [25.0, 50.0] | 2 |" in text
    assert "| RFT | outcome | 62.5 [50.0, 75.0] | 62.5 [50.0, 75.0] | 2 |" in text
    assert "below that of the pretrained model: ORPO + MC supervision on nano_math." in text.split("**")[2]
    assert "| SAPO w/o EP (2 rounds) | 50.0 [50.0, 50.0] collapsed | -50.0 [-50.0, -50.0] * |" in text
    note = "below that of the pretrained model: SAPO w/o EP, round 1 on nano_math, SAPO w/o EP on nano_math."
    assert note in text.split("**")[4]


def test_a_loss_that_explodes_is_named(fresh: Workspace) -> None:
    """2 → 6.1 is more than three times as much; 2 → 6 is not."""
    rounds = fresh.methods(MODEL, TASK) / "2" / "sapo"
    write_json(rounds / "1" / "log.json", [step(1, 2.0, -1, -1), step(2, 6.1, -1, -1)])
    write_json(rounds / "2" / "log.json", [step(1, 2.0, -1, -1), step(2, 6.0, -1, -1)])
    note = "The training loss ended above three times its first value: SAPO-iter 1 on nano_math (seed 2)."
    assert tables_of(fresh).count(note) == 2  # of accuracies, and of ablations


def test_methods_have_names_and_an_order() -> None:
    assert in_order(["mine", "sapo", "grpo", "star", "sapo"]) == ["star", "grpo", "sapo", "mine"]
    assert (method_name("sapo_without_pf"), method_name("mine")) == ("SAPO w/o PF", "mine")
    assert checkpoint_name(Checkpoint("sapo", 3), 3) == "SAPO-iter 3"
    assert checkpoint_name(Checkpoint("rpo", 3), 3) == "RPO"
    assert checkpoint_name(Checkpoint("rpo", 2), 3) == "RPO, round 2"
    assert len({own.name for own in KNOWN.values()}) == len(KNOWN)


def test_the_terminal_gets_the_table_and_every_file(done: tuple[Path, str]) -> None:
    root, printed = done
    assert "100.0 [100.0, 100.0] †‡" in printed
    files = [path for folder in ("results", "figures") for path in (root / folder).rglob("*") if path.is_file()]
    assert len(files) == 9 + 2 + 4 * len(DRAWN)  # two summaries: the claims, and the model and task
    assert sorted(printed.splitlines()[-len(files) - 1 :]) == sorted(map(str, [*files, root / "README.md"]))


def test_the_readme_keeps_what_is_outside_the_markers(done: tuple[Path, str]) -> None:
    text = (done[0] / "README.md").read_text(encoding="utf-8")
    said = f"**{len(read_claims())} claims of the two papers, profile tiny: holds "
    assert text.startswith(f"# Title\n\n{ANSWER[0]}\n\n{said}")
    needs = "(needs SAPO with three rounds)"  # the tiny one has two
    assert f"\n- *not run*: SAPO is better than SFT on the benchmark it was trained for. {needs}\n" in text
    assert f"{ANSWER[1]}\n\n{BEGIN}\n\n**Accuracy of {MODEL} in %" in text
    assert text.endswith(f"\n\n{END}\n\nThe end.\n")
    assert "\nold\n" not in text
    assert "| SAPO-iter 1 |" in text and "Programs run" not in text
    assert re.findall(r"\]\(figures/(\w+)\.png\)", text) == [HEADLINE]


def test_a_profile_without_the_readme_leaves_it(fresh: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "save", lambda figure, folder, name, rows: [folder / name])
    settings = tiny_settings()
    before = (fresh.root / "README.md").read_bytes()
    elsewhere = replace(settings.report, results="runs/tiny_report/results", figures="runs/tiny_report/f", readme=False)
    run_report(replace(settings, report=elsewhere), fresh)
    assert (fresh.root / "README.md").read_bytes() == before
    assert sorted(path.name for path in fresh.root.iterdir()) == ["README.md", "runs"]
    written = (fresh.root / "runs" / "tiny_report" / "results").iterdir()
    assert sorted(path.name for path in written) == sorted([*RESULTS, "summary", "tables.html", "tables.tex"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{BEGIN}\n", "0 lines '<!-- results:end -->', expected one"),
        (f"{BEGIN}\n{BEGIN}\n{END}\n", "2 lines '<!-- results:begin -->', expected one"),
        (f"{END}\n{BEGIN}\n", "line 1: '<!-- results:end -->' comes before"),
    ],
)
def test_a_readme_without_its_markers_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "README.md"
    with pytest.raises(ReadmeError, match=r"README\.md: no such file"):
        with_section(path, "results", "x")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ReadmeError, match=message):
        with_section(path, "results", "x")


def test_results_replace_results(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"a\n{BEGIN}\n{END}\nb\n", encoding="utf-8")
    path.write_text(with_section(path, "results", "one\n"), encoding="utf-8")
    assert with_section(path, "results", "two\n") == f"a\n{BEGIN}\n\ntwo\n\n{END}\nb\n"
