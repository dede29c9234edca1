"""Is this machine ready for a run? Checks of `sapo doctor`, each with what was found and how to mend it.

What a run cannot do without ends in an error: Python, pinned libraries, tools, settings, data that is not as pinned,
and a sandbox of level L1 (unless SAPO_ALLOW_WEAK_SANDBOX says otherwise), which is found by trying. What may do, and
what `dvc repro` mends by itself, is only advised upon.
"""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from sapo.records import BadInput
from sapo.runtime.pins import verify
from sapo.runtime.workspace import LIBRARIES, WorkspaceError
from sapo.settings import Settings, load_settings
from sapo.settings.configure import PARAMS
from sapo.tasks.catalog import EMBEDDED
from strict_sandbox import SandboxError, levels, probe, sandbox_report

CONSTRAINTS = Path("constraints.txt")
OLDEST_PYTHON = (3, 11)
INSTALL = 'pip install -e ".[test]" -c constraints.txt'
TOOLS = {
    "dvc": f"activate the environment (`. .venv/bin/activate`) or fill it: {INSTALL}",
    "git": "install it with the system's packages (`apt install git`, `brew install git`)",
    "python": "activate the environment: `. .venv/bin/activate`",
}
GIB = 2**30
REPORTED = 3  # lines of the sandbox's report that say what is; what to do about it is said below them
# Gibibytes: a stage of the embedded laboratory was seen at 2.4 of memory in each of two processes.
MEMORY, DISK = 6, 4
CGROUP_MEMORY = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
# Switches of user namespaces: name of the sysctl, the value that switches them off, a value that allows them.
NAMESPACES = (
    ("user.max_user_namespaces", "0", "15000"),
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
)


@dataclass(frozen=True, slots=True)
class Check:
    """One line, and what to mend.

    Args:
        needed: a fault and its remedy each, without which nothing runs.
        advised: the same, where a run may go well all the same.
    """

    name: str
    found: str
    needed: tuple[str, ...] = ()
    advised: tuple[str, ...] = ()


def examine() -> Iterator[str]:
    """One line a check as it is made, then one for each thing to mend, with what to do.

    Raises:
        WorkspaceError: something without which nothing runs is missing or weak; the message names all of it.
    """
    checks = []
    for check in CHECKS:
        checks.append(check())
        yield f"{checks[-1].name:<10} {checks[-1].found}"
    for check in checks:
        yield from (f"{'mend':<10} {fault}" for fault in check.needed)
        yield from (f"{'advice':<10} {fault}" for fault in check.advised)
    if faults := [fault for check in checks for fault in check.needed]:
        raise WorkspaceError("; ".join(faults))
    yield f"{'ready':<10} `dvc repro` runs everything"


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info[:2] >= OLDEST_PYTHON:
        return Check("python", found)
    oldest = ".".join(map(str, OLDEST_PYTHON))
    advice = f"python: {platform.python_version()} is too old: make the environment with Python {oldest} or later"
    return Check("python", found, (f"{advice}, then {INSTALL}",))


