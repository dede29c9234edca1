"""Math-Shepherd's file (JSON Lines of `input`, `label`, `task`) as process items.

1. `input` is the question and the steps from "Step 1:" on, with the tag `ки` behind every step. `label` is the same
   text with + or - in each tag's place. The tags and the white space around them are no part of the steps, which are
   joined by line feeds.
2. + says that some of several rollouts from there ended right (hard estimation). The first - is the first wrong step,
   also where a later step has a +: `ProcessItem` labels prefixes. The last step leaves nothing to draw, so that its
   label is whether the answer is right.
3. Lines with an empty question or step, without "Step 1:" or with text behind the last tag, which has no label, and
   repetitions are left out and counted.
"""

import re
from collections import Counter
from pathlib import Path

from sapo.evaluate.process.foreign_json import Node, objects
from sapo.evaluate.process.formats import LeftOut, Read, joined
from sapo.evaluate.process.items import NO_ERROR, ProcessItem

TAG = "ки"
FIRST = "Step 1:"
SEPARATOR = "\n"


def read_math_shepherd(path: Path) -> Read:
    """Items of a Math-Shepherd file, in file order; see the module's rules.

    Labels + - + of three steps: the first wrong one is step 2, the answer is right.

    Raises:
        RecordError: the file is missing or no JSON, a field is missing or of the wrong type, there is no tag, or
            `label` differs from `input` elsewhere than in the tags; names file, line and field.
    """
    found: dict[tuple[str, tuple[str, ...]], ProcessItem] = {}
    questions: dict[str, str] = {}
    left_out: Counter[str] = Counter()
    for number, node in enumerate(objects(path)):
        try:
            item = _item(node, f"math_shepherd/{number}", questions)
        except LeftOut as reason:
            left_out[str(reason)] += 1
            continue
        left_out["repeated"] += (item.prompt, item.steps) in found
        found.setdefault((item.prompt, item.steps), item)
    return Read(list(found.values()), {reason: count for reason, count in sorted(left_out.items()) if count})


def _item(node: Node, name: str, questions: dict[str, str]) -> ProcessItem:
    *pieces, rest = node.at("input").text().split(TAG)
    marked = re.fullmatch("([+-])".join(map(re.escape, [*pieces, rest])), node.at("label").text())
    if not pieces:
        node.at("input").refuse(f"has no step tag {TAG!r}: {node.value['input'][-60:]!r}")
    if marked is None:
        node.at("label").refuse(f"is not the input with + or - for each tag: {node.value['label'][-60:]!r}")
    if rest.strip():
        raise LeftOut("a step without a label")
    prompt, first, begun = pieces[0].partition(FIRST)
    steps = [step.strip() for step in (first + begun, *pieces[1:])]
    if not first or not prompt.strip() or "" in steps:
        raise LeftOut(f"no question, no {FIRST!r} or an empty step")
    labels = marked.groups()
    bad = labels.index("-") + 1 if "-" in labels else None
    question = questions.setdefault(prompt.strip(), name)
    return ProcessItem(
        id=name,
        question_id=question,
        group=question,
        prompt=prompt.strip(),
        steps=joined(steps, SEPARATOR),
        first_error=bad,
        outcome="right" if labels[-1] == "+" else "wrong",
        annotator="rollout",
        votes=(bad or NO_ERROR,),
        generator=f"math_shepherd {node.at('task').text()}",
    )
