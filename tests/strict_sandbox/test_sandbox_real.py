"""References of MBPP and HumanEval pass, and their mutants never do. Needs the real files (`real_data`)."""

import ast
import dataclasses
import gzip
import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from strict_sandbox import Limits, Program, Sandbox

MBPP_NOT_PASSING_IN_ONE_SECOND = {
    123: "TIMEOUT",  # sums amicable numbers below 9999 by trial division: about three seconds of CPU time
}
MUTANTS = 200  # of each set, spread evenly over it

SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(cpu_seconds=1.0)) as made:
        yield made


def parse(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # references hold invalid escapes
        return ast.parse(text)


def mbpp(real_data: Path) -> dict[int, Program]:
    """Asserts as they stand. Set-up code uses classes of the reference, so it goes before the asserts."""
    rows = [json.loads(line) for line in (real_data / "mbpp" / "mbpp.jsonl").read_text(encoding="utf-8").splitlines()]
    programs = {}
    for row in rows:
        tests = (row["test_setup_code"], *row["test_list"], *row["challenge_test_list"])
        nodes = [node for node in ast.walk(parse(row["code"])) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        used = {node.id for test in tests for node in ast.walk(parse(test)) if isinstance(node, ast.Name)}
        names = tuple(sorted({node.name for node in nodes} & used))
        programs[row["task_id"]] = Program(row["code"], tests, names, "import sys")
    return programs


def humaneval(real_data: Path) -> dict[str, Program]:
    with gzip.open(real_data / "humaneval" / "HumanEval.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return {
        row["task_id"]: Program(
            row["prompt"] + row["canonical_solution"],
            (row["test"], f"check({row['entry_point']})"),
            (row["entry_point"],),
            row["prompt"],
        )
        for row in rows
    }


def test_all_mbpp_references_pass_but_those_listed(real_data: Path, sandbox: Sandbox) -> None:
    programs = mbpp(real_data)
    assert len(programs) == 974
    statuses = dict(zip(programs, sandbox.judge(list(programs.values())), strict=True))
    failing = {task: status for task, status in statuses.items() if status != "PASS"}
    assert failing == MBPP_NOT_PASSING_IN_ONE_SECOND
    with Sandbox(Limits(cpu_seconds=20), workers=1) as patient:
        assert set(patient.judge([programs[task] for task in failing])) == {"PASS"}


def test_all_humaneval_references_pass(real_data: Path, sandbox: Sandbox) -> None:
    programs = humaneval(real_data)
    statuses = dict(zip(programs, sandbox.judge(list(programs.values())), strict=True))
    assert len(statuses) == 164
    assert {task: status for task, status in statuses.items() if status != "PASS"} == {}


def mutants(program: Program) -> Iterator[Program]:
    """The program with one operator changed, for every operator outside the trusted helpers of its context."""
    tree = parse(program.source)
    helpers = {getattr(node, "name", "") for node in parse(program.context).body} - {"", *program.entry_points}
    untrusted = [node for node in tree.body if getattr(node, "name", "") not in helpers]
    for node in (inner for top in untrusted for inner in ast.walk(top)):
        if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in SWAPPED:
            kept, node.op = node.op, SWAPPED[type(node.op)]()  # pyright: ignore[reportAttributeAccessIssue]
            yield dataclasses.replace(program, source=ast.unparse(tree))
            node.op = kept  # pyright: ignore[reportAttributeAccessIssue]
        if isinstance(node, ast.Compare):
            for i, kept in enumerate(node.ops):
                if type(kept) in SWAPPED:
                    node.ops[i] = SWAPPED[type(kept)]()  # pyright: ignore[reportArgumentType, reportCallIssue]
                    yield dataclasses.replace(program, source=ast.unparse(tree))
                    node.ops[i] = kept


# Plain Python as the oracle: a fork for every program, whose exit status says whether its tests hold.
ORACLE = """
import json, os, resource, sys
for texts in json.load(sys.stdin):
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        try:
            space = {"__name__": "solution"}
            for text in texts:
                exec(text, space)
        except BaseException:
            os._exit(1)
        os._exit(0)
    print(int(os.waitpid(pid, 0)[1] == 0))
"""


def hold_in_plain_python(programs: Sequence[Program]) -> list[bool]:
    texts = json.dumps([(program.context, program.source, *program.tests) for program in programs])
    command = [sys.executable, "-I", "-W", "ignore", "-c", ORACLE]
    done = subprocess.run(command, input=texts, capture_output=True, text=True, check=True)
    return [line == "1" for line in done.stdout.split()]


@pytest.mark.parametrize("load", [mbpp, humaneval], ids=["mbpp", "humaneval"])
def test_a_mutant_passes_only_where_its_tests_hold(
    load: Callable[[Path], dict[object, Program]], real_data: Path, sandbox: Sandbox
) -> None:
    """One operator changed: never PASS where plain Python says that a test fails, and PASS where it says none does."""
    changed = [mutant for program in load(real_data).values() for mutant in mutants(program)]
    chosen = changed[:: len(changed) // MUTANTS]
    statuses = sandbox.judge(chosen)
    ended = [(mutant, status) for mutant, status in zip(chosen, statuses, strict=True) if status != "TIMEOUT"]
    hold = hold_in_plain_python([mutant for mutant, _ in ended])
    assert hold.count(False) >= MUTANTS * 2 // 3, "most mutants are caught by their tests"
    verdicts = [(mutant.source, status, held) for (mutant, status), held in zip(ended, hold, strict=True)]
    assert [verdict for verdict in verdicts if (verdict[1] == "PASS") != verdict[2]] == []
