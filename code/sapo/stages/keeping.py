"""Finished pieces of the stages that judge what methods made, kept by content as the methods' own (methods/kept.py).

What methods make does not depend on code below evaluate/ and stages/, so that their keys leave it out; what these
stages make does, and the digests of that code are part of their keys.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from sapo.engines.opening import engine_name
from sapo.methods.bench import Bench
from sapo.methods.kept import INSIDE, PACKAGE, SECONDS, kept
from sapo.workspace import digest


def keep(
    bench: Bench, piece: str, code: Sequence[str], made_from: Mapping[str, object], make: Callable[[Path], None]
) -> Path:
    """The folder of a piece of a stage's work; `make` fills it only if it is not there yet.

    Args:
        piece: names the kind of work.
        code: files and folders below the package that the piece depends on and `code_digest` leaves out.
        made_from: digests of inputs, seeds and settings besides the limits, the data, the engine and the precision.
    """
    settings = bench.settings
    common = {
        "phase": piece,
        "code of stages": {path.relative_to(PACKAGE).as_posix(): digest(path) for path in modules(code)},
        "limits": bench.limits,
        "data": settings.data,
        "engine": engine_name(settings.engine),
        "computed": [settings.tuning.device, settings.tuning.dtype],
        "rows": settings.sampling.rows,  # costs depend on what a batch reads together
    }
    return kept(bench.store, {**common, **made_from}, make)


def modules(code: Sequence[str]) -> Iterator[Path]:
    """The Python files that names below the package stand for, folders with all that is below them."""
    for name in code:
        path = PACKAGE / name
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def hand_over(made: Path, folder: Path) -> None:
    """Copy a kept piece into a folder of the stage's output, which may hold others; results alone come along."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(made.iterdir()):
        if file.name not in (INSIDE, SECONDS):
            shutil.copy(file, folder / file.name)
