"""A seccomp filter for the child: a list of allowed system calls, everything else answers EPERM.

Written as classic BPF by hand (Linux, x86_64 and aarch64), so that no package is needed. Calls that have both
harmless and harmful uses are allowed by their arguments: threads but no processes, signals to oneself only,
reading limits but not setting them. A process that calls through another architecture is killed.
"""

import ctypes
import errno
import platform
import struct

# name, number on x86_64, number on aarch64 ("-": the architecture has no such call)
ALLOWED = """
read 0 63|write 1 64|readv 19 65|writev 20 66|pread64 17 67|close 3 57|close_range 436 436|fstat 5 80|stat 4 -
lstat 6 -|newfstatat 262 79|statx 332 291|lseek 8 62|mmap 9 222|mprotect 10 226|munmap 11 215|brk 12 214
mremap 25 216|madvise 28 233|rt_sigaction 13 134|rt_sigprocmask 14 135|rt_sigreturn 15 139|rt_sigpending 127 136
rt_sigtimedwait 128 137|rt_sigsuspend 130 133|sigaltstack 131 132|access 21 -|faccessat 269 48|faccessat2 439 439
pipe 22 -|pipe2 293 59|select 23 -|pselect6 270 72|poll 7 -|ppoll 271 73|epoll_create 213 -|epoll_create1 291 20
epoll_ctl 233 21|epoll_wait 232 -|epoll_pwait 281 22|eventfd2 290 19|sched_yield 24 124|sched_getaffinity 204 123
dup 32 23|dup2 33 -|dup3 292 24|pause 34 -|nanosleep 35 101|clock_nanosleep 230 115|getpid 39 172|getppid 110 173
gettid 186 178|getuid 102 174|geteuid 107 175|getgid 104 176|getegid 108 177|getgroups 115 158|getpgrp 111 -
getpgid 121 155|getsid 124 156|uname 63 160|getcwd 79 17|getdents64 217 61|readlink 89 -|readlinkat 267 78
getrlimit 97 163|getrusage 98 165|sysinfo 99 179|times 100 153|futex 202 98|set_robust_list 273 99|rseq 334 293
exit 60 93|exit_group 231 94|set_tid_address 218 96|clock_gettime 228 113|clock_getres 229 114|gettimeofday 96 169
time 201 -|getrandom 318 278|membarrier 324 283|restart_syscall 219 128|getcpu 309 168|recvfrom 45 207|fsync 74 82
getsockname 51 204|getpeername 52 205|getsockopt 55 209|shutdown 48 210|ftruncate 77 46|umask 95 166
alarm 37 -|getitimer 36 102|setitimer 38 103
"""
FILTERED = """
clone 56 220|clone3 435 435|openat2 437 437|fcntl 72 25|ioctl 16 29|prctl 157 167|prlimit64 302 261|kill 62 129
tgkill 234 131|socketpair 53 199|sendto 44 206|open 2 -|openat 257 56
"""
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH

LOAD, JUMP_EQUAL, JUMP_FROM, JUMP_BITS, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
SELF = 0xFFFFFFF0  # stands for the child's own process id, filled in after the fork
X32 = 0x40000000

CLONE_THREAD = 0x00010000
CLONE_FORBIDDEN = 0x7E022000 | 0x80  # every CLONE_NEW*, CLONE_PTRACE, CLONE_NEWTIME
FCNTL = (0, 1, 2, 3, 4, 5, 1030, 1032)  # F_DUPFD … F_GETLK, F_DUPFD_CLOEXEC, F_GETPIPE_SZ: none that signals others
IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIO(N)CLEX
PRCTL = (3, 15, 16)  # PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME
AF_UNIX = 1
OPEN_TO_WRITE = 0o3 | 0o100 | 0o1000 | 0o20000000  # O_ACCMODE, O_CREAT, O_TRUNC, O_TMPFILE

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, constant


def _numbers(table: str, column: int) -> dict[str, int]:
    rows = [row.split() for row in table.replace("\n", "|").split("|") if row]
    return {row[0]: int(row[1 + column]) for row in rows if row[1 + column] != "-"}


def _deny(code: int = errno.EPERM) -> Instruction:
    return (RETURN, 0, 0, ERRNO | code)


def _load(argument: int, high: bool = False) -> Instruction:
    return (LOAD, 0, 0, 16 + 8 * argument + 4 * high)


