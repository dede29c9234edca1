"""What all methods of a model, task and seed begin with: M_0, D_0 and V_0 (docs/method.md §7, first line)."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from sapo.labelling.trajectories import distinct, gold_trajectories
from sapo.models.loading import load_reasoner, save_reasoner
from sapo.recipes.experiment import Experiment, clocked, read_costs, write_costs
from sapo.recipes.inputs import Case, DrawSettings, Folder, Questions, Tools, Trajectories
from sapo.recipes.label_step import LEFT_OUT, LabelInputs, LabelRecipe, choose_subset, copy_supervision, supervise
from sapo.recipes.sample_step import SampleInputs, sampled
from sapo.records import Cost, Trajectory, read_json, read_records, write_json
from sapo.runtime.cache import cached, training
from sapo.settings import FitSettings, SamplingSettings, TuningSettings
from sapo.train.fit import RunContext, write_log
from sapo.train.launch import Job, run


@dataclass(frozen=True, slots=True)
class SftInputs:
    """Of M_0 = SFT(M, D_org)."""

    case: Case
    base: Folder
    gold: Questions
    sft: FitSettings
    tuning: TuningSettings


@dataclass(frozen=True, slots=True)
class StartInputs:
    """Of M_0, D_0 and V_0; `gold_left_out` counts gold rationales that the model cannot encode step by step."""

    sft: SftInputs
    gold_left_out: int
    questions: Questions
    draw: DrawSettings
    sampling: SamplingSettings
    labels: LabelRecipe


def start_inputs(experiment: Experiment) -> StartInputs:
    settings = experiment.settings
    gold = experiment.gold_questions()
    sft = SftInputs(experiment.case, Folder.of(experiment.base), gold, settings.sft, settings.tuning)
    left_out = len(experiment.gold_rationales()) - len(gold.items)
    return StartInputs(
        sft,
        left_out,
        experiment.train_questions(),
        experiment.draw,
        settings.sampling,
        LabelRecipe.of(settings, "omega"),
    )


def begin(inputs: StartInputs, tools: Tools) -> Path:
    """The folder of one seed: `sft/`, `sampled.jsonl` (D_0 without gold), labels, `verifier/` (V_0), costs,
    and in `left_out.json` how many gold rationales and labelled trajectories could not be trained on.
    """
    return cached(tools.store, inputs, lambda folder: _make(inputs, tools, folder))


def samples_of(inputs: StartInputs, reasoner: Folder) -> SampleInputs:
    """Of D_0, which M_0 draws."""
    return SampleInputs(inputs.sft.case, 1, reasoner, inputs.questions, inputs.draw, inputs.sampling)


def _make(inputs: StartInputs, tools: Tools, folder: Path) -> None:
    case = inputs.sft.case
    tuned = fine_tuned(inputs.sft, tools)
    shutil.copytree(tuned / "sft", folder / "sft")
    reasoner = Folder.of(folder / "sft")
    samples = sampled(samples_of(inputs, reasoner), tools)
    shutil.copyfile(samples / "sampled.jsonl", folder / "sampled.jsonl")
    drawn = read_records(samples / "sampled.jsonl", Trajectory)
    pool = distinct(case.task, [*drawn, *gold_trajectories(case.task, inputs.sft.gold.items)])
    subset = choose_subset(pool, inputs.labels.labels.bootstrap_trajectories, case.derive("subset", 0))
    known = drawn if inputs.labels.rollouts.reuse else []
    given = Trajectories.of(subset), Trajectories.of(known), inputs.questions, inputs.draw, inputs.labels
    made = supervise(LabelInputs(case, 0, "omega", reasoner, None, reasoner, *given), tools)
    copy_supervision(made, folder)
    write_json(folder / LEFT_OUT, read_json(made / LEFT_OUT) | {"gold": inputs.gold_left_out})
    write_costs(folder, read_costs(tuned) | read_costs(samples) | read_costs(made))


def fine_tuned(inputs: SftInputs, tools: Tools) -> Path:
    """The folder with M_0 (`sft/`) and its cost: done once, also where sampling or labelling starts again."""

    def make(folder: Path) -> None:
        costs: dict[str, Cost] = {}
        with clocked(costs, "sft"):
            costs["sft"] = _fine_tune(inputs, folder)
        write_costs(folder, costs)

    return cached(tools.store, inputs, make)


def _fine_tune(inputs: SftInputs, folder: Path) -> Cost:
    model, encoder = load_reasoner(inputs.base.path)
    texts = [(question.prompt, question.solution) for question in inputs.gold.items]
    seeds = inputs.case.derive("sft", 0), inputs.case.derive("adapters", "sft", 0)
    job = Job("sft", inputs.base.path, texts, inputs.sft, *seeds)
    model, log, cost = run(job, (model, encoder), inputs.tuning, RunContext(None, training(folder)))
    save_reasoner(model, encoder, folder / "sft")
    write_log(folder / "sft" / "log.json", log)
    return cost
