"""What stages share: which trajectories are labelled, labels to a verifier on file, rewards to a better reasoner."""

import dataclasses
import json
from pathlib import Path
from typing import cast

import pytest
import torch
from fakes import LineTask, ScriptedSampler, TableVerifier, question, trajectory, wins_unless_bad
from tiny_models import tiny_reasoner

from sapo.configure import PARAMS
from sapo.models.loading import load_reasoner, save_reasoner
from sapo.models.local import LocalSampler
from sapo.models.verifier import Verifier
from sapo.records import BadInput, Question, StepLabels, Trajectory, read_records
from sapo.settings import FitSettings, OrpoSettings, PairSettings, TaskSettings, VerifierSettings, load_settings
from sapo.stages.job import Job
from sapo.stages.supervision import align, choose_subset, fit_verifier, label_subset, score
from sapo.supervise.labellers import LabelItem, Labelled
from sapo.supervise.rollouts import Evidence
from sapo.tasks.catalog import TASKS
from sapo.tasks.task import DataSource, Split
from sapo.train.pairs import PairError
from sapo.workspace import StageArguments, Workspace, digest

ROOT = Path(__file__).parents[1]
WRONG = trajectory("w", ["ok", "bad", "x", "lose"], "q0")
RIGHT = trajectory("r", ["ok", "win"], "q0")
ONE = trajectory("o", ["lose"], "q1")
SCORES = {"ok\n": 0.9, "bad\n": 0.8, "x\n": 0.1, "lose\n": 0.1}