def _one_of(argument: int, *values: int) -> list[Instruction]:
    """Go on where the argument is one of the values, deny otherwise."""
    jumps = [(JUMP_EQUAL, len(values) - i, 0, value) for i, value in enumerate(values)]
    return [_load(argument), *jumps, _deny()]


def _null(argument: int) -> list[Instruction]:
    """Go on where a 64-bit argument is 0."""
    return [_load(argument), (JUMP_EQUAL, 1, 0, 0), _deny(), _load(argument, True), (JUMP_EQUAL, 1, 0, 0), _deny()]


def _without(argument: int, bits: int) -> list[Instruction]:
    return [_load(argument), (JUMP_BITS, 0, 1, bits), _deny()]


def _rules(may_open_to_write: bool) -> dict[str, list[Instruction]]:
    """What a call of FILTERED must fulfil to be allowed."""
    return {
        "clone": [_load(0), (JUMP_BITS, 1, 0, CLONE_THREAD), _deny(), *_without(0, CLONE_FORBIDDEN)],
        "clone3": [_deny(errno.ENOSYS)],  # its flags lie in memory; C libraries fall back to clone
        "openat2": [_deny(errno.ENOSYS)],
        "fcntl": _one_of(1, *FCNTL),
        "ioctl": _one_of(1, *IOCTL),
        "prctl": _one_of(0, *PRCTL),
        "prlimit64": [*_one_of(0, 0, SELF), *_null(2)],
        "kill": _one_of(0, SELF),
        "tgkill": _one_of(0, SELF),
        "socketpair": _one_of(0, AF_UNIX),
        "sendto": _null(4),  # no address: a socket pair's datagrams must not reach other sockets
        "open": [] if may_open_to_write else _without(1, OPEN_TO_WRITE),
        "openat": [] if may_open_to_write else _without(2, OPEN_TO_WRITE),
    }


def _ranges(numbers: list[int]) -> list[tuple[int, bool]]:
    """(first number, allowed) of the stretches of numbers from 0 on."""
    inside = set(numbers)
    return [(n, n in inside) for n in range(max(inside) + 2) if n == 0 or (n in inside) != (n - 1 in inside)]


def _search(ranges: list[tuple[int, bool]]) -> list[Instruction]:
    """A binary search over the stretches."""
    if len(ranges) == 1:
        return [(RETURN, 0, 0, ALLOW) if ranges[0][1] else _deny()]
    half = len(ranges) // 2
    low = _search(ranges[:half])
    if len(low) > 255:
        raise OverflowError("the list of system calls is too long for one jump")
    return [(JUMP_FROM, len(low), 0, ranges[half][0]), *low, *_search(ranges[half:])]


def instructions(machine: str, may_open_to_write: bool) -> list[Instruction]:
    """The filter's program for an architecture of MACHINES."""
    column, arch = MACHINES[machine]
    program: list[Instruction] = [(LOAD, 0, 0, 4), (JUMP_EQUAL, 1, 0, arch), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]
    program += [(JUMP_FROM, 0, 1, X32), (RETURN, 0, 0, KILL)]
    rules = _rules(may_open_to_write)
    for name, number in _numbers(FILTERED, column).items():
        block = [*rules[name], (RETURN, 0, 0, ALLOW)]
        program += [(JUMP_EQUAL, 0, len(block), number), *block]
    return program + _search(_ranges(list(_numbers(ALLOWED, column).values())))


class Filter:
    """The filter ready to install: built once before the fork, given the process id and installed after it."""

    def __init__(self, libc: ctypes.CDLL, may_open_to_write: bool) -> None:
        program = instructions(platform.machine(), may_open_to_write)
        blob = b"".join(struct.pack("=HBBI", *each) for each in program)
        self.buffer = ctypes.create_string_buffer(blob, len(blob))
        self.own = [
            8 * i + 4 for i, (code, _, _, constant) in enumerate(program) if constant == SELF and code != RETURN
        ]
        self.head = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(self.buffer)))
        self.prctl = libc.prctl
        self.arguments = (22, 2, ctypes.c_void_p(ctypes.addressof(self.head)), 0, 0)  # PR_SET_SECCOMP, MODE_FILTER

    def install(self, pid: int) -> None:
        """Needs no_new_privs. Raises OSError."""
        for offset in self.own:
            struct.pack_into("=I", self.buffer, offset, pid)
        if self.prctl(*self.arguments) != 0:
            raise OSError(ctypes.get_errno(), "seccomp filter refused")


def supported() -> bool:
    return platform.system() == "Linux" and platform.machine() in MACHINES
