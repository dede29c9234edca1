"""Which text of a completion is judged: layouts of chat and base models, and near misses that must not pass."""

from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from sapo.records import Question
from sapo.tasks.benchmarks import humaneval, mbpp
from sapo.tasks.benchmarks.protocols import PROTOCOLS, describe
from sapo.tasks.catalog import grade_by_protocol, programs_found
from sapo.tasks.program_grading.fences import split_blocks
from sapo.tasks.program_grading.judging import parses
from sapo.tasks.program_grading.program_text import cut_at, read_program, without_tests, without_thinking

TESTS = ("assert double(1) == 2", "assert double(4) == 8", "assert double(0) == 0")
MBPP = Question("m", "Double.\n", "def double(n): return 2 * n", tests=TESTS, entry_point="double")
PROMPT = 'from typing import List\n\n\ndef double(n: int) -> int:\n    """Twice n.\n    >>> double(2)\n    4\n    """\n'
CHECK = "def check(candidate):\n    assert candidate(1) == 2 and candidate(4) == 8\n\ncheck(double)"
HUMANEVAL = Question("h", PROMPT, "    return 2 * n\n", tests=(CHECK,), context=PROMPT, entry_point="double")

GOOD = "def double(n):\n    return 2 * n\n"
BAD = "def double(n):\n    return n\n"


def fenced(code: str, mark: str = "```", info: str = "python") -> str:
    return f"{mark}{info}\n{code}{mark}\n"


