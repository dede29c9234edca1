"""Sections of the README that the last run writes: the answer at the top, and the results."""

from collections.abc import Mapping, Sequence
from typing import Any

from sapo.report.names import method_name
from sapo.report.tables.method_tables import Table
from sapo.report.tables.rendering import markdown

HEADLINE = "accuracy_by_round"
# The claims that the papers are read for.
HEADLINES = (
    "sapo_beats_sft",
    "sapo_beats_rft",
    "half_the_flops_of_shepherd",
    "process_verifier_beats_outcome_verifier",
)
# Of the table of accuracies; the rest is in table.md.
MAIN_METHODS = ("cot", "sft", "rft", "grpo", "orpo_outcome", "orpo_mc")
SAPO_ROUNDS = f"{method_name('sapo')}-iter"


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


def results(accuracies: Sequence[Table], rest: str) -> str:
    """The first model's main methods, and where all other tables are."""
    first = accuracies[0]
    main = {method_name(method) for method in MAIN_METHODS}
    rows = tuple(row for row in first.rows if row[0] in main or row[0].startswith(SAPO_ROUNDS))
    shown = Table(first.title, first.header, rows, first.note.split(" A \u2192 B")[0])
    pointer = f"All methods, models and differences: [{rest}/table.md]({rest}/table.md).\n"
    return "\n".join([markdown([shown]), pointer])
