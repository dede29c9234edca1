"""The report from a tiny run whose numbers are known: all questions are one cluster, so no interval has a width."""

import contextlib
import io
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import matplotlib
import pytest

from sapo.records import Outcome, RecordError, StepLabels, StepScores, Trajectory, write_json, write_records
from sapo.report.rendering import ReadmeError, with_section
from sapo.report.style import spread
from sapo.settings import Settings, load_settings
from sapo.stages import report
from sapo.train.pairs import PairReport
from sapo.workspace import StageArguments, Workspace

ROOT = Path(__file__).parents[1]
MODEL, TASK, OOD = "qwen2_nano", "nano_math", "nano_math_ood"
# R right, W wrong, E grader error; the same answers on both benchmarks.
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
ANSWERS = {"cot": "WWWW", "sft": "RRWW", "orpo_outcome": "RRRW", "orpo_mc": "RWEW", "sapo1": "RRRW", "sapo2": "RRRR"}
VERDICTS = {"R": "right", "W": "wrong", "E": "grader_error"}


def tiny_settings() -> Settings:
    settings = load_settings(ROOT / "params.yaml")
    task = replace(settings.tasks[TASK], train_questions=10, test_questions=4, ood_questions=4)
    goal = replace(settings.report, resamples=50, results="results", figures="figures", readme=True)
    models = {MODEL: settings.models[MODEL]}
    return replace(settings, profile="tiny", models=models, tasks={TASK: task}, rounds=settings.rounds[:2], report=goal)


def trajectory(number: int, verdict: str) -> Trajectory:
    return Trajectory(f"t{number}", f"q{number}", ("a\n", "b\n"), VERDICTS[verdict], "fake")  # pyright: ignore[reportArgumentType]


def write_supervision(folder: Path) -> None:
    """Two labelled trajectories (one wrong) and one of expansion; 6 rollouts, so 3 each; with detection 8e6 FLOPs."""
    trajectories = [trajectory(0, "R"), trajectory(1, "W"), trajectory(2, "W")]
    labels = [StepLabels("t0", (1, 1), (), "witness"), StepLabels("t1", (1, 0), (1,), "bisection")]
    write_records(folder / "labelled.jsonl", trajectories, Trajectory)
    write_records(folder / "labels.jsonl", [*labels, StepLabels("t2", (0, 0), (), "expansion")], StepLabels)
    cost = {"rollouts": 6, "prompt_tokens": 60, "generated_tokens": 90, "flops": 6e6, "programs": 0}
    nothing = dict.fromkeys(cost, 0)
    write_json(folder / "costs.json", {"labelling": cost, "detection": nothing | {"flops": 2e6}, "sampling": nothing})


def write_runs(root: Path, settings: Settings) -> Workspace:
    workspace = Workspace(root, settings.profile)
    for method, verdicts in ANSWERS.items():
        outcomes = [Outcome(f"q{n}", "g", "x", VERDICTS[v]) for n, v in enumerate(verdicts)]  # pyright: ignore[reportArgumentType]
        for benchmark in (TASK, OOD):
            write_records(workspace.evaluation(MODEL, TASK) / method / f"{benchmark}.jsonl", outcomes, Outcome)
    baselines = [workspace.orpo_outcome(MODEL, TASK), workspace.orpo_mc(MODEL, TASK)]
    rounds = [workspace.sapo(MODEL, TASK, i) for i in (1, 2)]
    for kept, folder in enumerate([*baselines, *rounds], start=3):
        write_json(folder / "pairs.json", asdict(PairReport(10, kept, 2 * kept, 1, 2, 0, 7 - kept)))
    for folder in (workspace.sapo(MODEL, TASK, 0), baselines[1], *rounds):
        write_supervision(folder)
    pool = [trajectory(n, v) for n, v in enumerate("RRWW")]
    scores = [StepScores(f"t{n}", s) for n, s in enumerate([(1.0, 1.0), (1.0, 0.5), (0.5, 0.0), (0.0, 0.0)])]
    for folder in rounds:
        write_records(folder / "pool.jsonl", pool, Trajectory)
        write_records(folder / "scores.jsonl", scores, StepScores)
    (root / "README.md").write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nThe end.\n", encoding="utf-8")
    return workspace


def run_report(settings: Settings, workspace: Workspace) -> str:
    """Run the stage; returns what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        report.run(settings, workspace, StageArguments())
    return printed.getvalue()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder after the stage ran in it, and what the stage printed."""
    root = tmp_path_factory.mktemp("report")
    settings = tiny_settings()
    return root, run_report(settings, write_runs(root, settings))


@pytest.fixture
def fresh(tmp_path: Path) -> Workspace:
    return write_runs(tmp_path, tiny_settings())