# Layouts that both tasks read by the extract rule or the cut rule; every one holds the right program.
LAYOUTS = {
    # fences
    "four backticks": fenced(GOOD, "````"),
    "tildes": f"Sure.\n\n{fenced(GOOD, '~~~')}\nDone.",
    "attributes": fenced(GOOD, info="{.python .numberLines}"),
    "title": fenced(GOOD, info="python title=double.py"),
    "capitals": fenced(GOOD, info="Python3"),
    "markdown around": f"````markdown\nUse it:\n\n{fenced(GOOD)}````\n",
    "in a list": "1. The function:\n   ```python\n   def double(n):\n       return 2 * n\n   ```\n2. Done.",
    "deep in a list": "- a\n    - b\n\n        ```py\n        def double(n):\n            return 2 * n\n        ```\n",
    "in a quotation": "> Answer:\n> ```python\n> def double(n):\n>     return 2 * n\n> ```\n",
    "behind prose": "Here it is: ```python\ndef double(n):\n    return 2 * n\n```",
    "on one line": "```python def double(n): return 2 * n```",
    "on one line, no language": "So: ```def double(n): return 2 * n```\nThat is all.",
    "begins on the fence's line": "```python def double(n):\n    return 2 * n\n```",
    "closed on the last line": "```python\ndef double(n):\n    return 2 * n```\nIt doubles.",
    "never closed": f"The code:\n```python\n{GOOD}",
    "never closed, prose behind": f"```python\n{GOOD}\nThis returns twice the number.\n",
    "never closed before the next": f"```python\n{BAD}\nOr better\n```python\n{GOOD}```\n",
    "closed twice": f"{fenced(GOOD)}```\n",
    "fence in a string": fenced("def double(n):\n    mark = '''\n```\n'''\n    return 2 * n\n"),
    "fence in a docstring": fenced(
        'def double(n):\n    """Use:\n    ```\n    double(2)\n    ```\n    """\n    return 2 * n\n'
    ),
    "quotation marks of an unclosed string before": f'He said """so.\n{fenced(GOOD)}',
    # several blocks
    "formula first": f"Idea:\n```\ny = 2 * n\n```\nCode:\n{fenced(GOOD)}",
    "corrected": f"{fenced(BAD)}Wrong, again:\n{fenced(GOOD)}",
    "use behind": f"{fenced(GOOD)}Use:\n{fenced('print(double(2))' + chr(10))}",
    "output behind": f"{fenced(GOOD)}Output:\n```\n4\n```\n",
    "last one cut off": f"{fenced(GOOD)}Shorter:\n```python\ndef double(n):\n    return (2 *",
    "last one incomplete": f"{fenced(GOOD)}In short:\n```python\ndef double(n):\n    ...)\n```\n",
    "shell first": f"```bash\npip install numpy\n```\n{fenced(GOOD)}",
    # thinking
    "thought": f"<think>\n{BAD}</think>\n{GOOD}",
    "thought with a fence": f"<think>\nMaybe\n{fenced(BAD)}no.\n</think>\n\n{fenced(GOOD)}",
    "thought without a beginning": f"Let me see.\n{fenced(BAD)}\n</think>\n\n{fenced(GOOD)}",
    "two thoughts": f"<think>a</think>\n<think>\n{BAD}</think>\n{GOOD}",
    "reasoning": f"<reasoning>{BAD}</reasoning>\n{fenced(GOOD)}",
    "thought in brackets": f"[THINK]{BAD}[/THINK]{fenced(GOOD)}",
    "tag in a string": "<think>hm</think>\ndef double(n):\n    s = 'a</think>'.split('<think>')\n    return 2 * n\n",
    # prose
    "prose before": f"Here is the function you asked for:\n\n{GOOD}",
    "prose behind": f"{GOOD}\nIt multiplies by two, doesn't it (yes)?\n",
    "prose between": f"import math\nSorry, once more:\n{GOOD}As you can see, it works.\n",
    "formula in prose": f"The formula is simple:\ny = 2 * m\n\n{GOOD}",
    "prose with brackets": f"It's easy (see below:\n{GOOD}",
    "words like statements": f"for example: take n\nfrom the task we see\nif so:\nclass of functions\n{GOOD}",
    "attempt in prose": f"First attempt:\ndef double(n) return n\nFixed:\n{GOOD}",
    "name alone": f"Answer\n{GOOD}Done",
    "markers": f"[BEGIN]\n{GOOD}[DONE]\n",
    "words that are Python": f"Well-known\n{GOOD}- Done\nYes, sure\n",
    "headings": f"# Solution\n\n{GOOD}\n## Explanation\n\n- it doubles\n",
    # sessions
    "session behind": f"{GOOD}>>> double(3)\n6\n",
    "session": ">>> def double(n):\n...     return 2 * n\n...\n>>> double(3)\n6\n",
    "session in a fence": "```pycon\n>>> def double(n):\n...     return 2 * n\n...\n>>> double(3)\n6\n```\n",
    "session without dots": ">>> import math\n>>> def double(n):\n    return 2 * n\n\n>>> double(1)\n2",
    "notebook": "In [1]: def double(n):\n   ...:     return 2 * n\n   ...:\n\nIn [2]: double(1)\nOut[2]: 2\n",
    # marks and line ends
    "byte order mark": f"\ufeff{GOOD}",
    "two marks": f"\ufeff\ufeff\u200b{GOOD}",
    "mark in a fence": fenced(f"\ufeff{GOOD}"),
    "mark before a fence": f"\ufeff{fenced(GOOD)}",
    "line ends of Windows": f"Here:\n{fenced(GOOD)}".replace("\n", "\r\n"),
    "old line ends": GOOD.replace("\n", "\r"),
    "tabs": GOOD.replace("    ", "\t"),
    "tabs and blanks": "def double(n):\n    m = n\n\treturn 2 * m\n",
    # what stands before the function
    "constant": f"TWO = 2\n{GOOD}",
    "import": f"import math\nfrom functools import *\n\n{GOOD}",
    "comment": f"# doubles\n{GOOD}",
    "docstring": f'"""Solution."""\n{GOOD}',
    "decorator": f"import functools\n\n@functools.lru_cache(None)\n{GOOD}",
    "class": f"class Box:\n    two = 2\n\n\n{GOOD}",
    "lambda": "double = lambda n: 2 * n\n",
    "guarded import": f"try:\n    import numpy\nexcept ImportError:\n    numpy = None\n\n{GOOD}",
    "helper behind": "def double(n):\n    return twice(n)\n\n\ndef twice(n):\n    return 2 * n\n",
    "indented by one": f" {GOOD}",
    # strings that hold stops
    "stops in a string": "def double(n):\n    s = '''\n<b>\nprint(1)\ndef x\n# y\nclass\nif'''\n    return 2 * n\n",
    "stop in a constant": f"PAGE = '''\n<html>\nclass\n'''\n{GOOD}",
    # what stands behind it
    "tests behind": f"{GOOD}\nassert double(3) == 6\nprint(double(5))\n",
    "wrong tests behind, in a fence": fenced(f"{GOOD}\nassert double(3) == 7\n"),
    "main guard": f"{GOOD}\nif __name__ == '__main__':\n    print(double(int(input())))\n",
}
PROMPTED = {  # a repeated prompt, as each task has it
    "docstring": f'"""\nDouble.\n{TESTS[0]}\n"""\n{GOOD}',
    "docstring in a fence": fenced(f'"""\nDouble.\n{TESTS[0]}\n"""\n{GOOD}'),
    "signature": f"{PROMPT}    return 2 * n\n",
    "signature in a fence": fenced(f"{PROMPT}    return 2 * n\n"),
    "signature in prose": f"Completed:\n\n{PROMPT}    return 2 * n\n\nThat is it.",
}
CONTINUATIONS = {  # of HumanEval's prompt alone
    "body": "    return 2 * n\n",
    "body and fence": "    return 2 * n\n```\nwords",
    "fence on its last line": "    return 2 * n```",
    "prose behind": "    return 2 * n\n\nThis doubles the number.",
    "prose before": "Sure! Here is the rest:\n\n    return 2 * n\n",
    "in a fence": fenced("    return 2 * n\n"),
    "behind a thought": "<think>twice</think>\n    return 2 * n\n",
    "tab": "\treturn 2 * n\n",
    "string with stops": "    s = '''\ndef\n# a\n'''\n    return 2 * n\n",
    "another function behind": "    return 2 * n\n\ndef g(:\n",
}
MISSES = {
    "wrong": BAD,
    "corrected for the worse": f"{fenced(GOOD)}No:\n{fenced(BAD)}",
    "right in a thought alone": f"<think>\n{GOOD}</think>\n{BAD}",
    "thought that never ends": f"<think>\n{fenced(GOOD)}",
    "right before a thought that never ends is an answer": f"{BAD}\n<think>\n{GOOD}",
    "nothing behind a thought": f"<think>\n{GOOD}</think>\nI cannot say.",
    "another name": "def twice(n):\n    return 2 * n\n",
    "another name in a fence": fenced("def Double(n):\n    return 2 * n\n"),
    "inside a class": "class Solution:\n    def double(self, n):\n        return 2 * n\n",
    "inside a function": f"def solve():\n    {GOOD.replace(chr(10), chr(10) + '    ')}\n",
    "inside a string": f"text = '''\n{GOOD}'''\n",
    "broken": "def double(n)\n    return 2 * n\n",
    "broken helper": f"{GOOD}\ndef helper(:\n    pass\n".replace("2 * n", "helper(n)"),
    "broken helper that is not used, in a fence": fenced(f"{GOOD}\ndef helper(:\n    pass\n"),
    "prose": "The function doubles its argument.",
    "body alone in a fence": fenced("return 2 * n\n"),
    "other language": "```js\nfunction double(n) { return 2 * n }\n```",
    "cut off": "def double(n):\n    return (2 *",
    "ends the process": f"import sys\nsys.exit(0)\n{GOOD}",
    "raises at once": fenced(f"raise ValueError\n{GOOD}"),
}


