"""Stage `evaluate`: every reasoner of a model on its task's test split and on the task's out-of-domain partner.

Writes `TASK/SEED/METHOD/ROUND/BENCHMARK.jsonl`, one outcome a question, and `BENCHMARK.json`: what answers cost, how
many right ones hold a wrong step (null where the truth of a step is not known), why others were unparsable by kind, and
for tasks of code how many programs each rule of reading found, of which `protocol.program_rule` judged. Besides the
methods: `cot`, the pretrained model, which has no seed and stands under every one, and `sft`, both as round 0.
"""

from collections.abc import Iterator
from pathlib import Path

from sapo.evaluate.solve import flawed, solve, unparsable_kinds
from sapo.methods.bench import Bench
from sapo.records import Outcome, write_json, write_records
from sapo.settings import Settings, seeds_of
from sapo.stages.keeping import hand_over, keep
from sapo.stages.workers import Work, share
from sapo.tasks.catalog import EMBEDDED, PROGRAMS, find_task, programs_found
from sapo.tasks.protocols import conditions
from sapo.workspace import StageArguments, Workspace, digest, stage_directory

CODE = ("evaluate/solve.py", "stages/evaluate.py")


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    with stage_directory(workspace.evaluations(place.model)) as folder:
        works: list[Work] = []
        for task in settings.tasks:
            (folder / task).mkdir()  # empty where no method runs
            bench = Bench(settings, workspace, place.model, task)
            title = f"evaluate {place.model} {task}"
            found = checkpoints(settings, workspace, place.model, task)
            works += [Work(f"{title} {name}", answer, (bench, path, folder / task / name)) for name, path in found]
        share(works, settings.workers)


def checkpoints(settings: Settings, workspace: Workspace, model: str, task: str) -> Iterator[tuple[str, Path]]:
    """`SEED/METHOD/ROUND` and the folder of every reasoner that is there, in the order of the tables."""
    for seed in seeds_of(settings, model, task):
        yield f"{seed}/cot/0", workspace.base(model)
        yield f"{seed}/sft/0", workspace.start(model, task, seed) / "sft"
        methods = workspace.methods(model, task)
        for path in sorted((methods / str(seed)).glob("*/*/model")):
            yield path.parent.relative_to(methods).as_posix(), path


def answer(bench: Bench, reasoner: Path, folder: Path) -> None:
    """Answers of one reasoner to both benchmarks; equal reasoners answer once."""
    made_from = {
        "place": [bench.task_name],
        "reasoner": digest(reasoner),
        **conditions(bench.settings.data.protocol),
    }
    hand_over(keep(bench, "evaluate", CODE, made_from, lambda made: _answer(bench, reasoner, made)), folder)


def _answer(bench: Bench, reasoner: Path, folder: Path) -> None:
    limits, protocol = bench.limits, bench.settings.data.protocol
    sampler = bench.sampler(reasoner, "evaluation")
    for name, count in {bench.task_name: limits.test_questions, limits.ood: limits.ood_questions}.items():
        questions = bench.questions(name, "test", count)
        outcomes, cost = solve(find_task(name), sampler, questions, limits.max_new_tokens, protocol)
        write_records(folder / f"{name}.jsonl", outcomes, Outcome)
        known = EMBEDDED.get(name)
        said = {"generated_tokens": cost.generated_tokens, "flops": cost.flops}
        said |= {"right_with_wrong_step": flawed(known, questions, outcomes) if known else None}
        if name in PROGRAMS:
            said |= {"programs_found": programs_found(name, questions, [outcome.completion for outcome in outcomes])}
        said |= {"unparsable": unparsable_kinds(find_task(name), outcomes)}
        write_json(folder / f"{name}.json", said | conditions(protocol))
