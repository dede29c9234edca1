"""A new loss is one record: a toy one of this file goes through the loop, the ledger, the plan and the report."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from hand_made import SAMPLES, TwoQuestions, common
from tiny_models import tiny_reasoner
from torch import Tensor

from sapo.models.encoding import Encoder, Size
from sapo.models.flops import TRAINING, prefill_flops
from sapo.models.loading import load_reasoner, save_reasoner
from sapo.plan.architecture import config_of
from sapo.plan.dry_run import _Texts, stand_in
from sapo.plan.memory import Lengths, Shape, peaks
from sapo.plan.methods import Place, method_parts
from sapo.plan.texts import TEXTS
from sapo.recipes import self_improvement
from sapo.recipes.experiment import Experiment, read_costs, write_costs
from sapo.records import BadInput, PreferencePair, Trajectory, write_records
from sapo.report.load_run import _read_round
from sapo.runtime.workspace import Workspace
from sapo.settings import FitSettings, GrpoSettings, OrpoSettings, Settings, SettingsError, method_settings
from sapo.settings import methods as sections
from sapo.settings.configure import compose
from sapo.settings.graph import _check_graph
from sapo.tasks.catalog import TASKS
from sapo.train import registry
from sapo.train.cost import matched, training_cost
from sapo.train.fit import NO_CONTEXT, RunContext, fit
from sapo.train.launch import Job, run
from sapo.train.orpo import build_pair_trees
from sapo.train.pairs import PAIRS, PairReport
from sapo.train.registry import TRAINERS, trainer_of
from sapo.train.trainer import Memory, Trained, Trainer

ROOT = Path(__file__).parents[2]
NANO = compose(ROOT, ["profile=nano"])[1]


def train_toy(
    model: Any,
    encoder: Encoder,
    pairs: Sequence[PreferencePair],
    settings: OrpoSettings,
    seed: int,
    watch: RunContext = NO_CONTEXT,
) -> Trained:
    """Shrinks all weights, whatever the pairs say."""
    lengths = [len(entry.tree.ids) for entry in build_pair_trees(encoder, pairs, 1)]
    plan = matched(settings.fit, lengths, watch.tokens)

    def batch_loss(batch: Sequence[int]) -> tuple[Tensor, dict[str, Tensor]]:
        loss = torch.cat([weight.flatten() for weight in model.parameters()]).square().mean()
        return loss, {"rows": loss.new_tensor(float(len(batch)))}

    log = fit(model, batch_loss, [Size(length) for length in lengths], plan, seed, watch.over([settings, *pairs]))
    return Trained(model, log, training_cost(model.config, lengths, plan.epochs))


TOY = Trainer(
    name="toy",
    section="orpo",
    data=PAIRS,
    train=train_toy,
    expected=lambda e: e.training(2 * e.pairs * e.row, e.settings.orpo.fit),
    examples=lambda settings: settings.fit.micro_batch_size,
    memory=Memory(completions=2, logits="none"),
    lower=("orpo.fit.micro_batch",),
)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Trainer:
    monkeypatch.setitem(TRAINERS, "toy", TOY)
    monkeypatch.setattr(sections, "UPDATES", (*sections.UPDATES, "toy"))
    return TOY


def with_toy(settings: Settings) -> Settings:
    """A method of one round that trains by it, on pairs by outcome, in every group."""
    method = {"loop": {"updates": ["toy"], "reward": "outcome"}}
    groups = {name: dataclasses.replace(group, methods=("toy_outcome",)) for name, group in settings.groups.items()}
    return dataclasses.replace(settings, methods={**settings.methods, "toy_outcome": method}, groups=groups)


@pytest.fixture
def made(toy: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Settings, Path]:
    """The round's settings and folder."""
    monkeypatch.setitem(TASKS, "lines", TwoQuestions())
    workspace = Workspace(tmp_path, "test")
    save_reasoner(*tiny_reasoner(), workspace.base("tiny"))
    start = workspace.start("tiny", "lines", 1)
    save_reasoner(*tiny_reasoner(), start / "sft")
    write_records(start / "sampled.jsonl", SAMPLES, Trajectory)
    write_costs(start, {"sampling": dataclasses.replace(training_cost(tiny_reasoner()[0].config, [1], 1), rollouts=6)})
    settings = method_settings(with_toy(common()), "toy_outcome", 1)
    folders: list[Path] = []
    self_improvement.run(Experiment(settings, workspace, "tiny", "lines"), lambda _, folder: folders.append(folder))
    return settings, folders[0]


def test_the_loop_trains_by_it_and_the_ledger_has_its_cost(made: tuple[Settings, Path]) -> None:
    """q0 alone has a right and a wrong answer: one tree of both, for the settings' epochs."""
    settings, folder = made
    model, _ = load_reasoner(folder / "model")
    norms = [sum(w.square().sum().item() for w in one.parameters()) for one in (model, tiny_reasoner()[0])]
    assert norms[0] < norms[1]
    epochs, spent = settings.orpo.fit.epochs, read_costs(folder)["update"]
    length = spent.trained_tokens / epochs
    assert 20 < length < 60 and length == int(length)
    assert spent.flops == TRAINING * epochs * prefill_flops(model.config, int(length), True)


