"""SHA-256 pins of the embedded inputs: `assets/` is their source in git, DVC brings it to `data/`, this checks it.

`python -m sapo pin-assets` accepts what `assets/` holds now: it rewrites code/sapo/runtime/pins.json and data.dvc.
"""

import subprocess
import sys
from pathlib import Path

from sapo.records import read_plain_json, write_plain_json
from sapo.runtime.workspace import WorkspaceError, digest

PINS = Path(__file__).with_name("pins.json")


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below `folder`, by its path inside it."""
    if not folder.is_dir():
        raise WorkspaceError(f"{folder}: no such folder; `dvc repro` makes it")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): digest(path) for path in files}


def verify(folder: Path, pins: Path = PINS) -> dict[str, str]:
    """Check every file below `folder` against its pin and return the digests.

    Raises:
        WorkspaceError: files are missing, added or changed; the message names each with both hashes.
    """
    expected = read_plain_json(pins)
    found = digests(folder)
    wrong = [
        f"{folder / name}: SHA-256 is {found.get(name, '(no such file)')}, pinned {expected.get(name, '(not pinned)')}"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]
    if wrong:
        wrong.append(
            f"restore assets/, data.dvc and {pins} from git, or accept the change with `python -m sapo pin-assets`"
        )
        raise WorkspaceError("\n  ".join(wrong))
    return found


def pin_assets(root: Path) -> int:
    """Accept what `assets/` holds: rewrite the pins, and data.dvc by DVC. Returns the number of pinned files."""
    found = digests(root / "assets")
    write_plain_json(PINS, found)
    if (root / "data.dvc").is_file():
        _dvc(root, "repro", "data.dvc")
    else:
        _dvc(root, "import-url", "assets", "data")
        _dvc(root, "unfreeze", "data.dvc")
    return len(found)


def _dvc(root: Path, *arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root)
    if done.returncode:
        raise WorkspaceError(f"{root / 'data.dvc'}: `dvc {' '.join(arguments)}` failed, see above")