@pytest.mark.parametrize("task", [(mbpp, MBPP), (humaneval, HUMANEVAL)], ids=["mbpp", "humaneval"])
def test_programs_are_found_in_every_layout(task: tuple[ModuleType, Question]) -> None:
    module, question = task
    texts = LAYOUTS | {f"prompt: {name}": text for name, text in PROMPTED.items()}
    texts |= {f"body: {name}": text for name, text in CONTINUATIONS.items()} if module is humaneval else {}
    verdicts = module.grade([question] * len(texts), list(texts.values()))
    assert {n: v for n, v in zip(texts, verdicts, strict=True) if v != "right"} == {}


@pytest.mark.parametrize("task", [(mbpp, MBPP), (humaneval, HUMANEVAL)], ids=["mbpp", "humaneval"])
def test_near_misses_never_pass(task: tuple[ModuleType, Question]) -> None:
    module, question = task
    verdicts = module.grade([question] * len(MISSES), list(MISSES.values()))
    assert {n: v for n, v in zip(MISSES, verdicts, strict=True) if v == "right"} == {}


def test_the_rule_that_found_a_program_is_told() -> None:
    found = {text: mbpp.read(MBPP, text).found_by for text in (GOOD, fenced(GOOD), "No idea.", "def twice(n): pass")}
    assert list(found.values()) == ["cut", "extract", "none", "none"]
    body = "    return 2 * n\n"
    assert humaneval.read(HUMANEVAL, body).found_by == "cut"
    assert humaneval.read(HUMANEVAL, body).source == PROMPT + body
    assert humaneval.read(HUMANEVAL, fenced(body)).found_by == "extract"


def test_the_cut_rule_alone_reads_continuations_only() -> None:
    texts = [GOOD, f"{GOOD}\nprint(", fenced(GOOD), f"Here:\n{GOOD}"]
    assert mbpp.grade([MBPP] * 4, texts, "cut") == ["right", "right", "unparsable", "unparsable"]
    bodies = ["    return 2 * n\n\nprint(", fenced("    return 2 * n\n"), f"from typing import List\n\n\n{GOOD}"]
    assert humaneval.grade([HUMANEVAL] * 3, bodies, "cut") == ["right", "unparsable", "wrong"]


