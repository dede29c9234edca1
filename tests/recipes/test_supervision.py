"""The supervising half of a round: which trajectories are labelled, by whom, and the verifier that learns from them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest
from fakes import LineTask, ScriptedSampler, TableVerifier, question, trajectory, wins_unless_bad
from tiny_models import tiny_reasoner

from sapo.labelling.labellers import LabelItem, Labelled, LabellerName
from sapo.labelling.rollouts import PrefixEstimate
from sapo.models.loading import load_encoder, save_reasoner
from sapo.models.verifier import Verifier
from sapo.recipes.experiment import Experiment
from sapo.recipes.inputs import Folder, Tools, Trajectories
from sapo.recipes.label_step import (
    LabelInputs,
    LabelRecipe,
    choose_subset,
    fit_verifier,
    label_subset,
    score,
    supervise,
)
from sapo.records import BadInput, Cost, Question, StepLabels, Trajectory, read_json, read_records
from sapo.runtime.workspace import Workspace, digest
from sapo.settings import (
    ExpansionSettings,
    FitSettings,
    Settings,
    TaskSettings,
    TuningSettings,
    VerifierSettings,
    load_settings,
)
from sapo.settings.configure import PARAMS
from sapo.tasks.catalog import TASKS
from sapo.tasks.task import DataSource, Split

ROOT = Path(__file__).parents[2]
WRONG = trajectory("w", ["ok", "bad", "x", "lose"], "q0")
RIGHT = trajectory("r", ["ok", "win"], "q0")
ONE = trajectory("o", ["lose"], "q1")
SCORES = {"ok\n": 0.9, "bad\n": 0.8, "x\n": 0.1, "lose\n": 0.1}


class FourLines(LineTask):
    """Four questions."""

    def load(self, split: Split, source: DataSource) -> list[Question]:
        return [question(f"q{number}") for number in range(4)]


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """Of a task whose steps are lines; the verifier is trained for two epochs in batches of two."""
    monkeypatch.setitem(TASKS, "lines", FourLines())
    return Experiment(small(load_settings(ROOT / PARAMS)), Workspace(tmp_path, "test"), "tiny", "lines")


def small(nano: Settings) -> Settings:
    fit = FitSettings(1e-2, 2, 2, 0.1)
    return dataclasses.replace(
        nano,
        workers=2,  # no progress lines
        tasks={"lines": TaskSettings("lines", 4, 4, 1, 1, 8)},
        rollouts=dataclasses.replace(nano.rollouts, per_position=2),
        verifier=VerifierSettings("mse", fit),
    )


@pytest.fixture
def reasoner(tmp_path: Path) -> Path:
    save_reasoner(*tiny_reasoner(), tmp_path / "reasoner")
    return tmp_path / "reasoner"


@pytest.fixture
def sampler(monkeypatch: pytest.MonkeyPatch) -> ScriptedSampler:
    """What every bench samples with."""
    scripted = ScriptedSampler(wins_unless_bad)
    monkeypatch.setattr(Tools, "sampler", lambda *_: scripted)
    return scripted


def given(
    experiment: Experiment,
    labeller: LabellerName,
    subset: Sequence[Trajectory],
    reasoner: Path = Path("m"),
    scorer: Path | None = None,
    number: int = 0,
) -> tuple[LabelInputs, Tools]:
    """Inputs and tools of a label step."""
    who, looks = Folder(str(reasoner), reasoner), Folder(str(scorer), scorer) if scorer else None
    read = Trajectories.of(subset), Trajectories.of([]), experiment.train_questions(), experiment.draw
    recipe = LabelRecipe.of(experiment.settings, labeller)
    return LabelInputs(experiment.case, number, labeller, who, looks, who, *read, recipe), experiment.tools


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


def test_omega_bisects_a_subset_with_the_benchs_rollouts(experiment: Experiment, sampler: ScriptedSampler) -> None:
    """ok | bad x lose: c_2 = 0, then c_1 = 1. The right one is its own witness, a single step is its outcome.

    Two positions, two rollouts each.
    """
    labelled, costs = label_subset(*given(experiment, "omega", [WRONG, RIGHT, ONE]))
    assert [entry.labels.labels for entry in labelled] == [(1, 0, 0, 0), (1, 1), (0,)]
    assert [entry.labels.asked for entry in labelled] == [(2, 1), (), ()]
    assert sampler.sizes == [2, 2]
    assert {name: cost.rollouts for name, cost in costs.items()} == {"labelling": 4}
    prompts = {request.prompt for call in sampler.calls for request in call}
    assert prompts == {experiment.train_questions().items[0].prompt}


@pytest.mark.usefixtures("sampler")
def test_saps_asks_where_the_scorer_sees_the_drop(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores .9 .8 .1 .1 drop most behind step 2: c_2 and c_3 are asked, both are 0, so step 2 is wrong too (c)."""
    loaded: list[Path] = []

    def load(_: Tools, folder: Path, tuning: TuningSettings) -> Verifier:
        loaded.append(folder)
        verifier = TableVerifier(SCORES)
        vars(verifier)["cost"] = Cost(prompt_tokens=9)
        return cast(Verifier, verifier)

    monkeypatch.setattr(Tools, "verifier", load)
    labelled, costs = label_subset(*given(experiment, "saps", [WRONG], scorer=Path("v"), number=1))
    assert (labelled[0].labels.labels, labelled[0].labels.asked) == ((1, 0, 0, 0), (2, 3))
    assert labelled[0].labels.case == "c"
    assert loaded == [Path("v")]
    assert costs["detection"] == Cost(prompt_tokens=9)
    assert costs["labelling"].rollouts == 4


