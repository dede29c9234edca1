"""Does anything grow? Many sandboxed programs, then many rollouts, with a look at the processes every so often.

2 % of the programs are hostile (`tests/attacks`: bombs, floods, crashes, forged verdicts), 2 % run until they are timed
out. Rollouts are those of a labeller: prefixes of sampled trajectories, 16 completions each, in turns of a few
thousand as a round has them. What is looked at: resident memory of this process and of all its children, the number of
children, open descriptors of this process, entries of /dev/shm, this project's entries of the temporary folder.
Run alone: `nice python benchmarks/soak.py [PROGRAMS] [ROLLOUTS]` → benchmarks/soak.md; exit status 1 where something
grew.
"""

import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import psutil
import torch

from sapo.labelling.rollouts import Prefix, Rollouts
from sapo.labelling.trajectories import sample
from sapo.models.loading import load_reasoner
from sapo.records import write_text
from sapo.sampling.hf_engine import LocalSampler
from sapo.settings import RolloutSettings, SamplingSettings
from sapo.tasks.catalog import EMBEDDED
from strict_sandbox import Program, Sandbox

ROOT = Path(__file__).parents[1]
PROGRAMS, ROLLOUTS = 100_000, 200_000
LOOKS = 12  # a phase
TESTS = ("assert add(1, 2) == 3", "assert add(5, 7) == 12", "assert add(-1, 1) == 0")
HOSTILE = ("p01", "p20", "p25", "p28", "p29", "p30", "p32", "r05", "r08", "r10", "r14", "r17", "r20", "r32", "r33")
HOSTILE += ("r34", "t02", "t09", "t10", "t20", "t28")
ENDLESS = "def add(a, b):\n    # {}\n    while True:\n        pass\n"
HONEST = "def add(a, b):\n    # {}\n    return a + b\n"
AT_ONCE = 500  # programs
QUESTIONS, PER_POSITION = 40, 16
# What the last third of a phase may add to what there was before; by then all caches and the allocator's reserves are
# full. A verdict that is remembered takes 250 bytes.
MOST_MB, VERDICT_BYTES = 30.0, 250


@dataclass(frozen=True, slots=True)
class Look:
    """What there is to see after `done` pieces of work and `seconds`."""

    done: int
    seconds: float
    own_mb: float
    children_mb: float
    children: int
    descriptors: int
    shared: int
    temporary: int


