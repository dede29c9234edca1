"""A content-addressed cache of finished work: a folder named by everything that it is made from.

Methods share rounds (RFT is the first round of online RFT; a sweep of eta shares its labels), runs get killed, and one
method's setting changes. A step is given a record of all inputs that it may read; the record, the code that the step's
module imports, library versions and platform are its key, whatever the profile. The folder `runs/.scratch/` may be
deleted at any time. What is in it is there whole or not at all; two processes that want the same one make it once. Long
work leaves finished parts beside it (`parts`), which are found again after a kill and are gone when the whole is there.
"""

import ast
import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from sapo.records import write_json
from sapo.runtime.workspace import digest, environment, replacing

PACKAGE = Path(__file__).resolve().parents[1]
ROOTS = (PACKAGE, PACKAGE.with_name("strict_sandbox"))  # packages whose code is part of keys
INSIDE = "made_from.json"
# Beside costs.json, and never copied to an output: outputs hold nothing that differs from run to run.
SECONDS = ".seconds.json"


NOT_KEY = {"key": False}  # metadata of a field that says where something is, not what it is


def cached(store: Path, inputs: object, make: Callable[[Path], None]) -> Path:
    """The folder made from `inputs`; `make` fills it only if it is not there yet.

    Args:
        inputs: a frozen dataclass of the step's module. It is left in the folder, with all that the key holds, as
            `made_from.json`.
    """
    content = made_from(inputs)
    key = name_of(content)
    final = store / key
    with _locked(store, key):
        if not final.is_dir():
            with replacing(final) as folder:
                make(folder)
                write_json(folder / INSIDE, content)
        shutil.rmtree(_parts(store, key), ignore_errors=True)
    return final


def made_from(inputs: object) -> dict[str, object]:
    """All that a step's key holds, as plain values."""
    step = type(inputs)
    content = {"step": step.__qualname__, "inputs": inputs, "code": code_digest(step.__module__), **environment()}
    return json.loads(json.dumps(content, default=_plain, sort_keys=True))


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
def _locked(store: Path, key: str) -> Iterator[None]:
    """Keep other processes from making the same folder; the lock of a killed process is free again."""
    store.mkdir(parents=True, exist_ok=True)
    with (store / f".{key}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _plain(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: getattr(value, one.name) for one in fields(value) if one.metadata.get("key", True)}
    raise TypeError(f"{value!r} cannot be part of a key")


@lru_cache
def code_digest(module: str) -> str:
    """Of all code of the package that a module imports, directly or not, and of the module itself."""
    lines = [f"{path.relative_to(PACKAGE.parent).as_posix()} {digest(path)}" for path in sorted(code_of(module))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def code_of(module: str) -> set[Path]:
    """The module's file and those of the package that it imports, wherever in the code, and so on."""
    start = module_file(module)
    found, todo = ({start}, [start]) if start else (set[Path](), list[Path]())
    while todo:
        new = imported_files(todo.pop()) - found
        found |= new
        todo += new
    return found


@cache
def imported_files(path: Path) -> frozenset[Path]:
    """Files of the packages that a file imports, or names in a text, as `python -m NAME` does.

    The sandbox starts its own modules by their paths, so that it counts as a whole.
    """
    if path.is_relative_to(ROOTS[1]):
        return frozenset(ROOTS[1].rglob("*.py"))
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)
    return frozenset(file for name in names if (file := module_file(name)))


def module_file(name: str) -> Path | None:
    """File of a dotted name of the packages; a package's own file only if it holds more than a docstring."""
    root, *below = name.split(".")
    home = next((one for one in ROOTS if one.name == root), None)
    if home is None or not all(part.isidentifier() for part in below) or (home == PACKAGE and not below):
        return None
    path = home.joinpath(*below)
    if below and path.with_suffix(".py").is_file():
        return path.with_suffix(".py")
    package = path / "__init__.py"
    return package if package.is_file() and len(ast.parse(package.read_text(encoding="utf-8")).body) > 1 else None
