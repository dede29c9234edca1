"""Runs inside a box: judges every attack, looks after each for what it has done, and prints the findings as JSON.

Usage: python run_inside.py USER_ID [--weak] FOLDER   (a folder of attack programs; --weak: resource limits only,
and not the programs that only cost time)
"""

import contextlib
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

CANARY = Path("/canary")
TESTS = ("assert add(1, 2) == 3", "assert add(5, 7) == 12", "assert add(-1, 1) == 0")
HONEST = "def add(a, b):\n    # after {}\n    return a + b\n"
SLACK = 6.0  # seconds beyond the wall limit within which a verdict must come, restarts of the judge included
TIME_ONLY = ("r0", "r2", "r3", "p31", "p36")  # beginnings of names; left out where nothing confines programs
MOST_MEMORY = 400 << 10  # KiB that this process and each judge may have used


def prepare(user: int) -> None:
    """As root: bring the loopback up, lay out the canaries, become the user."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: up, running
    for folder in (CANARY, CANARY / "dir", CANARY / "home"):
        folder.mkdir()
        os.chown(folder, user, user)
    files = {"victim.txt": "precious", "dir/kept": "x", "home/.profile": "x", "secret.txt": "tok-5f2a"}
    for name, text in {**files, "answers.json": '{"answers": 1}'}.items():
        (CANARY / name).write_text(text)
        os.chown(CANARY / name, user, user)
    (CANARY / "secret.txt").chmod(0o600)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    os.environ.update(HOME=str(CANARY / "home"), SBX_SECRET_TOKEN="tok-5f2a")


class Listeners:
    """Servers that nobody should reach, and a client that looks for a server that nobody should open."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        for family, kind, address in (
            (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 47999)),
            (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 47998)),
            (socket.AF_UNIX, socket.SOCK_STREAM, str(CANARY / "listener.sock")),
            (socket.AF_UNIX, socket.SOCK_DGRAM, str(CANARY / "datagram.sock")),
            (socket.AF_UNIX, socket.SOCK_STREAM, "\0canary"),
            (socket.AF_UNIX, socket.SOCK_DGRAM, "\0canary-datagram"),
        ):
            server = socket.socket(family, kind)
            server.bind(address)
            if kind == socket.SOCK_STREAM:
                server.listen(5)
            threading.Thread(target=self.serve, args=(server, kind), daemon=True).start()
        threading.Thread(target=self.look, daemon=True).start()

    def serve(self, server: socket.socket, kind: int) -> None:
        while True:
            heard = server.accept() if kind == socket.SOCK_STREAM else server.recvfrom(100)
            self.heard.append(f"{server.getsockname()!r}: {heard!r}")

    def look(self) -> None:
        while True:
            time.sleep(0.1)
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", 47111), 0.5):
                self.heard.append("a port was opened")


def files() -> dict[str, tuple[int, int, int, float]]:
    """What lies where a program might write."""
    found = {}
    for top in (CANARY, Path("/tmp"), Path("/dev/shm"), Path("/dev/mqueue")):
        for base, folders, names in os.walk(top):
            for name in (*folders, *names):
                path = os.path.join(base, name)
                with contextlib.suppress(OSError):
                    info = os.lstat(path)
                    modified = 0.0 if name in folders else info.st_mtime
                    found[path] = (info.st_mode, info.st_uid, info.st_size if name in names else 0, modified)
    return found


def processes() -> dict[int, str]:
    """Living processes and the name of their program."""
    found = {}
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and (state := Path(f"/proc/{entry}/stat").read_text().rpartition(") ")[2][0]) != "Z":
                found[int(entry)] = f"{Path(f'/proc/{entry}/cmdline').read_bytes()[:200]!r} {state}"
    return found


def ipc_objects() -> int:
    return sum(len(Path("/proc/sysvipc", kind).read_text().splitlines()) - 1 for kind in ("shm", "msg", "sem"))


def peak_memory() -> int:
    """The most that this process or one of its judges has held, in KiB."""
    peaks = [0]
    for pid in processes():
        with contextlib.suppress(OSError):
            if b"fork_server.main" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                peaks += [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return max(peaks)


class RunContext:
    """Judges one program at a time and says what it has done to the box."""

    def __init__(self) -> None:
        from strict_sandbox import Limits, Program, Sandbox

        self.make = Program
        self.limits = Limits(cpu_seconds=0.4)
        self.bystander = subprocess.Popen(["sleep", "1000"])
        (CANARY / "bystander.pid").write_text(str(self.bystander.pid))
        self.listeners = Listeners()
        self.sandbox = Sandbox(self.limits, workers=1)
        self.status(HONEST.format("the start"))
        self.files = files()
        self.ipc = ipc_objects()

    def status(self, source: str) -> str:
        from strict_sandbox import SandboxError

        try:
            return self.sandbox.judge([self.make(source, TESTS, ("add",))])[0]
        except SandboxError as error:
            return f"no verdict: {error}"

    def attack(self, path: Path) -> dict[str, object]:
        source = path.read_text()
        oracle = source.split("# oracle:")[1].split()[0]
        start = time.monotonic()
        status = self.status(source)
        seconds = time.monotonic() - start
        problems = self.effects(seconds)
        after = self.status(HONEST.format(path.name))
        if after != "PASS":
            problems.append(f"the next honest program was judged {after}")
        if status.startswith("no verdict"):
            problems.append(status)
        if oracle == "mustpass" and status != "PASS":
            problems.append("an honest program did not pass")
        if oracle in ("verdict", "prompt", "stdin", "forks") and status == "PASS":
            problems.append("it passed")
        return {"name": path.stem, "oracle": oracle, "status": status, "seconds": seconds, "problems": problems}

    def effects(self, seconds: float) -> list[str]:
        problems = []
        if seconds > self.limits.wall_seconds + SLACK:
            problems.append(f"the verdict took {seconds:.1f} s")
        if self.listeners.heard:
            problems.append(f"heard {self.listeners.heard}")
            self.listeners.heard = []
        if self.bystander.poll() is not None:
            problems.append("the bystander is dead")
            self.bystander = subprocess.Popen(["sleep", "1000"])
        if (now := files()) != self.files:
            problems.append(f"files changed: {sorted(now.items() ^ self.files.items())}")
            self.files = now
        if ipc_objects() != self.ipc:
            problems.append("it left System V objects")
            self.ipc = ipc_objects()
        if len(left := processes()) > 4:  # this process, the bystander, the judge and its fork server
            problems.append(f"processes are left: {left}")
        if (memory := peak_memory()) > MOST_MEMORY:
            problems.append(f"memory rose to {memory} KiB")
        return problems


def main() -> None:
    prepare(int(sys.argv[1]))
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "code"))
    weak = "--weak" in sys.argv
    if weak:
        os.environ["SAPO_ALLOW_WEAK_SANDBOX"] = "L0"
        os.environ.pop("CI", None)
        from strict_sandbox.worker import FEATURES

        FEATURES.update(seccomp=False, landlock=False)
    watch = RunContext()
    programs = [path for path in sorted(Path(sys.argv[-1]).iterdir()) if path.read_text().startswith(f"# {path.stem}")]
    findings = [watch.attack(path) for path in programs if not weak or not path.stem.startswith(TIME_ONLY)]
    watch.sandbox.close()
    sys.stdout.write("\n" + json.dumps(findings) + "\n")


if __name__ == "__main__":
    main()
