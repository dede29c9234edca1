"""Stage `evaluate`: every reasoner of a model on its task's test split and on the task's out-of-domain partner.

Writes `TASK/SEED/METHOD/ROUND/BENCHMARK.jsonl`, one outcome a question, and `BENCHMARK.json`: what answers cost, how
many right ones hold a wrong step (null where the truth of a step is not known), why others were unparsable by kind, and
for tasks of code how many programs each rule of reading found, of which `protocol.program_rule` judged. Besides the
methods: `cot`, the pretrained model, which has no seed and stands under every one, and `sft`, both as round 0.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sapo.evaluate.accuracy import flawed, solve, unparsable_kinds
from sapo.recipes.experiment import Experiment
from sapo.recipes.inputs import DrawSettings, Folder, Questions, Tools
from sapo.recipes.stage_cache import hand_over
from sapo.records import Outcome, write_json, write_records
from sapo.runtime.cache import cached
from sapo.runtime.process_pool import Work, run_all
from sapo.runtime.workspace import StageArguments, Workspace, stage_directory
from sapo.settings import Settings, seeds_of
from sapo.tasks.benchmarks.protocols import conditions
from sapo.tasks.catalog import EMBEDDED, PROGRAMS, find_task, programs_found
from sapo.tasks.task import ProtocolName


@dataclass(frozen=True, slots=True)
class EvaluateInputs:
    """Of one reasoner's answers.

    Args:
        questions: of each benchmark, by its name.
        conditions: what the protocol and this machine's sandbox are.
    """

    task_name: str
    questions: Mapping[str, Questions]
    reasoner: Folder
    draw: DrawSettings
    protocol: ProtocolName
    conditions: Mapping[str, object]


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    with stage_directory(workspace.evaluations(place.model)) as folder:
        works: list[Work] = []
        for task in settings.tasks:
            (folder / task).mkdir()  # empty where no method runs
            experiment = Experiment(settings, workspace, place.model, task)
            title = f"evaluate {place.model} {task}"
            found = checkpoints(settings, workspace, place.model, task)
            works += [Work(f"{title} {name}", answer, (experiment, path, folder / task / name)) for name, path in found]
        run_all(works, settings.workers)


def checkpoints(settings: Settings, workspace: Workspace, model: str, task: str) -> Iterator[tuple[str, Path]]:
    """`SEED/METHOD/ROUND` and the folder of every reasoner that is there, in the order of the tables."""
    for seed in seeds_of(settings, model, task):
        yield f"{seed}/cot/0", workspace.base(model)
        yield f"{seed}/sft/0", workspace.start(model, task, seed) / "sft"
        methods = workspace.methods(model, task)
        for path in sorted((methods / str(seed)).glob("*/*/model")):
            yield path.parent.relative_to(methods).as_posix(), path


def evaluate_inputs(experiment: Experiment, reasoner: Path) -> EvaluateInputs:
    """Of one reasoner on both benchmarks; equal reasoners answer once, whatever their model, seed and method."""
    limits = experiment.limits
    tests = {experiment.task_name: limits.test_questions, limits.ood: limits.ood_questions}
    questions = {name: experiment.questions(name, "test", count) for name, count in tests.items()}
    protocol = experiment.settings.data.protocol
    return EvaluateInputs(
        experiment.task_name, questions, Folder.of(reasoner), experiment.draw, protocol, conditions(protocol)
    )


def answer(experiment: Experiment, reasoner: Path, folder: Path) -> None:
    """Answers of one reasoner to both benchmarks."""
    inputs, tools = evaluate_inputs(experiment, reasoner), experiment.tools
    hand_over(cached(tools.store, inputs, lambda made: _answer(inputs, tools, made)), folder)


def _answer(inputs: EvaluateInputs, tools: Tools, folder: Path) -> None:
    sampler = tools.sampler(inputs.reasoner.path, inputs.draw, "evaluation")
    for name, questions in inputs.questions.items():
        limit = inputs.draw.max_new_tokens
        outcomes, cost = solve(find_task(name), sampler, questions.items, limit, inputs.protocol)
        write_records(folder / f"{name}.jsonl", outcomes, Outcome)
        known = EMBEDDED.get(name)
        said = {"generated_tokens": cost.generated_tokens, "flops": cost.flops}
        said |= {"right_with_wrong_step": flawed(known, questions.items, outcomes) if known else None}
        if name in PROGRAMS:
            texts = [outcome.completion for outcome in outcomes]
            said |= {"programs_found": programs_found(name, questions.items, texts)}
        said |= {"unparsable": unparsable_kinds(find_task(name), outcomes)}
        write_json(folder / f"{name}.json", said | dict(inputs.conditions))
