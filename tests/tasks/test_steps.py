"""Steps join to the text they came from, hold whole statements, and are not cut inside tokens."""

import io
import tokenize
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from sapo.records import Question
from sapo.tasks.benchmarks import gsm8k, hendrycks_math, humaneval, mbpp, mmlu_math
from sapo.tasks.steps import split_code, split_lines
from sapo.tasks.task import DataSource

# The split pattern of Qwen 2.5's tokenizer; Llama 3's differs in the number of digits only.
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
FRAGMENTS = st.one_of(
    st.sampled_from("\n \t\r\\#'\"()[]{}x8,:\u2028\x0c\x85\x1cé"),
    st.sampled_from(["\r\n", "    ", "\\\n", "# a", '"""', "'''", "x = 1", "if x:", "return", "#### 18", "f'{x}'"]),
)
TEXTS = st.one_of(st.text(max_size=40), st.lists(FRAGMENTS, max_size=25).map("".join))


@settings(max_examples=10_000, deadline=None)
@given(TEXTS)
def test_any_text_is_its_steps_joined(text: str) -> None:
    for split in (split_lines, split_code):
        steps = split(text)
        assert "".join(steps) == text
        assert all(steps)
        assert all(step.strip() for step in steps) or len(steps) == 1
        assert bool(steps) == bool(text)


def test_maths_steps_are_lines_with_blank_lines_attached() -> None:
    text = "\n\nA is 3.\n\n  \nB is 4.\n#### 7\n\n"
    assert split_lines(text) == ("\n\nA is 3.\n\n  \n", "B is 4.\n", "#### 7\n\n")
    assert split_lines("one") == ("one",)
    assert split_lines("") == ()


def test_code_steps_end_statements() -> None:
    head = "# sums\ndef f(a,\n      b):\n"
    docstring = '    """Add.\n\n    Two.\n    """\n'
    body = "    c = a + \\\n        b  # (\n\n"
    last = "    return {\n        'x': c,\n    }['x']\n# end\n"
    assert split_code(head + docstring + body + last) == (head, docstring, body, last)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("x = (1,\ny = 2\nz = 3\n", 1),  # never closed: no statement ends
        ("x = 'a\ny = 2\n", 2),  # a plain string ends with its line
        ("x = '''a\ny = 2\n", 1),
        ("x = 1)\ny = 2\n", 2),  # a bracket too many is no bracket
        ("x = '\\\ny'\nz = 2\n", 2),
        ("s = '#'\nt = \"it's\"\n", 2),
        ("# only\n# comments\n", 1),
        ("x = 1\n# tail", 1),
        ("if x:\r\n    y = 1\r\n", 2),
    ],
)
def test_code_steps_of_odd_texts(text: str, count: int) -> None:
    assert len(split_code(text)) == count


@settings(max_examples=1000, deadline=None)
@given(TEXTS)
def test_no_pre_token_of_any_text_lies_across_a_cut(text: str) -> None:
    pieces = pre_tokenizers.Split(Regex(QWEN), "isolated").pre_tokenize_str(text)
    ends = {end for _, (_, end) in pieces}
    for split in (split_lines, split_code):
        position = 0
        for step in split(text):
            position += len(step)
            assert position in ends


@pytest.fixture(scope="module")
def solutions(real_data: Path) -> dict[str, list[Question]]:
    source = DataSource(real_data, protocol="standard")
    return {
        "gsm8k": gsm8k.load("train", source) + gsm8k.load("dev", source) + gsm8k.load("test", source),
        "math": hendrycks_math.load("test", source),
        "mmlu_math": mmlu_math.load("test", source),
        "mbpp": mbpp.load("train", source) + mbpp.load("dev", source) + mbpp.load("test", source),
        "humaneval": humaneval.load("test", source),
    }


def test_every_gold_solution_is_its_steps_joined(solutions: dict[str, list[Question]]) -> None:
    for task in (gsm8k, hendrycks_math, mmlu_math, mbpp, humaneval):
        for question in solutions[task.NAME]:
            assert "".join(task.split(question.solution)) == question.solution


def test_cuts_of_gold_programs_are_where_python_ends_its_statements(solutions: dict[str, list[Question]]) -> None:
    """Python's own tokenizer gives the lines that end a statement; a step ends on each of them and nowhere else."""
    for question in solutions["mbpp"]:
        steps = mbpp.split(question.solution)
        tokens = tokenize.generate_tokens(io.StringIO(question.solution).readline)
        ends = [token.start[0] for token in tokens if token.type == tokenize.NEWLINE]
        lines, cut_lines = 0, []
        for step in steps:
            inked = max(n for n, line in enumerate(step.split("\n"), 1) if line.strip() and line.strip()[0] != "#")
            cut_lines.append(lines + inked)
            lines += step.count("\n")
        assert cut_lines == ends, question.id


def test_no_token_of_a_byte_level_tokenizer_lies_across_a_cut(solutions: dict[str, list[Question]]) -> None:
    """Every cut is an end of a token, so a step's prefix encodes to a prefix of the text's tokens."""
    texts = [
        (task, question.solution)
        for task in (gsm8k, hendrycks_math, mbpp, humaneval)
        for question in solutions[task.NAME][::6]
    ]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # pyright: ignore[reportAttributeAccessIssue]
        [pre_tokenizers.Split(Regex(QWEN), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=2000, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([text for _, text in texts], trainer)
    for task, text in texts:
        encoding = tokenizer.encode(text)
        ends = {end for _, end in encoding.offsets}
        position = 0
        for step in task.split(text):
            position += len(step)
            assert position in ends
            assert tokenizer.encode(text[:position]).ids == encoding.ids[: len(tokenizer.encode(text[:position]).ids)]
