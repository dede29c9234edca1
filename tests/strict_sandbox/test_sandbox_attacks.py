"""Every attack program is stopped and every control passes, as root and as an ordinary user, in throw-away boxes.

The programs lie in `attacks/` (text files: some kill all they can reach) and, where it exists, in the folder that
SAPO_ATTACKS names. Each is judged alone; then files, listeners, a bystander process, System V objects, leftover
processes, memory and the next honest program are looked at. The same watch sees most attacks succeed when
nothing confines them, which is tested too, so that silence means something.
"""

import itertools
import os
import shutil
import subprocess
import tempfile
import venv
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from attacks.box import SHARED, end_group, limited_processes, outermost_first, run_in_box, why_not

ATTACKS = Path(__file__).parents[1] / "attacks"
RUNNER = ATTACKS / "run_inside.py"
USERS = (0, 1000, 65534)
Findings = list[dict[str, object]]
# Problems that a busy machine alone can cause; a canary that is touched never is one.
LOAD = ("the verdict took", "an honest program did not pass", "the next honest program", "no verdict")


def arguments(user: int) -> list[str]:
    """What a box is to run: the last user judges the shared folder, where there is one."""
    folder = SHARED if user == USERS[-1] and SHARED.is_dir() else ATTACKS
    return [str(user), str(folder)]


@pytest.fixture(scope="module")
def boxes() -> Iterator[dict[str, Future[Findings]]]:
    """All boxes at work at once: most of the time is spent in limits that have to run out."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with ThreadPoolExecutor(4) as threads:
        jobs = {str(user): arguments(user) for user in USERS}
        jobs["weak"] = ["1000", "--weak", str(ATTACKS)]
        yield {name: threads.submit(run_in_box, RUNNER, job, 240) for name, job in jobs.items()}


@pytest.mark.parametrize("user", USERS)
def test_every_attack_is_stopped_and_every_control_passes(boxes: dict[str, Future[Findings]], user: int) -> None:
    findings = boxes[str(user)].result()
    assert len(findings) >= 50
    troubled = [finding for finding in findings if finding["problems"]]
    if troubled and all(str(problem).startswith(LOAD) for finding in troubled for problem in as_list(finding)):
        # Four boxes at once on a busy machine may run an honest program out of time: look again, alone.
        again = run_in_box(RUNNER, arguments(user), 240)
        troubled = [finding for finding in again if finding["problems"]]
    assert troubled == []


def as_list(finding: dict[str, object]) -> list[object]:
    problems = finding["problems"]
    assert isinstance(problems, list)
    return problems


def test_the_watch_sees_attacks_that_nothing_confines(boxes: dict[str, Future[Findings]]) -> None:
    """Without seccomp and Landlock: file, network, signal and reading attacks are seen; tampering still fails."""
    findings = {str(finding["name"]): finding for finding in boxes["weak"].result()}
    seen = {name[:3] for name, finding in findings.items() if finding["problems"]}
    assert {"h01", "h02", "h05", "h65", "s02", "s03"} <= seen
    said = [str(finding["problems"]) for finding in findings.values()]  # effects may show one program late
    assert sum("heard" in problems for problems in said) >= 3
    assert any("the bystander is dead" in problems for problems in said)
    assert [name for name, finding in findings.items() if name[0] in "tpc" and finding["problems"]] == []
    left = [name for name, finding in findings.items() if "processes are left" in str(finding["problems"])]
    assert left == [], "the fork server ends what its children leave"


def test_folders_are_bound_before_what_lies_in_them_in_whatever_order_they_are_named() -> None:
    needed = ["/tmp/clone", "/tmp/clone/.venv", "/opt/python", "/tmp/clone/.venv/attacks"]
    for order in itertools.permutations(needed):
        assert outermost_first([*order, order[0]]) == [needed[2], needed[0], needed[1], needed[3]]


def test_a_clone_in_the_temporary_folder_with_its_environment_inside_is_there_in_its_box() -> None:
    """The box puts an empty folder over /tmp, so that both must be bound."""
    if reason := why_not():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        attacks, python = Path(folder, "tests", "attacks"), Path(folder, ".venv", "bin", "python")
        attacks.mkdir(parents=True)
        shutil.copy(ATTACKS / "box.py", attacks)
        Path(folder, "probe.py").write_text("import json, sys\nprint(json.dumps([sys.prefix, __file__]))\n")
        venv.create(Path(folder, ".venv"), symlinks=True)
        run = "import box, pathlib, sys; print(box.run_in_box(pathlib.Path(sys.argv[1]), [], 60))"
        command = [python, "-c", run, f"{folder}/probe.py"]
        environment = os.environ | {"PYTHONPATH": str(attacks)}
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"['{folder}/.venv', '{folder}/probe.py']\n", "")


@pytest.fixture
def group() -> Iterator[Path]:
    if reason := why_not():
        pytest.skip(reason)
    with limited_processes() as group:
        yield group


def test_a_box_that_runs_out_of_time_says_so_and_leaves_nothing(group: Path) -> None:
    """Its processes die after what began them: the control group, the fourth word of the command, is busy till then."""
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        run_in_box(RUNNER, arguments(1000), 2.0)
    own = Path(caught.value.cmd[3])
    assert own.parent == group.parent and not own.exists()


def test_a_process_that_does_not_end_is_named(group: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "300"]) as left:
        try:
            (group / "cgroup.procs").write_text(str(left.pid))
            with monkeypatch.context() as nobody:
                nobody.setattr(os, "kill", lambda *_: None)
                with pytest.raises(RuntimeError, match=rf"is busy after 0.1 s: process {left.pid} \(sleep, \w\)$"):
                    end_group(group, 0.1)
        finally:
            left.kill()
