"""Command `questions`: write the embedded questions to `assets/questions/`, byte for byte the same every time.

The committed files are the frozen input of every run; a test compares them with what this writes.
"""

import argparse
import sys
from pathlib import Path

from sapo.records import Question, write_records
from sapo.tasks.catalog import EMBEDDED
from sapo.tasks.task import Split

SEED = 2026
COUNTS: dict[Split, int] = {"train": 2000, "dev": 300, "test": 500}
# Out-of-domain tasks are only evaluated on.
OOD_COUNTS: dict[Split, int] = {"test": 500}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m sapo questions", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("assets/questions"))
    for path in write_questions(parser.parse_args(arguments).folder):
        sys.stdout.write(f"{path}\n")


def write_questions(folder: Path) -> list[Path]:
    """Generate every split of every embedded task; the files written."""
    written = []
    for name, task in EMBEDDED.items():
        for split, count in (OOD_COUNTS if name.endswith("_ood") else COUNTS).items():
            written.append(folder / f"{name}_{split}.jsonl")
            write_records(written[-1], task.generate(split, count, SEED), Question)
    return written
