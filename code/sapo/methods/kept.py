"""Work that is done once: a folder named by everything that it is made from.

Methods share rounds (RFT is the first round of online RFT; a sweep of eta shares its labels), runs get killed, and one
method's setting changes. What has been made from the same settings, seeds, inputs and code is found again below
`runs/.scratch/`, whatever the profile. That folder may be deleted at any time. What is in it is there whole or not at
all; two processes that want the same one make it once. Long work leaves finished parts beside it (`parts`), which are
found again after a kill and are gone when the whole is there.
"""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sapo.records import write_json
from sapo.workspace import digest, environment, replacing

PACKAGE = Path(__file__).resolve().parents[1]
# Code below these folders and files never changes what a method makes.
IRRELEVANT = ("report", "stages", "cli", "evaluate", "plan", "__main__.py", "configure.py", "pins.py", "progress.py")
INSIDE = "made_from.json"
# Beside costs.json, and never copied to an output: outputs hold nothing that differs from run to run.
SECONDS = ".seconds.json"


def kept(store: Path, made_from: Mapping[str, object], make: Callable[[Path], None]) -> Path:
    """The folder made from `made_from`; `make` fills it only if it is not there yet.

    Args:
        made_from: settings sections, seeds, and the digests of inputs; the code's digest, library versions and
            platform are added, and all of it is left in the folder as `made_from.json`.
    """
    content = json.loads(
        json.dumps({**made_from, "code": code_digest(), **environment()}, default=_plain, sort_keys=True)
    )
    key = name_of(content)
    final = store / key
    with _alone(store, key):
        if not final.is_dir():
            with replacing(final) as folder:
                make(folder)
                write_json(folder / INSIDE, content)
        shutil.rmtree(_parts(store, key), ignore_errors=True)
    return final


def parts(folder: Path) -> Path:
    """Where finished parts of the work that makes `folder` (what `make` was given) survive a kill."""
    return _parts(folder.parent, folder.name.removeprefix(".").split(".")[0])


def training(folder: Path) -> Path:
    """Where the one training run of the work that makes `folder` leaves its checkpoint."""
    return parts(folder) / "training"


def _parts(store: Path, key: str) -> Path:
    return store / f".{key}.parts"


def name_of(content: Mapping[str, object]) -> str:
    """Name of the folder whose `made_from.json` holds `content`."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


@contextmanager
def _alone(store: Path, key: str) -> Iterator[None]:
    """Keep other processes from making the same folder; the lock of a killed process is free again."""
    store.mkdir(parents=True, exist_ok=True)
    with (store / f".{key}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _plain(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{value!r} cannot be part of a key")


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Of the code that methods run, so that a change to it makes everything anew."""
    lines = [f"{path.relative_to(PACKAGE.parent).as_posix()} {digest(path)}" for path in relevant_code()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def relevant_code() -> list[Path]:
    """Modules that what a method makes may depend on."""
    own = [p for p in sorted(PACKAGE.rglob("*.py")) if p.relative_to(PACKAGE).parts[0] not in IRRELEVANT]
    return own + sorted(PACKAGE.with_name("strict_sandbox").rglob("*.py"))
