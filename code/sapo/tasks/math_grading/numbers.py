r"""Numbers read strictly from text: the whole text is a number or it is none.

Numbers are exact (`int` or `Fraction`, never float, never eval): `1,000` is 1000 and `1.000` is 1. A percent sign is
dropped, as the official graders do: `50%` is 50. Units, currency signs and further words do not count (`$18`,
`18 dollars a day`), unless they change the value (`3 million`) or might (`3 and a half`, `2 dozen`, `18 or 8`): then
it is no number. `read_latex_number` also reads what `clean` makes of LaTeX: `2\frac{1}{2}`, `90°`, `0.\overline{3}`.
"""

import re
from fractions import Fraction
from functools import lru_cache

Number = int | Fraction

MAX_ANSWER = 1200  # characters; longer answers are equal to the gold as text or unparsable
MAX_EXPONENT = 400

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
fifty sixty zero nothing infinity inf nan remainder less more than tens pairs pair per-cent gross mod modulo
"""
_COUNTED = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand and"""
NUMBER_WORDS = _COUNTED.split()
CHANGING_WORDS = frozenset(_CHANGING.split())
_MORE = frozenset(("more", "less"))  # `5 more apples` is 5, `5 more than 3` is not

_WORDS_BEHIND = re.compile(r"-?[0-9.,/]+ [A-Za-z]{3}")
_MIXED = re.compile(r"(-?)([0-9]+) ?\\frac\{([0-9]+)\}\{([0-9]+)\}")
_FRACTION = re.compile(r"(-?)\\frac\{(-?)([0-9,.]+)\}\{(-?)([0-9,.]+)\}")
_REPEATING = re.compile(r"(-?)([0-9]{0,9})\.([0-9]{0,40})\\(?:overline|bar)\{([0-9]{1,40})\}")


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


def read_latex_number(cleaned: str) -> Number | None:
    """The number that a text states as `clean` spells it, words behind it allowed (`18 marbles`)."""
    text = cleaned.removesuffix("%").removesuffix("°").strip()
    value = read_number(text, units=False)
    if value is not None or not text:
        return value
    if text[0] == "{" and text[-1] == "}" and not re.search("[{}]", text[1:-1]):
        return read_latex_number(text[1:-1])
    if found := _MIXED.fullmatch(text):
        fraction = _quotient(found[3], found[4])
        return None if fraction is None else (int(found[2]) + fraction) * (-1 if found[1] else 1)
    if found := _FRACTION.fullmatch(text):
        fraction = _quotient(found[3], found[5])
        return None if fraction is None else fraction * (-1) ** sum(bool(found[n]) for n in (1, 2, 4))
    if found := _REPEATING.fullmatch(text):
        whole, once, again = found[2], found[3], found[4]
        value = Fraction(int("0" + whole + once + again) - int("0" + whole + once))
        return value / ((10 ** len(again) - 1) * 10 ** len(once)) * (-1 if found[1] else 1)
    return read_number(text) if _WORDS_BEHIND.match(text) else None


def _quotient(over: str, under: str) -> Number | None:
    top, bottom = read_number(over, units=False), read_number(under, units=False)
    return Fraction(top) / bottom if top is not None and bottom else None


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
        rest = rest[found.end() :]
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
    if any(w.lower() in CHANGING_WORDS or (len(w) == 1 and w not in _UNIT_LETTERS) for w in words):
        return None
    return scale
