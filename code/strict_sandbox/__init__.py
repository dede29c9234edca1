"""Run untrusted Python programs against trusted tests, on Linux without root, containers or other packages.

    from strict_sandbox import Limits, Program, Sandbox

    program = Program("def add(a, b):\n    return a + b\n", ("assert add(1, 2) == 3",), ("add",))
    with Sandbox(Limits(cpu_seconds=1.0), workers=2) as sandbox:
        assert sandbox.judge([program]) == ["PASS"]

A judge process runs the tests and asks a confined child of a fork server for values; nothing that the child sends can
mean "pass". Statuses are PASS, FAIL, ERROR, EXIT, TIMEOUT, MEMORY, CRASH, OUTPUT (too much) and NOTPLAIN (the tests
compare an object of the program's own class, which never counts as passed). A fault of the tests or of the sandbox is a
`SandboxError`, never a status.

- `Program`: the source, the tests, the names that the tests use of it, and trusted code that runs before both.
- `Sandbox`: a pool of judges. Thread-safe; equal programs run once. `shared_sandbox()`: one for the process.
- `Limits`: CPU seconds, memory of the program and of the judge.
- `probe`, `level_name`, `sandbox_report`: what confines programs here, found by trying it. L1 is seccomp and Landlock
  (required on Linux), L0 resource limits alone (refused unless SAPO_ALLOW_WEAK_SANDBOX=L0, and always in CI).

Callers import from here. `inside/` runs in the other processes. Nothing imports more than the standard library.
"""

from strict_sandbox.levels import Level, level_name, probe, sandbox_report
from strict_sandbox.pool import Sandbox, shared_sandbox
from strict_sandbox.program import STATUSES, Limits, Program, SandboxError, Status

__all__ = [
    "STATUSES",
    "Level",
    "Limits",
    "Program",
    "Sandbox",
    "SandboxError",
    "Status",
    "level_name",
    "probe",
    "sandbox_report",
    "shared_sandbox",
]
