"""Numbers of verifiers that claims ask for by name, from what the process benchmarks gave.

`sapo 3` is the verifier of SAPO's third round, `mce 3` what the reasoner behind it says by its own rollouts, and
`self_verification V3-R3` a line of SAPO's table 2. Metrics: `step_accuracy`; `gap`, how far the verifier is below its
reasoner's MCE; `error` of self-verification, as the reasoner says (the paper has no truth to ask).
"""

import math

from sapo.evaluate.interval import Interval
from sapo.report.process_records import ProcessResults
from sapo.report.run_records import Checkpoint

Measured = tuple[Interval, int]  # in points, and of how many seeds


def mover(one: Interval, other: Interval) -> Interval:
    """Interval of one minus other from their own intervals, as if independent (Zou and Donner 2008).

    >>> mover(Interval(5.0, 2.0, 8.0), Interval(1.0, -3.0, 5.0))
    Interval(value=4.0, low=-1.0, high=9.0)
    """
    value = one.value - other.value
    low = value - math.hypot(one.value - one.low, other.high - other.value)
    high = value + math.hypot(one.high - one.value, other.value - other.low)
    return Interval(value, low, high)


def measured(entry: ProcessResults, said: str, metric: str) -> Measured | None:
    """A metric of what `said` names on a model and task; None where it was not measured."""
    found = _find(entry, said, metric)
    return found and (found[0].percent, found[1])


def _find(entry: ProcessResults, said: str, metric: str) -> Measured | None:
    name, _, number = said.partition(" ")
    if name == "self_verification":
        errors = entry.self_verification.get(number)
        return (errors[0], 1) if errors and metric == "error" else None
    one = Checkpoint("sapo" if name == "mce" else name, int(number))
    verifier, mce = entry.verifiers.get(one), entry.mce.get(one)
    if name == "mce":
        return (mce, 1) if mce and metric == "step_accuracy" else None
    if metric == "step_accuracy":
        return (verifier.steps, verifier.seeds) if verifier else None
    return (mover(mce, verifier.steps), 1) if metric == "gap" and verifier and mce else None
