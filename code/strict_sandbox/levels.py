"""Which level of confinement this machine gives, found by trying: honest programs must pass, attacks must not."""

import contextlib
import os
import platform
import re
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from strict_sandbox.folder import OwnFolder
from strict_sandbox.inside import seccomp
from strict_sandbox.program import Limits, Program, SandboxError
from strict_sandbox.worker import Worker

ALLOW_WEAK = "SAPO_ALLOW_WEAK_SANDBOX"
LSM = Path("/sys/kernel/security/lsm")  # security modules in use; containers do not see it
UNFILTERED = "--security-opt seccomp=unconfined"
TESTS = ("assert add(1, 2) == 3", "assert add(5, 7) == 12", "assert add(-1, 1) == 0")
HONEST = {
    "plain": "def add(a, b):\n    return a + b\n",
    "class": "class Sum:\n    def __init__(self, *n): self.n = n\ndef add(a, b):\n    return sum(Sum(a, b).n)\n",
    "late import": "def add(a, b):\n    import colorsys, csv, datetime, random\n    return a + b\n",
    "thread": "import threading\ndef add(a, b):\n    n = []\n    t = threading.Thread(target=n.append, args=(a + b,))\n"
    "    t.start(); t.join()\n    return n[0]\n",
    "prints": "import sys\ndef add(a, b):\n    print('é' * 9999); sys.stderr.write('x')\n    return a + b\n",
}
# Each passes only if its attack succeeds; {file}, {secret} and {port} are canaries of this process.
ATTACKS = {
    "runs a command": "import os\nassert os.system('true') == 0\n",
    "writes a file": "open({file!r}, 'w').close()\n",
    "connects": "import socket\nsocket.create_connection(('127.0.0.1', {port}), 1).close()\n",
    "forks": "import os\nif os.fork() == 0: os._exit(0)\n",
    "reads a file": "assert open({secret!r}).read() == 'canary'\n",
    "fakes equality": "",
}
ADD = "def add(a, b):\n    return a + b\n"
FAKE = "class Any:\n    __eq__ = lambda *_: True\n    __hash__ = None\ndef add(a, b):\n    return Any()\n"


@dataclass(frozen=True, slots=True)
class Level:
    """What confines programs here; stored beside every result.

    Args:
        name: L1 where seccomp and Landlock hold, L0 where resource limits only do.
        failed: honest programs that did not pass and attacks that were not stopped.
    """

    name: Literal["L0", "L1"]
    text: str
    kernel: str
    python: str
    limits: dict[str, float]
    preflight: dict[str, str]
    failed: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


@contextlib.contextmanager
def _canaries() -> Iterator[dict[str, object]]:
    with contextlib.closing(OwnFolder()) as folder, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        secret = folder.path / "secret"
        secret.write_text("canary")
        yield {"file": str(folder.path / "written"), "secret": str(secret), "port": listener.getsockname()[1]}


def _preflight(worker: Worker) -> dict[str, str]:
    """Status of every honest program and attack."""
    with _canaries() as names:
        sources = {**HONEST, **{name: body.format(**names) + ADD for name, body in ATTACKS.items()}}
        sources["fakes equality"] = FAKE
        verdicts = worker.judge([Program(source, TESTS, ("add",)) for source in sources.values()])
    for name, (status, detail) in zip(sources, verdicts, strict=True):
        if status == "HARNESS":
            raise SandboxError(f"sandbox preflight {name!r} had no verdict: {detail}")
    return {name: status for name, (status, _) in zip(sources, verdicts, strict=True)}


def _measure(worker: Worker) -> Level:
    features, preflight = worker.start(), _preflight(worker)
    broken = [f"{name} ({preflight[name]})" for name in HONEST if preflight[name] != "PASS"]
    if broken:
        raise SandboxError(f"honest programs fail in the sandbox: {', '.join(broken)}; is {sys.prefix} readable?")
    if preflight["fakes equality"] == "PASS":
        raise SandboxError("the judge can be fooled: a value equal to everything passed")
    failed = tuple(name for name in ATTACKS if preflight[name] == "PASS")
    strong = bool(features["seccomp"] and features["landlock"] and not failed)
    layers = [f"landlock{features['landlock']}"] if features["landlock"] else []
    layers = ["seccomp"] * bool(features["seccomp"]) + layers
    name: Literal["L0", "L1"] = "L1" if strong else "L0"
    text = f"{name}-strict {'+'.join(layers) or 'resource limits only'}, no namespaces"
    limits = worker.limits.as_dict()
    return Level(name, text, platform.release(), platform.python_version(), limits, preflight, failed)


