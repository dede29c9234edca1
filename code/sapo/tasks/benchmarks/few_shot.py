"""Worked examples of our own writing for few-shot prompts, and the layout of prompts.

Both maths and code prompts end with a line break, so that no token spans prompt and completion.
"""

from collections.abc import Sequence

from sapo.records import RecordError

# (question, rationale); the final line is what the graders read.
MATHS: tuple[tuple[str, str], ...] = (
    (
        "A tram carries 24 people. At the first stop 9 leave and 5 board. At the second stop half of the people "
        "leave. How many people are on the tram then?",
        "After the first stop there are 24 - 9 + 5 = 20 people on the tram.\n"
        "Half of them leave at the second stop, which is 20 / 2 = 10.\n"
        "So 20 - 10 = 10 people are left.\n#### 10",
    ),
    (
        "A printer makes 12 pages a minute. How many minutes do 3 books of 80 pages each take?",
        "The books have 3 * 80 = 240 pages together.\nThe printer needs 240 / 12 = 20 minutes.\n#### 20",
    ),
    (
        "Ines saves $4 a week for 15 weeks and buys a lamp for $37 from it. How much money does she keep?",
        "Ines saves 4 * 15 = $60.\nAfter buying the lamp she keeps 60 - 37 = $23.\n#### 23",
    ),
    (
        "A garden bed is 6 meters long and 3.5 meters wide. Soil for one square meter costs $8. "
        "What does the soil for the bed cost?",
        "The bed has an area of 6 * 3.5 = 21 square meters.\nThe soil costs 21 * 8 = $168.\n#### 168",
    ),
    (
        "Of 150 letters, 40% are bills and a third of the other ones are cards. How many letters are cards?",
        "There are 150 * 40 / 100 = 60 bills.\nThe other letters are 150 - 60 = 90.\n"
        "A third of them are cards, 90 / 3 = 30.\n#### 30",
    ),
    (
        "Omar runs 3 km on Monday and each day 2 km more than the day before. How far does he run from Monday to "
        "Thursday in total?",
        "He runs 3 km on Monday, 3 + 2 = 5 km on Tuesday, 5 + 2 = 7 km on Wednesday and 7 + 2 = 9 km on Thursday.\n"
        "In total he runs 3 + 5 + 7 + 9 = 24 km.\n#### 24",
    ),
    (
        "Lea is three times as old as Tim. In 6 years she will be twice as old as he will be. How old is Tim now?",
        "Let Tim be t years old, then Lea is 3t.\nIn 6 years 3t + 6 = 2(t + 6) = 2t + 12.\nSo t = 12 - 6 = 6.\n#### 6",
    ),
    (
        "A baker fills 7 trays with 18 rolls each and sells 95 rolls. The others go into bags of 4, and what does not "
        "fill a bag is eaten. How many rolls are eaten?",
        "The baker makes 7 * 18 = 126 rolls.\nAfter the sale 126 - 95 = 31 rolls are left.\n"
        "They fill 7 bags, since 7 * 4 = 28.\nSo 31 - 28 = 3 rolls are eaten.\n#### 3",
    ),
)

# (task, asserts, program)
CODE: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "Write a function to count how many numbers of a list are larger than their left neighbour.",
        ("assert count_rises([1, 3, 2, 5]) == 2", "assert count_rises([]) == 0", "assert count_rises([4, 4]) == 0"),
        "def count_rises(numbers):\n    return sum(b > a for a, b in zip(numbers, numbers[1:]))\n",
    ),
    (
        "Write a function to join the first letters of the words of a text in capitals.",
        (
            "assert initials('open source tool') == 'OST'",
            "assert initials('') == ''",
            "assert initials(' one  two') == 'OT'",
        ),
        "def initials(text):\n    letters = [word[0].upper() for word in text.split()]\n    return ''.join(letters)\n",
    ),
    (
        "Write a function to find the smallest multiple of n that is not below a limit.",
        ("assert next_multiple(7, 20) == 21", "assert next_multiple(5, 25) == 25", "assert next_multiple(3, 1) == 3"),
        "def next_multiple(n, limit):\n    rest = limit % n\n    if rest == 0:\n        return limit\n"
        "    return limit + n - rest\n",
    ),
)


def maths_prompt(question: str, shots: int) -> str:
    """Prompt of a maths task with `shots` examples before it. Raises RecordError where there are not so many."""
    _check(shots, MATHS)
    examples = [f"Question: {asked}\nAnswer:\n{rationale}\n\n" for asked, rationale in MATHS[:shots]]
    return "".join(examples) + f"Question: {question}\nAnswer:\n"


def code_prompt(task: str, asserts: Sequence[str], shots: int) -> str:
    """Prompt of an MBPP task that shows `asserts`, with `shots` examples before it. Raises RecordError as above."""
    _check(shots, CODE)
    examples = [_docstring(asked, tests[: len(asserts)]) + program + "\n" for asked, tests, program in CODE[:shots]]
    return "".join(examples) + _docstring(task, asserts)


def _docstring(task: str, asserts: Sequence[str]) -> str:
    return "\n".join(['"""', task, *asserts, '"""', ""])


def _check(shots: int, examples: Sequence[object]) -> None:
    if not 0 <= shots <= len(examples):
        raise RecordError(f"shots is {shots}; there are {len(examples)} worked examples")
