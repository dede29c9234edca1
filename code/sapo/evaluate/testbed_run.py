"""Measures the testbed: SFT, RFT and ORPO on outcomes from every base model, task and seed; three minutes each.

`laboratory.verdicts` says which targets the measures meet.
"""

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from sapo.evaluate.accuracy import solve
from sapo.evaluate.testbed_checks import Measured, pass_rates, step_statistics, verdicts
from sapo.labelling.trajectories import distinct, sample
from sapo.models.encoding import Encoder
from sapo.models.loading import load_reasoner
from sapo.recipes.experiment import Experiment
from sapo.records import Trajectory
from sapo.runtime.workspace import Workspace
from sapo.sampling.hf_engine import LocalSampler
from sapo.settings import Settings
from sapo.tasks.catalog import EMBEDDED
from sapo.train.orpo import train_orpo
from sapo.train.pairs import make_pairs, outcome_rewards
from sapo.train.sft import train_sft

EVALUATED = 300


def measure_all(
    settings: Settings, models: Sequence[str], tasks: Sequence[str], seeds: Sequence[int], workers: int
) -> dict[str, dict[str, Any]]:
    """Targets and measures by `MODEL/TASK`; `workers` processes share the seeds."""
    cells = [*product(models, tasks, seeds)]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        jobs = [pool.submit(_measure, settings, *cell) for cell in cells]
        measured = dict(zip(cells, [job.result() for job in jobs], strict=True))
    report = {}
    for model, task in product(models, tasks):
        runs = [measured[model, task, seed] for seed in seeds]
        trained = {"train_questions": settings.tasks[task].train_questions}
        report[f"{model}/{task}"] = trained | {"targets": verdicts(runs), "seeds": [asdict(run) for run in runs]}
    return report


def _measure(settings: Settings, model: str, task_name: str, seed: int) -> Measured:
    """One seed of one base model and task."""
    torch.set_num_threads(1)
    settings = dataclasses.replace(settings, seed=seed)
    experiment = Experiment(settings, Workspace(Path(), settings.profile), model, task_name)
    task, base, limit = (
        EMBEDDED[task_name],
        experiment.workspace.data / "models" / model,
        experiment.limits.max_new_tokens,
    )
    questions = experiment.train_questions().items
    held_out = experiment.questions(task_name, "dev", EVALUATED).items

    def accuracy(trained: tuple[PreTrainedModel, Encoder]) -> float:
        outcomes, _ = solve(task, LocalSampler(*trained, settings.sampling.rows), held_out, limit)
        return sum(outcome.verdict == "right" for outcome in outcomes) / len(outcomes)

    def tuned(texts: list[tuple[str, str]]) -> tuple[PreTrainedModel, Encoder]:
        reasoner, encoder = load_reasoner(base)
        train_sft(reasoner, encoder, texts, settings.sft, seed)
        return reasoner, encoder

    gold = [(q.prompt, q.solution) for q in experiment.gold_questions().items]
    sft = tuned(gold)
    sampler = LocalSampler(*sft, settings.sampling.rows)
    drawn, _ = sample(task, sampler, questions, settings.sampling, limit, experiment.case.derive("sample"))
    pool = distinct(task, drawn)
    by_id = {question.id: question for question in questions}
    rft = tuned([*gold, *((by_id[t.question_id].prompt, t.text) for t in pool if t.right)])
    flawed, first_errors = step_statistics(task, by_id, drawn[: len(drawn) // 4])
    pass_at_1, pass_at_k = pass_rates(questions, drawn)
    return Measured(
        accuracy(load_reasoner(base)),
        accuracy(sft),
        accuracy(rft),
        accuracy(_aligned(experiment, base, pool)),
        pass_at_1,
        pass_at_k,
        flawed,
        sum(len(t.steps) for t in drawn) / len(drawn),
        first_errors,
    )


def _aligned(experiment: Experiment, base: Path, pool: list[Trajectory]) -> tuple[PreTrainedModel, Encoder]:
    """ORPO on the outcomes of a pool."""
    prompts = {question.id: question.prompt for question in experiment.train_questions().items}
    pairs, _ = make_pairs(
        pool, outcome_rewards(pool), prompts, experiment.settings.pairs, experiment.case.derive("pairs")
    )
    reasoner, encoder = load_reasoner(base)
    train_orpo(reasoner, encoder, pairs, experiment.settings.orpo, experiment.case.derive("orpo"))
    return reasoner, encoder