def labelled_examples() -> list[Labelled]:
    """A wrong trajectory with a rollout that proves step 2 wrong, and a right one."""
    rollout = trajectory("w/after2/0", ["ok", "bad", "no", "lose"], "q0")
    item = LabelItem(question("q0"), WRONG)
    found = Labelled(item, StepLabels("w", (1, 0, 0, 0), (2,), "bisection"), {2: PrefixEstimate(False, (rollout,))})
    right = Labelled(LabelItem(question("q0"), RIGHT), StepLabels("r", (1, 1), (), "known_correct"), {})
    return [found, right]


def expanding(experiment: Experiment, most: int) -> Experiment:
    settings = dataclasses.replace(experiment.settings, expansion=ExpansionSettings(most))
    return dataclasses.replace(experiment, settings=settings)


@pytest.mark.parametrize(("most", "names", "steps"), [(0, ["w", "r"], 2), (4, ["w", "r", "w/after2/0"], 4)])
def test_a_verifier_is_on_file_with_all_that_it_saw(
    experiment: Experiment, reasoner: Path, tmp_path: Path, most: int, names: list[str], steps: int
) -> None:
    """Batches of two, two epochs: 2 examples are 2 optimiser steps, 3 are 4."""
    before = digest(reasoner)
    cost = fit_verifier(
        *given(expanding(experiment, most), "omega", [], reasoner, number=1), labelled_examples(), tmp_path / "made"
    )
    seen = read_records(tmp_path / "made" / "labelled.jsonl", Trajectory)
    labels = read_records(tmp_path / "made" / "labels.jsonl", StepLabels)
    assert [t.id for t in seen] == [c.trajectory_id for c in labels] == names
    assert [c.labels for c in labels][2:] == [(1, 0, 0, 0)] * (len(names) - 2)
    assert len(read_json(tmp_path / "made" / "verifier_log.json", list)) == steps
    asked = experiment.train_questions().by_id
    loaded = score(Verifier.load(tmp_path / "made" / "verifier"), asked, [WRONG, ONE])
    assert [(s.trajectory_id, len(s.scores)) for s in loaded] == [("w", 4), ("o", 1)]
    assert digest(reasoner) == before
    rows = [load_encoder(reasoner).encode_steps(asked[t.question_id].prompt, t.steps) for t in seen]
    assert cost.trained_tokens == 2 * sum(len(row.ids) for row in rows)


def test_the_same_labels_and_round_give_the_same_verifier(
    experiment: Experiment, reasoner: Path, tmp_path: Path
) -> None:
    for name, number in (("a", 1), ("b", 1), ("c", 2)):
        fit_verifier(*given(experiment, "omega", [], reasoner, number=number), labelled_examples(), tmp_path / name)
    first, again, seeded = (digest(tmp_path / name / "verifier") for name in "abc")
    assert first == again != seeded


def test_no_labels_at_all_is_one_clear_error(experiment: Experiment, reasoner: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nothing to train on"):
        fit_verifier(*given(experiment, "omega", [], reasoner, number=1), [], tmp_path / "made")


def test_supervision_is_done_once_for_the_same_settings(
    experiment: Experiment, reasoner: Path, sampler: ScriptedSampler
) -> None:
    """eta is no business of labels; the number of rollouts is."""
    eta = dataclasses.replace(experiment.settings, pairs=dataclasses.replace(experiment.settings.pairs, eta=0.9))
    more = dataclasses.replace(
        experiment.settings, rollouts=dataclasses.replace(experiment.settings.rollouts, per_position=3)
    )
    made = []
    for settings in (experiment.settings, eta, more):
        own = dataclasses.replace(experiment, settings=settings)
        made.append(supervise(*given(own, "omega", [WRONG, RIGHT], reasoner, number=1)))
    assert made[0] == made[1] != made[2]
    assert sampler.sizes == [2, 2, 3, 3]
