"""Every method on a set whose training data a person worked out; ablations differ in the one setting they name.

Two questions with five samples of the SFT model (a step a word), and one gold rationale:

| name | question | steps | outcome | reward by outcome | mean score (ok .9, x .6, bad .2, win .9, lose .1) |
|---|---|---|---|---|---|
| A | q0 | ok win | right | 1 | .90 |
| B | q0 | bad lose | wrong | 0 | .15 |
| C | q0 | x win | right | 1 | .75 |
| D | q1 | bad lose | wrong | 0 | .15 |
| E | q1 | x lose | wrong | 0 | .35 |
| G | q0 | gold win | right (D_org) | 1 | .85 |
"""

import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import pytest
from fakes import ScriptedSampler, trajectory
from hand_made import (
    SAMPLES,
    TABLE,
    TEXTS,
    SavedTable,
    Supervised,
    Trainings,
    TwoQuestions,
    common,
    names,
    run,
    texts,
)
from tiny_models import tiny_reasoner

from sapo.models.loading import save_reasoner
from sapo.models.verifier import Verifier
from sapo.recipes import round_state, self_improvement
from sapo.recipes.experiment import Experiment, read_costs, write_costs
from sapo.recipes.inputs import Tools
from sapo.recipes.label_step import OUTPUTS, LabelInputs
from sapo.records import Cost, Question, Trajectory, read_json, write_records
from sapo.runtime.workspace import Workspace
from sapo.settings import method_settings
from sapo.tasks.catalog import TASKS
from sapo.train import star
from sapo.train.fit import StepLog
from sapo.train.launch import Job
from sapo.train.pairs import PairError
from sapo.train.sft import FilterReport, passing
from sapo.train.trainer import NothingLeft, Trained


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Trainings:
    """Trainers that note what they are given; `load_reasoner` tells which folder the model came from."""
    found = Trainings()
    last = [""]

    def load(folder: Path) -> Any:
        last[0] = folder.name if folder.name != "model" else "previous"
        return tiny_reasoner()

    def run_job(job: Job, loaded: Any, *rest: Any) -> Trained:
        practised = job.trainer == "grpo"
        found.seen.append((job.trainer, last[0], job.rows[0].questions if practised else job.rows))
        return Trained(loaded[0], log, Cost(rollouts=5) if practised else Cost())

    log = [StepLog(1, 1, 0.5, 1e-3, 1.0)]
    monkeypatch.setattr(round_state, "load_reasoner", load)
    monkeypatch.setattr(round_state, "run", run_job)
    return found


