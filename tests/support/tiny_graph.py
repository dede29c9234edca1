"""A graph smaller than profile smoke, one stage at a time: for tests that kill stages or run them in odd places.

`python tests/support/tiny_graph.py FOLDER STAGE…` runs stages of it in a folder that `lay_out` has laid out.
"""

import importlib
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
OVERRIDES = (
    "profile=smoke",
    "tasks.nano_math.train_questions=8",
    "tasks.nano_math.test_questions=8",
    "tasks.nano_math.ood_questions=2",
    "tasks.nano_math.max_new_tokens=60",
    "labels.round_trajectories=6",
    "labels.bootstrap_trajectories=6",
    "efficiency.trajectories=6",
    "process.rerank_questions=2",
    "process.samples=4",
    "report.resamples=20",
)
QWEN, GEMMA, TASK = "qwen2_nano", "gemma2_nano", "nano_math"
# Every stage, with the arguments of its instance, in the order of the graph.
STAGES: dict[str, tuple[str, ...]] = {
    "verify_data": ("verify_data",),
    "base": ("base", "--model", QWEN),
    "base_second": ("base", "--model", GEMMA),
    "start": ("start", "--model", QWEN),
    "start_second": ("start", "--model", GEMMA),
    "methods": ("methods", "--model", QWEN),
    "methods_second": ("methods", "--model", GEMMA),
    "evaluate": ("evaluate", "--model", QWEN),
    "evaluate_second": ("evaluate", "--model", GEMMA),
    "leaks": ("leaks", "--model", QWEN, "--task", TASK),
    "efficiency": ("efficiency", "--model", QWEN),
    "efficiency_second": ("efficiency", "--model", GEMMA),
    "process": ("process", "--task", TASK),
    "verifiers": ("verifiers", "--model", QWEN, "--task", TASK),
    "verifiers_second": ("verifiers", "--model", GEMMA, "--task", TASK),
    "report": ("report",),
    "paper": ("paper",),
}
GRAPH = (*STAGES,)
AuditHook = Callable[[str, tuple[Any, ...]], None]
# For the tests of every day: a start of two seconds.
SHORT = {
    "tasks.nano_math.train_questions": 4,
    "tasks.nano_math.sft_questions": 8,
    "tasks.nano_math.max_new_tokens": 24,
    "labels.bootstrap_trajectories": 4,
}


def lay_out(folder: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """A folder with the inputs of all stages, and settings with `changes` (dotted keys to values)."""
    from sapo.settings.configure import compose

    folder.mkdir(parents=True, exist_ok=True)
    settings = yaml.safe_load(compose(ROOT, list(OVERRIDES))[0])
    settings["groups"]["headline"] = {"methods": ["rft", "sapo"], "seeds": [1]}
    settings["cells"] = {
        f"{model}-{TASK}-{group}": {"model": model, "task": TASK, "group": group}
        for model, group in ((QWEN, "headline"), (GEMMA, "second"))
    }
    for key, value in (changes or {}).items():
        *sections, name = key.split(".")
        section = settings
        for part in sections:
            section = section[part]
        section[name] = value
    (folder / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    (folder / "data").symlink_to(ROOT / "assets")
    (folder / "code").symlink_to(ROOT / "code")
    for name in ("benchmarks/labelling_seconds.json", "paper/main.typ", "paper/references.bib"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    temporary(folder).mkdir()
    return folder


def temporary(folder: Path) -> Path:
    """What its stages take for the system's temporary folder."""
    return folder / "tmp"


def run_stage(folder: Path, stage: str, hook: AuditHook | None = None) -> None:
    """Run one stage in this process, as the leader of a process group of its own, and exit as the command would."""
    from sapo.cli.main import main

    if os.getpid() != os.getpgrp():
        os.setsid()
    os.chdir(folder)
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary(folder))
    with (folder / "stderr").open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        if hook is not None:
            sys.addaudithook(hook)
        sys.exit(main(list(STAGES[stage])))


def begin_stage(folder: Path, stage: str, hook: AuditHook | None = None) -> BaseProcess:
    """Start a stage in a process that was forked from one which has paid for the imports and has done nothing else.

    Args:
        hook: what Python calls in the stage's processes before they open, rename or remove a file (`sys.addaudithook`).
    """
    process = _server().Process(target=run_stage, args=(folder, stage, hook))
    process.start()
    return process


def pay_for_imports() -> None:
    """Have the fork server ready, so that the first stage takes no longer than others."""
    process = _server().Process(target=int)
    process.start()
    process.join()


def _server() -> ForkServerContext:
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tiny_graph_imports"])
    return context


def outputs(folder: Path) -> dict[str, bytes]:
    """What the stages wrote, by path: everything below runs/ but scratch and timings, and the paper."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for top in ("runs/smoke", "runs/smoke_report", "paper")
        for path in sorted((folder / top).rglob("*"))
        if path.is_file()
    }


def main(arguments: Sequence[str]) -> None:
    """Each stage in a process of its own, forked from this one, which imports and nothing else.

    Stages count on that: a process that has computed and forks leaves PyTorch's pool of threads in a state in which
    threads that load weights in the child find none ("Invalid thread pool!").
    """
    from sapo.runtime.arithmetic import apply, chosen

    apply(chosen(Path(arguments[0]) / "params.yaml"))
    importlib.import_module("tiny_graph_imports")
    os.chdir(arguments[0])
    for stage in arguments[1:]:
        process = multiprocessing.get_context("fork").Process(target=_exit_as_the_command, args=(stage,))
        process.start()
        process.join()
        if process.exitcode:
            sys.exit(process.exitcode)


def _exit_as_the_command(stage: str) -> None:
    from sapo.cli.main import main

    sys.exit(main(list(STAGES[stage])))


if __name__ == "__main__":
    main(sys.argv[1:])
