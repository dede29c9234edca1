"""A clone whose git writes CRLF line ends (`core.autocrlf=true`, the default on Windows) holds the pinned bytes."""

from pathlib import Path

from clone import copy_tree, run

from sapo.runtime.pins import verify


def test_a_clone_with_autocrlf_has_the_committed_bytes(tmp_path: Path) -> None:
    copy_tree(made := tmp_path / "made")
    run(tmp_path, "git", "clone", "-q", "-c", "core.autocrlf=true", str(made), "clone")
    clone = tmp_path / "clone"
    assert verify(clone / "assets", clone / "code/sapo/runtime/pins.json")
    names = run(made, "git", "ls-files", "-z").split("\0")
    changed = [name for name in names if name and (made / name).read_bytes() != (clone / name).read_bytes()]
    assert changed == []
    assert run(clone, "git", "status", "--porcelain") == ""