def test_the_report_reads_its_round(made: tuple[Settings, Path]) -> None:
    found = _read_round(made[0], made[1], 1, 2)
    assert (found.update, found.selection) == ("toy", PairReport(2, 1, 1, 0, 1, 0, 0))
    assert [step.measures for step in found.log] == [{"rows": 1.0}] * len(found.log)
    assert found.costs["update"].trained_tokens > 0


@pytest.mark.usefixtures("toy")
def test_the_plan_expects_it_and_its_memory() -> None:
    """Twice the pairs' rows, each for the settings' epochs; of memory, one phase more."""
    settings = method_settings(with_toy(NANO), "toy_outcome", 1)
    config = config_of("qwen2_nano", NANO.models["qwen2_nano"], NANO.scratch, ROOT)
    texts = TEXTS["nano_math"]
    (part,) = (p for p in method_parts(Place(settings, "qwen2_nano", "nano_math", config, texts)) if p.what == "update")
    pairs = settings.tasks["nano_math"].train_questions * settings.pairs.per_question * texts.paired[0]
    assert part.bill.trained_tokens == pytest.approx(2 * pairs * texts.row * settings.orpo.fit.epochs)
    phases = peaks(with_toy(NANO), Shape.of(config), Lengths(8, 8))
    assert list(phases) == ["sampling", "scoring", "verifier", "sft", "toy"]
    assert 0 < phases["toy"] < peaks(NANO, Shape.of(config), Lengths(8, 8))["orpo"]


def test_settings_name_the_trainers_of_reasoners_and_no_others(toy: Trainer) -> None:
    assert {name for name, one in TRAINERS.items() if one.data.choose} == {*sections.UPDATES}
    assert all(name == one.name for name, one in TRAINERS.items())
    assert method_settings(with_toy(NANO), "toy_outcome", 1).loop.updates == ("toy",)


def test_an_unknown_trainer_is_one_clear_error_everywhere(tmp_path: Path) -> None:
    known = "known: verifier, sft, star, orpo, dpo, grpo"
    with pytest.raises(BadInput, match=f"'toy' is no trainer; {known}"):
        run(Job("toy", tmp_path, [], None, 1, 1), tiny_reasoner(), NANO.tuning, NO_CONTEXT)
    with pytest.raises(BadInput, match=f"'toy' is no trainer; {known}"):
        registry.used(with_toy(NANO))
    methods = {"toy_outcome": {"loop": {"updates": ["toy"]}}}
    with pytest.raises(SettingsError, match="methods: toy_outcome: loop: updates: 'toy' is not one of sft, star, orpo"):
        _check_graph(dataclasses.replace(NANO, methods={**NANO.methods, **methods}), "params.yaml")


@pytest.mark.parametrize("name", TRAINERS)
def test_rows_come_back_from_json_as_they_were(name: str) -> None:
    """A job of several devices is read from a file."""
    data = trainer_of(name).data
    rows = [*data.stand_in(_Texts(stand_in(), Lengths(8, 12)), 2)]
    assert [data.from_json(json.loads(json.dumps(data.to_json(row)))) for row in rows] == rows


def test_the_path_from_a_registered_loss_to_its_trained_model_is_short(tmp_path: Path) -> None:
    """Files of the package whose functions run between ORPO's record and the trained model."""
    package, files = ROOT / "code" / "sapo", set[str]()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(str(package)):
            files.add(Path(frame.f_code.co_filename).relative_to(package).as_posix())

    model, encoder = tiny_reasoner()
    pairs = [PreferencePair("q", "Ben has 3.\n", "a\n", "b\n", 1.0, 0.0)]
    watch = RunContext(None, tmp_path / "training")
    sys.setprofile(note)
    try:
        trainer_of("orpo").train(model, encoder, pairs, NANO.orpo, 1, watch)
    finally:
        sys.setprofile(None)
    assert len(files) <= 12, sorted(files)


@pytest.mark.parametrize("name", ["sft", "dpo", "orpo", "verifier", "grpo"])
def test_every_training_has_the_same_schedule(name: str, tmp_path: Path) -> None:
    """Ten steps, warm-up over a fifth of them: 1/2, 1, then 8/8, 7/8 … 1/8 of the rate."""
    trainer, settings = trainer_of(name), getattr(NANO, trainer_of(name).section)
    fit_ = FitSettings(lr=1e-3, epochs=5, batch_size=2, warmup=0.2)
    if name == "grpo":
        settings = GrpoSettings(0.0, 2, 1.0, 10, 2, lr=1e-3, warmup=0.2)
    else:
        settings = fit_ if name == "sft" else dataclasses.replace(settings, fit=fit_)
    rows = trainer.data.stand_in(_Texts(stand_in(), Lengths(8, 8)), 4)
    log = trainer.train(*tiny_reasoner(), rows, settings, 1, RunContext(None, tmp_path)).log
    shares = [1 / 2, 1, *(left / 8 for left in range(8, 0, -1))]
    assert [entry.lr for entry in log] == pytest.approx([1e-3 * share for share in shares])
