r"""Final answers of maths completions and numbers, read strictly: the whole answer is a number or it is none.

Extraction, first rule that applies, on the text before a run-on `Question:` line:
1. the last line that begins with `####`: all behind it;
2. the last balanced `\boxed{…}`: its content;
3. the last `the answer is` (or `final answer is`, `answer:`), any case: from there to the end of the sentence.

Numbers are exact (`int` or `Fraction`, never float, never eval): `1,000` is 1000 and `1.000` is 1; `50%` is 1/2 and
not 50; units, currency signs and further words do not count (`$18`, `18 dollars a day`), unless they change the
value (`3 million`) or might (`3 and a half`, `2 dozen`, `18 or 8`): then it is no number.
"""

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import lru_cache

from sapo.records import BadInput, Verdict

Number = int | Fraction

MAX_ANSWER = 1200  # characters; longer answers are equal to the gold as text or unparsable
MAX_EXPONENT = 400
MAX_ATTEMPTS = 16  # boxes without an end before the search for one with an end is given up

_RUN_ON_MARKS = ("Question:", "Problem:", "Q:")  # looked for first: the pattern takes longer
_RUN_ON = re.compile(r"\n[ \t]*(?:Question|Problem|Q):")
_ANSWER_IS = re.compile(r"\b(?:the|final)\s+answer\s+is\b:?|\banswer:", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\.(?=\s|$)|\n")

_DIGITS = r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[0-9]+)"
_DECIMAL = rf"(?:{_DIGITS}(?:\.[0-9]+)?|\.[0-9]+)"
_NUMBER = re.compile(
    rf"(?P<sign>[-+]?) ?(?P<money>[$€£¥] ?)?(?P<sign2>-?)(?P<whole>{_DECIMAL})"
    rf"(?:(?P<mixed> [0-9]+)? ?/ ?(?P<under>{_DIGITS})"
    r"|[eE](?P<e>[-+]?[0-9]{1,4})"
    r"| ?(?:[x×*]|\\times|\\cdot) ?10(?:\^|\*\*)(?:\{(?P<p>-?[0-9]{1,4})\}|(?P<q>-?[0-9]{1,4})))?"
    r"(?P<rest>.*)",
    re.DOTALL,
)
_PLAIN = re.compile(r"-?[0-9]+")
_PERCENT = re.compile(r" ?(?:\\?%|percent\b|per cent\b)")
_SCALE = re.compile(r" (hundred|thousand|million|billion|trillion)\b", re.IGNORECASE)
_SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_ATTACHED = re.compile(
    r"°[CF]?|[$€£¥¢]|(?:mm|cm|km|m|mg|kg|g|lbs?|oz|ft|in|yds?|mi|mph|kph|ml|mL|L|hrs?|h|mins?|secs?|s|am|pm|a\.m|p\.m)"
    r"(?:²|³|\^?[23])?(?![A-Za-z0-9^])"
)
_WORDS = re.compile(r"[,;]?(?:[ /-]+\(?[A-Za-z'’.²³°]+(?:\^[23])?[),;]*|[ ]?[$€£¥¢])*[.!]?")
_WORD = re.compile(r"[A-Za-z]+")
_UNIT_LETTERS = frozenset("aCFgGhKlLmMpsVW")
_CHANGING = """
and or to not no times plus minus divided over out dozen dozens half halves third thirds quarter quarters
fourth fourths fifth fifths sixth sixths eighth eighths tenth tenths hundredth hundredths thousandth
thousandths hundred thousand million billion trillion percent squared cubed factorial pi sqrt root power mod
point score negative e one two three four five six seven eight nine ten eleven twelve twenty thirty forty
fifty sixty zero nothing infinity inf nan remainder less more than
"""
_CHANGING_WORDS = frozenset(_CHANGING.split())
_MORE = frozenset(("more", "less"))  # `5 more apples` is 5, `5 more than 3` is not


class GraderErrors(BadInput):
    """Too many answers could not be judged, so that a score over the others would mislead."""


def check_grader_errors(verdicts: Iterable[Verdict], ceiling: float = 0.001) -> int:
    """Count `grader_error` among the verdicts of a run.

    Raises:
        GraderErrors: their share lies above `ceiling`.
    """
    counted = list(verdicts)
    errors = counted.count("grader_error")
    if errors > ceiling * len(counted):
        raise GraderErrors(f"{errors} of {len(counted)} answers could not be judged, more than {ceiling:.2%} of them")
    return errors


def final_answer(completion: str) -> str | None:
    """The stated answer (see the module's three rules), stripped, or None where none is stated."""
    text = completion
    if any(mark in completion for mark in _RUN_ON_MARKS) and (run_on := _RUN_ON.search(completion)):
        text = completion[: run_on.start()]
    answer = _hash_line(text)
    if answer is None:
        answer = last_boxed(text)
    if answer is None:
        ends = [found.end() for found in _ANSWER_IS.finditer(text)]
        answer = _SENTENCE_END.split(text[ends[-1] :].lstrip(), maxsplit=1)[0] if ends else None
    return answer.strip() or None if answer is not None else None


_HASH_LINE = re.compile(r"^[^\S\n]*####[^\n]*\n", re.MULTILINE)


