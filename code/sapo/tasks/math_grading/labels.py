r"""What may stand on the left of an answer without being part of it: `x =`, `f(4) =`, `|AB| =`, `\text{Area} =`."""

import re

_SYMBOL = re.compile(
    r"(?:[A-Za-z]|\\(?!infty|pi(?![a-z])|frac|sqrt)[A-Za-z]+)(?:_(?:[0-9A-Za-z]|\{[0-9A-Za-z,;]+\}))?'?"
)
_FUNCTION_OF = re.compile(r"[A-Za-z]+'*(?:\^\{?-1\}?)?'*\([a-z](?:[,;][a-z])*\)")
_POINTS = r"(?:[A-Z]'?){1,4}"  # AB, ABC: named by their corners
_ANGLE = rf"(?:m ?)?\\(?:angle|triangle|measuredangle) ?\{{?(?:{_POINTS}|[0-9])\}}?"
_HAT = r"\\(?:overline|vec|bar|hat|mathbf|overrightarrow|widehat|mathrm|tilde)\{?[A-Za-z]{1,2}\}?"
_DERIVATIVE = r"\\frac\{(?:d|\\partial)(?:\^\{?[23]\}?)? ?[a-z]\}\{(?:d|\\partial) ?[a-z](?:\^\{?[23]\}?)?\}|[a-z]'+"
_LABEL = re.compile(
    rf"[A-Za-z]+(?:_[0-9A-Za-z]|_\{{[^{{}}]*\}})?'*(?:\^\{{?-1\}}?)?\([^()=]*(?:\([^()=]*\))?[^()=]*\)"
    rf"|(?:[A-Z]'?){{2,4}}|{_ANGLE}"
    rf"|\\(?:sin|cos|tan|cot|sec|csc)(?:\^\{{?2\}}?)? ?\(?(?:[A-Z]|{_ANGLE}|\\[a-z]+)\)?|\|{_POINTS}\|"
    rf"|\|\\?[a-z]+\||\|?{_HAT}\|?|\[[A-Z]{{3,}}\]|\\(?:det|dim) ?[A-Z]|\\\|[^|]*\\\|"
    rf"|(?:[A-Za-z]|\\text\{{[^{{}}]*\}})_\{{(?:[^{{}}]|\{{[^{{}}]*\}})*\}}|(?:\\mathbb\{{P\}}|\\Pr|\\gcd|\\lcm)\([^=]*\)"
    rf"|\\(?:min|max) ?[a-z]?|\([a-z] ?\\circ ?[a-z]\)\([^()]*\)|{_DERIVATIVE}"
    r"|(?:\\text\{[^{}]*\} ?(?:of)? ?)+(?:[A-Z]{1,4})?|[A-Z]?[a-z]{3,}(?: [A-Za-z]+)*|(?:[A-Za-z]+ )?\\text\{[^{}]*\}"
)
_NAME = r"(?>[A-Z]{1,3}|[a-z]|\\(?:alpha|beta|gamma|theta|phi|lambda|mu))(?:_(?:[0-9A-Za-z]|\{[0-9A-Za-z]+\}))?"
_CLAIM = re.compile(
    rf"\|{_NAME}(?:[-+]{_NAME})+\||{_NAME}(?:(?: ?[-+/:] ?| ?\\cdot ?| )?{_NAME})+"
    rf"|\\frac\{{{_NAME}(?:[-+]?{_NAME})*\}}\{{{_NAME}(?:[-+]?{_NAME})*\}}"
)
_NO_VARIABLE = re.compile(
    r"\\text\{[^{}]*\}|(?<=[0-9]) [a-z]{3,}|(?<![A-Za-z])[ei](?![A-Za-z])"
    r"|\\(?:frac|sqrt|cdot|pi|binom|sin|cos|tan|log|ln)(?![a-z])"
)


def is_name(text: str) -> bool:
    """A variable, or a function of variables: `x_1`, `f(x)`."""
    return bool(_SYMBOL.fullmatch(text) or _FUNCTION_OF.fullmatch(text))


def is_label(text: str) -> bool:
    """What names a quantity and is no equation's side: `f(4)`, `AB`, `\\angle ABC`, `\\sin A`, `Area`."""
    return bool(_LABEL.fullmatch(text))


def is_claim(text: str) -> bool:
    """A sum, product, quotient or ratio of names, which may be what is asked for or an equation's side."""
    return bool(_CLAIM.fullmatch(text))


def tuple_of_names(text: str) -> list[str]:
    """Names of `(x,y)`; empty where the text is something else."""
    if not (text.startswith("(") and text.endswith(")")):
        return []
    names = [name.strip() for name in re.split("[,;]", text[1:-1])]
    return names if len(names) > 1 and all(is_name(name) for name in names) else []


def is_assigned_name(names: list[str]) -> bool:
    """Names that number the solutions of one unknown: `x_1`, `x_{2}`."""
    return len({re.sub(r"_.*", "", name) for name in names}) == 1


def is_calculation(text: str) -> bool:
    """Numbers, functions and units without a variable: `4^2`, `3*4 apples`."""
    return not re.search("[A-Za-z]", _NO_VARIABLE.sub("", text))


def may_precede(text: str) -> bool:
    """What may stand before `=` without changing the number behind it."""
    return is_name(text) or is_label(text) or is_claim(text) or is_calculation(text)
