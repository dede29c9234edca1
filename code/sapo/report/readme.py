"""Sections of the README that the last run writes: the answer at the top, and the results."""

from collections.abc import Mapping, Sequence
from typing import Any

from sapo.report.rendering import markdown
from sapo.report.tables import Table

HEADLINE = "accuracy_by_round"
# The claims that the papers are read for.
HEADLINES = (
    "sapo_beats_sft",
    "sapo_beats_rft",
    "sapo_rises",
    "half_the_flops_of_shepherd",
    "process_verifier_beats_outcome_verifier",
    "gap_smaller_with_process_feedback",
)
SHOWN = (0, 1, 2, 4, 5)  # of the verdicts' columns: verdict, claim, source, deciding number, seeds


def answer(verdicts: Table, claims: Mapping[str, Any], figures: str, drawn: Sequence[str]) -> str:
    """Verdicts in one sentence, those that matter most by name, and the headline figure.

    Args:
        verdicts: a row a claim, in the order of `claims["claims"]`.
        claims: what `claims.json` holds.
    """
    counts, published = claims["counts"], claims["published"]
    outside = published["standing"].get("outside noise", 0)
    stand = ", ".join(f"{verdict} {number}" for verdict, number in counts.items())
    first = (
        f"**{len(claims['claims'])} claims of the two papers, profile {claims['profile']}: {stand}.** Of the "
        f"{published['orderings']} orderings that the papers claim of their printed numbers, {outside} are outside the "
        "noise of an unpaired test."
    )
    rows = dict(zip(claims["claims"], verdicts.rows, strict=True))
    said = [f"- *{rows[name][0]}*: {rows[name][1]} ({rows[name][4]})" for name in HEADLINES]
    picture = [f"![accuracy by round]({figures}/{HEADLINE}.png)"] if HEADLINE in drawn else []
    return "\n\n".join([first, "\n".join(said), *picture])


def short_verdicts(verdicts: Table) -> Table:
    """The verdicts without the columns that only the audit needs; `claims.md` has them."""
    cut = [tuple(row[place] for place in SHOWN) for row in (verdicts.header, *verdicts.rows)]
    note = (
        "holds, contradicted: the 95 % interval decides it, in at least one cell (model and benchmark) and in none the "
        "other way; not decided: the interval includes 0, or cells disagree; not run: what it needs was not run. "
        "Deciding number: the one that speaks most against the claim, in points where nothing else is said."
    )
    return Table(verdicts.title, cut[0], tuple(cut[1:]), note)


def results(first: Sequence[Table], images: Sequence[str], verdicts: Table, rest: str) -> str:
    """Accuracies, figures by their paths, verdicts, and where the rest is."""
    shown = [f"![{image.rsplit('/')[-1].removesuffix('.png').replace('_', ' ')}]({image})\n" for image in images]
    pointer = f"All tables: [{rest}/table.md]({rest}/table.md); all verdicts: [{rest}/claims.md]({rest}/claims.md).\n"
    return "\n".join([markdown(first), *shown, markdown([short_verdicts(verdicts)]), pointer])
