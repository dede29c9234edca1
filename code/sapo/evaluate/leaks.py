"""Whether a test question is in what reasoners and verifiers learn from, word for word or written a little otherwise.

1. A question's statement is its prompt without the layout of prompts and without asserts, which MBPP shows in part.
2. Folded, a text is its words and operators in lower case: case, white space, punctuation and the Unicode form do not
   count; `x + 1` and `x - 1` stay two questions.
3. A training question leaks when its statement is that of a test question, as it is or folded. Any other text leaks
   when a test question's folded statement of at least `LONG` words stands in it; shorter ones stand in texts by chance.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from sapo.records import BadInput, Question

LONG = 12
SHOWN = 5  # leaks that a message names
_LAYOUT = ('"""', "Answer:")
_TOKEN = re.compile(r"\w+|[+*/=<>^%]|(?<![^\W\d_])-")  # a hyphen after a letter joins words

Form = Literal["word for word", "folded", "inside the text"]


class LeakError(BadInput):
    """A test question is in a training file; the message names question, file and line."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Test question `test` is what `where` (file and line) holds."""

    test: str
    form: Form
    where: str

    def __str__(self) -> str:
        return f"{self.where} holds test question {self.test} ({self.form})"


def statement(question: Question) -> str:
    """What is asked, without layout and asserts.

    >>> statement(Question("t", "Question: How many?\\nAnswer:\\n", "3"))
    'How many?'
    """
    lines = [line for line in question.prompt.split("\n") if line.strip() not in (*_LAYOUT, *question.tests)]
    return "\n".join(lines).removeprefix("Question: ").strip()


def folded(text: str) -> str:
    """The text's words and operators, one blank between them.

    >>> folded("Twenty-five  APPLES, x^2 - 1!")
    'twenty five apples x ^ 2 - 1'
    """
    return " ".join(_TOKEN.findall(unicodedata.normalize("NFKC", text).casefold()))


class Held:
    """Test questions that nothing may be trained on, indexed by what they say; `count` of them."""

    def __init__(self, questions: Iterable[Question]) -> None:
        self.ids: set[str] = set()
        self._exact: dict[str, str] = {}
        self._folded: dict[str, str] = {}
        self._long: dict[tuple[str, ...], list[tuple[list[str], str]]] = defaultdict(list)
        for question in questions:
            self._add(question)

    def _add(self, question: Question) -> None:
        said = statement(question)
        self.ids.add(question.id)
        self._exact.setdefault(said, question.id)
        if folded(said) in self._folded:
            return  # another prompt of the same question
        self._folded[folded(said)] = question.id
        words = folded(said).split(" ")
        if len(words) >= LONG:
            self._long[tuple(words[:LONG])].append((words, question.id))

    @property
    def statements(self) -> int:
        """How many different questions there are; MBPP asks one under several prompts."""
        return len(self._folded)

    @property
    def searched(self) -> int:
        """How many of them are long enough to be looked for inside other texts."""
        return sum(len(found) for found in self._long.values())

    def asked_by(self, question: Question, where: str) -> Leak | None:
        """The leak that a training question is, if it is one."""
        said = statement(question)
        if said in self._exact:
            return Leak(self._exact[said], "word for word", where)
        found = self._folded.get(folded(said))
        return Leak(found, "folded", where) if found else None

    def inside(self, text: str, where: str) -> Leak | None:
        """The first test question that stands in a text, if one does."""
        words = folded(text).split(" ")
        for start in range(len(words) - LONG + 1):
            for sought, name in self._long.get(tuple(words[start : start + LONG]), ()):
                if words[start : start + len(sought)] == sought:
                    return Leak(name, "inside the text", where)
        return None


def refuse(leaks: Sequence[Leak]) -> None:
    """Raise LeakError naming the first leaks, if there are any."""
    if leaks:
        more = f"; and {len(leaks) - SHOWN} more" if len(leaks) > SHOWN else ""
        raise LeakError("; ".join(str(leak) for leak in leaks[:SHOWN]) + more)
