"""Seeds, folders that appear whole or not at all, digests and manifests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sapo.runtime.workspace import (
    StageArguments,
    Workspace,
    WorkspaceError,
    derive_seed,
    digest,
    environment,
    stage_directory,
    timed,
)


def test_seeds_differ_by_every_name_and_have_63_bits() -> None:
    seeds = [derive_seed(1), derive_seed(2), derive_seed(1, "a"), derive_seed(1, "a", 1), derive_seed(1, "a", "1")]
    seeds += [derive_seed(1, "ab"), derive_seed(1, "a", "b"), derive_seed(1, 11), derive_seed(11, 1)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeds_are_the_same_in_another_process_whatever_its_hash_seed() -> None:
    code = "from sapo.runtime.workspace import derive_seed; import sys; sys.stdout.write(str(derive_seed(3, 'x', 4)))"
    for hash_seed in ("0", "1"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert int(done.stdout) == derive_seed(3, "x", 4)


def test_a_stage_directory_replaces_the_old_one_whole(tmp_path: Path) -> None:
    final = tmp_path / "deep" / "sft"
    for name in ("one", "two"):
        with stage_directory(final) as folder:
            (folder / name).write_text(name, encoding="utf-8")
    assert [path.name for path in final.iterdir()] == ["two"]
    assert [path.name for path in final.parent.iterdir()] == ["sft"]


def test_an_error_leaves_the_old_directory_and_no_leftovers(tmp_path: Path) -> None:
    final = tmp_path / "sft"
    with stage_directory(final) as folder:
        (folder / "old").touch()
    with pytest.raises(KeyboardInterrupt), stage_directory(final) as folder:
        (folder / "half").touch()
        raise KeyboardInterrupt
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["sft", "sft/old"]


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".sft.new.tmp").mkdir()
    (tmp_path / ".sft.new.tmp" / "half").touch()
    (tmp_path / ".other.new.tmp").mkdir()
    with stage_directory(tmp_path / "sft"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.new.tmp", "sft"]


def test_a_digest_sees_names_and_contents_and_nothing_else(tmp_path: Path) -> None:
    for name, file, text in [("a", "x", "1"), ("b", "x", "1"), ("c", "y", "1"), ("d", "x", "2")]:
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(text, encoding="utf-8")
    digests = [digest(tmp_path / name) for name in "abcd"]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    with pytest.raises(WorkspaceError, match="none: no such file or folder"):
        digest(tmp_path / "none")


def test_an_environment_names_versions_without_builds() -> None:
    found = environment()
    assert found == environment()
    versions = found["versions"]
    assert isinstance(versions, dict)
    assert "torch" in versions
    assert not any("+" in version for version in versions.values())


def test_seconds_go_where_outputs_are_not(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "nano")
    with timed(workspace, "sapo", StageArguments("m", "t")):
        pass
    path = tmp_path / "runs" / ".timings" / "nano" / "sapo-m-t.json"
    assert json.loads(path.read_text(encoding="utf-8"))["seconds"] >= 0
    assert not path.is_relative_to(workspace.runs)
