"""The doctor: what is missing or weak gets a line with what to do; what a run cannot do without is an error."""

import dataclasses
import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pytest

from sapo.cli.main import main
from sapo.plan import doctor
from sapo.tasks.benchmarks import protocols
from strict_sandbox import SandboxError, level_name, levels

ROOT = Path(__file__).parents[2]
SOUND = levels.Level(
    name="L1",
    text="L1-strict seccomp+landlock7, no namespaces",
    kernel="6.1.0",
    python="3.11.7",
    limits={"cpu_seconds": 1.0},
    preflight={**dict.fromkeys(levels.HONEST, "PASS"), **dict.fromkeys(levels.ATTACKS, "ERROR")},
    failed=(),
)


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing to complain of: embedded data from the repository, and a sandbox of level L1."""
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    shutil.copytree(ROOT / "assets", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shutil, "which", lambda tool: f"/bin/{tool}")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(levels, "_measured", [SOUND])
    monkeypatch.setattr(levels, "LSM", tmp_path / "lsm")
    monkeypatch.setattr(doctor, "CGROUP_MEMORY", (tmp_path / "memory.max",))
    monkeypatch.setattr(doctor, "MEMORY", 0)
    monkeypatch.setattr(doctor, "DISK", 0)
    monkeypatch.setattr(doctor, "_sysctl", lambda _: "")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv(levels.ALLOW_WEAK, raising=False)
    return tmp_path


class Told(NamedTuple):
    """What the doctor said: exit status, lines to mend, lines of advice, the error."""

    status: int
    mend: list[str]
    advice: list[str]
    error: str


def told(capsys: pytest.CaptureFixture[str]) -> Told:
    status = main(["doctor"])
    printed = capsys.readouterr()

    def lines(kind: str) -> list[str]:
        return [line[11:] for line in printed.out.splitlines() if line.startswith(kind)]

    assert (status == 0) == ("ready" in printed.out)
    return Told(status, lines("mend"), lines("advice"), printed.err)


def weak(monkeypatch: pytest.MonkeyPatch, text: str, kernel: str = "6.1.0", failed: tuple[str, ...] = ()) -> None:
    level = dataclasses.replace(SOUND, name="L0", text=text, kernel=kernel, failed=failed)
    monkeypatch.setattr(levels, "_measured", [level])


def test_on_a_sound_machine_every_check_is_a_line_and_nothing_is_to_mend(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == [
        *("python", "libraries", "tools", "settings", "memory", "disk", "namespaces"),
        *("sandbox", "sandbox", "sandbox", "data", "ready"),
    ]


def test_level_and_preflight_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "sandbox    L1-strict seccomp+landlock7, no namespaces\n" in out
    assert "sandbox    preflight 5/5 honest programs pass, 6/6 attacks stopped\n" in out


def test_a_weak_sandbox_is_an_error_with_a_line_for_each_layer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weak(monkeypatch, "L0-strict resource limits only, no namespaces", failed=("forks",))
    found = told(capsys)
    assert found.status == 2 and found.error.count("\n") == 1 and "sandbox too weak" in found.error
    landlock, seccomp, attacks, around = found.mend
    assert "Landlock is off: in a container" in landlock and "Docker 23.0" in landlock
    assert "--security-opt seccomp=unconfined" in landlock and "--security-opt seccomp=unconfined" in seccomp
    assert "--runtime=runc" in seccomp and "CONFIG_SECCOMP_FILTER" in seccomp
    assert attacks.endswith("not stopped: forks") and around.endswith(f"set {levels.ALLOW_WEAK}=L0")


def test_a_weak_sandbox_that_is_allowed_is_advice_but_not_in_ci(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weak(monkeypatch, "L0-strict seccomp, no namespaces")
    monkeypatch.setenv(levels.ALLOW_WEAK, "L0")
    found = told(capsys)
    assert (found.status, found.mend, found.error) == (0, [], "")
    assert len(found.advice) == 1 and "Landlock is off" in found.advice[0]
    monkeypatch.setenv("CI", "true")
    assert told(capsys).status == 2


@pytest.mark.parametrize(
    ("kernel", "modules", "says"),
    [
        ("5.4.0-150-generic", "", "Linux 5.4.0-150-generic has none, boot 5.13 or later"),
        ("6.1.0", "lockdown,yama,apparmor\n", "off: boot with lsm=landlock,lockdown,yama,apparmor (GRUB"),
        ("6.1.0", "landlock,yama", "in a container, run it by Docker 23.0"),
        ("unknown", "", "in a container, run it by Docker 23.0"),
    ],
)
def test_why_landlock_is_off(
    machine: Path, monkeypatch: pytest.MonkeyPatch, kernel: str, modules: str, says: str
) -> None:
    if modules:
        (machine / "lsm").write_text(modules, encoding="ascii")
    weak(monkeypatch, "L0-strict seccomp, no namespaces", kernel)
    assert says in levels.remedies(levels.measure())[0]


def test_seccomp_needs_a_known_machine_and_macos_has_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    weak(monkeypatch, "L0-strict landlock4, no namespaces")
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert "x86_64 and aarch64, this is riscv64" in levels.remedies(levels.measure())[0]
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert "exist on Linux only" in levels.remedies(levels.measure())[0]


def test_a_sandbox_that_does_not_start_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> levels.Level:
        raise SandboxError("honest programs fail in the sandbox: plain (CRASH); is /opt readable?")

    monkeypatch.setattr(levels, "measure", fail)
    found = told(capsys)
    assert found.status == 2 and found.mend == [
        "sandbox: honest programs fail in the sandbox: plain (CRASH); is /opt readable?"
    ]
    assert level_name() == "none"


def test_missing_tools_are_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: None if tool in ("dvc", "git") else "/bin/python")
    found = told(capsys)
    assert found.status == 2 and len(found.mend) == 2
    assert found.mend[0].startswith("dvc: not in PATH") and 'pip install -e ".[test]"' in found.mend[0]
    assert found.mend[1].startswith("git: not in PATH") and "apt install git" in found.mend[1]


def test_wrong_and_missing_libraries_get_their_pip_command(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All are at 1.0 but torch at 2.0+cpu, pinned 2.1, and trl, which is not there; a local suffix does not count."""
    versions = {"torch": "2.0+cpu", "numpy": "1.0+local"}

    def version(name: str) -> str:
        if name == "trl":
            raise metadata.PackageNotFoundError(name)
        return versions.get(name, "1.0")

    monkeypatch.setattr(metadata, "version", version)
    (machine / "constraints.txt").write_text("# pins\nnumpy==1.0\ntorch==2.1\n", encoding="utf-8")
    found = told(capsys)
    assert found.status == 2
    assert found.mend == [
        "torch: version 2.0+cpu is installed, constraints.txt pins 2.1: pip install torch==2.1",
        'trl: not installed: pip install -e ".[test]" -c constraints.txt',
    ]


