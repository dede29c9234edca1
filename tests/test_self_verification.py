"""Table 2 by hand: what a verifier detects, held against the reasoner's rollouts and against the truth."""

from fakes import LineTask, ScriptedSampler, question, wins_unless_bad

from sapo.evaluate.process.items import ProcessItem
from sapo.evaluate.process.self_verification import self_verify
from sapo.records import Verdict
from sapo.settings import RolloutSettings
from sapo.supervise.rollouts import Rollouts

QUESTIONS = {"q": question("q")}


def item(name: str, steps: str, first_error: int | None, outcome: Verdict = "wrong") -> ProcessItem:
    lines = tuple(f"{step}\n" for step in steps.split())
    return ProcessItem(name, "q", "q", "Prompt of q.\n", lines, first_error, outcome, "oracle", (), "m")


def test_each_rule_once() -> None:
    """The reasoner wins from every prefix without a bad step, whatever the truth is.

    | item | scores | rule | reasoner | truth |
    |---|---|---|---|---|
    | right outcome | .9 .8 | no step called wrong | right | right |
    | right outcome | .9 .4 | a step called wrong | not | not |
    | wrong outcome | .4 .3 .2 | every step called wrong | right | right |
    | ok bad lose, error 2 | .9 .2 .1 | t^ = 1: c_1 = 1, c_2 = 0 | right | right |
    | ok ok lose, error 1 | .9 .2 .1 | t^ = 1: c_1 = 1, c_2 = 1 | not | not |
    | bad ok lose, error 2 | .9 .2 .1 | t^ = 1: c_1 = 0 | not | right |
    | ok ok lose, error 3 | .9 .8 .1 | t^ = 2, position 3 is the wrong end | right | right |
    """
    cases = [
        (item("a", "ok win", None, "right"), (0.9, 0.8), True, True),
        (item("b", "ok win", None, "right"), (0.9, 0.4), False, False),
        (item("c", "bad bad lose", 1), (0.4, 0.3, 0.2), True, True),
        (item("d", "ok bad lose", 2), (0.9, 0.2, 0.1), True, True),
        (item("e", "ok ok lose", 1), (0.9, 0.2, 0.1), False, False),
        (item("f", "bad ok lose", 2), (0.9, 0.2, 0.1), False, True),
        (item("g", "ok ok lose", 3), (0.9, 0.8, 0.1), True, True),
    ]
    sampler = ScriptedSampler(wins_unless_bad)
    rollouts = Rollouts(LineTask(), sampler, RolloutSettings(2, 1.0, False, True, False, 0), 9, 1)
    found = self_verify([one for one, *_ in cases], QUESTIONS, [scores for _, scores, *_ in cases], rollouts)
    assert found.by_reasoner == tuple(reasoner for *_, reasoner, _ in cases)
    assert found.by_truth == tuple(truth for *_, truth in cases)
    # d, e, f ask 1 and 2 (d's and e's `ok` is one prefix), g asks 2, which e asked already: 5 prefixes, T = 2.
    assert sampler.sizes == [10]


def test_nothing_is_asked_where_nothing_must_be_located() -> None:
    sampler = ScriptedSampler(wins_unless_bad)
    rollouts = Rollouts(LineTask(), sampler, RolloutSettings(2, 1.0, False, True, False, 0), 9, 1)
    assert self_verify([item("a", "ok win", None, "right")], QUESTIONS, [(0.9, 0.9)], rollouts).by_truth == (True,)
    assert sum(sampler.sizes) == 0