class FourLines(LineTask):
    """Four questions."""

    def load(self, split: Split, source: DataSource) -> list[Question]:
        return [question(f"q{number}") for number in range(4)]


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Of a task whose steps are lines; everything is trained for two epochs in batches of two."""
    monkeypatch.setitem(TASKS, "lines", FourLines())
    nano, fit = load_settings(ROOT / PARAMS), FitSettings(1e-2, 2, 2, 0.1)
    settings = dataclasses.replace(
        nano,
        tasks={"lines": TaskSettings("lines", 4, 4, 1, 1, 8)},
        rollouts=dataclasses.replace(nano.rollouts, per_position=2),
        verifier=VerifierSettings("mse", fit),
        pairs=PairSettings(0.1, 1, 1, "any"),
        orpo=OrpoSettings(0.1, "completion", fit),
    )
    return Job(settings, Workspace(tmp_path, "test"), StageArguments("tiny", "lines"), "round0")


@pytest.fixture
def reasoner(tmp_path: Path) -> Path:
    save_reasoner(*tiny_reasoner(), tmp_path / "reasoner")
    return tmp_path / "reasoner"


def many(right: int, wrong: int) -> list[Trajectory]:
    """Right ones first, so that an order that is not shuffled shows."""
    ends = ["win"] * right + ["lose"] * wrong
    return [trajectory(f"t{number}", [f"{number}", end]) for number, end in enumerate(ends)]


@pytest.mark.parametrize(
    ("right", "wrong", "count", "chosen_right", "chosen_wrong"),
    [
        (20, 20, 10, 5, 5),  # half
        (20, 20, 5, 3, 2),  # an odd one is right
        (20, 3, 10, 7, 3),  # all wrong ones, filled up with right ones
        (2, 20, 10, 2, 8),  # all right ones, filled up with wrong ones
        (0, 20, 10, 0, 10),
        (20, 0, 10, 10, 0),
        (3, 4, 10, 3, 4),  # fewer than asked for: all
        (5, 5, 10, 5, 5),
        (5, 5, 1, 1, 0),
        (5, 5, 0, 0, 0),
        (0, 0, 10, 0, 0),
    ],
)
def test_a_subset_is_half_wrong_where_there_are_enough_of_both(
    right: int, wrong: int, count: int, chosen_right: int, chosen_wrong: int
) -> None:
    chosen = choose_subset(many(right, wrong), count, 1)
    assert (sum(t.right for t in chosen), sum(not t.right for t in chosen)) == (chosen_right, chosen_wrong)
    assert len({t.id for t in chosen}) == len(chosen)


def test_the_seed_draws_the_subset() -> None:
    pool = many(20, 20)
    drawn = [choose_subset(pool, 10, seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert {t.id for t in drawn[0]} != {t.id for t in drawn[2]}
    assert {t.id for t in drawn[0]} != {f"t{number}" for number in (*range(5), *range(20, 25))}


def test_omega_bisects_a_subset_with_the_jobs_rollouts(job: Job) -> None:
    """ok | bad x lose: c_2 = 0, then c_1 = 1. The right one is its own witness, a single step is its outcome.

    Two positions, two rollouts each.
    """
    sampler = ScriptedSampler(wins_unless_bad)
    labelled, cost = label_subset(job, "omega", cast(LocalSampler, sampler), [WRONG, RIGHT, ONE], None)
    assert [entry.labels.labels for entry in labelled] == [(1, 0, 0, 0), (1, 1), (0,)]
    assert [entry.labels.asked for entry in labelled] == [(2, 1), (), ()]
    assert sampler.sizes == [2, 2]
    assert cost.rollouts == 4
    prompts = {request.prompt for call in sampler.calls for request in call}
    assert prompts == {job.train_questions()[0].prompt}


def test_saps_asks_where_the_scorer_sees_the_drop(job: Job) -> None:
    """Scores .9 .8 .1 .1 drop most behind step 2: c_2 and c_3 are asked, both are 0, so step 2 is wrong too (c)."""
    sampler, scorer = ScriptedSampler(wins_unless_bad), TableVerifier(SCORES)
    labelled, _ = label_subset(job, "saps", cast(LocalSampler, sampler), [WRONG], cast(Verifier, scorer))
    assert (labelled[0].labels.labels, labelled[0].labels.asked) == ((1, 0, 0, 0), (2, 3))
    assert labelled[0].labels.case == "c"


def labelled_examples() -> list[Labelled]:
    """A wrong trajectory with a rollout that proves step 2 wrong, and a right one."""
    rollout = trajectory("w/after2/0", ["ok", "bad", "no", "lose"], "q0")
    item = LabelItem(question("q0"), WRONG)
    found = Labelled(item, StepLabels("w", (1, 0, 0, 0), (2,), "bisection"), {2: Evidence(False, (rollout,))})
    right = Labelled(LabelItem(question("q0"), RIGHT), StepLabels("r", (1, 1), (), "witness"), {})
    return [found, right]


@pytest.mark.parametrize(("most", "names", "steps"), [(0, ["w", "r"], 2), (4, ["w", "r", "w/after2/0"], 4)])
def test_a_verifier_is_on_file_with_all_that_it_saw(
    job: Job, reasoner: Path, tmp_path: Path, most: int, names: list[str], steps: int
) -> None:
    """Batches of two, two epochs: 2 examples are 2 optimiser steps, 3 are 4."""
    before = digest(reasoner)
    verifier = fit_verifier(job, reasoner, labelled_examples(), most, tmp_path / "stage")
    seen = read_records(tmp_path / "stage" / "labelled.jsonl", Trajectory)
    labels = read_records(tmp_path / "stage" / "labels.jsonl", StepLabels)
    assert [t.id for t in seen] == [c.trajectory_id for c in labels] == names
    assert [c.labels for c in labels][2:] == [(1, 0, 0, 0)] * (len(names) - 2)
    assert len(json.loads((tmp_path / "stage" / "verifier_log.json").read_text(encoding="utf-8"))) == steps
    asked = {q.id: q for q in job.train_questions()}
    loaded = score(Verifier.load(tmp_path / "stage" / "verifier"), asked, [WRONG, ONE])
    assert loaded == score(verifier, asked, [WRONG, ONE])
    assert [(s.trajectory_id, len(s.scores)) for s in loaded] == [("w", 4), ("o", 1)]
    assert digest(reasoner) == before


def test_the_same_labels_give_the_same_verifier(job: Job, reasoner: Path, tmp_path: Path) -> None:
    other = dataclasses.replace(job, stage="sapo")
    for name, its in (("a", job), ("b", job), ("c", other)):
        fit_verifier(its, reasoner, labelled_examples(), 4, tmp_path / name)
    first, again, seeded = (digest(tmp_path / name / "verifier") for name in "abc")
    assert first == again != seeded


def test_no_labels_at_all_is_one_clear_error(job: Job, reasoner: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nothing to train on"):
        fit_verifier(job, reasoner, [], 4, tmp_path / "stage")


def test_alignment_prefers_what_the_rewards_prefer(job: Job, reasoner: Path, tmp_path: Path) -> None:
    """q0 has a gap of 0.8 and q1 of 0; q2 and q3 have no trajectories: one pair, two epochs, two steps."""
    pool = [WRONG, RIGHT, ONE, trajectory("p", ["win"], "q1")]
    before = digest(reasoner)
    align(job, reasoner, pool, [0.1, 0.9, 0.5, 0.5], tmp_path / "stage")
    report = json.loads((tmp_path / "stage" / "pairs.json").read_text(encoding="utf-8"))
    assert report == {
        "questions": 4, "kept": 1, "pairs": 1, "few_texts": 2, "flat": 1, "none_right": 0, "small_gap": 0,
    }  # fmt: skip
    assert digest(reasoner) == before
    prompt, gaps = job.train_questions()[0].prompt, []
    log = json.loads((tmp_path / "stage" / "orpo_log.json").read_text(encoding="utf-8"))
    for folder in (reasoner, tmp_path / "stage" / "model"):
        gaps.append(log_probability(folder, prompt, RIGHT.text) - log_probability(folder, prompt, WRONG.text))
    assert len(log) == 2
    assert log[1]["measures"]["log_odds_ratio"] > log[0]["measures"]["log_odds_ratio"]
    assert gaps[1] > gaps[0]


def log_probability(folder: Path, prompt: str, text: str) -> float:
    """Mean log-probability of a completion's tokens and its end."""
    model, encoder = load_reasoner(folder)
    row = encoder.encode(prompt, text)
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([row.ids])).logits[0].log_softmax(-1)
    places = range(row.completion_start, len(row.ids))
    return sum(float(logits[place - 1, row.ids[place]]) for place in places) / len(places)


def test_a_verifier_that_tells_nothing_apart_is_one_clear_error(job: Job, reasoner: Path, tmp_path: Path) -> None:
    with pytest.raises(PairError, match=r"no preference pair in 4 questions.*'flat': 1"):
        align(job, reasoner, [WRONG, RIGHT], [0.5, 0.5], tmp_path / "stage")
    assert not (tmp_path / "stage").exists()