def look(done: int, start: float) -> Look:
    own = psutil.Process()
    sizes = []
    for child in own.children(recursive=True):
        try:
            sizes.append(child.memory_info().rss)
        except psutil.NoSuchProcess:  # a program that was running just now
            continue
    shared = len(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else 0
    temporary = len(list(Path(tempfile.gettempdir()).glob("sapo-*")))
    mb = 2.0**20
    return Look(
        done,
        time.perf_counter() - start,
        own.memory_info().rss / mb,
        sum(sizes) / mb,
        len(sizes),
        own.num_fds(),
        shared,
        temporary,
    )


def watched(total: int, turn: Callable[[int], int]) -> list[Look]:
    """Work in turns until `total` is done (`turn(done)` does some and says how much), and look `LOOKS` times."""
    start, done, looks = time.perf_counter(), 0, []
    while done < total:
        done += turn(done)
        if not looks or done >= total * len(looks) / LOOKS:
            looks.append(look(done, start))
            sys.stderr.write(f"{looks[-1]}\n")
    return looks


def sources(count: int) -> Iterator[str]:
    """Programs that all differ: 2 % hostile, 2 % endless, the others honest."""
    files = [path for name in HOSTILE for path in ROOT.glob(f"tests/attacks/{name}_*.txt")]
    attacks = [path.read_text(encoding="utf-8") for path in files]
    chance = random.Random(1)
    for number in range(count):
        drawn = chance.random()
        if drawn < 0.02:
            yield f"# {number}\n{chance.choice(attacks)}"
        else:
            yield (ENDLESS if drawn < 0.04 else HONEST).format(number)


def programs(count: int) -> tuple[list[Look], Counter[str]]:
    given, statuses = sources(count), Counter[str]()

    def turn(done: int) -> int:
        some = [Program(next(given), TESTS, ("add",)) for _ in range(min(AT_ONCE, count - done))]
        statuses.update(sandbox.judge(some))
        return len(some)

    with Sandbox() as sandbox:
        return watched(count, turn), statuses


def rollouts(count: int) -> list[Look]:
    torch.set_num_threads(1)
    model, encoder = load_reasoner(ROOT / "assets" / "models" / "qwen2_nano")
    sampler = LocalSampler(model, encoder, 512, cached_tokens=2**15)
    task = EMBEDDED["nano_math"]
    questions = task.generate("train", QUESTIONS * 20, 1)
    settings = RolloutSettings(PER_POSITION, 1.0, lazy=False, merge=True, reuse=False, cached_tokens=2**15)

    def turn(done: int) -> int:
        some = random.Random(done).sample(questions, QUESTIONS)
        by_id = {question.id: question for question in some}
        drawn, _ = sample(task, sampler, some, SamplingSettings(4, 1.0, 512), 120, done)
        asked = Rollouts(task, sampler, settings, 120, done)
        places = [(t, j) for t in drawn for j in range(1, len(t.steps))]
        asked.ask([Prefix(by_id[t.question_id], t, j) for t, j in places])
        return asked.cost.rollouts

    return watched(count, turn)


def growth(looks: list[Look], known: float = 0.0) -> list[str]:
    """What the last third of a phase added; `known` bytes a piece of work are no leak."""
    before, last = looks[2 * len(looks) // 3], looks[-1]
    expected = MOST_MB + known * (last.done - before.done) / 2**20
    found = [f"own memory: {last.own_mb - before.own_mb:.0f} MB"] if last.own_mb - before.own_mb > expected else []
    if last.children_mb - before.children_mb > MOST_MB:
        found.append(f"children's memory: {last.children_mb - before.children_mb:.0f} MB")
    for name in ("children", "descriptors", "shared", "temporary"):
        if getattr(last, name) > getattr(before, name):
            found.append(f"{name}: {getattr(before, name)} to {getattr(last, name)}")
    return found


def table(looks: list[Look]) -> str:
    names = ("done", "seconds", "own MB", "children's MB", "children", "descriptors", "/dev/shm", "temporary")
    assert len(names) == len(fields(Look))
    rows = [[f"{value:.0f}" for value in astuple(one)] for one in looks]
    return "".join(f"| {' | '.join(row)} |\n" for row in [names, ["---:"] * len(names), *rows])


def report(judged: list[Look], statuses: Counter[str], left: int, asked: list[Look]) -> tuple[str, bool]:
    """The page, and whether nothing grew."""
    grown = growth(judged, VERDICT_BYTES) + growth(asked)
    if left:
        grown.append(f"{left} processes outlive the sandbox")
    verdicts = ", ".join(f"{status} {number}" for status, number in sorted(statuses.items()))
    text = f"""# Soak

Full size is {PROGRAMS} sandboxed programs, of which 2 % are hostile and 2 % endless, then {ROLLOUTS} rollouts
(`nice python benchmarks/soak.py`). This run: {judged[-1].done} and {asked[-1].done}. Grown in the last third of a
phase: {"; ".join(grown) or "nothing"}. Processes left when the sandbox was closed: {left}.

## Programs

Verdicts: {verdicts}. The sandbox remembers the verdict of every program, at most {VERDICT_BYTES} bytes each, so its own
memory grows with their number.

{table(judged)}
## Rollouts

Memory rises until the cache of prompts and the allocator's reserves are full.

{table(asked)}"""
    return text, not grown


def main() -> int:
    given = [int(argument) for argument in sys.argv[1:]]
    count, drawn = [*given, *(PROGRAMS, ROLLOUTS)[len(given) :]]
    judged, statuses = programs(count)
    left = look(count, 0.0).children
    text, sound = report(judged, statuses, left, rollouts(drawn))
    write_text(ROOT / "benchmarks" / "soak.md", text)
    sys.stdout.write(text)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
