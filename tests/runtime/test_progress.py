"""Progress off a terminal: a line every ten seconds, a line at the end, rates of the whole block."""

import io

import pytest

from sapo.runtime.progress import Progress, track


def test_lines_come_every_ten_seconds_with_rate_and_time_to_go() -> None:
    """4 s a batch of 20: at 12 s 60 of 200 are done, 5 a second, 140/5 = 28 s to go; at 24 s 120, 80/5 = 16 s."""
    now, stream = [0.0], io.StringIO()
    with Progress("sft m t", 200, stream=stream, clock=lambda: now[0]) as progress:
        for _ in range(10):
            now[0] += 4.0
            progress.advance(20)
    assert stream.getvalue().splitlines() == [
        "sft m t: 60/200 samples, 5.0 samples/s, ETA 0:28",
        "sft m t: 120/200 samples, 5.0 samples/s, ETA 0:16",
        "sft m t: 180/200 samples, 5.0 samples/s, ETA 0:04",
        "sft m t: 200/200 samples, 5.0 samples/s, took 0:40",
    ]


def test_track_gives_every_item_and_writes_to_stderr_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track([3, 1, 2], "round 1")) == [3, 1, 2]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("round 1: 3/3 samples")


def test_a_terminal_gets_a_bar() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with Progress("sft m t", 2, stream=stream) as progress:
        progress.advance(2)
    assert "sft m t" in stream.getvalue()
    assert "2/2" in stream.getvalue()


def test_items_without_a_length_need_a_total() -> None:
    with pytest.raises(TypeError, match="round 1: generator has no length"):
        list(track((i for i in range(2)), "round 1"))
