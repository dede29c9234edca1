"""The evaluation protocols `paper` and `standard` as data: which tasks, which asserts are shown (docs/method.md §9).

`describe` gives the same as plain data, `conditions` adds what programs were confined by: both are for result files.
Subsets name asserts by position, 0 to 2.

- GSM8K, HumanEval, MMLU_Math: all tasks, both protocols.
- MATH, paper: the 3,342 items whose gold `is_plain_number` accepts, a filter rebuilt from the printed digits.
- MBPP, paper: each test task under six prompts, one for every non-empty proper subset of its three asserts;
  task 367 brings set-up code and is left out: 499 * 6 = 2,994. Training and dev tasks get one prompt each, with
  the subset `task id modulo 6`, so that training prompts look like test prompts (our choice; the paper is silent).
- MBPP, both: training tasks 602, 704 and 872 ask what test tasks 217, 248 and 216 ask, word for word, and are left
  out. No other training question of GSM8K or MBPP is a test question (stage `leaks`).
"""

import re
from dataclasses import asdict, dataclass

from sapo.tasks.program_grading.program_text import ProgramRule
from sapo.tasks.task import ProtocolName
from strict_sandbox import level_name

Subset = tuple[int, ...]

PROPER_SUBSETS: tuple[Subset, ...] = ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
ALL_ASSERTS: tuple[Subset, ...] = ((0, 1, 2),)


@dataclass(frozen=True, slots=True)
class TaskRange:
    """MBPP task ids from `first` to `last`, both included."""

    first: int
    last: int

    def __contains__(self, task_id: int) -> bool:
        return self.first <= task_id <= self.last


MBPP_SPLITS = {"train": TaskRange(601, 974), "dev": TaskRange(511, 600), "test": TaskRange(11, 510)}
MBPP_TWINS = (602, 704, 872)
GSM8K_DEV_ROWS = 500


@dataclass(frozen=True, slots=True)
class Protocol:
    """What distinguishes one evaluation protocol.

    Args:
        math_numbers_only: keep only MATH items whose gold is a plain number.
        mbpp_left_out: MBPP task ids that are neither asked nor trained on.
        mbpp_shown: subsets of the asserts that test prompts show, one prompt for each.
        mbpp_train_rotates: a training prompt shows one of `mbpp_shown`, by task id; otherwise all asserts.
        program_rule: which text of an answer to MBPP and HumanEval is the program (tasks/program_text).
    """

    math_numbers_only: bool
    mbpp_left_out: tuple[int, ...]
    mbpp_shown: tuple[Subset, ...]
    mbpp_train_rotates: bool
    program_rule: ProgramRule


PROTOCOLS: dict[ProtocolName, Protocol] = {
    "paper": Protocol(
        math_numbers_only=True,
        mbpp_left_out=(367, *MBPP_TWINS),
        mbpp_shown=PROPER_SUBSETS,
        mbpp_train_rotates=True,
        program_rule="cut",
    ),
    "standard": Protocol(
        math_numbers_only=False,
        mbpp_left_out=MBPP_TWINS,
        mbpp_shown=ALL_ASSERTS,
        mbpp_train_rotates=False,
        program_rule="extract",
    ),
}


def describe(name: ProtocolName) -> dict[str, object]:
    """The protocol as plain data, for every result file."""
    ranges = {split: [ids.first, ids.last] for split, ids in MBPP_SPLITS.items()}
    return {"name": name, **asdict(PROTOCOLS[name]), "mbpp_splits": ranges, "gsm8k_dev_rows": GSM8K_DEV_ROWS}


def conditions(name: ProtocolName) -> dict[str, object]:
    """Under what answers were judged, for every result file: the protocol and the sandbox's level (`L1`, `L0`).

    The level is tried, once per process; nothing else of the machine gets in. `none`: no program can be judged here.
    """
    return {"protocol": describe(name), "sandbox": level_name()}


_CURRENCY = re.compile(r"\\?\$")
_DEGREES = re.compile(r"\^\{?\\circ\}?")
_UNIT_AT_END = re.compile(r"\\(?:text|mbox)\s*\{[^{}]*\}(?:\^\d)?$")
_BLANKS = re.compile(r"\\[,; ]|\s")


def is_plain_number(boxed: str) -> bool:
    r"""The paper's MATH filter: `float()` accepts the boxed gold once `$`, degrees, a closing unit and blanks are gone.

    Removed in this order: `$` and `\$`, `^\circ`, one `\text{…}` or `\mbox{…}` with its exponent at the very end,
    then `\,`, `\;`, `\ ` and white space. Exactly 3,342 of the 5,000 golds pass. Two oddities follow from `float()`
    and are kept because the count needs them: `2112_6` passes (35 golds in another base; Python allows underscores
    in numbers) and `15,600` does not.
    """
    text = _DEGREES.sub("", _CURRENCY.sub("", boxed))
    text = _BLANKS.sub("", _UNIT_AT_END.sub("", text))
    try:
        float(text)
    except ValueError:
        return False
    return True