_measured: list[Level] = []


def measure(worker: Worker | None = None) -> Level:
    """The level, tried once per process, on `worker` where one is given.

    Raises:
        SandboxError: programs cannot be judged here at all.
    """
    if os.name != "posix":
        raise SandboxError("programs can be judged on Linux and macOS only; on Windows use WSL")
    if not _measured:
        with contextlib.closing(OwnFolder()) as folder:
            trial = worker or Worker(Limits(), folder.path)
            try:
                _measured.append(_measure(trial))
            finally:
                if worker is None:
                    trial.stop()
    return _measured[0]


def probe(allow_weak: bool = False, worker: Worker | None = None) -> Level:
    """The level of this machine.

    Raises:
        SandboxError: below L1 and not allowed by the argument or the environment, or in CI.
    """
    level = measure(worker)
    if level.name == "L1":
        return level
    allowed = allow_weak or os.environ.get(ALLOW_WEAK) == "L0"
    if allowed and os.environ.get("CI", "").lower() not in ("true", "1"):
        return level
    raise SandboxError(f"sandbox too weak: {level.text}. {'; '.join(remedies(level))}")


def remedies(level: Level) -> list[str]:
    """How to reach L1: one instruction for each thing that is missing, the way round it last."""
    advice = []
    if platform.system() != "Linux":
        advice.append("seccomp and Landlock exist on Linux only: use a Linux machine, virtual machine or container")
    else:
        if "landlock" not in level.text:
            advice.append(_landlock_remedy(level.kernel, LSM.read_text() if LSM.is_file() else ""))
        if "seccomp" not in level.text:
            advice.append(_seccomp_remedy(platform.machine()))
    if level.failed:
        advice.append(f"not stopped: {', '.join(level.failed)}")
    return [*advice, f"to run all the same, outside CI and at your own risk, set {ALLOW_WEAK}=L0"]


def _landlock_remedy(kernel: str, modules: str) -> str:
    """`modules`: the kernel's security modules in use, comma-separated; empty where they cannot be read."""
    version = re.match(r"(\d+)\.(\d+)", kernel)
    if version and (int(version[1]), int(version[2])) < (5, 13):
        return f"Landlock is off: Linux {kernel} has none, boot 5.13 or later (Debian 12, Ubuntu 22.04)"
    boot = f"boot with lsm=landlock,{modules.strip() or '…'} (GRUB_CMDLINE_LINUX, then update-grub)"
    if modules and "landlock" not in modules.strip().split(","):
        return f"Landlock is off: {boot}"
    container = f"in a container, run it by Docker 23.0 or later, or with `{UNFILTERED}` (docker or podman)"
    return f"Landlock is off: {container}; on the machine itself, {boot}"


def _seccomp_remedy(machine: str) -> str:
    if machine not in seccomp.MACHINES:
        return f"seccomp is off: its filter is written for {' and '.join(seccomp.MACHINES)}, this is {machine}"
    container = f"in a container, run it with `{UNFILTERED}`, and with `--runtime=runc` where that is gVisor"
    return f"seccomp is off: {container}; on the machine itself, use a kernel with CONFIG_SECCOMP_FILTER"


def level_name() -> Literal["L0", "L1", "none"]:
    """The level's name alone, for result files: no other trace of the machine gets into their bytes.

    `none`: no program can be judged here, so results cannot rest on one.
    """
    try:
        return measure().name
    except SandboxError:
        return "none"


def sandbox_report() -> list[str]:
    """Lines for `doctor`: the level, the preflight, and how to mend a weak environment."""
    try:
        level = measure()
    except SandboxError as error:
        return [f"sandbox: none: {error}"]
    limits = ", ".join(f"{name} {value:g}" for name, value in level.limits.items())
    honest = sum(level.preflight[name] == "PASS" for name in HONEST)
    stopped = sum(level.preflight[name] != "PASS" for name in ATTACKS)
    lines = [
        f"sandbox: {level.text}",
        f"sandbox: Linux {level.kernel}, Python {level.python}, {limits}".replace("Linux", platform.system()),
        f"sandbox: preflight {honest}/{len(HONEST)} honest programs pass, {stopped}/{len(ATTACKS)} attacks stopped",
    ]
    return lines if level.name == "L1" else [*lines, *(f"sandbox: {remedy}" for remedy in remedies(level))]
