"""The sandbox's promises to its callers: statuses, values that cross, faults of the harness, cache, levels.

Promises not made: that a program which mutates its arguments is seen to do so (tests hand over copies), and that
an endless iterator can be sampled (it is OUTPUT).
"""

import dataclasses
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from strict_sandbox import Level, Limits, Program, Sandbox, SandboxError, levels, sandbox_report, shared_sandbox
from strict_sandbox.worker import Worker

THREE = ("assert f(1) == 2", "assert f(2) == 3", "assert f(-1) == 0")


def program(source: str, *tests: str, context: str = "", names: tuple[str, ...] = ("f",)) -> Program:
    return Program(source, tests or THREE, names, context)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(cpu_seconds=0.5), workers=2) as made:
        yield made


def returning(expression: str) -> str:
    return f"import collections, decimal, enum, fractions, re\ndef f(x):\n    return {expression}\n"


STATUSES = {
    "PASS": "def f(x):\n    return x + 1\n",
    "FAIL": "def f(x):\n    return x\n",
    "ERROR": "def f(x):\n    return x + 'a'\n",
    "EXIT": "import sys\nsys.exit(0)\n",
    "TIMEOUT": "while True:\n    pass\n",
    "MEMORY": "x = bytearray(1 << 30)\n",
    "CRASH": "import ctypes\nctypes.string_at(0)\n",
    "OUTPUT": returning("iter(int, 1)"),
    "NOTPLAIN": "class Any:\n    __eq__ = lambda *_: True\ndef f(x):\n    return Any()\n",
}


def test_every_way_to_end_has_its_status_and_order_is_kept(sandbox: Sandbox) -> None:
    before = sandbox.pass_unverified
    programs = [program(source) for source in STATUSES.values()]
    assert sandbox.judge([*programs, *reversed(programs)]) == [*STATUSES, *reversed(STATUSES)]
    assert sandbox.pass_unverified == before + 1, "the object that equals everything passes in its own process only"


SOURCES = {
    "NUL bytes": "def f(x):\n    return x + 1\n\0",
    "ten megabytes": "#" * 10_000_000 + "\ndef f(x):\n    return x + 1\n",
    "a lone surrogate": "x = '\ud800'\ndef f(x):\n    return x + 1\n",
    "no Python": "Sure! Here is the function you asked for:",
    "deep nesting": "x = " + "(" * 5000 + ")" * 5000,
    "deep operators": "x = " + "-" * 500_000 + "1",
    "a long sum": "x = " + "1+" * 200_000 + "1",
    "a hundred thousand lines": "if 1:\n" + " x = 1\n" * 100_000 + "raise ValueError",
    "nothing": "",
    "a deep block": "".join(" " * i + "if 1:\n" for i in range(200)),
}


@pytest.mark.parametrize("name", SOURCES)
def test_bad_source_is_an_outcome(sandbox: Sandbox, name: str) -> None:
    assert sandbox.judge([program(SOURCES[name])])[0] in ("ERROR", "MEMORY", "CRASH", "TIMEOUT")


VALUES = """
None; True; -0.0; float("inf"); 2**5000; -(2**70); "é\\ud800\\0"; b"\\xff"; bytearray(b"a"); 1 + 2j; range(3); ()
[[], ()]; {1: [2], "a": None}; {1, (2, "x")}; frozenset({1}); collections.Counter("aab"); collections.deque([1]); int
collections.OrderedDict(a=1); decimal.Decimal("1.10"); fractions.Fraction(1, 3); {"a": 1}.keys(); {"a": 1}.items()
"""


@pytest.mark.parametrize("expression", VALUES.strip().replace("\n", "; ").split("; "))
def test_plain_values_cross_unchanged(sandbox: Sandbox, expression: str) -> None:
    tests = [f"y = {expression}", "z = f(0)", "assert z == y and type(z) is type(y)", "assert f(0) is not 5"]
    context = "import collections, decimal, fractions"
    assert sandbox.judge([program(returning(expression), *tests, context=context)]) == ["PASS"]


BECOMES = {
    "(i for i in range(3))": "list(f(0)) == [0, 1, 2]",
    "map(str, [1])": "list(f(0)) == ['1']",
    "{'a': 1}.values()": "list(f(0)) == [1]",
    "collections.defaultdict(list, a=[1])": "f(0) == {'a': [1]}",
    "collections.namedtuple('P', 'a b')(1, 2)": "f(0) == (1, 2)",
    "re.match('a', 'ab')": "f(0)",
    "lambda y: y + 1": "f(0)(1) == 2",
    "enum.IntEnum('E', {'A': 40})(40)": "f(0) == 40 and f(0) > 39 and f(0) in {40: 1}",
    "enum.StrEnum('E', {'A': 'a'}).A": "f(0) == 'a' and f(0).upper() == 'A'",
    "[enum.IntFlag('E', 'A B')(3)]": "f(0) == [3]",
    "enum.Enum('E', {'A': 2}, type=int).A": "f(0) + 1 == 3",
    "{enum.Enum('E', {'A': 'a'}, type=str).A: 1}": "f(0) == {'a': 1}",
    "type('C', (), dict(n=3))()": "f(0).n == 3 and not callable(f(0)) and f(0) is not None",
}