def test_an_old_python_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "OLDEST_PYTHON", (99, 1))
    found = told(capsys)
    assert found.status == 2 and "is too old: make the environment with Python 99.1 or later" in found.mend[0]


def test_a_container_limit_counts_and_little_memory_or_disk_is_advice(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit of half a GiB is less than 3; `max` is no limit, and no machine has a million."""
    monkeypatch.setattr(doctor, "MEMORY", 3)
    (machine / "memory.max").write_text(str(2**29), encoding="ascii")
    monkeypatch.setattr(doctor, "DISK", 10**6)
    found = told(capsys)
    assert found.status == 0 and len(found.advice) == 2
    assert found.advice[0].startswith("memory: 0.5 GiB") and "profile=smoke" in found.advice[0]
    assert found.advice[1].startswith("disk: ") and "dvc gc -w" in found.advice[1]
    (machine / "memory.max").write_text("max\n", encoding="ascii")
    monkeypatch.setattr(doctor, "MEMORY", 0)
    assert len(told(capsys).advice) == 1


def test_namespaces_that_are_off_are_advice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"user.max_user_namespaces": "0", "kernel.apparmor_restrict_unprivileged_userns": "1"}
    monkeypatch.setattr(doctor, "_sysctl", lambda name: values.get(name, "1"))
    found = told(capsys)
    assert found.status == 0 and len(found.advice) == 1
    assert "sysctl -w user.max_user_namespaces=15000" in found.advice[0]
    assert "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0" in found.advice[0]


def test_missing_data_is_advice_and_changed_data_an_error(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (machine / "data" / "stray").write_text("x", encoding="ascii")
    found = told(capsys)
    assert found.status == 2 and "data/stray: SHA-256 is" in found.mend[0] and "`dvc repro`" in found.mend[0]
    shutil.rmtree(machine / "data")
    found = told(capsys)
    assert found.status == 0 and found.advice == ["data: not there yet: `dvc repro` brings it and runs everything"]


def test_settings_that_cannot_be_read_and_benchmarks_that_are_not_there_are_errors(
    machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = machine / "params.yaml"
    text = params.read_text(encoding="utf-8").replace("nano_math_ood", "math")
    params.write_text(text.replace("nano_math", "gsm8k"), encoding="utf-8")
    found = told(capsys)
    assert found.status == 2 and found.mend[0].startswith("raw: no such folder, gsm8k are read from it")
    params.unlink()
    found = told(capsys)
    assert found.status == 2 and "configure profile=nano" in found.mend[0]


def test_result_files_carry_protocol_and_level_and_nothing_else_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    first = protocols.conditions("paper")
    assert first == {"protocol": protocols.describe("paper"), "sandbox": "L1"}
    elsewhere = dataclasses.replace(SOUND, text="L1-strict seccomp+landlock4, no namespaces", kernel="5.15.0")
    monkeypatch.setattr(levels, "_measured", [elsewhere])
    assert protocols.conditions("paper") == first
    weak(monkeypatch, "L0-strict seccomp, no namespaces")
    assert protocols.conditions("paper")["sandbox"] == "L0"