def test_the_table_has_accuracies_marks_and_differences(done: tuple[Path, str]) -> None:
    """sapo2: 4 of 4, SFT 2 of 4, ORPO on outcomes 3 of 4: +50 and +25 points. A grader error counts as wrong."""
    text = (done[0] / "results" / "table.md").read_text(encoding="utf-8")
    cells = {
        "CoT (pretrained)": "0.0 [0.0, 0.0]",
        "SFT": "50.0 [50.0, 50.0]",
        "ORPO on outcomes": "75.0 [75.0, 75.0] †",
        "ORPO + MC supervision": "25.0 [25.0, 25.0]",
        "SAPO-iter 1": "75.0 [75.0, 75.0] †",
        "SAPO-iter 2": "100.0 [100.0, 100.0] †‡",
    }
    rows = [f"| {name} | {cell} | {cell} |" for name, cell in cells.items()]
    header = "| Method | nano_math (4) | nano_math → nano_math_ood (4) |\n| --- | ---: | ---: |\n"
    assert header + "\n".join(rows) + "\n" in text
    assert "2 answers that the grader could not judge count as wrong." in text
    to_sft, to_outcomes = text.split("minus that of")[1:3]
    assert "| CoT (pretrained) | -50.0 [-50.0, -50.0] * |" in to_sft
    assert "| SAPO-iter 2 | +50.0 [+50.0, +50.0] * |" in to_sft
    assert "| SAPO-iter 1 | +0.0 [+0.0, +0.0] |" in to_outcomes
    assert "| SAPO-iter 2 | +25.0 [+25.0, +25.0] * |" in to_outcomes


def test_pairs_and_costs_are_in_the_table(done: tuple[Path, str]) -> None:
    """6 rollouts and 90 tokens for 2 labelled trajectories; FLOPs (6e6 + 2e6 of detection) / 2 for saps alone."""
    text = (done[0] / "results" / "table.md").read_text(encoding="utf-8")
    assert "| ORPO on outcomes | 6 | 30.0 % | 10.0 % | 20.0 % | 0.0 % | 40.0 % |" in text
    assert "| SAPO-iter 2 | 12 | 60.0 % | 10.0 % | 20.0 % | 0.0 % | 10.0 % |" in text
    assert "| omega | 2 | 1 | 3.00 | 45.0 | 3.00e+06 |" in text
    assert "| saps, round 2 | 2 | 1 | 3.00 | 45.0 | 4.00e+06 |" in text


def test_metrics_are_nested_numbers(done: tuple[Path, str]) -> None:
    found = json.loads((done[0] / "results" / "metrics.json").read_text(encoding="utf-8"))[MODEL][TASK]
    sapo = found["accuracy"][OOD]["sapo2"]
    assert sapo["percent"] == {"value": 100, "low": 100, "high": 100}
    assert (sapo["minus_sft"]["value"], sapo["minus_orpo_outcome"]["value"], sapo["questions"]) == (50, 25, 4)
    assert (found["pairs"]["sapo1"]["pairs"], found["pairs"]["sapo1"]["kept_percent"]) == (10, 50)
    assert (found["supervision"]["shepherd"]["rollouts_each"], found["supervision"]["saps2"]["flops_each"]) == (3, 4e6)


def test_the_terminal_gets_the_table_and_every_file(done: tuple[Path, str]) -> None:
    root, printed = done
    assert "100.0 [100.0, 100.0] †‡" in printed
    files = [path for folder in ("results", "figures") for path in (root / folder).iterdir()]
    assert len(files) == 2 + 2 * 4
    assert sorted(printed.splitlines()[-11:]) == sorted(map(str, [*files, root / "README.md"]))


