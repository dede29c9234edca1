"""What confines and what crosses, part by part: the system-call filter on both architectures, frames and values."""

import contextlib
import errno
import json
import math
from collections import Counter, OrderedDict, deque
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from strict_sandbox.inside import seccomp, wire

OWN_PID = 4242
DENIED = """
execve 59 221|execveat 322 281|socket 41 198|connect 42 203|bind 49 200|ptrace 101 117|unshare 272 97|setns 308 268
mount 165 40|bpf 321 280|io_uring_setup 425 425|process_vm_readv 310 270|pidfd_open 434 434|sendmsg 46 211
memfd_create 319 279|shmget 29 194|setrlimit 160 164|seccomp 317 277|tkill 200 130|rt_sigqueueinfo 129 138
mkdirat 258 34|unlinkat 263 35|fchmodat 268 53|kexec_load 246 104
"""  # numbers on x86_64 and aarch64, from the kernel's headers


def verdict(machine: str, number: int, *arguments: int, write: bool = True, arch: int | None = None) -> int:
    """Run the filter's program on one call, as the kernel would: 32-bit words of struct seccomp_data."""
    words = {0: number, 4: seccomp.MACHINES[machine][1] if arch is None else arch}
    for i, argument in enumerate((*arguments, *[0] * (6 - len(arguments)))):
        words[16 + 8 * i], words[20 + 8 * i] = argument & 0xFFFFFFFF, argument >> 32 & 0xFFFFFFFF
    program = seccomp.instructions(machine, write)
    word = at = 0
    while True:
        code, then, otherwise, constant = program[at]
        constant = OWN_PID if constant == seccomp.SELF else constant
        at += 1
        if code == seccomp.RETURN:
            return constant
        if code == seccomp.LOAD:
            word = words[constant]
        else:
            holds = {0x15: word == constant, 0x35: word >= constant, 0x45: bool(word & constant)}[code]
            at += then if holds else otherwise


DENY, NO_SUCH_CALL = seccomp.ERRNO | errno.EPERM, seccomp.ERRNO | errno.ENOSYS


@pytest.mark.parametrize("machine", seccomp.MACHINES)
def test_the_filter_allows_its_list_and_nothing_else(machine: str) -> None:
    column = seccomp.MACHINES[machine][0]
    allowed = set(seccomp._numbers(seccomp.ALLOWED, column).values())
    filtered = set(seccomp._numbers(seccomp.FILTERED, column).values())
    assert allowed & filtered == set()
    for number in set(range(600)) - filtered:
        assert (verdict(machine, number) == seccomp.ALLOW) == (number in allowed), number
    denied = seccomp._numbers(DENIED, column)
    assert {name for name, number in denied.items() if verdict(machine, number) != DENY} == set()


@pytest.mark.parametrize("machine", seccomp.MACHINES)
def test_calls_with_two_faces_are_judged_by_their_arguments(machine: str) -> None:
    call = seccomp._numbers(seccomp.FILTERED, seccomp.MACHINES[machine][0])
    thread = 0x3D0F00
    cases = [
        ("clone", (thread,), seccomp.ALLOW), ("clone", (17,), DENY), ("clone", (thread | 0x10000000,), DENY),
        ("clone", (0x4111,), DENY), ("clone3", (), NO_SUCH_CALL), ("openat2", (), NO_SUCH_CALL),
        ("kill", (OWN_PID,), seccomp.ALLOW), ("kill", (1,), DENY), ("kill", (0,), DENY), ("kill", (0xFFFFFFFF,), DENY),
        ("tgkill", (OWN_PID, 1), seccomp.ALLOW), ("tgkill", (1, OWN_PID), DENY),
        ("prlimit64", (0, 7, 0), seccomp.ALLOW), ("prlimit64", (0, 7, 1 << 40), DENY), ("prlimit64", (1, 7, 0), DENY),
        ("fcntl", (3, 3), seccomp.ALLOW), ("fcntl", (3, 8), DENY), ("fcntl", (3, 15), DENY),
        ("ioctl", (0, 0x5401), seccomp.ALLOW), ("ioctl", (0, 0x5412), DENY), ("ioctl", (0, 0x8901), DENY),
        ("prctl", (15,), seccomp.ALLOW), ("prctl", (1,), DENY), ("prctl", (4,), DENY), ("prctl", (22,), DENY),
        ("socketpair", (1,), seccomp.ALLOW), ("socketpair", (2,), DENY),
        ("sendto", (3, 1, 1, 0, 0), seccomp.ALLOW), ("sendto", (3, 1, 1, 0, 1 << 33), DENY),
    ]  # fmt: skip
    assert [case for case in cases if verdict(machine, call[case[0]], *case[1]) != case[2]] == []


