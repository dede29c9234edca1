"""What pinned arithmetic changes and costs on this machine (docs/reproducibility.md).

`table`: digests of `arithmetic_steps.py` with every pin left out in turn, beside those with all of them. On a machine
with AVX-512 a pin that changes nothing is one that these steps do not need.
`cost`: seconds of a nano model's training and sampling, pinned and native, each in a process of its own; rounds
alternate, CPU seconds (another process's load does not count), medians count. Exit status 1 above `LIMIT`.
Run alone, from the repository's root: python benchmarks/arithmetic.py {table | cost [ROUNDS]}
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from sapo.runtime.arithmetic import PINS

STEPS = Path(__file__).with_name("arithmetic_steps.py")
LIMIT = 1.15


def free() -> dict[str, str]:
    """This process's environment without any pin."""
    return {name: value for name, value in os.environ.items() if name not in PINS}


def digests(variables: Mapping[str, str], command: tuple[str, ...] = (), threads: int = 1) -> dict[str, str]:
    """What `arithmetic_steps.py` finds with these variables; `command` is put before the interpreter's name."""
    line = [*command, sys.executable, str(STEPS), str(threads)]
    done = subprocess.run(line, env=free() | dict(variables), stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    return [name for name in one if one[name] != other[name]]


def table() -> None:
    """A Markdown row a pin: which digests change where it is left out, and which where it alone is set."""
    pinned, native = digests(PINS), digests({})
    sys.stdout.write(f"Native, {len(differing(pinned, native))} of {len(pinned)} digests are other than pinned.\n\n")
    sys.stdout.write("| Pin | Left out, these change | Alone, these change |\n|---|---|---|\n")
    for name, value in PINS.items():
        without = digests({other: PINS[other] for other in PINS if other != name})
        alone = digests({name: value})
        cells = (", ".join(differing(*pair)) or "none" for pair in ((pinned, without), (native, alone)))
        sys.stdout.write(f"| `{name}={value}` | {' | '.join(cells)} |\n")


def cost(rounds: int) -> int:
    """Print medians and the median ratio of pinned to native seconds as JSON; 1 above `LIMIT`."""
    seconds: dict[str, list[dict[str, float]]] = {"pinned": [], "native": []}
    for number in range(rounds):
        for side in sorted(seconds, reverse=number % 2 == 1):
            line = [sys.executable, __file__, "work"]
            variables = PINS if side == "pinned" else {}
            done = subprocess.run(line, env=free() | dict(variables), stdout=subprocess.PIPE, check=True)
            seconds[side].append(json.loads(done.stdout))
    found: dict[str, float] = {}
    for work in seconds["pinned"][0]:
        own, other = ([one[work] for one in seconds[side]] for side in ("pinned", "native"))
        found |= {f"{work}_pinned": statistics.median(own), f"{work}_native": statistics.median(other)}
        found[f"{work}_ratio"] = statistics.median(p / n for p, n in zip(own, other, strict=True))
    sys.stdout.write(json.dumps({name: float(f"{value:.4g}") for name, value in found.items()}) + "\n")
    return int(any(value > LIMIT for name, value in found.items() if name.endswith("_ratio")))


def work() -> None:
    """CPU seconds of one epoch of the verifier's training on 300 trajectories, and of 512 rollouts, warmed up."""
    import torch

    from sapo.models.loading import load_reasoner
    from sapo.sampling.hf_engine import LocalSampler
    from sapo.sampling.protocol import Request
    from sapo.settings import FitSettings, VerifierSettings
    from sapo.tasks.nano import nano_math
    from sapo.tasks.task import DataSource
    from sapo.train.verifier import VerifierExample, train_verifier

    torch.set_num_threads(1)
    assets = STEPS.parents[1] / "assets"
    questions = [q for q in nano_math.load("train", DataSource(assets)) if q.solution][:300]
    model, encoder = load_reasoner(assets / "models" / "qwen2_nano")
    split = [(q.id, q.prompt, nano_math.split(q.solution)) for q in questions]
    examples = [VerifierExample(name, prompt, steps, (1,) * len(steps)) for name, prompt, steps in split]
    settings = VerifierSettings("mse", FitSettings(lr=1e-3, epochs=1, batch_size=64, warmup=0.1))
    requests = [Request(prompt, "", seed) for seed, (_, prompt, _) in enumerate(split)]

    def seconds(few: int) -> dict[str, float]:
        start = time.process_time()
        train_verifier(model, encoder, examples[:few], settings, 1)
        middle = time.process_time()
        LocalSampler(model, encoder, 512).complete((requests * 2)[:few], 1.0, 120)
        return {"training": middle - start, "sampling": time.process_time() - middle}

    seconds(64)
    json.dump(seconds(512), sys.stdout)


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["work"]:
        work()
    elif arguments[:1] == ["cost"]:
        return cost(int(arguments[1]) if arguments[1:] else 5)
    else:
        table()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
