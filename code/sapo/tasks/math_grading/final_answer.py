r"""The answer that a maths completion states, cut out of its text.

One rule: **the last marker wins**, whichever kind it is, in the text before a run-on `Question:` line (a question
repeated at the very beginning is none). Markers are `\boxed{…}` with balanced braces; `####`, anywhere, up to the end
of its line, but not a heading (`#### Step 2`, `#### 1. Count`, and words alone with text below them); and a sentence
(`the answer is`, `the answer to … is`, `answer:`, a heading `Final Answer`) up to its end, or the next line where its
own has no more. A sentence that says something else of the answer is none (`the answer is correct`; words alone,
`the answer is positive`, where an answer was stated before). Only where
there is no marker does bold text with a number count.

Of what a marker names, labels (`Total: 110`), lead-ins (`about`, `she has`) and reasons (`because …`) go.
"""

import re

from sapo.tasks.math_grading.numbers import CHANGING_WORDS, MAX_ANSWER

MAX_ATTEMPTS = 16  # boxes without an end before the search for one with an end is given up

_RUN_ON_MARKS = ("Question:", "Problem:", "Q:")  # looked for first: the pattern takes longer
_RUN_ON = re.compile(r"(?<=\S)\s*\n[ \t]*(?:Question|Problem|Q):")
_HASH_LINE = re.compile(r"^[^\S\n]*####([^\n]*)\n", re.MULTILINE)
_HEADING = re.compile(
    r"[\W_]*(?:(?:step|part|case|solution|explanation|given|calculations?|method|approach|problem|question|example|"
    r"note|check|verification|summary|reasoning|analysis|conclusion|understanding)\b(?! *(?:=|is\b|[:\w ]+= *\S)).*"
    r"|[0-9]{1,2} ?[.):]\**\s+\**[A-Za-z].*|.*:[*\s]*)",
    re.IGNORECASE,
)
_WORDS_ONLY = re.compile(r"[^0-9\\=$]*")
_IS = r"(?:is|are|was|would be|should be|must be|will be|comes to|comes out to|equals|=)(?: (?:equal to|then|thus))?"
_SENTENCE = re.compile(
    r"\b(?:the|our|my|your|final|correct|required|numerical)\s+(?:[a-z]+\s+)?answers?\b[*_ ]*"
    rf"(?:(?:(?:to|for|of|in|we|you|that|here)\b[^.\n:=(]{{0,120}}? |\([^()\n]{{0,40}}\) )?{_IS}(?![a-z])[ *_]*:?|:)"
    r"|\banswers?(?: ?\([^()\n]{0,40}\))?[*_ ]*[:=]"
    r"|^[^\w\n]*(?:the )?(?:final )?answer[^\w\n]*$",
    re.IGNORECASE | re.MULTILINE,
)
_SENTENCE_END = re.compile(r"(?<!approx)\.(?=[\s*\"')]|$)|\n")
_CHECKED = re.compile(r"\b(?:check|confirm|verif)[a-z]* (?:(?:the|our|my|your|this) )?$")
_OF_THE_ANSWER = re.compile(
    r"(?:not|(?:in)?correct|wrong|reasonable|valid|verified|confirmed|clear|consistent|right[.,!;]|right$|as follows|"
    r"unchanged|the same)\b|right\b *$",
    re.IGNORECASE,
)
_BOLD = re.compile(r"\*\*([^*\n]*[0-9][^*\n]*)\*\*")
_LABEL = re.compile(r"[A-Za-z][A-Za-z '()-]{1,60}(?<! [Aa]t): +(?=\S)")
_LEAD_IN = re.compile(
    r"(?:(?:therefore|thus|hence|so|then|indeed|simply|just|only|exactly|approximately|approx\.?|about|around|roughly|"
    r"a total of|equal to|given by|that)\b|[≈~:=]|\\approx)[\s,:]*",
    re.IGNORECASE,
)
_REASON = re.compile(
    r"[,;]? +(?:because|since|which|so|as)\b.*|; *[A-Za-z]{3,}[ :].*"
    r"| \((?:because|since|as|which|i\.e\.|that is)\b[^()]*\)"
    r"|(?<=[a-z]{3}) \((?=[^()]*[-+*/×=])[-+*/×= 0-9.$]+\)"
)
_PROSE = re.compile(r"(?:(?:[A-Za-z][A-Za-z'’-]*|\$\\?[A-Za-z]+\$)[,:]? +){2,}(?=[$€£]?-?[$€£]?(?:[0-9.]|\\[a-z])|\$)")
_VERB = re.compile(r"\b(?:is|are|was|were|has|have|had|got|made|left|sold|ate|read|paid|spent|be|[a-z]{2,}(?:s|ed))\b")
_PROSE_WORD = re.compile(r"[a-z]+")
_TURNING = """
all every any each except between above below under over least most up within from exceeding greater larger bigger
smaller fewer lower higher before after until never double twice triple thrice half square cube sum product
difference quotient ratio log ln sin cos tan exp base odd even multiple multiples factor factors digit digits
divisible by multiplied increased decreased add subtract almost nearly close near at undefined either neither nor
cannot can without other another if when approaches
"""
_TURNING_WORDS = CHANGING_WORDS | frozenset(_TURNING.split())
_NUMBER = re.compile(r"\$?[0-9][0-9.,]*")


def final_answer(completion: str) -> str | None:
    """The stated answer (see the module's rule), stripped, or None where none is stated."""
    return _last_stated(completion) or None