@pytest.mark.parametrize("expression", BECOMES)
def test_values_near_to_plain_become_plain(sandbox: Sandbox, expression: str) -> None:
    assert sandbox.judge([program(returning(expression), f"assert {BECOMES[expression]}")]) == ["PASS"]


CLASS = "type('I', (int,), {'__eq__': lambda *_: True, '__hash__': int.__hash__})"
NOT_PLAIN = ["object()", "[object()]", "type('C', (int,), {})(2)", "{object(): 1}", "f"]
NOT_PLAIN += [f"{CLASS}(2)", "enum.Enum('E', {'A': 2}).A", f"enum.IntEnum('E', {{'A': 2}}, type={CLASS}).A"]


@pytest.mark.parametrize("expression", NOT_PLAIN)
@pytest.mark.parametrize("test", ["f(0) == f(0)", "not f(0) != 2", "f(0) in [1, 2]", "{f(0)}", "[2] == [f(0)]"])
def test_what_is_not_plain_never_passes(sandbox: Sandbox, expression: str, test: str) -> None:
    assert sandbox.judge([program(returning(expression), f"assert {test}")])[0] != "PASS"


@pytest.mark.parametrize("kind", ["Sized", "Iterable", "Container", "Hashable"])
def test_a_stand_in_is_no_instance_of_anything(sandbox: Sandbox, kind: str) -> None:
    test = f"assert isinstance(f(0), {kind})"
    context = f"from collections.abc import {kind}"
    assert sandbox.judge([program(returning("object()"), test, context=context)]) == ["NOTPLAIN"]


def test_tests_may_build_objects_of_the_candidate_and_hand_them_back(sandbox: Sandbox) -> None:
    source = "class Node:\n    def __init__(self, v): self.v, self.next = v, None\n"
    source += "def f(n):\n    return n.v + (f(n.next) if n.next else 0)\n"
    tests = ("root = Node(1)", "root.next = Node(2)", "root.next.next = Node(4)", "assert f(root) == 7")
    assert sandbox.judge([program(source, *tests, "assert f(Node(3)) == 3", names=("Node", "f"))]) == ["PASS"]


def test_exceptions_keep_their_builtin_class(sandbox: Sandbox) -> None:
    source = "class Odd(ValueError):\n    pass\ndef f(x):\n    raise Odd(x)\n"
    test = "try:\n    f(1)\nexcept ValueError:\n    pass\nelse:\n    assert False"
    assert sandbox.judge([program(source, test), program(source)]) == ["PASS", "ERROR"]


@pytest.mark.parametrize(
    "name", ["StopIteration", "StopAsyncIteration", "GeneratorExit", "SystemExit", "KeyboardInterrupt"]
)
def test_no_exception_lets_a_loop_over_the_candidate_end_early(sandbox: Sandbox, name: str) -> None:
    tests = ("assert all(map(f, [1, 2]))", "assert list(map(f, [1])) == []", "assert not any(f(x) for x in [1])")
    programs = [program(f"def f(x):\n    raise {name}\n", test) for test in tests]
    assert set(sandbox.judge(programs)) <= {"ERROR", "EXIT"}


def test_a_broad_except_in_the_tests_saves_nobody(sandbox: Sandbox) -> None:
    test = "try:\n    f(1)\nexcept BaseException:\n    pass"
    sources = [
        "import os\ndef f(x):\n    os._exit(0)\n",
        "def f(x):\n    raise SystemExit\n",
        returning("iter(int, 1)"),
    ]
    assert sandbox.judge([program(source, test) for source in sources]) == ["EXIT", "EXIT", "OUTPUT"]


def test_a_value_that_hangs_the_tests_is_a_timeout_and_the_next_program_is_judged(sandbox: Sandbox) -> None:
    hangs = program("def f(x):\n    return True\n", "while f(1) and 1:\n    while True:\n        pass")
    good = program("def f(x):\n    return x + 1 # after a hang\n")
    assert sandbox.judge([hangs, good]) == ["TIMEOUT", "PASS"]


FAULTS = {
    "compile": program("f = abs", "assert f(1) =="),
    "math": program("f = abs", "assert math.sqrt(f(4)) == 2"),
    "called none": program("f = abs", "assert True"),
    "context failed": program("f = abs", context="raise KeyError('context')"),
    "no_such_module": program("f = abs", context="import no_such_module"),
}


@pytest.mark.parametrize("word", FAULTS)
def test_faults_of_the_tests_raise_instead_of_failing_the_candidate(sandbox: Sandbox, word: str) -> None:
    with pytest.raises(SandboxError, match=word):
        sandbox.judge([FAULTS[word]])


def test_a_program_without_tests_or_with_a_text_for_tests_is_refused() -> None:
    with pytest.raises(ValueError, match="needs tests"):
        Program("f = abs", (), ("f",))
    with pytest.raises(TypeError, match="tuples of texts"):
        Program("f = abs", "assert f(1)", ("f",))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="out of range"):
        Limits(cpu_seconds=0)


