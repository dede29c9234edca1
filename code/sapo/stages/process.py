"""Stage `process`: a process benchmark (docs/method.md §8), two trajectories a test question, by two reasoners.

Writes `items.jsonl`, `statistics.json` and `card.md`. The trajectories are samples of the SFT models of the first
seed; the first wrong step is named by the oracle (embedded tasks) or by rollouts of a third party's SFT model.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sapo.evaluate.process import annotate
from sapo.evaluate.process.data_card import Facts, data_card, statistics
from sapo.evaluate.process.items import ProcessItem, read_items, write_items
from sapo.evaluate.process.select_pairs import Candidate, choose, gather
from sapo.labelling.rollouts import CACHED_TOKENS, Rollouts
from sapo.labelling.trajectories import sample
from sapo.recipes.experiment import Experiment
from sapo.recipes.experiments import first_experiment
from sapo.recipes.inputs import Case, DrawSettings, Folder, Questions, Tools
from sapo.records import RecordError, Trajectory, read_records, write_plain_json, write_records, write_text
from sapo.runtime.cache import NOT_KEY, cached, parts
from sapo.runtime.process_pool import Work, run_all
from sapo.runtime.workspace import StageArguments, Workspace, stage_directory
from sapo.sampling.resumable import Journal
from sapo.settings import ProcessBenchmarkSettings, RolloutSettings, SamplingSettings, Settings
from sapo.tasks.catalog import EMBEDDED

AT_ONCE = 2**14  # rollouts that are on disk together: what a kill costs at most
NAMES = {"gsm8k": "gsm_process"}  # as the papers call it; others are TASK_process
LICENCES = {
    "gsm8k": "Questions: GSM8K, MIT. Trajectories and annotations: Apache-2.0.",
    "mbpp": "Questions: MBPP, CC BY 4.0. Trajectories and annotations: Apache-2.0.",
}


@dataclass(frozen=True, slots=True)
class Candidates:
    """Trajectories to annotate, known by their ids and texts."""

    digest: str
    items: tuple[Candidate, ...] = field(metadata=NOT_KEY, compare=False)

    @classmethod
    def of(cls, items: Sequence[Candidate]) -> "Candidates":
        read = [f"{c.id}\0{c.trajectory.text}" for c in items]
        return cls(hashlib.sha256("\0".join(read).encode()).hexdigest(), tuple(items))


@dataclass(frozen=True, slots=True)
class ProcessSampleInputs:
    """Of the samples of one writer's reasoner."""

    case: Case
    reasoner: Folder
    questions: Questions
    draw: DrawSettings
    sampling: SamplingSettings


@dataclass(frozen=True, slots=True)
class VoteInputs:
    """Of annotations by the judge's rollouts: so many votes, and how many of them must agree."""

    case: Case
    reasoner: Folder
    chosen: Candidates
    draw: DrawSettings
    rollouts: RolloutSettings
    votes: tuple[int, int]


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    task, spec = place.task, settings.process_benchmarks[place.task]
    experiments = {
        model: first_experiment(settings, workspace, model, task)
        for model in dict.fromkeys((spec.first, spec.second, spec.judge or spec.first))
    }
    asked = experiments[spec.first].questions(task, "test", settings.process.questions)
    samples, questions = drawn(experiments, (spec.first, spec.second), asked), asked.items
    known = EMBEDDED.get(task)
    candidates = gather(questions, samples, known.step_truth if known else None)
    experiment = experiments[spec.first]
    selection = choose(questions, candidates, experiment.task.normalise, experiment.case.derive("process benchmark"))
    items, dropped = annotated(experiments, spec, selection.chosen)
    if not items:
        raise RecordError(f"process benchmark of {task}: no trajectory is left of {len(candidates)}: {selection.lost}")
    truth = {item.id: item.first_error for item in annotate.oracle(known, selection.chosen)} if known else None
    counted = statistics(items, truth)
    facts = Facts(
        NAMES.get(task, f"{task}_process"),
        f"Trajectories of {task} test questions with the first wrong step of each.",
        LICENCES.get(task, "Apache-2.0."),
        {
            "questions": len(questions),
            "samples of each reasoner for a question": settings.process.samples,
            "annotator": spec.annotator,
            "rollouts a prefix (T)": settings.rollouts.per_position if spec.annotator == "rollout" else "none",
            "votes, and how many must agree": f"{settings.process.votes}, {settings.process.agree}",
            "questions without a pair": ", ".join(f"{why}: {count}" for why, count in selection.lost.items()),
            "trajectories dropped for disagreement": dropped,
        },
    )
    with stage_directory(workspace.process(task)) as folder:
        write_items(folder / "items.jsonl", items)
        write_plain_json(folder / "statistics.json", counted)
        write_text(folder / "card.md", data_card(facts, counted))