def test_a_continuation_that_is_a_program_is_judged_though_a_better_one_follows() -> None:
    """As the official rule has it: what base models run on with is no second try."""
    text = f"{BAD}\nprint(double(2))\n{fenced(GOOD)}"
    assert mbpp.read(MBPP, text) == read_program(text, "double", mbpp.STOPS, rule="cut")
    assert mbpp.grade([MBPP], [text]) == ["wrong"]


def test_stops_cut_outside_of_strings() -> None:
    stops = ("\nprint", "\n#")
    assert cut_at("a = 1\nprint(a)", stops) == "a = 1"
    assert cut_at("a = '''\n#\n'''\n# b", stops) == "a = '''\n#\n'''"
    assert cut_at("a = 'it\nprint(a)", stops) == "a = 'it", "a plain string ends with its line"
    assert cut_at('a = """\n# b', stops) == 'a = """', "a string that never closes hides no stop"
    assert cut_at("a = 1", stops) == "a = 1"


def test_where_base_models_may_stop() -> None:
    """Never before what the rule would still read: a fence, a thought, a function behind prose."""
    assert mbpp.answered(f"{GOOD}\nprint(") == len(GOOD)
    assert humaneval.answered("    return 2 * n\n\nprint(") == len("    return 2 * n\n")
    for text in ("Here:\n\nassert", f"<think>{GOOD}\nprint(", f"{fenced(GOOD)}\nprint(", GOOD, "s = '''\nprint("):
        assert mbpp.answered(text) is None
    for text in (f"Here:\n{GOOD}", f"from typing import List\n\n{GOOD}", "    s = 2\n\n\n    return s"):
        assert humaneval.answered(text) is None


def test_blocks_and_what_is_outside() -> None:
    text = "a\n```\nb\n```\nc `d` e\n~~~\nf"
    assert split_blocks(text, parses) == (["b", "f"], "a\n\nc `d` e\n")
    assert split_blocks("- ```\n  b\n  ```", parses) == (["b"], "")
    assert split_blocks("so: ```b```", parses) == (["b"], "so: ")


def test_thinking_goes() -> None:
    assert without_thinking("a<think>b</think>c") == "ac"
    assert without_thinking("<think>a<think>b</think>c</think>\nd") == "\nd"
    assert without_thinking("a\n<think>b") == "a\n"


def test_tests_of_the_author_go_and_lines_stay() -> None:
    source = "x = 1\nprint(\n    x)\ny = 2; print(y)\nassert x\nif __name__ == '__main__':\n    x()\nx.sort()\n"
    assert without_tests(source) == "x = 1\n\n\ny = 2; print(y)\n\n\n\nx.sort()\n"


PIECES = some.sampled_from([
    *("```", "~~~", "````", "```python", "<think>", "</think>", ">>> ", "... ", "> ", "- ", "\n", "\n", "\n    ", " "),
    *("def double(n):", "return n", "class A:", "@x", "import a", "x = (", "'", '"""', "#", "a b", "else:", "print(1)"),
])  # fmt: skip


@settings(max_examples=1000, deadline=None)
@given(some.lists(PIECES, max_size=30).map("".join))
def test_every_text_is_read_and_what_is_found_is_a_program(text: str) -> None:
    for found in (mbpp.read(MBPP, text), humaneval.read(HUMANEVAL, text)):
        assert found.found_by == "none" or parses(found.source)
    assert isinstance(mbpp.normalise(text) + humaneval.normalise(text), str)


LONG = [
    "```\n",
    "x = (\n",
    "x = '''\n",
    "def f(\n",
    "@a\n",
    "(```\n",
    '\\"""',
    "<think>",
    ">>> def f(\n",
    "# a\n",
    "if x:\n",
]


@pytest.mark.parametrize("piece", LONG)
def test_long_texts_of_one_piece_are_read(piece: str) -> None:
    """The longest text that is parsed at all; a reader of quadratic cost would take minutes."""
    assert read_program(piece * (100_000 // len(piece)), "double", mbpp.STOPS).found_by == "none"


def test_the_papers_protocol_judges_by_the_cut_rule_and_the_count_says_what_it_left_out() -> None:
    texts = [GOOD, fenced(GOOD), "No idea."]
    judged = {name: grade_by_protocol(mbpp, [MBPP] * 3, texts, name) for name in PROTOCOLS}
    assert judged["paper"] == ["right", "unparsable", "unparsable"]
    assert judged["standard"] == ["right", "right", "unparsable"]
    assert {name: describe(name)["program_rule"] for name in PROTOCOLS} == {"paper": "cut", "standard": "extract"}
    assert programs_found("mbpp", [MBPP] * 3, texts) == {"cut": 1, "extract": 1, "none": 1}
