"""`python -m sapo compare`: two methods of the hand-made runs, question by question."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from command_line import run
from report_runs import ANSWERS, MODEL, OOD, TASK, stop, tiny_settings, write_runs

from sapo.evaluate.interval import Interval
from sapo.records import BadInput, RecordError
from sapo.report.accuracies import measure
from sapo.report.comparison import (
    CompareError,
    Comparison,
    compare,
    compare_task,
    find_checkpoint,
    known_rounds,
)
from sapo.report.load_run import read_results
from sapo.report.run_records import COT, SFT, Checkpoint
from sapo.runtime.workspace import Workspace
from sapo.settings.configure import PARAMS

SAPO, RFT, WITHOUT = Checkpoint("sapo", 2), Checkpoint("rft", 1), Checkpoint("sapo_without_ep", 2)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The runs and params.yaml in the folder that the command works in."""
    monkeypatch.chdir(tmp_path)
    settings = tiny_settings()
    PARAMS.write_text(yaml.safe_dump(json.loads(json.dumps(asdict(settings))), sort_keys=False), encoding="utf-8")
    answers = {("rft", 1): ("WRWE", "WWWW"), ("sapo", 2): ("RWRW", "RRRR")}
    return write_runs(Path(), settings, ANSWERS | answers)


def main(arguments: list[str]) -> None:
    run("compare", arguments)


def compared(workspace: Workspace, *pair: Checkpoint) -> dict[str, Comparison]:
    one, other = pair
    return compare_task(tiny_settings(), workspace, MODEL, TASK, (one, other))


def test_questions_are_counted_by_who_is_right(here: Workspace) -> None:
    """Seed 1: RWRW and WRWE, so 2 are only SAPO's, 1 only RFT's, 1 nobody's. Seed 2: all 4 are only SAPO's.

    The difference is (2 - 1) / 4 with seed 1 and 4 / 4 with seed 2: 5 of 8, between 1/4 and 1.
    """
    found = compared(here, SAPO, RFT)
    assert [*found] == [f"{MODEL}, {TASK}", f"{MODEL}, {TASK} → {OOD}"]
    one = found[f"{MODEL}, {TASK}"]
    assert (one.seeds, one.questions, one.difference) == ((1, 2), 4, Interval(0.625, 0.25, 1.0))
    assert (one.both, one.only_one, one.only_other, one.neither) == (0, 6, 1, 1)
    assert [(f.seed, f.one.question_id) for f in one.flips] == [(1, f"q{n}") for n in range(3)] + [
        (2, f"q{n}") for n in range(4)
    ]
    assert (one.flips[1].one.verdict, one.flips[1].other.verdict) == ("wrong", "right")
    back = compared(here, RFT, SAPO)[f"{MODEL}, {TASK}"]
    assert (back.only_one, back.only_other, back.difference) == (1, 6, Interval(-0.625, -1.0, -0.25))


def test_only_common_seeds_count(here: Workspace) -> None:
    """The ablation has seed 1 alone: RRWW against RWRW."""
    one = compared(here, WITHOUT, SAPO)[f"{MODEL}, {TASK}"]
    assert (one.seeds, one.both, one.only_one, one.only_other, one.neither) == ((1,), 1, 1, 1, 1)
    stop(here, "sapo", 1, 2, "loss is nan")
    assert compared(here, WITHOUT, SAPO) == {}
    assert compared(here, RFT, SAPO)[f"{MODEL}, {TASK}"].seeds == (2,)


def test_a_checkpoint_does_not_differ_from_itself(here: Workspace) -> None:
    one = compared(here, SFT, SFT)[f"{MODEL}, {TASK}"]
    assert (one.difference, one.flips, one.both, one.neither) == (Interval(0, 0, 0), (), 3, 5)


def test_intervals_are_those_of_the_report(here: Workspace) -> None:
    settings = tiny_settings()
    columns = measure(read_results(settings, here), settings.report.resamples, settings.seed)
    found = compared(here, SAPO, SFT)
    assert [c.accuracies[SAPO].differences["sft"] for c in columns] == [one.difference for one in found.values()]
    (entry,) = read_results(settings, here)
    assert compare(entry.benchmarks[0], SAPO, Checkpoint("mine", 1), 50, 1) is None


def test_the_command_prints_differences_and_flips(here: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    main(["sapo", "rft", "--model", MODEL, "--task", TASK, "--show", "2"])
    printed = capsys.readouterr().out
    assert "SAPO-iter 2 minus RFT" in printed
    assert "+62.5 [+25.0, +100.0] *" in printed
    assert printed.count("2 of 7 questions") == 2  # on both benchmarks
    assert "right: answer R" in printed and "wrong: answer W" in printed
    assert "q0" in printed and "q1" in printed and "q2" not in printed


def test_the_command_shows_no_flips_where_none_are_wanted_or_there(
    here: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["sapo@1", "cot", "--show", "0"])
    assert "answer" not in capsys.readouterr().out
    main(["cot", "cot"])
    assert "answer" not in capsys.readouterr().out


def test_names_of_checkpoints() -> None:
    rounds = known_rounds(tiny_settings())
    assert find_checkpoint("sapo", rounds) == find_checkpoint("sapo@2", rounds) == SAPO
    assert find_checkpoint("sapo@1", rounds) == Checkpoint("sapo", 1)
    assert (find_checkpoint("cot", rounds), find_checkpoint("sft@0", rounds)) == (COT, SFT)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["sapo", "sappo"],
            "'sappo' is no method of params.yaml; known: cot, sft, rft, orpo_outcome, orpo_mc, sapo, sapo_",
        ),
        (["sapo@3", "rft"], "sapo@3: sapo has the rounds 1 to 2"),
        (["sapo@x", "rft"], "sapo@x: sapo has the rounds 1 to 2"),
        (["sft@1", "rft"], "sft@1: sft has no rounds"),
        (["sapo", "rft", "--model", "gpt"], f"models: 'gpt' is not one of {MODEL}"),
        (["sapo", "rft", "--task", "chess"], f"tasks: 'chess' is not one of {TASK}"),
    ],
)
def test_what_does_not_exist_is_named(here: Workspace, arguments: list[str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        main(arguments)


def test_methods_without_a_common_seed_are_an_error(here: Workspace) -> None:
    stop(here, "sapo_without_ep", 1, 1, "no pairs")
    with pytest.raises(CompareError, match="sapo_without_ep and sapo have no seed in common: qwen2_nano on nano_math"):
        main(["sapo_without_ep", "sapo"])


def test_answers_that_are_missing_are_named(here: Workspace) -> None:
    (here.evaluation(MODEL, TASK) / "2" / "rft" / "1" / f"{OOD}.jsonl").unlink()
    with pytest.raises(RecordError, match=rf"2/rft/1/{OOD}\.jsonl: no such file"):
        main(["sapo", "rft"])
    main(["sapo", "sft", "--show", "1"])  # needs no other method's answers