def drawn(
    experiments: Mapping[str, Experiment], models: Sequence[str], questions: Questions
) -> dict[str, list[Trajectory]]:
    """Samples of every reasoner for the benchmark's questions."""
    chosen = {model: experiments[model] for model in dict.fromkeys(models)}
    works = [Work(f"process {b.task_name}: {b.model} samples", draw, (b, questions)) for b in chosen.values()]
    run_all(works, experiments[models[0]].settings.workers)
    return {
        model: read_records(draw(experiment, questions) / "samples.jsonl", Trajectory)
        for model, experiment in chosen.items()
    }


def draw(experiment: Experiment, questions: Questions) -> Path:
    """The folder with the samples of one reasoner."""
    settings = dataclasses.replace(experiment.settings.sampling, per_question=experiment.settings.process.samples)
    inputs, tools = (
        ProcessSampleInputs(experiment.case, experiment.sft(), questions, experiment.draw, settings),
        experiment.tools,
    )
    return cached(tools.store, inputs, lambda folder: _draw(inputs, tools, folder))


def _draw(inputs: ProcessSampleInputs, tools: Tools, folder: Path) -> None:
    sampler = tools.sampler(inputs.reasoner.path, inputs.draw, "samples of the process benchmark")
    limit, seed = inputs.draw.max_new_tokens, inputs.case.derive("process samples")
    found, _ = sample(inputs.case.task, sampler, inputs.questions.items, inputs.sampling, limit, seed)
    write_records(folder / "samples.jsonl", found, Trajectory)


def annotated(
    experiments: dict[str, Experiment], spec: ProcessBenchmarkSettings, chosen: Sequence[Candidate]
) -> tuple[list[ProcessItem], int]:
    """Items, and how many trajectories were dropped because annotations disagree."""
    experiment = experiments[spec.judge or spec.first]
    if spec.annotator == "oracle":
        known = EMBEDDED.get(experiment.task_name)
        if known is None:
            raise RecordError(f"process_benchmarks: {experiment.task_name}: there is no oracle; set annotator: rollout")
        return annotate.oracle(known, chosen), 0
    process = experiment.settings.process
    # Equal prefixes once and lazily: both keep a vote's distribution, and `reuse` does not.
    saving = {"lazy": True, "merge": True, "reuse": False, "cached_tokens": CACHED_TOKENS}
    rollouts = dataclasses.replace(experiment.settings.rollouts, **saving)
    votes = process.votes, process.agree
    inputs, tools = (
        VoteInputs(experiment.case, experiment.sft(), Candidates.of(chosen), experiment.draw, rollouts, votes),
        experiment.tools,
    )
    made = cached(tools.store, inputs, lambda folder: _vote(inputs, tools, folder))
    items = read_items(made / "items.jsonl")
    return items, len(chosen) - len(items)


def _vote(inputs: VoteInputs, tools: Tools, folder: Path) -> None:
    case, cached = inputs.case, inputs.rollouts.cached_tokens
    how = inputs.reasoner.path, inputs.draw, "rollouts of the annotator", cached
    sampler = Journal(parts(folder), AT_ONCE, functools.partial(tools.sampler, *how))
    votes, agree = inputs.votes
    seeds = [case.derive("annotator", number) for number in range(votes)]
    limit = inputs.draw.max_new_tokens
    streams = [Rollouts(case.task, sampler, inputs.rollouts, limit, seed) for seed in seeds]
    write_items(folder / "items.jsonl", annotate.rollout(streams, inputs.chosen.items, agree).items)