@pytest.mark.parametrize("machine", seccomp.MACHINES)
def test_without_landlock_files_open_for_reading_only(machine: str) -> None:
    openat = seccomp._numbers(seccomp.FILTERED, seccomp.MACHINES[machine][0])["openat"]
    writing = (0o1, 0o2, 0o100, 0o1000, 0o20000000)
    assert verdict(machine, openat, 0, 0, 0o2000000, write=False) == seccomp.ALLOW
    assert {verdict(machine, openat, 0, 0, flags, write=False) for flags in writing} == {DENY}
    assert {verdict(machine, openat, 0, 0, flags, write=True) for flags in writing} == {seccomp.ALLOW}


def test_other_architectures_and_the_x32_table_are_killed() -> None:
    assert verdict("x86_64", 0, arch=0x40000003) == seccomp.KILL
    assert verdict("x86_64", 0x40000000 + 57) == seccomp.KILL
    assert verdict("aarch64", 63, arch=0xC000003E) == seccomp.KILL


# ---------------------------------------------------------------------------------------------- frames and values


def refuse(value: object) -> int:
    raise wire.NotPlain


def through(value: Any) -> Any:
    """The value after a journey: tree, frame, bytes, frame, tree."""
    stream = [wire.frame(wire.Encoder(refuse).tree(value)), b""]
    return wire.Decoder(lambda number, _: None).value(wire.Reader(lambda _: stream.pop(0)).frame())


numbers = some.integers() | some.integers(1 << 200, 1 << 300) | some.floats(allow_nan=False)
texts = some.text(some.characters(codec=None, exclude_categories=()))
hashable = some.recursive(
    some.none() | some.booleans() | numbers | texts | some.binary() | some.complex_numbers(allow_nan=False)
    | some.fractions() | some.decimals(allow_nan=False),
    lambda inner: some.lists(inner, max_size=3).map(tuple) | some.frozensets(inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def containers(inner: some.SearchStrategy[Any]) -> some.SearchStrategy[Any]:
    lists = some.lists(inner, max_size=4)
    return lists | lists.map(deque) | some.dictionaries(hashable, inner, max_size=3) | some.sets(hashable, max_size=3)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(some.recursive(hashable, containers, max_leaves=6))
def test_plain_values_survive_the_journey(value: Any) -> None:
    after = through(value)
    assert type(after) is type(value) and after == value


tags = some.sampled_from(sorted({*wire._LEAVES, *wire._BRANCHES, "R"}))
scalars = some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=5) | tags


def trees(inner: some.SearchStrategy[Any]) -> some.SearchStrategy[Any]:
    tagged = some.tuples(tags, inner).map(list) | some.tuples(tags, inner, inner).map(list)
    return tagged | some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=3), inner, max_size=2)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(some.recursive(scalars, trees, max_leaves=8))
def test_no_message_breaks_the_reader(tree: Any) -> None:
    """Whatever JSON a child sends is a value or an error of the wire's own."""
    body = json.dumps(tree).encode()
    with contextlib.suppress(wire.WireError):
        wire.Decoder(lambda number, _: number).value(wire.parse(body))


@settings(max_examples=200, deadline=None)
@given(some.binary(max_size=300))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    stream = [data, b""]
    reader = wire.Reader(lambda _: stream.pop(0) if stream else b"")
    with contextlib.suppress(wire.WireError, EOFError):
        wire.Decoder(lambda number, _: number).value(reader.frame())


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def test_bounds_of_depth_length_and_numbers() -> None:
    assert through(nested(150)) == nested(150)
    shared: Any = 0
    for _ in range(60):
        shared = [shared, shared]
    endless: list[Any] = []
    endless.append(endless)
    too_big = [
        nested(201),
        nested(10**5),
        endless,
        shared,
        "x" * (5 << 20),
        b"x" * (5 << 20),
        1 << 2_000_000,
        range(10**7),
    ]
    for value in [*too_big, iter(int, 1), [0] * 1_000_001]:
        with pytest.raises(wire.TooBig):
            through(value)
    assert through(1 << 500_000) == 1 << 500_000
    assert list(through(iter(range(5)))) == [0, 1, 2, 3, 4]


def test_values_that_are_no_builtin_do_not_cross() -> None:
    class Int(int):
        pass

    for value in (Int(1), object(), len, math, lambda: 0, [Int(1)], {1: object()}, Counter):
        with pytest.raises(wire.NotPlain):
            through(value)


def test_containers_of_the_standard_library_keep_their_class() -> None:
    for value in (Counter("aab"), OrderedDict(b=1, a=2), deque([1]), Decimal("1.10"), Fraction(1, 3), bytearray(b"x")):
        assert through(value) == value and type(through(value)) is type(value)
    assert math.isnan(through(math.nan))
    assert math.copysign(1, through(-0.0)) == -1


def test_a_frame_that_promises_too_much_is_refused_unread() -> None:
    stream = [wire.HEADER.pack(wire.MAX_FRAME + 1)]
    with pytest.raises(wire.TooBig):
        wire.Reader(lambda _: stream.pop(0)).frame()