def unparsable_kind(completion: str) -> str:
    """Why a completion's answer was not read, as a kind that results count."""
    answer = _last_stated(completion)
    if answer is None:
        return "no marker"
    if not answer:
        return "nothing behind the marker"
    if len(answer) > MAX_ANSWER:
        return "over-long"
    if len(_NUMBER.findall(answer)) > 1 and not re.search(r"[\\^/{]", answer):
        return "several values"
    return "no notation that is read" if re.search(r"[0-9\\]", answer) else "words, no value"


def answered(text: str) -> int | None:
    """Length up to the end of the first whole line `#### …`: rationales end with it, in prompts and in gold alike.

    A heading, a boxed answer or a sentence does not end a rationale, since more may follow it.
    """
    for line in _HASH_LINE.finditer(text):
        if not _is_heading(line[1].lstrip("#"), followed=True):
            return line.end()
    return None


def _is_heading(line: str, followed: bool) -> bool:
    """Whether `#### line` announces what follows; words alone do so only where something does."""
    if not followed:
        return line.rstrip("* ").endswith(":") or bool(re.match(r"[\W_]*(?:step|part) +[0-9]", line, re.IGNORECASE))
    if _SENTENCE.search(line):
        return False
    return bool(_HEADING.fullmatch(line) or _WORDS_ONLY.fullmatch(line))


def _last_stated(completion: str) -> str | None:
    text = completion
    if any(mark in completion for mark in _RUN_ON_MARKS) and (run_on := _RUN_ON.search(completion)):
        text = completion[: run_on.start()]
    start, end = box = (_last_box(text) if "box" in text else None) or (-1, -1)
    place, answer = start, text[start:end].strip() if start >= 0 else None
    if "####" in text and (found := _last_hash(text)) and not _inside(found[0], box) and found[0] > place:
        place, answer = found[0], _stated(found[1])
    if "nswer" in text or "NSWER" in text:
        for sentence in _SENTENCE.finditer(text):
            start = sentence.start()
            checked = _CHECKED.search(text, max(start - 25, 0), start)
            if sentence.end() > place and not checked and not _inside(start, box):
                named = _sentence_rest(text, sentence.end())
                words_only = answer is not None and _WORDS_ONLY.fullmatch(named)
                if not words_only and not _OF_THE_ANSWER.match(named):
                    answer = _stated(named)
    if answer is None and "**" in text:
        bold = [found[1] for found in _BOLD.finditer(text) if not _HEADING.fullmatch(found[1])]
        answer = _stated(bold[-1]) if bold else None
    return answer


def _inside(place: int, box: tuple[int, int]) -> bool:
    return box[0] <= place < box[1]


def _last_hash(text: str) -> tuple[int, str] | None:
    position = len(text)
    while (position := text.rfind("####", 0, position)) >= 0:
        end = text.find("\n", position)
        line = text[position + 4 : end if end >= 0 else len(text)].lstrip("#")
        if not _is_heading(line, followed=end >= 0 and not text[end:].isspace()):
            return position + 4, line
        while position > 0 and text[position - 1] == "#":
            position -= 1
    return None


def _sentence_rest(text: str, start: int) -> str:
    """What follows a marker in its sentence, else the next line that holds more than marks."""
    for line in text[start : start + 2 * MAX_ANSWER].split("\n"):
        if re.search(r"\w", line):
            line = line.lstrip(" \t*_:}")
            return line if len(line) > MAX_ANSWER else _SENTENCE_END.split(line, maxsplit=1)[0].strip()
    return ""


def _stated(text: str) -> str:
    """The answer itself, of what a marker names."""
    text = text.strip()
    if _NUMBER.fullmatch(text) or len(text) > MAX_ANSWER:
        return text
    if text.startswith("**") or text.endswith("**"):
        text = re.sub(r"\*\*([^*]*)\*\*", r"\1", text).strip("* ")
    while found := _LABEL.match(text) or _LEAD_IN.match(text):
        text = text[found.end() :]
    if sentence := _SENTENCE.match(text):
        text = text[sentence.end() :].strip()
    text = _REASON.sub("", text).strip()
    found = _PROSE.match(text)
    if found is None or not _VERB.search(found.group()):
        return text
    words = _PROSE_WORD.findall(found.group().lower())
    turned = "t" in words or not _TURNING_WORDS.isdisjoint(words)  # didn't, isn't
    return text if turned else text[found.end() :].rstrip(".")


def last_boxed(text: str) -> str | None:
    r"""Content of the last `\boxed{…}` (or `\fbox{…}`, or `\boxed 5`) whose braces balance, else None."""
    box = _last_box(text)
    return text[box[0] : box[1]] if box else None


def _last_box(text: str) -> tuple[int, int] | None:
    position = len(text)
    for _ in range(MAX_ATTEMPTS):
        position = max(text.rfind("\\boxed", 0, position), text.rfind("\\fbox", 0, position))
        if position < 0:
            return None
        start = position + (6 if text.startswith("\\boxed", position) else 5)
        while start < len(text) and text[start] == " ":
            start += 1
        if start < len(text) and text[start] != "{":
            return start, start + len(re.split(r"[\s$.,]", text[start:], maxsplit=1)[0])
        end = _closing_brace(text, start)
        if end is not None:
            return start + 1, end
    return None


def _closing_brace(text: str, start: int) -> int | None:
    depth = 0
    for found in re.finditer(r"\\[\\{}]|[{}]", text[start : start + 20 * MAX_ANSWER]):
        depth += {"{": 1, "}": -1}.get(found.group(), 0)
        if depth == 0:
            return start + found.start() if found.group() == "}" else None
    return None