@pytest.fixture
def supervised(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Supervised:
    found = Supervised()

    def supervise(inputs: LabelInputs, _: Tools) -> Path:
        found.seen.append((inputs, sorted(t.id for t in inputs.subset.items)))
        folder = tmp_path / f"supervised{len(found.seen)}"
        SavedTable(TABLE).save(folder)
        for name in OUTPUTS:
            (folder / name).touch()
        write_costs(folder, {"labelling": Cost(rollouts=3)})
        return folder

    def load(folder: Path) -> Verifier:
        return cast(Verifier, SavedTable(TABLE))

    monkeypatch.setattr(self_improvement, "supervise", supervise)
    monkeypatch.setattr(Verifier, "load", load)
    monkeypatch.setattr(Tools, "verifier", lambda _, folder, tuning: load(folder))
    return found


@pytest.fixture
def sampler(monkeypatch: pytest.MonkeyPatch) -> ScriptedSampler:
    """What later rounds sample with: everything ends right at once."""
    scripted = ScriptedSampler(lambda _: "win\n")
    monkeypatch.setattr(Tools, "sampler", lambda *_: scripted)
    return scripted


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """What stages `base` and `start` leave behind."""
    monkeypatch.setitem(TASKS, "lines", TwoQuestions())
    made = Workspace(tmp_path, "test")
    save_reasoner(*tiny_reasoner(), made.base("tiny"))
    start = made.start("tiny", "lines", 1)
    save_reasoner(*tiny_reasoner(), start / "sft")
    (start / "verifier").mkdir()
    (start / "verifier" / "v0").touch()
    write_records(start / "sampled.jsonl", SAMPLES, Trajectory)
    write_records(start / "labelled.jsonl", [SAMPLES[3]], Trajectory)  # V_0 has seen D
    write_costs(start, {"sampling": Cost(6, 60, 120, 600.0)})
    return made


RIGHT = {"A", "C", "G"}


@pytest.mark.usefixtures("supervised", "sampler")
@pytest.mark.parametrize(
    ("method", "start", "expected"),
    [
        ("rft", "base", "GAC"),  # the gold rationale, and what ends right
        ("online_rft", "base", "GAC"),
        ("rft_dpo", "base", "GAC"),
        ("prft", "base", "GAC"),  # rewards .9 and .75 reach .5
    ],
)
def test_filters_keep_what_is_right(
    workspace: Workspace, trainings: Trainings, method: str, start: str, expected: str
) -> None:
    stops = pytest.raises(PairError) if method == "rft_dpo" else nullcontext()  # round 2 draws nothing wrong
    with stops:
        run(workspace, method)
    assert trainings.seen[0] == ("sft", start, texts(*expected))


@pytest.mark.usefixtures("supervised", "sampler")
@pytest.mark.parametrize(
    ("method", "kind", "start"),
    [
        ("orpo_outcome", "orpo", "base"),
        ("sapo_without_rm", "orpo", "base"),
        ("sipf_without_pf", "orpo", "base"),
        ("rpo", "dpo", "sft"),
        ("srf", "dpo", "sft"),
    ],
)
def test_pairs_by_outcome_hold_a_right_and_a_wrong_answer(
    workspace: Workspace, trainings: Trainings, method: str, kind: str, start: str
) -> None:
    """q0 has three right ones over B; q1 has nothing right. Methods with a pool of their own do not see G."""
    stops = pytest.raises(PairError) if kind == "dpo" else nullcontext()  # later rounds draw nothing wrong
    with stops:
        run(workspace, method)
    assert trainings.seen[0][:2] == (kind, start)
    ((chosen, rejected),) = names(trainings.seen[0][2])
    assert chosen in (RIGHT if method in ("orpo_outcome", "sapo_without_rm", "sipf_without_pf") else {"A", "C"})
    assert rejected == "B"


@pytest.mark.usefixtures("sampler")
@pytest.mark.parametrize(
    ("method", "training", "labelling"),
    [
        ("sapo", ("orpo", "base"), ("saps", True)),
        ("sapo_without_pf", ("orpo", "base"), ("outcome", False)),
        ("sapo_without_dv", ("orpo", "base"), ("saps", False)),
        ("sapo_from_previous", ("orpo", "sft"), ("saps", True)),
        ("orpo_mc", ("orpo", "base"), ("shepherd", False)),
        ("sipf", ("orpo", "base"), ("shepherd", False)),
        ("sipf_without_or", ("orpo", "base"), ("shepherd", False)),
        ("psrf", ("dpo", "sft"), ("shepherd", False)),
    ],
)
def test_pairs_by_process_take_the_largest_gaps(
    workspace: Workspace,
    trainings: Trainings,
    supervised: Supervised,
    method: str,
    training: tuple[str, str],
    labelling: tuple[str, bool],
) -> None:
    """q0: A (.90) over B (.15). q1: E (.35) over D (.15), though both end wrong. D was V_0's and is not labelled.

    `training` is what starts where, `labelling` who labels and whether a verifier's scores lead.
    """
    stops = pytest.raises(PairError) if method == "psrf" else nullcontext()  # later rounds draw one text a question
    with stops:
        run(workspace, method)
    assert trainings.seen[0][:2] == training
    assert names(trainings.seen[0][2]) == [("A", "B"), ("E", "D")]
    who, subset = supervised.seen[0]
    assert (who.labeller, who.scorer is not None) == labelling
    assert subset == ["q0/s/0", "q0/s/1", "q0/s/2", "q1/s/1"]


@pytest.mark.usefixtures("supervised", "sampler")
def test_a_chosen_one_that_must_be_right_costs_a_question(workspace: Workspace, trainings: Trainings) -> None:
    folders = run(workspace, "sapo_right")
    assert names(trainings.seen[0][2]) == [("A", "B")]
    report = read_json(folders[0] / "pairs.json")
    assert (report["questions"], report["kept"], report["none_right"]) == (2, 1, 1)


def test_star_rationalises_what_its_first_sample_missed(
    workspace: Workspace, trainings: Trainings, sampler: ScriptedSampler
) -> None:
    """One sample a question: A is right, D is wrong, so q1 is asked again with the answer before its prompt."""
    folders = run(workspace, "star")
    assert trainings.seen[0] == ("star", "base", [*texts("G", "A"), ("Prompt 1.\n", "win\n")])
    assert [request.prompt for request in sampler.calls[0]] == ["answer win\nPrompt 1.\n"]
    report = read_json(folders[0] / "star.json")
    assert report == {"questions": 2, "unaided": 1, "rationalised": 1}
    assert read_costs(folders[0])["sampling"] == Cost(2, 20, 40, 200.0)  # a third of what stage start drew
    assert read_costs(folders[0])["update"].rollouts == 1


def test_star_without_a_right_rationale_stops_and_says_so(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tools, "sampler", lambda *_: ScriptedSampler(lambda _: "lose\n"))
    wrong = [SAMPLES[1], SAMPLES[3]]
    experiment = Experiment(method_settings(common(), "star", 1), workspace, "tiny", "lines")
    state = self_improvement.State(workspace.base("tiny"), workspace.base("tiny"), ())
    this = round_state.round_of(
        self_improvement.round_inputs(experiment, 1, state), experiment.tools, wrong, wrong, [0.0, 0.0]
    )
    with pytest.raises(NothingLeft, match=r"no rationale ends right.*'unaided': 0, 'rationalised': 0"):
        star.choose(this)


@pytest.mark.usefixtures("sampler")
def test_grpo_goes_on_from_sft_with_all_questions(workspace: Workspace, trainings: Trainings) -> None:
    folders = run(workspace, "grpo")
    ((kind, start, questions),) = trainings.seen
    assert (kind, start) == ("grpo", "sft")
    assert [question.id for question in questions] == ["q0", "q1"]
    assert read_costs(folders[0])["update"].rollouts == 5


def test_rounds_hand_on_reasoner_verifier_and_pool(
    workspace: Workspace, trainings: Trainings, supervised: Supervised, sampler: ScriptedSampler
) -> None:
    """Round 2 samples from round 1's model, detects with round 1's verifier, and pairs the samples of both.

    The new text `win` (.9) ties with A in q0; q1 now pairs it with D (.15).
    """
    folders = run(workspace, "sapo")
    assert len(folders) == 3
    assert trainings.starts() == ["base"] * 3
    scorers = [who.scorer and who.scorer.path for who, _ in supervised.seen]
    assert scorers == [workspace.start("tiny", "lines", 1) / "verifier", *(f / "verifier" for f in folders[:2])]
    assert [who.reasoner.path for who, _ in supervised.seen] == [
        workspace.start("tiny", "lines", 1) / "sft",
        *(folder / "model" for folder in folders[:2]),
    ]
    assert sampler.sizes == [6, 6]
    second = {(pair.question_id, pair.chosen, pair.rejected) for pair in trainings.seen[1][2]}
    assert ("q1", "win\n", TEXTS["D"]) in second


@pytest.mark.usefixtures("supervised", "sampler", "trainings")
def test_methods_share_the_rounds_that_they_have_in_common(workspace: Workspace) -> None:
    """RFT is the first round of online RFT; six rounds of SAPO begin with three."""
    assert run(workspace, "rft")[0] == run(workspace, "online_rft")[0]
    assert run(workspace, "sapo") == run(workspace, "sapo_six_rounds")[:3]
    assert run(workspace, "sapo")[0] != run(workspace, "sapo_eta_02")[0]


@pytest.mark.usefixtures("supervised", "sampler", "trainings")
def test_what_is_kept_may_be_deleted(workspace: Workspace) -> None:
    before = (run(workspace, "rft")[0] / "filter.json").read_bytes()
    shutil.rmtree(workspace.scratch)
    assert (run(workspace, "rft")[0] / "filter.json").read_bytes() == before


def test_a_filter_counts_why_questions_are_lost() -> None:
    """Least reward .8: q0 keeps A (.9), loses C (.75); q1 has nothing right; q2 has only C's kind."""
    low = trajectory("q2/s/0", ["x", "win"], "q2")
    pool = [*SAMPLES, low, Trajectory("g", "q0", ("gold\n", "win\n"), "right", "gold")]
    rewards = [0.9, 0.15, 0.75, 0.15, 0.35, 0.75, 0.1]
    kept, report = passing(pool, rewards, ["q0", "q1", "q2"], 0.8)
    assert [t.id for t in kept] == ["q0/s/0"]
    assert report == FilterReport(3, 1, 1, 1, 1)
    with pytest.raises(NothingLeft, match=r"no trajectory of 7 ends right with a reward of 0.95 or more"):
        passing(pool, rewards, ["q0", "q1", "q2"], 0.95)


def test_hints_stand_before_the_prompt() -> None:
    assert star.hinted_prompt(Question("q", "How many?\n", "36")) == "answer 36\nHow many?\n"
