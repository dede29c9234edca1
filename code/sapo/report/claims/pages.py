"""Every claim as a paragraph of its own in `claims.md`: source, printed numbers, test, what came out here, and when it
is decidable, so that a verdict can be judged without the tables."""

from collections.abc import Mapping, Sequence

from sapo.report.claims.catalog import Claim
from sapo.report.claims.printed_noise import Ordering
from sapo.report.claims.tables import interval_text, place
from sapo.report.claims.verdicts import Cell, Comparison, overall
from sapo.report.claims.wording import in_words


def claim_pages(
    claims: Sequence[Claim],
    cells: Mapping[str, Sequence[Cell]],
    printed: Mapping[str, Sequence[Ordering]],
    profile: str,
) -> str:
    """A heading and five lines a claim, in the order of the file."""
    return "\n\n".join(_page(claim, cells[claim.id], printed[claim.id], profile) for claim in claims) + "\n"


def _page(claim: Claim, cells: Sequence[Cell], printed: Sequence[Ordering], profile: str) -> str:
    verdict = overall([cell.verdict for cell in cells])
    lines = [
        f"### {claim.words}",
        "",
        f"**{verdict}** in profile {profile} · {claim.source.paper}, {claim.source.place} · `{claim.id}`",
        "",
        f"- Printed: {printed_words(printed)}",
        f"- Test: {in_words(claim.test)}",
        *(f"- {cell.model}, {place(cell)}: {cell_words(cell)}" for cell in cells),
        *([] if cells else ["- This run has no model and benchmark that the claim speaks of."]),
        f"- Decidable in a run that has: {claim.decidable}.",
    ]
    return "\n".join(lines)


def printed_words(printed: Sequence[Ordering]) -> str:
    """How many printed pairs stand how, the closest and the widest; one alone is given whole."""
    if not printed:
        return "drawn or said in the paper, without numbers."
    ordered = sorted(printed, key=lambda one: one.points)
    outside = sum(one.standing == "outside noise" for one in printed)
    ends = " to ".join(_pair(one) for one in dict.fromkeys((ordered[0], ordered[-1])))
    return f"{len(printed)} pairs, {outside} of them outside noise; from {ends}." if len(printed) > 1 else f"{ends}."


def cell_words(cell: Cell) -> str:
    """The verdict of a model and benchmark, what decided it, and what was not run."""
    missing = list(dict.fromkeys(one.missing for one in cell.comparisons if one.missing))
    lacks = f" Missing: {'; '.join(missing)}." if missing else ""
    one = cell.deciding
    if one is None or one.interval is None:
        return f"*not run*.{lacks}"
    number = len(cell.comparisons)
    of = f" Of {number} comparisons {cell.met} are met, {cell.broken} broken; the one most against it:"
    counts = of if number > 1 else ""
    return f"*{cell.verdict}*.{counts} {_measured(one)}.{lacks}"


def _measured(one: Comparison) -> str:
    assert one.interval is not None
    unit = " points" if one.unit == "points" else ""
    needed = f", where {one.least:g} is needed" if one.least else ""
    seeds = f", {one.seeds} seed{'s' if one.seeds > 1 else ''}" if one.seeds else ""
    return f"{one.what} = {interval_text(one.interval, one.unit)}{unit}{needed}{seeds}"


def _pair(one: Ordering) -> str:
    sides = f"{one.more.method} {one.more.percent:.2f} v {one.less.method} {one.less.percent:.2f}"
    return f"{one.points:+.2f} ({one.more.model}, {one.more.benchmark}: {sides}; {one.standing})"