def test_a_killed_judge_is_replaced(sandbox: Sandbox) -> None:
    for number in range(3):
        workers = [sandbox._idle.get() for _ in range(sandbox.count)]
        for worker in workers:
            if worker.process is not None:
                worker.process.kill()
            sandbox._idle.put(worker)
        assert sandbox.judge([program(f"def f(x):\n    return x + 1  # {number} after a kill\n")]) == ["PASS"]


def test_threads_share_one_sandbox(sandbox: Sandbox) -> None:
    found: dict[int, object] = {}

    def run(number: int) -> None:
        sources = [f"def f(x):\n    return x + {i % 2}  # thread {number}, {i}\n" for i in range(20)]
        found[number] = sandbox.judge([program(source) for source in sources])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(4), ["FAIL", "PASS"] * 10)


def test_equal_programs_run_once_and_verdicts_are_kept_but_time_outs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Program] = []
    judge = Worker.judge

    def counting(self: Worker, programs: list[Program]) -> list[tuple[str, str]]:
        ran.extend(programs)
        return judge(self, programs)  # pyright: ignore[reportReturnType]

    good, slow = program("def f(x):\n    return x + 1\n"), program("import time\ntime.sleep(99)\n")
    cache = tmp_path / "cache" / "verdicts"
    limits = Limits(cpu_seconds=0.1)
    with Sandbox(limits, 1, cache=cache) as first:
        assert first.level.name
        monkeypatch.setattr(Worker, "judge", counting)
        assert first.judge([good, slow, good, good]) == ["PASS", "TIMEOUT", "PASS", "PASS"]
        assert first.judge([slow]) == ["TIMEOUT"]
        assert ran == [good, slow]
    assert cache.read_text().count("\n") == 1
    cache.write_text("garbage\n" + "0" * 64 + " WON\n" + cache.read_text() + "f" * 30)
    with Sandbox(limits, 1, cache=cache) as second:
        assert second.judge([good]) == ["PASS"]
        assert ran == [good, slow]
    with Sandbox(dataclasses.replace(limits, memory_mb=300), 1, cache=cache) as third:
        assert third.judge([good]) == ["PASS"]
        assert ran == [good, slow, good], "other limits are another verdict"


def test_a_closed_sandbox_and_a_forked_one_refuse(sandbox: Sandbox) -> None:
    closed = Sandbox(workers=1)
    closed.close()
    with pytest.raises(SandboxError, match="closed"):
        closed.judge([program("f = abs")])
    forked = Sandbox(workers=1)
    forked._owner = os.getpid() + 1
    with pytest.raises(SandboxError, match="fork"):
        forked.judge([program("f = abs")])


def test_one_sandbox_is_shared_by_a_process() -> None:
    assert shared_sandbox() is shared_sandbox()
    assert shared_sandbox().judge([program("def f(x):\n    return x + 1\n")]) == ["PASS"]


def test_below_level_one_it_refuses_unless_allowed_and_always_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    level = levels.measure()
    weak = dataclasses.replace(level, name="L0", text="L0-strict resource limits only", failed=("forks",))
    monkeypatch.setattr(levels, "_measured", [weak])
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv(levels.ALLOW_WEAK, raising=False)
    with pytest.raises(SandboxError, match=f"not stopped: forks; .*{levels.ALLOW_WEAK}=L0"):
        levels.probe()
    assert levels.probe(allow_weak=True) is weak
    monkeypatch.setenv(levels.ALLOW_WEAK, "L0")
    assert levels.probe() is weak
    assert "too weak" not in sandbox_report()[0] and "L0-strict" in sandbox_report()[0]
    assert f"{levels.ALLOW_WEAK}=L0" in sandbox_report()[-1]
    monkeypatch.setenv("CI", "true")
    with pytest.raises(SandboxError, match="too weak"):
        levels.probe(allow_weak=True)


def test_the_level_is_found_by_trying(sandbox: Sandbox) -> None:
    level = sandbox.level
    assert isinstance(level, Level) and level.as_dict()["python"]
    assert {level.preflight[name] for name in levels.HONEST} == {"PASS"}
    if level.name == "L1":
        assert "PASS" not in {level.preflight[name] for name in levels.ATTACKS}
        assert sandbox_report()[0] == f"sandbox: {level.text}"
        assert "5/5 honest programs pass, 6/6 attacks stopped" in sandbox_report()[2]


def test_without_confinement_the_preflight_notices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The canary attacks themselves: with seccomp and Landlock off every one but the forged equality succeeds."""
    monkeypatch.setattr("strict_sandbox.worker.FEATURES", {"seccomp": False, "landlock": False})
    worker = Worker(Limits(), tmp_path)
    try:
        level = levels._measure(worker)
    finally:
        worker.stop()
    assert level.name == "L0" and "resource limits only" in level.text
    assert set(level.failed) == set(levels.ATTACKS) - {"fakes equality"}
