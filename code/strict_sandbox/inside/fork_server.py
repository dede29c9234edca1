"""The fork server: confines itself, then forks one child for every program.

It is exec'd fresh, holds no secret and sees neither code nor tests: a request on its control socket is one
descriptor, which the child serves. While a child lives, any byte on the control socket means "end it"; the
answer says how it ended. When the control socket closes, everything ends.

The judge starts it (`fork_client.py`) as: python -s -P -S -B -c COMMAND CONTROL_FD LIMITS_JSON
"""

import bisect
import cmath
import contextlib
import copy
import ctypes
import functools
import gc
import heapq
import itertools
import json
import math
import operator
import os
import re
import resource
import select
import signal
import socket
import string
import struct
import sys
import time
import typing

from strict_sandbox.inside import candidate, landlock, seccomp, wire
from strict_sandbox.inside.fork_client import FORK_FAILED, REPORT, SETUP_FAILED

# Candidates import these so often that every child should find them loaded.
PRELOADED = (bisect, cmath, copy, functools, heapq, itertools, math, operator, re, string, typing)

CHANNEL = 3  # the child's only descriptor besides 0-2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 36, 38
LINUX = sys.platform == "linux"


def _limit(name: str, value: int) -> None:
    """Lower one resource limit; systems without it, or with less already, are left as they are."""
    which = getattr(resource, name, None)
    if which is None:
        return
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        resource.setrlimit(which, (value, value))
    except (ValueError, OSError):
        if LINUX:
            raise


def set_limits(memory_mb: int) -> None:
    limits = {"AS": memory_mb << 20, "CORE": 0, "FSIZE": 1 << 20, "NOFILE": 32, "MEMLOCK": 0, "MSGQUEUE": 0}
    for name, value in limits.items():
        _limit(f"RLIMIT_{name}", value)


def drop_capabilities(libc: ctypes.CDLL) -> None:
    """As root: keep the user id (its own Python must stay readable), give up every privilege of it."""
    libc.capset(struct.pack("=Ii", 0x20080522, 0), bytes(24))


class ForkServer:
    """Confines itself, then serves one program after the other, each in a child of its own."""

    def __init__(self, control: socket.socket, limits: dict) -> None:
        self.control = control
        self.cpu = max(1, -int(-limits["cpu_seconds"] // 1))
        self.wall = limits["wall_seconds"]
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.filter: seccomp.Filter | None = None
        self.landlock = 0
        self.waiter = select.poll()
        self.waiter.register(control, select.POLLIN)

    def confine(self, limits: dict) -> None:
        if LINUX:
            with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as adjust:
                adjust.write("1000")
            self.libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
            self.libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            self.libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            if os.geteuid() == 0:
                drop_capabilities(self.libc)
            if limits["landlock"]:
                self.landlock = landlock.restrict(self.libc)
        set_limits(limits["memory_mb"])
        if limits["seccomp"] and seccomp.supported():
            self.filter = seccomp.Filter(self.libc, may_open_to_write=self.landlock > 0)
            if not self.filter_works():
                self.filter = None

    def filter_works(self) -> bool:
        """Install the filter in a child and try to fork there."""
        pid = os.fork()
        if pid == 0:
            try:
                self.install_filter()
                os.fork()
            except PermissionError:
                os._exit(0)
            except BaseException:
                os._exit(1)
            os._exit(2)
        return os.waitpid(pid, 0)[1] == 0

    def install_filter(self) -> None:
        if self.filter:
            self.filter.install(os.getpid())

    def warm_up(self) -> None:
        """Go once through what every child does, so that children inherit it done."""
        job = {"context": "", "source": "def f(x):\n    return [x, 'a', (1.5,), {2: None}]\n", "entry_points": ["f"]}
        frames = wire.frame(job) + wire.frame(["call", "f", ["l", 1], ["d", "x", 1]]) * 2
        chunks = [frames, b""]
        with contextlib.suppress(EOFError):
            candidate.run(lambda _: chunks.pop(0), lambda _: None)
        del sys.modules[candidate.MODULE]

    def serve(self) -> None:
        gc.collect()
        gc.freeze()
        while True:
            message, ancillary, _, _ = self.control.recvmsg(1, socket.CMSG_SPACE(4))
            if not message:
                return
            (channel,) = struct.unpack("i", ancillary[0][2])
            self.control.sendall(REPORT.pack(*self.one(channel)))

    def one(self, channel: int) -> tuple[int, int, float]:
        """Fork a child for one program, see it end, report how."""
        try:
            pid = os.fork()
        except OSError:
            self.control.recv(1)
            return FORK_FAILED, 0, 0.0
        if pid == 0:
            self.become_child(channel)
        os.close(channel)
        late = self.await_order(time.monotonic() + self.wall, pid)
        _kill(pid)
        _, status, usage = os.wait4(pid, 0)
        if not self.filter:
            _end_descendants(pid)
        return status, late, usage.ru_utime + usage.ru_stime

    def await_order(self, deadline: float, pid: int) -> int:
        """Wait for the judge's byte; 1 if the deadline came first and the child was killed."""
        late = 0
        if not self.waiter.poll(max(0.0, deadline - time.monotonic()) * 1000):
            late = 1
            _kill(pid)
            if not self.filter:
                _kill_descendants(pid)
        if not self.control.recv(1):
            _kill(pid)
            os._exit(0)
        return late

    def become_child(self, channel: int) -> None:
        try:
            os.setsid()
            if LINUX:
                self.libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            os.dup2(channel, CHANNEL, inheritable=False)  # takes the control socket's place
            os.close(channel)
            resource.setrlimit(resource.RLIMIT_CPU, (self.cpu, self.cpu + 1))  # SIGXCPU, then SIGKILL if ignored
            self.install_filter()
        except BaseException:
            os._exit(SETUP_FAILED)
        try:
            candidate.run(_receive, _send)
        finally:
            os._exit(0)


def _kill_descendants(group: int) -> None:
    """Without seccomp a child can leave processes: kill its group and, on Linux, what was inherited from it."""
    with contextlib.suppress(OSError):
        os.killpg(group, signal.SIGKILL)
    entries = os.listdir("/proc") if LINUX else []
    for entry in entries:
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{int(entry)}/stat") as file:
            if int(file.read().rpartition(") ")[2].split()[1]) == os.getpid():
                _kill(int(entry))


def _end_descendants(group: int) -> None:
    for _ in range(100):
        _kill_descendants(group)
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return


def _receive(count: int) -> bytes:
    return os.read(CHANNEL, count)


def _send(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(CHANNEL, view) :]


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def main() -> None:
    limits = json.loads(sys.argv[2])
    if LINUX:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != limits["judge"]:
        return
    os.dup2(int(sys.argv[1]), CHANNEL, inheritable=False)
    os.closerange(CHANNEL + 1, 256)
    server = ForkServer(socket.socket(fileno=CHANNEL), limits)
    server.warm_up()
    server.confine(limits)
    hello = {"seccomp": server.filter is not None, "landlock": server.landlock}
    server.control.sendall(json.dumps(hello).encode().ljust(64))
    server.serve()
