"""Programs judged per second on one core, beside `python -I FILE` on the same core in the same run; and the start.

Both sides run a trivial function with three asserts; rounds alternate, medians count.
Run alone: python benchmarks/sandbox.py [ROUNDS] → one JSON line, exit status 1 below the targets.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from strict_sandbox import Limits, Program, Sandbox

TESTS = ("assert add(1, 2) == 3", "assert add(5, 7) == 12", "assert add(-1, 1) == 0")
PER_SECOND, TIMES, START = 250.0, 4.0, 0.3


def source(number: int) -> str:
    """A program unlike every other, so that no verdict comes from the cache."""
    return f"def add(a, b):\n    # {number}\n    return a + b\n"


def per_second(count: int, run: Callable[[int], None]) -> float:
    start = time.perf_counter()
    run(count)
    return count / (time.perf_counter() - start)


def run_plain(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "program.py")
        for number in range(count):
            file.write_text(source(number) + "\n".join(TESTS) + "\n")
            subprocess.run([sys.executable, "-I", str(file)], check=True)


class Judged:
    """The sandbox's side."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.used = 0

    def __call__(self, count: int) -> None:
        first, self.used = self.used, self.used + count
        statuses = self.sandbox.judge([Program(source(n), TESTS, ("add",)) for n in range(first, self.used)])
        if set(statuses) != {"PASS"}:
            raise SystemExit(f"honest programs were judged {set(statuses)}")


def start_seconds() -> float:
    """From nothing to the first verdict, in a fresh process and without its imports; probing included."""
    script = (
        "import time; from strict_sandbox import Program, Sandbox; start = time.perf_counter()\n"
        "sandbox = Sandbox(workers=1); sandbox.judge([Program('f = abs', ('assert f(-1) == 1',), ('f',))])\n"
        "print(time.perf_counter() - start); sandbox.close()\n"
    )
    return float(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)


def measure(rounds: int = 7) -> dict[str, float]:
    """Medians over the rounds; the affinity of this process is restored."""
    if not hasattr(os, "sched_setaffinity"):
        raise SystemExit("the benchmark pins itself to one core, which needs Linux")
    starts = [start_seconds() for _ in range(rounds)]
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        with Sandbox(Limits(), workers=1) as sandbox:
            judged = Judged(sandbox)
            judged(50)
            pairs = [(per_second(20, run_plain), per_second(200, judged)) for _ in range(rounds)]
    finally:
        os.sched_setaffinity(0, cores)
    return {
        "subprocess_per_second": statistics.median(plain for plain, _ in pairs),
        "sandbox_per_second": statistics.median(boxed for _, boxed in pairs),
        "ratio": statistics.median(boxed / plain for plain, boxed in pairs),
        "start_seconds": statistics.median(starts),
    }


def main() -> int:
    figures = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
    sys.stdout.write(json.dumps({name: round(value, 3) for name, value in figures.items()}) + "\n")
    reached = figures["sandbox_per_second"] >= PER_SECOND and figures["ratio"] >= TIMES
    return 0 if reached and figures["start_seconds"] <= START else 1


if __name__ == "__main__":
    sys.exit(main())
