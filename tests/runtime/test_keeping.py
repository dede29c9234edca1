"""What stages behind the methods keep comes out as results alone."""

from pathlib import Path

from sapo.recipes.stage_cache import hand_over
from sapo.records import write_text
from sapo.runtime.cache import cached
from sapo.runtime.workspace import StageArguments


def test_results_alone_join_what_is_in_the_output(tmp_path: Path) -> None:
    output = tmp_path / "1" / "sapo"
    for number in range(2):

        def make(folder: Path, number: int = number) -> None:
            for name in (f"{number}.json", "costs.json", ".seconds.json"):
                write_text(folder / name, str(number))

        hand_over(cached(tmp_path / "store", StageArguments(str(number)), make), output)
    assert sorted(path.name for path in output.iterdir()) == ["0.json", "1.json", "costs.json"]
