"""What the explorer shows → one HTML file that needs nothing else: no server, no network, no other file.

The data is JSON in compact arrays inside a `<script>` that no browser runs; `page.js` puts it on the page as text
alone. A policy in the page allows the one script and the one style sheet by their hashes and nothing else, so that
even a hole would find no network. Equal input gives equal bytes.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from string import Template

from sapo.report.explorer.labels import ExplorerError
from sapo.report.explorer.shown import Explored, Labelling, Rollout, Round, Shown, Step
from sapo.report.names import method_name

LIMIT = 5_000_000  # bytes of a page: what a browser opens, and a mail carries, without a thought
SCRIPTS = ("elements.js", "data.js", "trajectory.js", "filters.js", "page.js")  # each needs those before it

_HERE = Path(__file__).parent
_SURROGATE = re.compile("[\ud800-\udfff]")  # halves of characters: JSON can name them, UTF-8 cannot hold them


def render(explored: Explored) -> str:
    """The page. Raises ExplorerError where it would be larger than `LIMIT`."""
    style = _read("page.css")
    script = "".join(_read(name) for name in SCRIPTS)
    name = f"{method_name(explored.method)} on {explored.task}"
    page = Template(_read("page.html")).substitute(
        policy=f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        title=html.escape(f"{name}: trajectories"),
        style=style,
        script=script,
        data=script_json(packed(explored)),
    )
    if (size := len(page.encode())) > LIMIT:
        raise ExplorerError(f"the page has {size:,} bytes, more than {LIMIT:,}: show fewer trajectories with --most")
    return page


def script_json(value: object) -> str:
    """JSON that a script element can hold whatever its strings are, the same text for the same value.

    >>> script_json(["</script>", "&"])
    '["\\\\u003c/script\\\\u003e","\\\\u0026"]'
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return _SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def packed(explored: Explored) -> dict[str, object]:
    """The data as the page reads it (data.js): arrays instead of objects, each question once.

    Scores are thousandths, labels a string of digits; -1 stands for what is not known or not there.
    """
    place = {question.id: number for number, question in enumerate(explored.questions)}
    return {
        "about": {
            "profile": explored.profile,
            "model": explored.model,
            "task": explored.task,
            "method": method_name(explored.method),
            "seed": explored.seed,
            "rollouts": explored.rollouts,
        },
        "rounds": [_round(own) for own in explored.rounds],
        "questions": [[question.id, question.prompt, question.answer] for question in explored.questions],
        "trajectories": [
            [number, place[one.question_id], *_shown(one)]
            for number, own in enumerate(explored.rounds)
            for one in own.shown
        ],
    }


def _round(own: Round) -> list[object]:
    return [own.number, own.labeller, own.suspects, own.different]


def _shown(one: Shown) -> list[object]:
    steps = [*_steps(one.steps), _known(one.first_error)]
    return [one.name, one.verdict, one.times, *steps, one.labelling and _labelling(one.labelling)]


def _labelling(own: Labelling) -> list[object]:
    suspicion = [_thousandths(value) for value in own.suspicion]
    rollouts = [_rollout(rollout) for rollout in own.rollouts]
    return [own.case, list(own.asked), _known(own.detected), suspicion, own.agreement or "", rollouts]


def _rollout(own: Rollout) -> list[object]:
    return [own.position, own.number, own.verdict, *_steps(own.steps), _known(own.first_error)]


def _steps(steps: Sequence[Step]) -> list[object]:
    """Texts, scores, labels."""
    scores = [_thousandths(step.score) for step in steps if step.score is not None]
    labels = "".join(str(step.label) for step in steps if step.label is not None)
    return [[step.text for step in steps], scores, labels]


def _thousandths(value: float) -> int:
    return round(1000 * value)


def _known(number: int | None) -> int:
    return -1 if number is None else number


def _hash(text: str) -> str:
    """Source expression of an inline script or style in a Content Security Policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