def _libraries() -> Check:
    """Installed versions of what results depend on; one that is missing or not the pinned one is refused."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines() if CONSTRAINTS.is_file() else []
    pinned = dict(line.split("==") for line in lines if "==" in line)
    found, faults = [], []
    for name in LIBRARIES:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            found.append(f"{name} missing")
            faults.append(f"{name}: not installed: {INSTALL}")
            continue
        found.append(f"{name} {version}")
        if version.partition("+")[0] != pinned.get(name, version.partition("+")[0]):
            wanted = f"{CONSTRAINTS} pins {pinned[name]}"
            faults.append(f"{name}: version {version} is installed, {wanted}: pip install {name}=={pinned[name]}")
    return Check("libraries", ", ".join(found), tuple(faults))


def _tools() -> Check:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    found = ", ".join(f"{tool} {'missing' if tool in missing else 'found'}" for tool in TOOLS)
    return Check("tools", found, tuple(f"{tool}: not in PATH: {TOOLS[tool]}" for tool in missing))


def _settings() -> Check:
    try:
        settings = load_settings(PARAMS)
    except BadInput as error:
        return Check("settings", "not usable", (f"{error}: `python -m sapo configure profile=nano` writes them anew",))
    models, tasks = ", ".join(settings.models), ", ".join(settings.tasks)
    return Check("settings", f"{PARAMS}, profile {settings.profile}: {models} on {tasks}", _real_data(settings))


def _real_data(settings: Settings) -> tuple[str, ...]:
    """What keeps the tasks that are not embedded from their files."""
    data = settings.data
    real = [name for name in settings.tasks if name not in EMBEDDED]
    if not real or data.hub or Path(data.root).is_dir():
        return ()
    advice = f"put the benchmark files there (README, Profiles) or `python -m sapo configure profile={settings.profile}"
    return (f"{data.root}: no such folder, {', '.join(real)} are read from it: {advice} data.hub=true`",)


def _memory() -> Check:
    """Memory of the machine, or of the container where that is less."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
    for path in CGROUP_MEMORY:
        if path.is_file() and (limit := path.read_text(encoding="ascii").strip()).isdigit():
            total = min(total, int(limit) / GIB)
    advice = f"memory: {total:.1f} GiB, the largest stage wants {MEMORY}: "
    advice += f"use a larger machine (`docker run --memory={MEMORY}g`), or profile=smoke"
    return Check("memory", f"{total:.1f} GiB", (), (advice,) if total < MEMORY else ())


def _disk() -> Check:
    free = shutil.disk_usage(Path()).free / GIB
    advice = f"disk: {free:.1f} GiB free, a run wants {DISK}: make room (`dvc gc -w` drops outputs of old runs)"
    return Check("disk", f"{free:.1f} GiB free", (), (advice,) if free < DISK else ())


def _namespaces() -> Check:
    """Level L1 does without user namespaces; whoever wraps a run in bubblewrap or rootless podman needs them."""
    off = [f"sudo sysctl -w {name}={on}" for name, value, on in NAMESPACES if _sysctl(name) == value]
    if platform.system() != "Linux" or not off:
        return Check("namespaces", "not switched off" if platform.system() == "Linux" else "Linux only")
    advice = f"namespaces: off for users; level L1 needs none, bubblewrap and rootless podman do: {', '.join(off)}"
    return Check("namespaces", "switched off", (), (advice,))


def _sysctl(name: str) -> str:
    path = Path("/proc/sys", name.replace(".", "/"))
    return path.read_text(encoding="ascii").strip() if path.is_file() else ""


def _sandbox() -> Check:
    """The level, found by trying: honest programs must pass and attacks must be stopped."""
    lines = [line.removeprefix("sandbox: ") for line in sandbox_report()[:REPORTED]]
    found = f"\n{'sandbox':<10} ".join(lines)
    try:
        level = levels.measure()
    except SandboxError as error:
        return Check("sandbox", found, (f"sandbox: {error}",))
    if level.name == "L1":
        return Check("sandbox", found)
    *faults, around = [f"sandbox too weak: {remedy}" for remedy in levels.remedies(level)]
    try:
        probe()
    except SandboxError:
        return Check("sandbox", found, (*faults, around))
    return Check("sandbox", found, (), tuple(faults))


def _data() -> Check:
    data = Path("data")
    if not data.is_dir():
        return Check("data", "not there yet", (), ("data: not there yet: `dvc repro` brings it and runs everything",))
    try:
        return Check("data", f"{len(verify(data))} files as pinned")
    except WorkspaceError as error:
        return Check("data", "not as pinned", (f"{' '.join(str(error).split())}: `dvc repro` brings data/ back",))


CHECKS: tuple[Callable[[], Check], ...] = (
    _python,
    _libraries,
    _tools,
    _settings,
    _memory,
    _disk,
    _namespaces,
    _sandbox,
    _data,
)
