"""What the explorer shows → one HTML file that needs no server, network or other file.

The data is JSON in compact arrays inside a `<script>` that browsers do not run; `page.js` writes it as text only. A
content security policy allows the one script and style sheet by hash and nothing else. Equal input gives equal bytes.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from string import Template

from sapo.records import write_text
from sapo.report.explorer.labels import ExplorerError
from sapo.report.explorer.views import Explored, Labelling, Rollout, Shown
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


def write_page(explored: Explored, path: Path) -> None:
    """Write the page and say what is in it. Raises ExplorerError where it would be larger than `LIMIT`."""
    page = render(explored)
    write_text(path, page)
    count = sum(len(own.shown) for own in explored.rounds)
    place = f"{explored.method}, {explored.model}, {explored.task}, seed {explored.seed}"
    print(f"{path}: {count:,} trajectories of {place}; {len(page.encode()) / 1e6:.1f} MB")


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
    about = {name: getattr(explored, name) for name in ("profile", "model", "task", "method", "seed", "rollouts")}
    return {
        "about": about | {"method": method_name(explored.method)},
        "rounds": [[own.number, own.labeller, own.suspects, own.different] for own in explored.rounds],
        "questions": [[question.id, question.prompt, question.answer] for question in explored.questions],
        "trajectories": [
            [number, place[one.question_id], one.name, one.verdict, one.times, *_steps(one), _labelling(one.labelling)]
            for number, own in enumerate(explored.rounds)
            for one in own.shown
        ],
    }


def _labelling(own: Labelling | None) -> list[object] | None:
    if own is None:
        return None
    detected = -1 if own.detected is None else own.detected
    rollouts = [[rollout.position, rollout.number, rollout.verdict, *_steps(rollout)] for rollout in own.rollouts]
    return [own.case, list(own.asked), detected, _thousandths(own.suspicion), own.agreement or "", rollouts]


def _steps(of: Shown | Rollout) -> list[object]:
    """Texts, scores, labels and the first error of a trajectory or rollout."""
    scores = _thousandths([step.score for step in of.steps if step.score is not None])
    labels = "".join(str(step.label) for step in of.steps if step.label is not None)
    return [[step.text for step in of.steps], scores, labels, -1 if of.first_error is None else of.first_error]


def _thousandths(values: Sequence[float]) -> list[int]:
    return [round(1000 * value) for value in values]


def _hash(text: str) -> str:
    """Source expression of an inline script or style in a Content Security Policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
