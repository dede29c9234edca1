"""The judge's handle of its fork server: begin a child, end it, learn how it ended."""

import contextlib
import json
import math
import os
import signal
import socket
import struct
import sys
from typing import Any

REPORT = struct.Struct("<iid")  # wait status, killed at the deadline, CPU seconds
SETUP_FAILED, FORK_FAILED = 97, -1  # exit status of a child that could not confine itself; no child at all
GRACE = 2.0  # seconds that the judge may take longer than the child
Report = tuple[int, int, float]
# -s -P -E together are -I; without -E so that the hash seed of the environment holds, which the caller makes anyway
FLAGS = ("-s", "-P", "-S", "-B", "-W", "ignore", "-c")

START = """
import sys, types
for name, path in (("strict_sandbox", []), ("strict_sandbox.inside", [{folder!r}])):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = path
from strict_sandbox.inside import {module}
{module}.main()
"""


def command_of(module: str) -> str:
    """Python that runs a module of this folder without the packages above it, whose imports would cost time."""
    return START.format(folder=os.path.dirname(os.path.abspath(__file__)), module=module)


class HarnessError(Exception):
    """The sandbox or the tests failed, not the candidate."""


class ForkClient:
    """The judge's handle of its fork server."""

    def __init__(self, limits: dict[str, Any]) -> None:
        self.wall = limits["wall_seconds"]
        self.served = 0
        self.control, theirs = socket.socketpair()
        config = json.dumps(limits | {"judge": os.getpid()})
        nothing = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]
        channel = theirs.fileno()
        os.set_inheritable(channel, True)
        command = [sys.executable, *FLAGS, command_of("fork_server"), str(channel), config]
        self.pid = os.posix_spawn(sys.executable, command, dict(os.environ), file_actions=nothing)
        theirs.close()
        self.control.settimeout(self.wall + 20)
        try:
            self.features = json.loads(self.read(64))
        except (OSError, EOFError, ValueError) as error:
            raise HarnessError(f"the fork server did not start: {error!r}") from None

    def read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.control.recv(count - len(data))
            if not part:
                raise EOFError("its control socket closed")
            data += part
        return data

    def start(self) -> socket.socket:
        """Begin a child; the socket talks to it."""
        ours, theirs = socket.socketpair()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", theirs.fileno()))]
        try:
            self.control.sendmsg([b"s"], rights)
        finally:
            theirs.close()
        ours.settimeout(self.wall + GRACE / 2)
        self.served += 1
        return ours

    def end(self) -> Report:
        """End the child and learn how it ended: wait status, past the deadline, CPU seconds."""
        self.control.sendall(b"e")
        return REPORT.unpack(self.read(REPORT.size))

    def close(self) -> None:
        self.control.close()
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def how_it_ended(report: Report, cpu_limit: float) -> str:
    """Status of a child that ended before it was told to. Raises HarnessError."""
    status, late, cpu = report
    cpu_limit = max(1, math.ceil(cpu_limit))  # as the kernel keeps it
    if status == FORK_FAILED:
        raise HarnessError("the fork server cannot fork")
    if late or cpu >= cpu_limit or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return "TIMEOUT"
    if os.WIFEXITED(status):
        if os.WEXITSTATUS(status) == SETUP_FAILED:
            raise HarnessError("a child could not confine itself")
        return "EXIT"
    return "CRASH"
