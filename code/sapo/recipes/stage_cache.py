"""Finished pieces of the stages that judge what methods made, copied to their outputs."""

import shutil
from pathlib import Path

from sapo.runtime.cache import INSIDE, SECONDS


def hand_over(made: Path, folder: Path) -> None:
    """Copy a kept piece into a folder of the stage's output, which may hold others; results alone come along."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(made.iterdir()):
        if file.name not in (INSIDE, SECONDS):
            shutil.copy(file, folder / file.name)
