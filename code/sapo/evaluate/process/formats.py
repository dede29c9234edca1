"""ProcessBench's and PRM800K's files as process items, and items as a ProcessBench file.

1. Their steps come without what stood between them; `separator` is put behind every step but the last, so that the
   joined steps are the text again: a blank line in ProcessBench, which was cut there, a line feed in PRM800K.
   The writer takes the separator off again; items of other tasks are written with separator "", which keeps all.
2. ProcessBench counts steps from 0 and writes -1 where none is wrong; it knows right and wrong answers only, and no
   single votes. Its items' questions are its problems, whose id is that of their first item.
3. PRM800K rates candidate steps -1 (wrong), 0 (neutral: neither wrong nor of use) or 1. The trajectory is the chosen
   candidate of every step, or the step that the labeller wrote where all candidates were wrong, which counts as 1
   unless corrected. Labelling stops at the first error in phase 2: there the trajectory goes on with the
   pre-generated steps that it began with. Neutral is read as not wrong, as in *Let's verify step by step*; with
   `neutral_is_good` false the first neutral step is the first wrong one.
4. A PRM800K solution reached the right answer (`solution`), or its pre-generated answer is compared with the true
   one; it is `unparsable` where there is none. What labellers gave up, found broken or did not rate, and repetitions
   (quality controls were given to every labeller), are left out and counted.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sapo.evaluate.process.foreign_json import Node, objects
from sapo.evaluate.process.items import NO_ERROR, ProcessItem, check_ids
from sapo.records import RecordError, Verdict, write_text
from sapo.tasks.math_grading.grading import grade_latex

PROCESSBENCH_SEPARATOR = "\n\n"
PRM800K_SEPARATOR = "\n"
PEOPLE = "people"
RATINGS = (-1, 0, 1)
Grade = Callable[[Sequence[str], Sequence[str]], list[Verdict]]  # gold answers, completions


def joined(steps: Sequence[str], separator: str) -> tuple[str, ...]:
    """The steps with the separator behind every one but the last."""
    return (*(step + separator for step in steps[:-1]), steps[-1])


def read_processbench(path: Path, separator: str = PROCESSBENCH_SEPARATOR) -> list[ProcessItem]:
    """Items of a ProcessBench file, a JSON list or JSON Lines, in file order.

    Raises:
        RecordError: the file is missing or no JSON, a field is missing or of the wrong type, a step is empty, a label
            lies beyond the last step, or an id appears twice; names file, line, field and value.
    """
    first: dict[str, str] = {}
    items = [_processbench_item(node, separator, first) for node in objects(path)]
    check_ids(path, items)
    return items


def _processbench_item(node: Node, separator: str, first: dict[str, str]) -> ProcessItem:
    name, problem, steps = node.at("id").name(), node.at("problem").text(), node.at("steps").texts(separator)
    right = node.at("final_answer_correct").flag()
    label: int = node.at("label").of(int)
    if not -1 <= label < len(steps):
        node.at("label").refuse(f"is {label}, not -1 (no wrong step) to {len(steps) - 1}, the last step")
    question = first.setdefault(problem, name)
    return ProcessItem(
        id=name,
        question_id=question,
        group=question,
        prompt=problem,
        steps=joined(steps, separator),
        first_error=None if label < 0 else label + 1,
        outcome="right" if right else "wrong",
        annotator=PEOPLE,
        votes=(),
        generator=node.at("generator").text(),
    )


def write_processbench(path: Path, items: Sequence[ProcessItem], separator: str = PROCESSBENCH_SEPARATOR) -> None:
    """Write items as a ProcessBench file, a JSON list; annotator, votes, groups and what made an answer wrong get lost.

    Raises:
        RecordError: an id appears twice, or a step before the last does not end with the separator or is nothing else.
    """
    check_ids(path, items)
    rows = [
        {
            "id": item.id,
            "generator": item.generator,
            "problem": item.prompt,
            "steps": _bare(path, item, separator),
            "final_answer_correct": item.right,
            "label": -1 if item.first_error is None else item.first_error - 1,
        }
        for item in items
    ]
    write_text(path, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


def _bare(path: Path, item: ProcessItem, separator: str) -> list[str]:
    """The steps without the separator behind them."""
    for number, step in enumerate(item.steps[:-1], start=1):
        if not step.endswith(separator) or step == separator:
            raise RecordError(
                f"{path}: step {number} of item {item.id} is {step[-40:]!r}, no text with {separator!r} behind it: "
                "separator '' writes any steps"
            )
    return [*(step.removesuffix(separator) for step in item.steps[:-1]), item.steps[-1]]


@dataclass(frozen=True, slots=True)
class Read:
    """Items of a file and how many of its lines were left out, by reason."""

    items: list[ProcessItem]
    left_out: dict[str, int]


class LeftOut(Exception):
    """A line that holds no usable trajectory; its text is the reason that is counted."""


@dataclass(frozen=True, slots=True)
class _Open:
    """An item whose outcome is still to be judged: `answer` against `gold`, where both are known."""

    item: ProcessItem
    gold: str = ""
    answer: str = ""


def read_prm800k(path: Path, neutral_is_good: bool = True, grade: Grade = grade_latex) -> Read:
    """Items of a PRM800K file (JSON Lines), in file order; see the module's rules.

    Ratings 1, 0, -1 of three chosen steps: the first wrong one is step 3, or 2 where neutral is not good.

    Raises:
        RecordError: the file is missing or no JSON, a field is missing or of the wrong type, a rating, a chosen
            candidate or a reason to finish is unknown, there are no steps; names file, line, field and value.
    """
    found: dict[tuple[str, tuple[str, ...]], _Open] = {}
    questions: dict[str, str] = {}
    left_out: Counter[str] = Counter()
    for number, node in enumerate(objects(path)):
        try:
            entry = _prm800k_item(node, number, questions, neutral_is_good)
        except LeftOut as reason:
            left_out[str(reason)] += 1
            continue
        key = (entry.item.prompt, entry.item.steps)
        left_out["repeated"] += key in found
        found.setdefault(key, entry)
    open_ = [entry for entry in found.values() if entry.answer]
    verdicts = grade([entry.gold for entry in open_], [rf"\boxed{{{entry.answer}}}" for entry in open_])
    judged = {entry.item.id: verdict for entry, verdict in zip(open_, verdicts, strict=True)}
    items = [replace(e.item, outcome=judged.get(e.item.id, e.item.outcome)) for e in found.values()]
    return Read(items, {reason: count for reason, count in sorted(left_out.items()) if count})


def _prm800k_item(node: Node, number: int, questions: dict[str, str], neutral_is_good: bool) -> _Open:
    question, label = node.at("question"), node.at("label")
    problem, gold = question.at("problem").text(), _answer(question.at("ground_truth_answer"))
    reason = _finish_reason(label)
    generated = question.maybe("pre_generated_steps")
    generated = None if generated.spelled is None else generated.texts()
    steps, ratings = _followed(label.at("steps"), generated)
    bad = [j for j, rating in enumerate(ratings, start=1) if rating < (0 if neutral_is_good else 1)]
    if reason == "found_error" and -1 not in ratings:
        raise LeftOut("found_error without a step rated -1")
    generation = node.maybe("generation").spelled
    name = f"prm800k/{number}"
    item = ProcessItem(
        id=name,
        question_id=(own := questions.setdefault(problem, name)),
        group=own,
        prompt=problem,
        steps=joined(steps, PRM800K_SEPARATOR),
        first_error=bad[0] if bad else None,
        outcome="right" if reason == "solution" else "unparsable",
        annotator=PEOPLE,
        votes=(bad[0] if bad else NO_ERROR,),
        generator="prm800k phase 1" if generation is None else f"prm800k phase 2, generation {generation}",
    )
    answer = _answer(question.maybe("pre_generated_answer"))
    judged = reason == "found_error" and steps == generated and gold and answer
    return _Open(item, gold, answer) if judged else _Open(item)


def _answer(node: Node) -> str:
    """An answer, which pandas may have made a number; empty where there is none."""
    answer = node.of(str, int, float, type(None))
    return "" if answer is None else str(answer)


def _finish_reason(label: Node) -> str:
    reason = label.at("finish_reason")
    if reason.value in ("bad_problem", "give_up"):
        raise LeftOut(reason.value)
    if reason.value not in ("solution", "found_error"):
        reason.refuse(f"is {reason.value!r}, not solution, found_error, bad_problem or give_up")
    return reason.value


def _followed(steps: Node, generated: list[str] | None) -> tuple[list[str], list[int]]:
    """Texts of the trajectory's steps, and the ratings of as many as were labelled."""
    entries = steps.entries()
    if not entries:
        steps.refuse("is empty: there are no steps")
    texts: list[str] = []
    ratings: list[int] = []
    for j, step in enumerate(entries):
        wanted = generated[j] if generated and j < len(generated) else None
        text, rating = _step(step, wanted, j + 1 == len(entries))
        texts.append(text)
        ratings.append(rating)
    if generated and texts == generated[: len(texts)]:
        texts = list(generated)
    return texts, ratings