def test_the_readme_keeps_what_is_outside_the_markers(done: tuple[Path, str]) -> None:
    text = (done[0] / "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"# Title\n\n{BEGIN}\n\n**Accuracy of {MODEL} in %")
    assert text.endswith(f"\n\n{END}\n\nThe end.\n")
    assert "old" not in text
    assert "](figures/accuracy_by_round.png)" in text


def test_figures_hold_their_numbers(done: tuple[Path, str]) -> None:
    """Rewards 1 and .75 of right, .25 and 0 of wrong trajectories: half of each in the bins from .95, .75, .25, 0."""
    accuracy = (done[0] / "figures" / "accuracy_by_round.csv").read_text(encoding="utf-8").splitlines()
    assert accuracy[0] == "model,task,benchmark,method,questions,accuracy_percent,low_percent,high_percent"
    assert f"{MODEL},{TASK},{OOD},sapo1,4,75.0,75.0,75.0" in accuracy
    rows = (done[0] / "figures" / "scores_and_pairs_by_round.csv").read_text(encoding="utf-8").splitlines()
    halves = [row for row in rows if row.startswith(f"{MODEL},{TASK},sapo2,reward") and row.endswith(",0.5")]
    assert [row.split(",")[3:5] for row in halves] == [
        ["reward_wrong", "0.0"],
        ["reward_wrong", "0.25"],
        ["reward_right", "0.75"],
        ["reward_right", "0.95"],
    ]
    assert f"{MODEL},{TASK},sapo2,questions_with_a_pair_percent,,60.0" in rows


def test_a_second_run_gives_the_same_bytes_whatever_the_users_style(done: tuple[Path, str], fresh: Workspace) -> None:
    with matplotlib.rc_context({"lines.linewidth": 9, "svg.hashsalt": None, "savefig.dpi": 30}):
        run_report(tiny_settings(), fresh)
        assert matplotlib.rcParams["lines.linewidth"] == 9
    files = [path for folder in ("results", "figures") for path in sorted((done[0] / folder).iterdir())]
    assert {path.suffix for path in files} == {".json", ".md", ".csv", ".png", ".pdf", ".svg"}
    for path in files:
        content = path.read_bytes()
        assert content == (fresh.root / path.relative_to(done[0])).read_bytes(), path
        assert not [word for word in (b"CreationDate", b"dc:date", b"Software", b"/Type3") if word in content], path


def test_a_profile_without_the_readme_leaves_it(fresh: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "save", lambda figure, folder, name, rows: [folder / name])
    settings = tiny_settings()
    before = (fresh.root / "README.md").read_bytes()
    elsewhere = replace(settings.report, results="runs/tiny_report/results", figures="runs/tiny_report/f", readme=False)
    run_report(replace(settings, report=elsewhere), fresh)
    assert (fresh.root / "README.md").read_bytes() == before
    assert sorted(path.name for path in fresh.root.iterdir()) == ["README.md", "runs"]
    written = (fresh.root / "runs" / "tiny_report" / "results").iterdir()
    assert sorted(path.name for path in written) == ["metrics.json", "table.md"]


def broken(workspace: Workspace, file: str) -> Path:
    return workspace.runs / MODEL / TASK / file


def remove(path: Path) -> None:
    path.unlink()


def drop_a_row(path: Path) -> None:
    header, first, *rest = path.read_text(encoding="utf-8").split("\n")
    rows = json.loads(header)["rows"]
    path.write_text("\n".join([header.replace(str(rows), str(rows - 1)), *rest]), encoding="utf-8")
    assert first


def rename_the_first(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace('"q0"', '"z"').replace('"t0"', '"z"'), encoding="utf-8")


def spoil_a_number(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace('"kept": ', '"kept": -'), encoding="utf-8")


def forget_a_part(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace("detection", "dejection"), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "spoil", "message"),
    [
        (f"evaluation/sft/{TASK}.jsonl", remove, "no such file"),
        ("sapo1/pairs.json", remove, "no such file"),
        (f"evaluation/sapo2/{OOD}.jsonl", drop_a_row, "3 outcomes, the settings ask for 4"),
        (f"evaluation/sapo2/{OOD}.jsonl", rename_the_first, r"z \(group g\) where .*cot.* has q0 \(group g\)"),
        ("sapo2/scores.jsonl", drop_a_row, "3 rows for 4 trajectories"),
        ("sapo2/labels.jsonl", rename_the_first, "line 2: trajectory 'z', expected 't0'"),
        ("orpo_mc/pairs.json", spoil_a_number, "kept is -4, expected a number that is not negative"),
        ("sapo1/costs.json", forget_a_part, "'detection' is missing"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_named(fresh: Workspace, file: str, spoil, message: str) -> None:
    spoil(broken(fresh, file))
    with pytest.raises(RecordError, match=f"{file}: {message}"):
        run_report(tiny_settings(), fresh)
    assert not (fresh.root / "results").exists()


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


def test_labels_are_moved_apart_in_order() -> None:
    """0 and 1 need 2 between them: around their mean 0.5, at -0.5 and 1.5; 1.6 then joins: mean 2.6 / 3, gaps of 2."""
    assert spread([1.0, 0.0, 9.0], 2.0) == [1.5, -0.5, 9.0]
    assert spread([1.0, 0.0, 1.6], 2.0) == pytest.approx([2.6 / 3, 2.6 / 3 - 2, 2.6 / 3 + 2])
    assert spread([], 1.0) == []


def test_a_missing_folder_is_one_error(tmp_path: Path, fresh: Workspace) -> None:
    shutil.rmtree(fresh.sapo(MODEL, TASK, 1))
    with pytest.raises(RecordError, match=r"sapo1/pairs\.json: no such file"):
        run_report(tiny_settings(), fresh)
