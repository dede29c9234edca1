"""The judge: runs trusted tests against an untrusted candidate that lives in another process.

Tests see the candidate's entry points as proxies; only plain values come back (`wire`), and values that are not
plain as numbered stand-ins, which tests may hand back, read and write attributes of, but never compare or test
for truth. The verdict is formed here. No byte from the child can mean "pass".

The pool starts it (`worker.py`) as: python -s -P -S -B -c COMMAND LIMITS_JSON
Jobs come as frames on descriptor 0, verdicts go out on 1.
"""

import builtins
import contextlib
import functools
import json
import os
import resource
import secrets
import signal
import sys
from types import CodeType
from typing import Any

from strict_sandbox.inside import wire
from strict_sandbox.inside.fork_client import GRACE, ForkClient, HarnessError, how_it_ended
from strict_sandbox.inside.session import STATUS_OF_REPLY, Session, Stopped

RECYCLE_AFTER = 10_000
Verdict = tuple[str, str]  # status, and for HARNESS the reason


@functools.lru_cache(4096)
def _compiled(text: str, name: str) -> CodeType:
    try:
        return compile(text, f"<{name}>", "exec", 0, True)
    except (SyntaxError, ValueError) as error:
        raise HarnessError(f"{name} do not compile: {error}: {text[:200]!r}") from None


def _run_tests(session: Session, job: dict[str, Any]) -> str:
    """Status of the tests. Raises HarnessError for faults of their own."""
    proxies = {name: session.proxy(name) for name in job["entry_points"]}
    space = {"__name__": "tests", "__builtins__": builtins, **proxies}
    try:
        exec(_compiled(job["context"], "context"), space)
        space.update(proxies)
        for test in job["tests"]:
            exec(_compiled(test, "tests"), space)
    except (Stopped, HarnessError):
        raise
    except BaseException as error:
        if any(error is raised for raised in session.raised):
            return "ERROR"
        if isinstance(error, NameError | ImportError):
            raise HarnessError(f"the tests are at fault: {type(error).__name__}: {error}") from None
        if isinstance(error, MemoryError):
            return "MEMORY"
        return "FAIL" if isinstance(error, AssertionError) else "ERROR"
    if not session.asked:
        raise HarnessError(f"the tests called none of {job['entry_points']}")
    return "PASS"


def _load(session: Session, job: dict[str, Any]) -> str:
    """Hand the job to the child and see the candidate's own statements run; a status if that ends it."""
    session.send({key: job[key] for key in ("context", "source", "entry_points")})
    try:
        word, *rest = session.receive()
    except Stopped:
        raise HarnessError("the child ended before the candidate ran") from None
    if word != "ready" or rest != [""]:
        raise HarnessError(f"context failed in the sandbox: {rest[:1]}")
    word = session.receive()[0]
    if word == "loaded":
        return ""
    return "ERROR" if word == "raised" else STATUS_OF_REPLY.get(word, "CRASH")


class Judge:
    """Judges one program after the other with a fork server of its own."""

    def __init__(self, limits: dict[str, Any]) -> None:
        self.limits = limits
        self.server = ForkClient(limits)

    def verdict(self, job: dict[str, Any]) -> Verdict:
        """(status, detail); the detail of NOTPLAIN is "passed" where the tests hold inside the child."""
        signal.setitimer(signal.ITIMER_REAL, self.limits["wall_seconds"] + GRACE)  # no handler: it ends this process
        try:
            status = self.attempt(job, _run_tests)
            detail = ""
            if status == "NOTPLAIN":
                signal.setitimer(signal.ITIMER_REAL, self.limits["wall_seconds"] + GRACE)
                detail = "passed" if self.attempt(job, _run_inside) == "PASS" else ""
            return status, detail
        except HarnessError as error:
            return "HARNESS", str(error)
        except (OSError, EOFError) as error:
            self.restart()
            return "HARNESS", f"the fork server died: {error!r}"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def attempt(self, job: dict[str, Any], tests: Any) -> str:
        if self.server.served >= RECYCLE_AFTER:
            self.restart()
        channel = self.server.start()
        session = Session(channel)
        fault = None
        try:
            status = _load(session, job) or tests(session, job)
        except Stopped:
            status = ""
        except HarnessError as error:
            status, fault = "", error
        report = self.server.end()
        channel.close()
        if session.status == "GONE":
            status = how_it_ended(report, self.limits["cpu_seconds"])
        if fault:
            raise fault
        return status if session.status == "GONE" else session.status or status

    def restart(self) -> None:
        self.server.close()
        self.server = ForkClient(self.limits)


def _run_inside(session: Session, job: dict[str, Any]) -> str:
    nonce = secrets.token_hex(16)
    try:
        return "PASS" if session.ask("nonce", nonce, list(job["tests"])) == nonce else "FAIL"
    except Exception:  # whatever the candidate raised
        return "FAIL"


def main() -> None:
    limits = json.loads(sys.argv[1])
    jobs, verdicts = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    judge = Judge(limits)
    os.write(verdicts, wire.frame(judge.server.features))
    for fd in range(3):
        os.dup2(nothing, fd)
    _harden(limits["judge_memory_mb"])
    reader = wire.Reader(lambda count: os.read(jobs, count), limit=1 << 31)
    with contextlib.suppress(EOFError):
        while True:
            os.write(verdicts, wire.frame(list(judge.verdict(reader.frame()))))
    judge.server.close()


def _harden(memory_mb: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: no other process of this user reads the tests