def answered(text: str) -> int | None:
    """Length up to the end of the first whole line `#### …`: rationales end with it, in prompts and in gold alike.

    A boxed answer or a sentence does not end a rationale, since more may follow it.
    """
    line = _HASH_LINE.search(text)
    return line.end() if line else None


def _hash_line(text: str) -> str | None:
    position = len(text)
    while (position := text.rfind("####", 0, position)) >= 0:
        line = text.rfind("\n", 0, position) + 1
        if not text[line:position].strip():
            end = text.find("\n", position)
            return text[position + 4 :] if end < 0 else text[position + 4 : end]
        position = line
    return None


def last_boxed(text: str) -> str | None:
    r"""Content of the last `\boxed{…}` (or `\fbox{…}`, or `\boxed 5`) whose braces balance, else None."""
    position = len(text)
    for _ in range(MAX_ATTEMPTS):
        position = max(text.rfind("\\boxed", 0, position), text.rfind("\\fbox", 0, position))
        if position < 0:
            return None
        start = position + (6 if text.startswith("\\boxed", position) else 5)
        while start < len(text) and text[start] == " ":
            start += 1
        if start < len(text) and text[start] != "{":
            return re.split(r"[\s$.,]", text[start:], maxsplit=1)[0]
        end = _closing_brace(text, start)
        if end is not None:
            return text[start + 1 : end]
    return None


def _closing_brace(text: str, start: int) -> int | None:
    depth = 0
    for found in re.finditer(r"\\[\\{}]|[{}]", text[start : start + 20 * MAX_ANSWER]):
        depth += {"{": 1, "}": -1}.get(found.group(), 0)
        if depth == 0:
            return start + found.start() if found.group() == "}" else None
    return None


@lru_cache(maxsize=65536)
def read_number(text: str, units: bool = True) -> Number | None:
    """The number that a text states, exactly, or None where it states none or is over-long.

    Args:
        units: allow units, currency and further words behind the number.
    """
    if len(text) > MAX_ANSWER:
        return None
    if _PLAIN.fullmatch(text):
        return int(text)
    text = _tidy(text)
    found = _NUMBER.fullmatch(text)
    if found is None or (found["sign"] and found["sign2"]) or (found["money"] and not units):
        return None
    value = _value(found)
    if value is None:
        return None
    value = -value if "-" in (found["sign"], found["sign2"]) else value
    scale = _scale(found["rest"], units)
    if scale is None:
        return None
    value = value * scale
    return value.numerator if value.denominator == 1 else value


def _tidy(text: str) -> str:
    text = text.strip().strip("*").replace("−", "-").replace("\\$", "$").replace("\u00a0", " ").strip()
    if len(text) > 2 and text[0] == text[-1] == "$":
        text = text[1:-1].strip()
    if len(text) > 2 and text[1:].lstrip()[:1] == "=" and text[0].isalpha():
        text = text[1:].lstrip()
    return text[1:].lstrip() if text[:1] == "=" else text


def _value(found: re.Match[str]) -> Number | None:
    whole = _decimal(found["whole"])
    if found["under"] is not None:
        under = int(found["under"].replace(",", ""))
        if under == 0 or (found["mixed"] and (whole.denominator != 1 or "." in found["whole"])):
            return None
        return whole + Fraction(int(found["mixed"]), under) if found["mixed"] else Fraction(whole) / under
    power = found["e"] or found["p"] or found["q"]
    if power is None:
        return whole
    exponent = int(power)
    return whole * Fraction(10) ** exponent if abs(exponent) <= MAX_EXPONENT else None


def _decimal(text: str) -> Number:
    whole, _, decimals = text.replace(",", "").partition(".")
    return Fraction(int(whole + decimals), 10 ** len(decimals)) if decimals else int(whole)


def _scale(rest: str, units: bool) -> Number | None:
    """Factor that the text behind a number stands for; None where it makes the number another thing."""
    if rest in ("", "."):
        return 1
    if rest[0] == "!":  # a factorial, or joy: not told apart
        return None
    scale: Number = 1
    if found := _PERCENT.match(rest):
        scale, rest = Fraction(1, 100), rest[found.end() :]
    elif not units:
        return None
    elif found := _SCALE.match(rest):
        scale, rest = _SCALES[found[1].lower()], rest[found.end() :]
    elif found := _ATTACHED.match(rest):
        rest = rest[found.end() :]
    if rest in ("", "."):
        return scale
    if not units or not _WORDS.fullmatch(rest):
        return None
    words = _WORD.findall(rest)
    if words and words[0] in _MORE and "than" not in words:
        words = words[1:]
    if any(w.lower() in _CHANGING_WORDS or (len(w) == 1 and w not in _UNIT_LETTERS) for w in words):
        return None
    return scale


def grade_number(gold: str, completion: str) -> Verdict:
    """Judge a completion whose gold answer is a number; a gold that is none makes a `grader_error`."""
    answer = final_answer(completion)
    if answer is None:
        return "unparsable"
    if answer == gold:
        return "right"
    expected = read_number(gold)
    if expected is None:
        return "grader_error"
    stated = read_number(answer)
    if stated is None:
        return "unparsable"
    return "right" if stated == expected else "wrong"


def grade_numbers(golds: Sequence[str], completions: Sequence[str]) -> list[Verdict]:
    """`grade_number` for sequences that run in step."""
    return [grade_number(gold, completion) for gold, completion in zip(golds, completions, strict=True)]
