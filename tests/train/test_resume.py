"""Work that was killed goes on where it was: what a sampler drew is found again, and nothing shows that it was."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from tiny_models import tiny_model

from sapo.models.encoding import Encoder
from sapo.models.nano import build_tokenizer
from sapo.records import Cost, RecordError
from sapo.runtime.cache import cached, parts
from sapo.runtime.workspace import StageArguments
from sapo.sampling.hf_engine import LocalSampler
from sapo.sampling.protocol import Completion, Request, Sampler, Until
from sapo.sampling.resumable import Journal

TEXT = "Ben has 15 coins. Cy has 3 more than Ben.\nCy : Ben + 3\n15 + 3 = 18\nanswer 18\n"
TOKENIZER = build_tokenizer([TEXT], ["Ben", "Cy"])
MODEL = tiny_model("qwen2", len(TOKENIZER))
AT_ONCE, LIMIT = 4, 6
# Calls of 3, 2, 9, 1 and 5 requests in parts of at most 4 are parts of 3 2 | 4 | 4 | 1 1 4 | 1: segments of at least 4.
CALLS = (3, 2, 9, 1, 5)
SEGMENTS = (5, 4, 4, 6)


class Killed(Exception):
    """Stands for SIGKILL: nothing in between catches it."""


@dataclasses.dataclass
class Mortal:
    """A sampler that dies instead of answering request number `fatal`; `answered` counts over all samplers."""

    inner: Sampler
    answered: list[int]
    fatal: int

    def complete(
        self, requests: Sequence[Request], temperature: float, max_new_tokens: int, until: Until | None = None
    ) -> tuple[list[Completion], Cost]:
        if sum(self.answered) + len(requests) > self.fatal:
            raise Killed
        self.answered.append(len(requests))
        return self.inner.complete(requests, temperature, max_new_tokens, until)


def requests(count: int, first: int) -> list[Request]:
    """Prefixes of one text, so that a sampler with a cache of prompts would remember the calls before."""
    steps = TEXT.splitlines(keepends=True)
    return [Request(steps[0], "".join(steps[1 : 1 + n % 3]), 11 * n) for n in range(first, first + count)]


def work(folder: Path, answered: list[int], fatal: int = 1000, calls: Sequence[int] = CALLS) -> list[object]:
    """All calls on a sampler with a cache of prompts; completions and costs."""

    def make() -> Sampler:
        return Mortal(LocalSampler(MODEL, Encoder(TOKENIZER), 2, cached_tokens=1000), answered, fatal)

    journal = Journal(folder, AT_ONCE, make)
    return [journal.complete(requests(count, 10 * number), 1.0, LIMIT) for number, count in enumerate(calls)]


@pytest.mark.parametrize("fatal", range(sum(CALLS)))
def test_a_killed_sampler_goes_on_and_nothing_shows_it(tmp_path: Path, fatal: int) -> None:
    """Segments end at 5, 9, 13 and 19 of 20 requests; what was drawn beyond the last of them is drawn again."""
    whole: list[int] = []
    expected = work(tmp_path / "whole", whole)
    assert sum(whole) == sum(CALLS)
    before: list[int] = []
    with pytest.raises(Killed):
        work(tmp_path / "cut", before, fatal)
    ends = [sum(SEGMENTS[:n]) for n in range(len(SEGMENTS) + 1)]
    saved = max(end for end in ends if end <= sum(before))
    after: list[int] = []
    assert work(tmp_path / "cut", after) == expected
    assert sum(after) == sum(CALLS) - saved
    files = {path.name: path.read_bytes() for path in (tmp_path / "cut").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    assert len(files) == len(SEGMENTS)


def test_work_that_was_done_loads_no_model_and_draws_nothing(tmp_path: Path) -> None:
    """All calls but the last end with a segment."""
    first, again = list[int](), list[int]()
    calls = (4, 8, 3, 1)
    assert work(tmp_path, first, calls=calls) == work(tmp_path, again, fatal=0, calls=calls)
    assert (sum(first), again) == (16, [])


def test_segments_for_other_requests_are_refused(tmp_path: Path) -> None:
    work(tmp_path, [])
    with pytest.raises(RecordError, match=r"000000\.jsonl: drawn for other requests than are made now; delete"):
        work(tmp_path, [], calls=(2, 3))


def test_a_damaged_segment_is_refused_by_name(tmp_path: Path) -> None:
    work(tmp_path, [])
    path = tmp_path / "000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b"rollouts", b"rollouds"))
    with pytest.raises(RecordError, match=r"000001\.jsonl: line 1: SHA-256"):
        work(tmp_path, [])


def test_parts_live_until_the_whole_is_there(tmp_path: Path) -> None:
    """Found by the work with the same content alone; the run that ends well removes them."""

    def die(folder: Path) -> None:
        parts(folder).mkdir()
        (parts(folder) / "half").write_text(json.dumps(1), encoding="utf-8")
        raise Killed

    found: list[list[str]] = []

    def look(folder: Path) -> None:
        found.append([path.name for path in parts(folder).glob("*")])

    with pytest.raises(Killed):
        cached(tmp_path, StageArguments("1"), die)
    cached(tmp_path, StageArguments("2"), look)
    assert [path.suffix for path in tmp_path.iterdir() if path.is_dir() and path.suffix == ".parts"] == [".parts"]
    cached(tmp_path, StageArguments("1"), look)
    assert found == [[], ["half"]]
    assert [path for path in tmp_path.iterdir() if path.suffix in (".parts", ".tmp")] == []
