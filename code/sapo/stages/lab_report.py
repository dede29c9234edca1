"""Command `lab-report`: is every base model × task a laboratory? Prints the targets and writes `results/lab.json`.

Trains SFT, RFT and ORPO on outcomes over several seeds for each of them, on the settings of params.yaml; about
three minutes a seed. Share of questions that keep a pair in every round: read from the last `dvc repro`.
"""

import argparse
import dataclasses
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from sapo.configure import PARAMS
from sapo.evaluate.laboratory import Measured, pass_rates, step_statistics, verdicts
from sapo.evaluate.solve import solve
from sapo.methods.bench import Bench
from sapo.models.encoding import Encoder
from sapo.models.loading import load_reasoner
from sapo.models.local import LocalSampler
from sapo.models.nano import MODELS
from sapo.records import Trajectory, read_json, read_plain_json, write_plain_json, write_text
from sapo.report.laboratory import targets_table
from sapo.report.rendering import markdown, show, with_section
from sapo.settings import Settings, load_settings
from sapo.supervise.sampling import distinct, sample
from sapo.tasks.catalog import EMBEDDED
from sapo.train.orpo import train_orpo
from sapo.train.pairs import make_pairs, outcome_rewards
from sapo.train.sft import train_sft
from sapo.workspace import Workspace

RESULT = Path("results/lab.json")
README = Path("README.md")
TASKS = ("nano_math", "nano_code")
EVALUATED = 300


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m sapo lab-report", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(arguments)
    settings = load_settings(PARAMS)
    cells = [(settings, model, task, seed) for model in given.models for task in given.tasks for seed in given.seeds]
    with ProcessPoolExecutor(given.workers, get_context("spawn")) as pool:
        measured = [job.result() for job in [pool.submit(_measure, *cell) for cell in cells]]
    report = {}
    for model in given.models:
        for task in given.tasks:
            runs = [m for m, cell in zip(measured, cells, strict=True) if cell[1:3] == (model, task)]
            trained = {"train_questions": settings.tasks[task].train_questions}
            report[f"{model}/{task}"] = trained | {"targets": verdicts(runs), "seeds": [asdict(run) for run in runs]}
    _merge(report, Workspace(Path(), settings.profile), settings)


def _merge(report: dict[str, dict[str, Any]], workspace: Workspace, settings: Settings) -> None:
    """Add the measured cells to what the file holds of others, and print every verdict."""
    known = read_plain_json(RESULT) if RESULT.is_file() else {}
    for name, cell in report.items():
        kept = questions_with_pairs(workspace, settings, *name.split("/"))
        if kept:
            targets = cell["targets"]
            targets["questions_with_pairs"] = {"value": min(kept), "met": min(kept) >= 0.40}
    known |= report
    write_plain_json(RESULT, known)
    table = targets_table(known)
    show([table])
    write_text(README, with_section(README, "lab", markdown([table])))
    for path in (RESULT, README):
        print(path)


def questions_with_pairs(workspace: Workspace, settings: Settings, model: str, task: str) -> list[float]:
    """Share of the training questions that keep a pair, by seed and round of SAPO; empty where it did not run."""
    found = workspace.methods(model, task).glob("*/sapo/*/pairs.json")
    shares = [read_json(path)["kept"] for path in sorted(found)]
    return [round(share / settings.tasks[task].train_questions, 4) for share in shares]


def _measure(settings: Settings, model: str, task_name: str, seed: int) -> Measured:
    """One seed of one base model and task."""
    torch.set_num_threads(1)
    settings = dataclasses.replace(settings, seed=seed)
    bench = Bench(settings, Workspace(Path(), settings.profile), model, task_name)
    task, base, limit = EMBEDDED[task_name], bench.workspace.data / "models" / model, bench.limits.max_new_tokens
    questions = bench.train_questions().items
    held_out = bench.questions(task_name, "dev", EVALUATED).items

    def accuracy(trained: tuple[PreTrainedModel, Encoder]) -> float:
        outcomes, _ = solve(task, LocalSampler(*trained, settings.sampling.rows), held_out, limit)
        return sum(outcome.verdict == "right" for outcome in outcomes) / len(outcomes)

    def tuned(texts: list[tuple[str, str]]) -> tuple[PreTrainedModel, Encoder]:
        reasoner, encoder = load_reasoner(base)
        train_sft(reasoner, encoder, texts, settings.sft, seed)
        return reasoner, encoder

    gold = [(q.prompt, q.solution) for q in bench.gold_questions().items]
    sft = tuned(gold)
    sampler = LocalSampler(*sft, settings.sampling.rows)
    drawn, _ = sample(task, sampler, questions, settings.sampling, limit, bench.case.derive("sample"))
    pool = distinct(task, drawn)
    by_id = {question.id: question for question in questions}
    rft = tuned([*gold, *((by_id[t.question_id].prompt, t.text) for t in pool if t.right)])
    flawed, first_errors = step_statistics(task, by_id, drawn[: len(drawn) // 4])
    pass_at_1, pass_at_k = pass_rates(questions, drawn)
    return Measured(
        accuracy(load_reasoner(base)),
        accuracy(sft),
        accuracy(rft),
        accuracy(_aligned(bench, base, pool)),
        pass_at_1,
        pass_at_k,
        flawed,
        sum(len(t.steps) for t in drawn) / len(drawn),
        first_errors,
    )


def _aligned(bench: Bench, base: Path, pool: list[Trajectory]) -> tuple[PreTrainedModel, Encoder]:
    """ORPO on the outcomes of a pool."""
    prompts = {question.id: question.prompt for question in bench.train_questions().items}
    pairs, _ = make_pairs(pool, outcome_rewards(pool), prompts, bench.settings.pairs, bench.case.derive("pairs"))
    reasoner, encoder = load_reasoner(base)
    train_orpo(reasoner, encoder, pairs, bench.settings.orpo, bench.case.derive("orpo"))
    return reasoner, encoder
