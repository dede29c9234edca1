"""Fixtures that several test files share."""

import os
from pathlib import Path

import pytest

from sapo.runtime.arithmetic import apply

apply("pinned")  # before a test module imports torch or numpy

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real benchmark files: `SAPO_REAL_DATA`, else `shared/data` beside the repository, else skip."""
    named = os.environ.get("SAPO_REAL_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        if named:
            pytest.fail(f"SAPO_REAL_DATA names {folder}, which is no folder")
        pytest.skip("no real benchmark files: set SAPO_REAL_DATA to their folder")
    return folder
