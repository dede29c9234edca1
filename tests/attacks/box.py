"""A throw-away box for dangerous programs: own process, network, IPC, mount and host-name spaces, an overlay of the
root whose changes die with it, and a limit on processes. Needs root; nothing that runs inside reaches the host.
"""

import contextlib
import ctypes
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
MOST_PROCESSES = 300
LAST = 60.0  # seconds within which all processes of a box that was ended are gone, on a busy machine too
# Further attacks, bound into the box besides the repository and Python where they exist.
SHARED = Path(os.environ.get("SAPO_ATTACKS", REPOSITORY.parent / "shared" / "attacks")).resolve()
NEEDED = [str(SHARED)] if SHARED.is_dir() else []
UNSHARE = [
    "unshare",
    "--pid",
    "--net",
    "--ipc",
    "--uts",
    "--mount",
    "--fork",
    "--kill-child",
    "--propagation",
    "private",
]
MS_BIND, MS_REC = 4096, 16384


def why_not() -> str:
    """Why no box can be made here; empty where one can."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return "boxes need Linux and unshare"
    if os.geteuid() != 0:
        return "boxes need root"
    if not any(_pids_roots()):
        return "no cgroup here limits processes"
    with tempfile.TemporaryDirectory(prefix="sapo-box-") as base:
        trial = subprocess.run([*UNSHARE, sys.executable, __file__, base, "true"], capture_output=True, text=True)
    return "" if trial.returncode == 0 else f"no box could be made: {trial.stderr.strip()[-200:]}"


def _pids_roots() -> Iterator[Path]:
    for root in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")):
        controllers = root / "cgroup.subtree_control"
        limits = controllers.is_file() and "pids" in controllers.read_text()
        if os.access(root, os.W_OK) and (limits or root.name == "pids") and (root / "cgroup.procs").exists():
            yield root


@contextlib.contextmanager
def limited_processes() -> Iterator[Path]:
    """A control group that holds at most MOST_PROCESSES."""
    group = Path(tempfile.mkdtemp(prefix="sapo-box-", dir=next(_pids_roots())))
    try:
        (group / "pids.max").write_text(str(MOST_PROCESSES))
        yield group
    finally:
        end_group(group, LAST)


def end_group(group: Path, seconds: float) -> None:
    """Remove a control group with the processes in it.

    Where a box runs out of time, its `unshare` is killed and waited for, but the box's first process then dies on its
    own time, and the others with it. Until the last one is gone, the group is busy. Version 2 of control groups says
    in `cgroup.events` when that is, version 1 nowhere: in both, removal succeeds from then on.

    Raises:
        RuntimeError: processes are left after so many seconds; names them.
    """
    end = time.monotonic() + seconds
    while True:
        pids = [int(line) for line in (group / "cgroup.procs").read_text().split()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            return group.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            if time.monotonic() > end:
                raise RuntimeError(f"{group} is busy after {seconds:g} s: {_named(pids)}") from error
        time.sleep(0.01)


def _named(pids: list[int]) -> str:
    """Processes with their names and states, as far as they are still there."""
    said = []
    for pid in pids:
        with contextlib.suppress(OSError):
            name, _, more = Path(f"/proc/{pid}/stat").read_text().partition(" (")[2].rpartition(") ")
            said.append(f"process {pid} ({name}, {more[0]})")
    return ", ".join(said) or "no process is in it"


def run_in_box(script: Path, arguments: list[str], timeout: float) -> list[dict[str, object]]:
    """Run a Python script in a box and return the JSON that it prints last.

    Raises:
        RuntimeError: the box ended with an error, or processes of it did not end.
        subprocess.TimeoutExpired: it took longer; nothing of it is left.
    """
    with limited_processes() as group, tempfile.TemporaryDirectory(prefix="sapo-box-") as base:
        enter = ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', str(group)]
        inside = [sys.executable, __file__, base, sys.executable, str(script), *arguments]
        done = subprocess.run(
            [*enter, *UNSHARE, *inside], input="GRADER-STDIN\n", capture_output=True, text=True, timeout=timeout
        )
    if done.returncode != 0:
        raise RuntimeError(f"the box ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def outermost_first(paths: Iterable[str]) -> list[str]:
    """Each path once, a folder before what lies in it.

    What lies in a bound folder is there already. The other way round, the folder would hold the mount point, look
    present, and not be bound: an environment inside the repository would hide the repository.
    """
    return sorted(set(paths), key=lambda path: (len(Path(path).parts), path))


def _mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), target.encode(), kind.encode(), flags, data.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"mount {source} on {target}")


def _enter(base: str) -> None:
    """Inside the new spaces: an overlay of / becomes the root. What lies on other mounts and is needed is bound."""
    _mount("tmpfs", base, "tmpfs")
    upper, work, root = (os.path.join(base, name) for name in ("upper", "work", "root"))
    for folder in (upper, work, root):
        os.mkdir(folder)
    _mount("overlay", root, "overlay", 0, f"lowerdir=/,upperdir={upper},workdir={work}")
    # Before the bindings: the repository or the environment may lie in a temporary folder themselves.
    _mount("tmpfs", f"{root}/tmp", "tmpfs", 0, "mode=1777")
    for needed in outermost_first([str(REPOSITORY), sys.prefix, sys.base_prefix, *NEEDED]):
        inside = Path(root + needed)
        if not inside.is_dir() or not any(inside.iterdir()):
            inside.mkdir(parents=True, exist_ok=True)
            _mount(needed, str(inside), "none", MS_BIND | MS_REC)
    _mount("proc", f"{root}/proc", "proc")
    _mount("/dev", f"{root}/dev", "none", MS_BIND | MS_REC)
    _mount("tmpfs", f"{root}/dev/shm", "tmpfs", 0, "mode=1777")
    for needed in (REPOSITORY, Path(sys.prefix), Path(sys.base_prefix)):
        for parent in needed.parents:  # an ordinary user must reach the Python that root uses
            os.chmod(root + str(parent), 0o755)
    os.chroot(root)
    os.chdir("/")


if __name__ == "__main__":
    _enter(sys.argv[1])
    os.execvp(sys.argv[2], sys.argv[2:])