def _step(step: Node, wanted: str | None, last: bool) -> tuple[str, int]:
    """The step that the trajectory took, and its rating; where labelling stopped, the one that it was to take."""
    completions, human, chosen = step.at("completions"), step.maybe("human_completion"), step.at("chosen_completion")
    if completions.spelled is None and human.spelled is None:
        raise LeftOut("a step without candidates")
    candidates = completions.entries() if completions.spelled is not None else []
    rated = [(entry.at("text").text(), _rating(entry.at("rating"))) for entry in candidates]
    if chosen.spelled is not None:
        number: int = chosen.of(int)
        if not 0 <= number < len(rated):
            chosen.refuse(f"is {number}, there are {len(rated)} completions")
        text, rating = rated[number]
    elif human.spelled is not None:
        text, rating = _written(human)
    elif not last:
        chosen.refuse("is null without a human_completion, yet steps follow")
    elif not rated:
        completions.refuse("is empty, and no step was written by hand")
    else:
        text, rating = next((entry for entry in rated if entry[0] == wanted), rated[0])
    if rating is None:
        raise LeftOut("a step without a rating")
    return text, rating


def _written(human: Node) -> tuple[str, int]:
    """A step that the labeller wrote, an object or its text alone, which is right unless it was corrected."""
    if type(human.spelled) is not dict:
        return human.text(), 1
    rating = _rating(human.maybe("corrected_rating"))
    return human.at("text").text(), 1 if rating is None else rating


def _rating(node: Node) -> int | None:
    rating = node.spelled
    if rating is not None and (type(rating) is not int or rating not in RATINGS):
        node.refuse(f"is {json.dumps(node.value)}, not -1, 0 or 1")
    return rating
