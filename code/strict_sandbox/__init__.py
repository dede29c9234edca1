"""Run model-written programs against trusted tests, outside this process and outside theirs.

A judge process runs the tests and asks a confined child for values; nothing that the child says can mean "pass".
Levels: L0 resource limits only, L1 seccomp and Landlock (required on Linux). See `inside/` for what confines.
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
