"""A process's own folder in the system's temporary one; those of dead processes are removed by whoever comes next.

Ownership is a lock on the folder itself: the system lets go of it when the process ends, however it ends.
"""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "sapo-own-"


class OwnFolder:
    """An empty folder until `close`. A forked child may not use it, and its `close` there does nothing."""

    def __init__(self) -> None:
        remove_dead()
        self._process = os.getpid()
        self.path, self._lock = _make()

    def close(self) -> None:
        """Remove the folder with what is in it."""
        if self._process == os.getpid() and self._lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1


def _make() -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
        with suppress(FileNotFoundError):  # another process took it for a dead one's, before the lock
            lock = _opened(path)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                return path, lock
            os.close(lock)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def remove_dead() -> None:
    """Remove this user's folders whose processes have ended, and no others."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # another user's, or no folder, or gone meanwhile
            lock = _opened(path)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(lock).st_uid == os.geteuid():
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)
