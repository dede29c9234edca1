"""The pool of judges that callers use: order kept, equal programs judged once, verdicts cached."""

import atexit
import contextlib
import os
import platform
import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from strict_sandbox.folder import OwnFolder
from strict_sandbox.levels import Level, probe
from strict_sandbox.program import MAX_SOURCE, STATUSES, Limits, Program, SandboxError, Status
from strict_sandbox.worker import BATCH, Worker

VERSION = 1  # part of the cache key: raise it when verdicts may change


class Sandbox:
    """Runs untrusted programs against trusted tests. Thread-safe; judges start at the first use.

    Args:
        workers: judge processes; the number of usable cores unless given.
        allow_weak: work below level L1 instead of refusing (never in CI).
        cache: file that keeps verdicts between runs.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        workers: int | None = None,
        allow_weak: bool = False,
        cache: Path | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.count = workers or cores()
        self.allow_weak = allow_weak
        self.cache_file = cache
        self.pass_unverified = 0
        """Programs whose values were not plain and whose tests held only inside their own process (NOTPLAIN)."""
        self._verdicts: dict[str, Status] = {}
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._level: Level | None = None
        self._folder: OwnFolder | None = None
        self._idle: queue.LifoQueue[Worker] = queue.LifoQueue()
        self._threads: ThreadPoolExecutor | None = None
        self._closed = False

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    @property
    def level(self) -> Level:
        """The level found by probing, once. Raises SandboxError where it is too low."""
        self._open()
        assert self._level is not None
        return self._level

    def _open(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._closed:
                raise SandboxError("this sandbox is closed")
            if os.getpid() != self._owner:
                raise SandboxError("a sandbox cannot be used after a fork: make one in each process")
            if self._threads is None:
                self._start_workers()
                self._load_cache()
                self._threads = ThreadPoolExecutor(self.count, thread_name_prefix="sandbox")
            return self._threads

    def _start_workers(self) -> None:
        """Make the workers and probe the level on the first; the others start when they are needed."""
        folder = OwnFolder()
        workers = [Worker(self.limits, folder.path) for _ in range(self.count)]
        try:
            self._level = probe(self.allow_weak, workers[0])
        except SandboxError:
            workers[0].stop()
            folder.close()
            raise
        self._folder = folder
        for worker in reversed(workers):  # the last one in, already started, is the first one out
            self._idle.put(worker)

    def judge(self, programs: Sequence[Program]) -> list[Status]:
        """Status of every program, in order.

        Raises:
            SandboxError: the sandbox or the tests failed, twice, where a candidate could not be at fault.
        """
        threads = self._open()
        setting = f"{VERSION} {self.limits} {platform.python_version()} {self.level.text}"
        keys = [program.key(setting) for program in programs]
        with self._lock:
            waiting = {k: p for k, p in zip(keys, programs, strict=True) if k not in self._verdicts}
        jobs: queue.SimpleQueue[tuple[str, Program]] = queue.SimpleQueue()
        for job in waiting.items():
            jobs.put(job)
        crews = min(self.count, -(-len(waiting) // 2))
        share = max(1, min(BATCH, len(waiting) // (2 * self.count)))
        try:
            for done in [threads.submit(self._work, jobs, share) for _ in range(crews)]:
                done.result()
        finally:
            list(_take(jobs, jobs.qsize()))  # after an error or an interrupt nothing more is begun
        with self._lock:
            return [self._verdicts[key] for key in keys]

    def _work(self, jobs: "queue.SimpleQueue[tuple[str, Program]]", share: int) -> None:
        """One thread's part: take shares of the jobs until none is left."""
        worker = self._idle.get()
        try:
            while share_of_jobs := list(_take(jobs, share)):
                self._settle(worker, share_of_jobs)
        finally:
            self._idle.put(worker)

    def _settle(self, worker: Worker, jobs: Sequence[tuple[str, Program]]) -> None:
        runnable = [(key, program) for key, program in jobs if len(program.source) <= MAX_SOURCE]
        settled: dict[str, Status] = dict.fromkeys((key for key, _ in jobs), "ERROR")
        for (key, program), verdict in zip(runnable, worker.judge([p for _, p in runnable]), strict=True):
            if verdict[0] == "HARNESS":
                worker.stop()
                verdict = worker.judge([program])[0]
            status, detail = verdict
            if status == "HARNESS":
                raise SandboxError(f"no verdict on a program with tests {program.tests!r:.300}: {detail}")
            settled[key] = status
            if status == "NOTPLAIN" and detail == "passed":
                with self._lock:
                    self.pass_unverified += 1
        self._remember(settled)

    def _remember(self, settled: dict[str, Status]) -> None:
        with self._lock:
            self._verdicts.update(settled)
            if self.cache_file is not None:
                # a time-out may be the machine's fault, so it is not kept for later runs
                lines = [f"{key} {status}\n" for key, status in settled.items() if status != "TIMEOUT"]
                with self.cache_file.open("a", encoding="ascii") as file:
                    file.write("".join(lines))

    def _load_cache(self) -> None:
        if self.cache_file is None:
            return
        self.cache_file.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            known: dict[str, Status] = {str(status): status for status in STATUSES}
            for line in self.cache_file.read_text(encoding="ascii", errors="replace").splitlines():
                key, _, status = line.partition(" ")
                if len(key) == 64 and status in known:
                    self._verdicts[key] = known[status]

    def close(self) -> None:
        """End the judges. Verdicts under way are finished first."""
        with self._lock:
            self._closed = True
            threads, self._threads = self._threads, None
        if threads is None or os.getpid() != self._owner:
            return
        threads.shutdown()
        for _ in range(self.count):
            self._idle.get().stop()
        if self._folder is not None:
            self._folder.close()


def _take(jobs: "queue.SimpleQueue[tuple[str, Program]]", count: int) -> Iterator[tuple[str, Program]]:
    with contextlib.suppress(queue.Empty):
        for _ in range(count):
            yield jobs.get_nowait()


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_shared: dict[int, Sandbox] = {}
_sharing = threading.Lock()


def shared_sandbox() -> Sandbox:
    """The sandbox of this process with the usual limits, closed at its end."""
    with _sharing:
        sandbox = _shared.get(os.getpid())
        if sandbox is None:
            _shared.clear()
            sandbox = _shared[os.getpid()] = Sandbox()
            atexit.register(sandbox.close)
        return sandbox
