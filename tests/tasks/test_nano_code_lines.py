"""The interpreter of nano-code lines: it never runs anything, and refuses all that is outside the language."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sapo.tasks.nano import nano_code
from sapo.tasks.nano.nano_code_lines import LineError, Scope, run_line

XS = [3, 8, 4]
QUESTION = nano_code.generate("train", 1, 1)[0]


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("ys = xs[1:]", "ys", [8, 4]),
        ("    xs = xs[:-1]\n", "xs", [3, 8]),
        ("return xs[-1] if xs else 0", "return", 4),
        ("return max([], default=0)", "return", 0),
        ("n = len(xs) * 2 - 7 % 4 // 2", "n", 5),  # 3 · 2 - (7 % 4) // 2 = 6 - 1
        ("xs = [x * x for x in xs if x > 3 if x < 8]", "xs", [16]),
        ("xs = sorted(xs, reverse=True)", "xs", [8, 4, 3]),
        ("xs = list(reversed(xs)) + [0]", "xs", [4, 8, 3, 0]),
        ("return sum([y for y in reversed(xs)])", "return", 15),
        ("return xs == [3, 8, 4]", "return", True),
        ("xs = [min(x, abs(-5)) for x in xs]", "xs", [3, 5, 4]),
    ],
)
def test_lines_are_run(line: str, name: str, value: object) -> None:
    assert run_line(line, {"xs": list(XS)}) == (name, value)


@pytest.mark.parametrize(
    ("line", "value"),
    [("xs.sort()", [3, 4, 8]), ("    xs.sort(reverse=True)\n", [8, 4, 3]), ("xs.reverse()", [4, 8, 3])],
)
def test_a_list_changed_in_place_is_changed_under_all_its_names(line: str, value: list[int]) -> None:
    xs = list(XS)
    scope: Scope = {"xs": xs, "ys": xs, "copy": list(XS)}
    assert run_line(line, scope) == ("xs", value)
    assert scope == {"xs": value, "ys": value, "copy": XS} and scope["xs"] is xs


@pytest.mark.parametrize(
    "line",
    [
        "xs = xs.copy()",
        "xs = xs.sort()",
        "xs.sort(key=abs)",
        "xs.sort(1)",
        "xs.reverse(reverse=True)",
        "xs.append(1)",
        "zs.sort()",
        "n.sort()",
        "sum.sort()",
        "xs.sort().reverse()",
        "xs.sort",
        "sorted(xs)",
        "xs = ().__class__.__bases__",
        "return __import__('os')",
        "return open('x')",
        "return eval('1')",
        "xs = (lambda: 1)()",
        "xs = 2 ** 100000",
        "xs = 'a' * 10**9",
        "xs = xs * 1000000",
        "xs = 99999999 * 99999999",
        "xs = " + "9" * 40,
        "xs = " + "9" * 5000,
        "xs = " + " + ".join(["xs"] * 400),
        "xs = " + "-" * 900 + "1",
        "xs = " + "[" * 90 + "]" * 90,
        "xs = [[x] for x in xs]",
        "xs = [xs, xs]",
        "xs = reversed(xs)",
        "xs = [x for x in xs for y in xs]",
        "xs = [x async for x in xs]",
        "xs = sorted(xs, key=abs)",
        "xs = sorted(xs, reverse=10**30)",
        "xs = sorted(xs, reverse=1" + "0" * 30 + ")",
        "xs = sorted(xs, **{})",
        "xs = sorted(*xs)",
        "sum = sum(xs)",
        "xs += [1]",
        "xs: int = 1",
        "x = y = 1",
        "x, y = xs",
        "xs = 1; xs = 2",
        "xs = 1\rdef g(): pass",
        "xs = xs[9]",
        "xs = 1 // 0",
        "xs = 1 % 0",
        "xs = xs[::0]",
        "xs = zs",
        "xs = None",
        "xs = 1.5",
        "xs = (yield)",
        "return",
        "",
        "# nothing",
        "xs = \udcff",
        "xs = \0",
        "import os",
    ],
)
def test_lines_outside_the_language_are_refused(line: str) -> None:
    with pytest.raises(LineError):
        run_line(line, {"xs": list(XS), "n": 2})


@pytest.mark.parametrize("depth", [2, 5, 9])
def test_nested_comprehensions_run_out_of_steps(depth: int) -> None:
    """A sum of sums of sums … over 1,000 numbers each would take 1,000^depth steps: without end."""
    inner = "x"
    for _ in range(depth):
        inner = f"sum([{inner} for x in xs])"
    with pytest.raises(LineError, match="too many steps"):
        run_line(f"return {inner}", {"xs": list(range(1000))})


def test_lists_stay_bounded_from_line_to_line() -> None:
    scope: Scope = {"xs": [1] * 600}
    with pytest.raises(LineError, match="too long"):
        run_line("xs = xs + xs", scope)


WORDS = (
    "xs = [ ] ( ) x for in if else sorted sum reversed max , reverse=True default=0 : - * % // + == < 0 3 "
    ".sort() .reverse() return . ' ** lambda not and is \t \n \r # \\ é ² 9999999999 def f(xs): yield async await"
)
PIECES = st.sampled_from(WORDS.split(" "))


@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(st.lists(PIECES, max_size=14).map(" ".join), st.text(max_size=40)),
    st.sampled_from(["", "xs = ", "return "]),
)
def test_no_text_raises_anything_but_line_errors(text: str, start: str) -> None:
    """Fuzzed lines either give a number or a flat list of numbers, or LineError; the truth of a step always exists."""
    line = start + text
    try:
        _, value = run_line(line, {"xs": list(XS)})
        assert isinstance(value, int) or all(isinstance(item, int) for item in value)
    except LineError:
        pass
    steps = [nano_code.SIGNATURE, *nano_code.split(f"    {line}\n")]
    assert len(nano_code.step_truth(QUESTION, steps)) == len(steps)
