"""Expressions in LaTeX as sympy trees, by math-verify's parser (latex2sympy)."""

import re

import sympy
from latex2sympy2_extended import latex2sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig

from sapo.tasks.math_grading.brackets import ROW_END
from sapo.tasks.math_grading.values import Unreadable

_CONVERSION = ConversionConfig(lowercase_symbols=False)
_TWO_NUMBERS = re.compile(r"[0-9.] +[0-9.\\]")
_DECIMAL = re.compile(r"(?<![0-9.])([0-9]*)\.([0-9]+)(?![0-9.])")
_DEGREES = re.compile(r"([0-9]+(?:\.[0-9]+)?|[A-Za-z]|\\[a-z]+)°")
_TRIGONOMETRY = re.compile(r"\\(?:arc)?(?:sin|cos|tan|cot|sec|csc)")


def parse(text: str) -> sympy.Expr:
    """The tree of an expression as `clean` spells it. Raises Unreadable."""
    if _TWO_NUMBERS.search(text) or re.search(r"[^A-Za-z']'", text) or "\\text" in text or ROW_END in text:
        raise Unreadable(f"no expression: {text!r:.60}")
    text = text.removesuffix("%").replace(";", ",")
    if not _TRIGONOMETRY.search(text):
        text = text.replace("°", "")
    if "%" in text:
        raise Unreadable(f"a percentage inside an expression: {text!r:.60}")
    text = re.sub(r"\^([a-z])", r"^{\1}", text)
    text = re.sub(r"([A-Za-z])('+)", lambda found: f"{found[1]}_{{{'p' * len(found[2])}}}", text)
    text = _DEGREES.sub(r"(\\frac{\1\\pi}{180})", text)
    text = _DECIMAL.sub(lambda found: f"(\\frac{{{int(found[1] + found[2])}}}{{{10 ** len(found[2])}}})", text)
    text = re.sub(r"([0-9]),([0-9]{3})(?![0-9])", r"\1\2", text)
    if len(text) > 1 and re.search(r"(?<![0-9A-Za-z\\{])[0-9]+[eE][-+]?[0-9]+(?![0-9A-Za-z])", text):
        raise Unreadable(f"scientific notation inside an expression: {text!r:.60}")
    try:
        tree = latex2sympy(
            text, is_real=False, convert_degrees=False, normalization_config=None, conversion_config=_CONVERSION
        )
    except Exception as error:  # the parser has no class of its own for bad input
        raise Unreadable(f"{text!r:.60}: {type(error).__name__}") from error
    if not isinstance(tree, sympy.Expr) or isinstance(tree, sympy.MatrixBase):
        raise Unreadable(f"{text!r:.60} is a {type(tree).__name__}")
    return tree
