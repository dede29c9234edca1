"""Landlock: the process may read the Python and system libraries, write /dev/null, and nothing else.

From version 4 of the interface no TCP, from 6 no abstract sockets and no signals to processes outside.
Layout of the structures: linux/landlock.h; the three system calls have the same numbers everywhere.
"""

import ctypes
import os
import struct
import sys

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # number of file-system rights by version of the interface
NET_RIGHTS, SCOPES = 0b11, 0b11  # bind and connect TCP; abstract sockets and signals
RULE_PATH_BENEATH = 1

LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo")
INSTALLED = ("site-packages", "dist-packages")
FILES = ("/etc/ld.so.cache", "/etc/localtime", "/dev/urandom", "/dev/zero")


def version(libc: ctypes.CDLL) -> int:
    """Version of the kernel's interface, 0 where there is none."""
    return max(0, libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1))


def readable() -> list[str]:
    """Files and folders that honest programs import from: not the packages installed beside them."""
    stdlib = os.path.dirname(os.__file__)
    beside = os.path.join(sys.base_prefix, "lib")
    modules = [entry.path for entry in os.scandir(stdlib) if entry.name not in INSTALLED]
    objects = [entry.path for entry in os.scandir(beside) if ".so" in entry.name] if os.path.isdir(beside) else []
    zipped = [path for path in sys.path if path.endswith(".zip")]
    return [*modules, *objects, *zipped, *LIBRARIES]


def restrict(libc: ctypes.CDLL) -> int:
    """Confine this process for good and return the version used, 0 where Landlock is missing. Raises OSError."""
    abi = version(libc)
    if abi < 1:
        return 0
    rights = (1 << FILE_RIGHTS.get(abi, 16)) - 1
    attributes = struct.pack("=QQQ", rights, NET_RIGHTS if abi >= 4 else 0, SCOPES if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = libc.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(size), 0)
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")
    try:
        for path in readable():
            _allow(libc, ruleset, path, READ_FILE | READ_DIR)
        _allow(libc, ruleset, os.path.dirname(os.__file__), READ_DIR)
        for path in FILES:
            _allow(libc, ruleset, path, READ_FILE)
        _allow(libc, ruleset, os.devnull, (READ_FILE | WRITE_FILE | TRUNCATE) & rights)
        if libc.syscall(RESTRICT_SELF, ruleset, 0) != 0:
            raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    finally:
        os.close(ruleset)
    return abi


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        target = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # a folder that this system does not have
    try:
        if not os.path.isdir(path):
            rights &= ~READ_DIR
        rule = struct.pack("=Qi", rights, target)
        if libc.syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, rule, 0) != 0:
            raise OSError(ctypes.get_errno(), f"landlock_add_rule {path}")
    finally:
        os.close(target)
