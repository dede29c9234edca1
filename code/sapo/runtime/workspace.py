"""Where things live, seeds by name, folders that appear whole or not at all, and what a stage was made from.

Everything below `runs/{profile}/` is the output of one DVC stage. Timings and machines differ from run to run, so
they go to `runs/.timings/`, which git and DVC ignore: outputs hold nothing that a second run would change.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from sapo.records import BadInput, same_file, write_plain_json
from sapo.runtime.arithmetic import level

LOCK_TIMEOUT_SECONDS = 10.0  # seconds that a killed run's last processes are given to notice
LIBRARIES = ("numpy", "safetensors", "tokenizers", "torch", "transformers", "trl")


class WorkspaceError(BadInput):
    """A folder or file of the workspace is missing or not what it should be; the message names it."""


@dataclass(frozen=True, slots=True)
class StageArguments:
    """Which of its instances a stage is: the fields that a stage has no use for stay empty."""

    model: str = ""
    task: str = ""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Paths of one profile's run below `root`."""

    root: Path
    profile: str

    @property
    def runs(self) -> Path:
        return self.root / "runs" / self.profile

    @property
    def data(self) -> Path:
        """Embedded questions and nano base models, as `verify_data` left them."""
        return self.root / "data"

    @property
    def verified_data(self) -> Path:
        return self.runs / "verified_data.json"

    @property
    def scratch(self) -> Path:
        """Work that is done once for all profiles (runtime/cache.py); git and DVC ignore it, and it may be deleted."""
        return self.root / "runs" / ".scratch"

    def base(self, model: str) -> Path:
        return self.runs / model / "base"

    def starts_of(self, model: str) -> Path:
        """`TASK/SEED/` of every task and seed of the model."""
        return self.runs / model / "start"

    def starts(self, model: str, task: str) -> Path:
        return self.starts_of(model) / task

    def start(self, model: str, task: str, seed: int) -> Path:
        return self.starts(model, task) / str(seed)

    def methods_of(self, model: str) -> Path:
        """`TASK/SEED/METHOD/ROUND/` of every method of the model."""
        return self.runs / model / "methods"

    def methods(self, model: str, task: str) -> Path:
        return self.methods_of(model) / task

    def evaluations(self, model: str) -> Path:
        """`TASK/SEED/METHOD/ROUND/BENCHMARK.jsonl` of every reasoner of the model."""
        return self.runs / "evaluation" / model

    def evaluation(self, model: str, task: str) -> Path:
        return self.evaluations(model) / task

    def efficiencies(self, model: str) -> Path:
        """`TASK/` of every task of the model."""
        return self.runs / "efficiency" / model

    def efficiency(self, model: str, task: str) -> Path:
        return self.efficiencies(model) / task

    def process(self, task: str) -> Path:
        """The process benchmark of a task: `items.jsonl`, its card and its statistics."""
        return self.runs / "process" / task

    def verifiers(self, model: str, task: str) -> Path:
        """`SEED/METHOD/ROUND/` of every verifier, judged on the task's process benchmark."""
        return self.runs / "verifiers" / model / task

    def timing(self, stage: str, arguments: StageArguments) -> Path:
        """Where the seconds of one stage go, e.g. `runs/.timings/nano/verifiers-qwen2_nano-nano_math.json`."""
        parts = [stage, arguments.model, arguments.task]
        return self.root / "runs" / ".timings" / self.profile / ("-".join(filter(None, parts)) + ".json")


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for one named purpose, the same in every process and on every machine.

    >>> derive_seed(1, "sft", 2) == derive_seed(1, "sft", 2) != derive_seed(1, "sft", "2")
    True
    """
    digest = hashlib.sha256(repr((seed, *names)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files of a folder.

    Raises:
        WorkspaceError: nothing is there.
    """
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if not path.is_dir():
        raise WorkspaceError(f"{path}: no such file or folder; `dvc repro` makes it")
    files = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    lines = [f"{name} {digest(path / name)}" for name in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@contextmanager
def stage_directory(final: Path) -> Iterator[Path]:
    """As `replacing`, and no two processes make `final` at once.

    Raises:
        WorkspaceError: another process is making `final`.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    with _locked(final.with_name(f".{final.name}.lock.tmp"), final), replacing(final) as folder:
        yield folder


@contextmanager
def replacing(final: Path) -> Iterator[Path]:
    """Give an empty folder beside `final` that replaces `final` when the block ends well; on an error `final` stays.

    A kill leaves no `final` or a whole one, never a part. What killed runs left behind is removed first, so that
    callers have to see to it that no other process makes `final` meanwhile.
    """
    new, old = (final.with_name(f".{final.name}.{kind}.tmp") for kind in ("new", "old"))
    for leftover in (new, old):
        if leftover.exists():
            shutil.rmtree(leftover)
    new.mkdir(parents=True)
    try:
        yield new
        if final.exists():
            os.replace(final, old)
        os.replace(new, final)
    finally:
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def _locked(lock: Path, final: Path) -> Iterator[None]:
    """Hold the file `lock` while `final` is being made. The lock of a process goes with it and its children."""
    until = time.monotonic() + LOCK_TIMEOUT_SECONDS
    while True:
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > until:
                    said = f"{final}: another process is making it now (it holds {lock.name}); wait for it or end it"
                    raise WorkspaceError(said) from error
                time.sleep(0.1)
                continue
            if not same_file(lock, file.fileno()):
                continue  # whoever held it is done meanwhile and has removed it, and the name is free
            try:
                yield
            finally:
                lock.unlink()
            return


def environment() -> dict[str, object]:
    """Versions, platform and arithmetic that results depend on, in words that a second run on this machine repeats."""
    return {
        "arithmetic": level(),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "versions": {name: metadata.version(name).partition("+")[0] for name in LIBRARIES},
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "platform": f"{platform.system()}-{platform.machine()}",
    }


@contextmanager
def timed(workspace: Workspace, stage: str, arguments: StageArguments) -> Iterator[None]:
    """Write the seconds that the block took, and the machine it ran on, where git and DVC do not look."""
    start = time.perf_counter()
    yield
    seconds = round(time.perf_counter() - start, 3)
    machine = {"python": platform.python_version(), "platform": platform.platform(), "cpus": os.cpu_count()}
    write_plain_json(workspace.timing(stage, arguments), {"stage": stage, "seconds": seconds, **machine})
