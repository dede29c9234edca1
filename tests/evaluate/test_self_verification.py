"""Table 2 by hand: what a verifier detects, held against the reasoner's labels and against the truth."""

from sapo.evaluate.process.items import ProcessItem
from sapo.evaluate.process.self_verification import self_verify
from sapo.records import Verdict


def item(name: str, steps: int, first_error: int | None, outcome: Verdict = "wrong") -> ProcessItem:
    lines = tuple(f"{number}\n" for number in range(steps))
    return ProcessItem(name, "q", "q", "Prompt of q.\n", lines, first_error, outcome, "oracle", (), "m")


def test_each_rule_once() -> None:
    """The reasoner's labels are what they are, whatever the truth is; those of a wrong outcome end with 0.

    | item | scores | labels | rule | reasoner | truth |
    |---|---|---|---|---|---|
    | right outcome | .9 .8 | 1 1 | no step called wrong | right | right |
    | right outcome | .9 .4 | 1 1 | a step called wrong | not | not |
    | wrong outcome | .4 .3 .2 | 0 0 0 | every step called wrong | right | right |
    | error 2 | .9 .2 .1 | 1 0 0 | t^ = 1: c_1 = 1, c_2 = 0 | right | right |
    | error 1 | .9 .2 .1 | 1 1 0 | t^ = 1: c_1 = 1, c_2 = 1 | not | not |
    | error 2 | .9 .2 .1 | 0 0 0 | t^ = 1: c_1 = 0 | not | right |
    | error 3 | .9 .8 .1 | 1 1 0 | t^ = 2, position 3 is the wrong end | right | right |
    | error 3 | .2 .9 .9 | 0 0 0 | t^ = 0, where c_0 = 1 by definition | right | not |
    """
    cases = [
        (item("a", 2, None, "right"), (0.9, 0.8), (1, 1), True, True),
        (item("b", 2, None, "right"), (0.9, 0.4), (1, 1), False, False),
        (item("c", 3, 1), (0.4, 0.3, 0.2), (0, 0, 0), True, True),
        (item("d", 3, 2), (0.9, 0.2, 0.1), (1, 0, 0), True, True),
        (item("e", 3, 1), (0.9, 0.2, 0.1), (1, 1, 0), False, False),
        (item("f", 3, 2), (0.9, 0.2, 0.1), (0, 0, 0), False, True),
        (item("g", 3, 3), (0.9, 0.8, 0.1), (1, 1, 0), True, True),
        (item("h", 3, 3), (0.2, 0.9, 0.9), (0, 0, 0), True, False),
    ]
    items, scores, labels, by_reasoner, by_truth = zip(*cases, strict=True)
    found = self_verify(items, scores, labels)
    assert (found.by_reasoner, found.by_truth) == (by_reasoner, by_truth)
