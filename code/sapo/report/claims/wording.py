"""Names and tests of claims in words that need no other page: what `sapo 3` is, and what is held against what."""

from sapo.report.claims.catalog import AccuracyTest, ChangeTest, CostTest, ProcessTest, Test, TrendTest
from sapo.report.names import method_name
from sapo.report.process_names import verifier_name

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
    match test:
        case AccuracyTest(left, right, quorum):
            rivals = _each(list(map(reasoner, right)))
            rivals = rivals.replace("each", "most", 1) if quorum == "most" else rivals
            return f"{reasoner(left)} answers more questions right than {rivals}. {PAIRED}"
        case TrendTest(steps):
            return f"Accuracy rises at each step: {'; '.join(map(reasoner, steps))}. {PAIRED}"
        case CostTest(measure, more, less, times):
            unit = UNITS[measure]
            than = f"more {unit} than" if times == 1 else f"at least {times:g} times as many {unit} as"
            words = f"{LABELS[more]} take {than} {LABELS[less]}, per labelled trajectory."
            return f"{words} Counted or timed in one run, so without an interval."
        case ChangeTest(measure, method, direction):
            name, _, number = method.partition(" ")
            return (
                f"In round {number} of {method_name(name)} the mean {MEASURES[measure]} {direction} from the first "
                "epoch of training to the last. 95 % intervals over steps and seeds."
            )
        case ProcessTest(metric, more, less, allow):
            sides = (_each(list(map(judge, names))) for names in (more, less))
            where = "above" if not allow else f"at most {allow:g} point below"
            return f"On the process benchmark the {METRICS[metric]} {f' is {where} that of '.join(sides)}. {CAUTIOUS}"


def _each(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"each of [{'; '.join(names)}]"
