"""What the sandbox is asked and what it answers."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal, get_args

Status = Literal["PASS", "FAIL", "ERROR", "EXIT", "TIMEOUT", "MEMORY", "CRASH", "OUTPUT", "NOTPLAIN", "HARNESS"]
STATUSES: tuple[Status, ...] = get_args(Status)
MAX_SOURCE = 1 << 20  # characters; longer candidates are not run


class SandboxError(Exception):
    """The sandbox or the tests failed, not a candidate; the message says how to mend it."""


@dataclass(frozen=True, slots=True)
class Program:
    """One candidate and the tests it must pass.

    Args:
        source: untrusted code.
        tests: trusted statements, run in the judge in order (asserts, or a check function and its call).
            Set-up that needs the candidate's own classes (`root = Node(1)`) belongs here, `Node` in `entry_points`.
        entry_points: names that the tests use and the candidate defines.
        context: trusted code run before the tests in the judge (imports, helpers) and before the candidate in
            its child. Only the standard library can be imported.
    """

    source: str
    tests: tuple[str, ...]
    entry_points: tuple[str, ...]
    context: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.tests, str) or isinstance(self.entry_points, str):
            raise TypeError(f"tests and entry_points are tuples of texts, not {self.tests!r}, {self.entry_points!r}")
        if not self.tests or not self.entry_points:
            raise ValueError(f"a program needs tests and entry points, not {self.tests!r}, {self.entry_points!r}")

    def key(self, setting: str) -> str:
        """Hash of everything that decides the verdict; `setting` names limits, Python and level."""
        parts = json.dumps([self.source, self.tests, self.entry_points, self.context, setting])
        return hashlib.sha256(parts.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program may use.

    Args:
        cpu_seconds: CPU time, rounded up to whole seconds by the kernel's limit.
        memory_mb: address space of the child.
        judge_memory_mb: address space of the judge, which runs the tests.
    """

    cpu_seconds: float = 1.0
    memory_mb: int = 512
    judge_memory_mb: int = 2048

    def __post_init__(self) -> None:
        if not 0 < self.cpu_seconds <= 3600 or self.memory_mb < 128 or self.judge_memory_mb < 256:
            raise ValueError(f"limits out of range: {self}")

    @property
    def wall_seconds(self) -> float:
        """Elapsed time allowed: generous, so that a busy machine does not decide verdicts."""
        return 3 * self.cpu_seconds + 1

    def as_dict(self) -> dict[str, float]:
        return {**asdict(self), "wall_seconds": self.wall_seconds}
