"""A control group with little memory: what is in it and needs more is killed by the system, and nothing beside it."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from attacks.box import LAST, end_group

# Version 1 of control groups, and the places where version 2 may be.
PLACES = {
    Path("/sys/fs/cgroup/memory"): ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
    Path("/sys/fs/cgroup"): ("memory.max", "memory.swap.max"),
    Path("/sys/fs/cgroup/unified"): ("memory.max", "memory.swap.max"),
}


@contextlib.contextmanager
def little_memory(limit: int) -> Iterator[Path]:
    """A group that holds `limit` bytes; a process enters by its number in `cgroup.procs`. Skips where none can be."""
    found = next(_writable(), None)
    if found is None:
        pytest.skip("no control group here limits memory")
    root, (memory, swap) = found
    group = Path(tempfile.mkdtemp(prefix="sapo-memory-", dir=root))
    try:
        (group / memory).write_text(str(limit))
        if (group / swap).exists():  # with the rest on disk, nothing would be killed
            (group / swap).write_text("0" if swap == "memory.swap.max" else str(limit))
        yield group
    finally:
        end_group(group, LAST)


def _writable() -> Iterator[tuple[Path, tuple[str, str]]]:
    for root, files in PLACES.items():
        controllers = root / "cgroup.subtree_control"
        limits = root.name == "memory" or (controllers.is_file() and "memory" in controllers.read_text().split())
        if limits and os.access(root, os.W_OK) and (root / "cgroup.procs").exists():
            yield root, files
