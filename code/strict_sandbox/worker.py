"""One judge process, seen from the caller: started lazily, fed in batches, replaced when it dies."""

import compileall
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from strict_sandbox.inside import fork_client, wire
from strict_sandbox.program import STATUSES, Limits, Program, SandboxError, Status

FEATURES = {"seccomp": True, "landlock": True}  # what a fork server is asked to use, where the system has it
ENVIRONMENT = {"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
HANG_SECONDS = 15.0  # seconds beyond every limit of the judge's own after which it counts as hung
BATCH = 16  # jobs under way at once; their verdicts fit the pipe, so neither side can block the other

Verdict = tuple[Status, str]


class Worker:
    """A judge process with its fork server. Not for use by two threads at once."""

    def __init__(self, limits: Limits, scratch: Path) -> None:
        self.limits = limits
        self.scratch = scratch
        self.process: subprocess.Popen[bytes] | None = None
        self.features: dict[str, int] = {}
        self.reader = wire.Reader(self._receive)
        self.deadline = 0.0

    def start(self) -> dict[str, int]:
        """Start the judge unless it runs; what its fork server could switch on. Raises SandboxError."""
        if self.process is not None and self.process.poll() is None:
            return self.features
        self.stop()
        if not sys.dont_write_bytecode:
            compileall.compile_dir(
                Path(fork_client.__file__).parent, quiet=2
            )  # the judge and the fork server write nothing
        options = json.dumps(self.limits.as_dict() | FEATURES)
        command = [sys.executable, *fork_client.FLAGS, fork_client.command_of("judge"), options]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            cwd=self.scratch,
            start_new_session=True,
        )
        assert self.process.stdin is not None
        os.set_blocking(self.process.stdin.fileno(), False)
        self.reader = wire.Reader(self._receive)
        self.deadline = time.monotonic() + 30
        try:
            self.features = self.reader.frame()
        except (EOFError, OSError, wire.WireError) as error:
            self.process.kill()
            said = self.process.communicate()[1].decode(errors="replace").strip()[-500:]
            raise SandboxError(f"the sandbox does not start with {sys.executable}: {said or error!r}") from None
        return self.features

    def _receive(self, count: int) -> bytes:
        assert self.process is not None and self.process.stdout is not None
        channel = self.process.stdout.fileno()
        self._await(channel, select.POLLIN)
        return os.read(channel, count)

    def _await(self, channel: int, event: int) -> None:
        waiter = select.poll()
        waiter.register(channel, event)
        if not waiter.poll(max(0.0, self.deadline - time.monotonic()) * 1000):
            raise TimeoutError("the judge hangs")

    def judge(self, programs: Sequence[Program]) -> list[Verdict]:
        """Verdicts in order. One on which the judge itself failed is HARNESS, with the reason; others go on."""
        verdicts: list[Verdict] = []
        while len(verdicts) < len(programs):
            self.start()
            verdicts += self._batch(programs[len(verdicts) : len(verdicts) + BATCH])
        return verdicts

    def _batch(self, programs: Sequence[Program]) -> list[Verdict]:
        """Verdicts of the first programs, up to the one that the judge did not survive."""
        assert self.process is not None and self.process.stdin is not None
        verdicts: list[Verdict] = []
        self.deadline = time.monotonic() + len(programs) * (2 * self.limits.wall_seconds + HANG_SECONDS)
        try:
            with contextlib.suppress(BrokenPipeError):  # verdicts given before its end still count
                for program in programs:
                    self._send(self.process.stdin.fileno(), wire.frame(_job(program)))
            for _ in programs:
                self.deadline = time.monotonic() + 2 * self.limits.wall_seconds + HANG_SECONDS
                verdicts.append(_checked(self.reader.frame()))
        except (EOFError, OSError, wire.WireError) as error:
            process = self.process
            self.stop()
            ended = process.returncode
            status: Status = "TIMEOUT" if ended == -signal.SIGALRM else "HARNESS"
            verdicts.append((status, f"the judge ended with {ended}: {error!r}"))
        return verdicts

    def _send(self, channel: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self._await(channel, select.POLLOUT)
            view = view[os.write(channel, view) :]

    def stop(self) -> None:
        """End the judge; its fork server ends with it."""
        if self.process is not None:
            with self.process as process:
                process.kill()
            self.process = None


def _job(program: Program) -> dict[str, object]:
    tests, entry_points = list(program.tests), list(program.entry_points)
    return {"source": program.source, "tests": tests, "entry_points": entry_points, "context": program.context}


def _checked(message: object) -> Verdict:
    match message:
        case [str(status), str(detail)]:
            for known in STATUSES:
                if status == known:
                    return known, detail
    raise wire.WireError(f"no verdict: {message!r}")
