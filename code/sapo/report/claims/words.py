"""Names and tests of claims in words that need no other page: what `sapo 3` is, and what is held against what."""

from collections.abc import Callable
from typing import Any

from sapo.report.claims.catalog import AccuracyTest, ChangeTest, CostTest, ProcessTest, Test, TrendTest
from sapo.report.names import method_name
from sapo.report.process.names import verifier_name

LABELS = {"shepherd": "Shepherd's labels", "omega": "OmegaPRM's labels", "saps": "SAPO's labels"}
MEASURES = {"chosen_logp": "log-probability a token of the chosen completions"}
METRICS = {
    "step_accuracy": "accuracy on steps of",
    "gap": "distance to the reasoner's own estimates (MCE) of",
    "error": "error of self-verification of",
}
UNITS = {"flops": "FLOPs", "seconds": "seconds", "rollouts": "rollouts"}
PAIRED = "Paired by question and seed; 95 % intervals."
CAUTIOUS = "95 % intervals of the difference as if the two sides were independent."


def reasoner(said: str) -> str:
    """`sapo 3` of the claims, as a reader calls it.

    >>> reasoner("sapo 3"), reasoner("rft")
    ('SAPO, round 3', 'RFT')
    """
    method, _, number = said.partition(" ")
    return f"{method_name(method)}, round {number}" if number else method_name(method)


def judge(said: str) -> str:
    """What judges steps: a method's verifier of a round, or a reasoner by its own rollouts.

    >>> judge("sapo 3"), judge("mce 3"), judge("self_verification V3-R3")
    ('SAPRM, round 3', 'MCE of SAPO, round 3', 'V3-R3')
    """
    name, _, number = said.partition(" ")
    if name == "self_verification":
        return number
    return f"MCE of SAPO, round {number}" if name == "mce" else f"{verifier_name(name)}, round {number}"


def in_words(test: Test) -> str:
    """The test of a claim in one or two sentences."""
    return _BY_KIND[type(test)](test)


def _accuracy(test: AccuracyTest) -> str:
    rivals = _each(list(map(reasoner, test.right)))
    rivals = rivals.replace("each", "most", 1) if test.quorum == "most" else rivals
    return f"{reasoner(test.left)} answers more questions right than {rivals}. {PAIRED}"


def _trend(test: TrendTest) -> str:
    return f"Accuracy rises at each step: {'; '.join(map(reasoner, test.steps))}. {PAIRED}"


def _cost(test: CostTest) -> str:
    unit = UNITS[test.measure]
    more = f"more {unit} than" if test.times == 1 else f"at least {test.times:g} times as many {unit} as"
    words = f"{LABELS[test.more]} take {more} {LABELS[test.less]}, per labelled trajectory."
    return f"{words} Counted or timed in one run, so without an interval."


def _change(test: ChangeTest) -> str:
    method, _, number = test.method.partition(" ")
    return (
        f"In round {number} of {method_name(method)} the mean {MEASURES[test.measure]} {test.direction} from the first "
        "epoch of training to the last. 95 % intervals over steps and seeds."
    )


def _process(test: ProcessTest) -> str:
    more, less = (_each(list(map(judge, names))) for names in (test.more, test.less))
    where = "above" if not test.allow else f"at most {test.allow:g} point below"
    return f"On the process benchmark the {METRICS[test.metric]} {more} is {where} that of {less}. {CAUTIOUS}"


def _each(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"each of [{'; '.join(names)}]"


_BY_KIND: dict[type, Callable[[Any], str]] = {
    AccuracyTest: _accuracy,
    TrendTest: _trend,
    CostTest: _cost,
    ChangeTest: _change,
    ProcessTest: _process,
}
