"""Verdicts and audit as tables of text: one line a claim, verdict first; then every cell; then the papers' numbers."""

from collections import Counter
from collections.abc import Mapping, Sequence

from sapo.evaluate.interval import Interval
from sapo.report.claims.catalog import Claim
from sapo.report.claims.printed_noise import DECISIVE, STANDINGS, Ordering, claimed
from sapo.report.claims.verdicts import VERDICTS, Cell, Comparison, exact, overall
from sapo.report.tables.method_tables import NONE, Table

_DIGITS = {"points": 1, "times": 2, "nats": 4}
_SIGNED = ("points", "nats")


def verdict_table(
    claims: Sequence[Claim], cells: Mapping[str, Sequence[Cell]], found: Mapping[str, Sequence[Ordering]], profile: str
) -> Table:
    """One line a claim: verdict, words, source, how its cells stand, and the number that speaks most against it."""
    rows = tuple(
        (
            overall([cell.verdict for cell in cells[claim.id]]),
            claim.words,
            f"{claim.source.paper}, {claim.source.place}",
            cell_counts(cells[claim.id]),
            *_deciding(claim, cells[claim.id]),
            outside_text(found[claim.id]),
        )
        for claim in claims
    )
    counts = Counter(row[0] for row in rows)
    title = f"Do the papers' claims hold? Profile {profile}: " + ", ".join(f"{v} {counts[v]}" for v in VERDICTS)
    note = (
        "holds: in every cell (model and benchmark) that decides it, and in one at least; contradicted: likewise, the "
        "other way; not decided: the 95 % interval includes 0, or cells disagree; not run: what it needs is not in "
        "this run. Deciding number: the one that speaks most against the claim, in points where nothing else is said, "
        "positive where the claim is right. Seeds: how many are behind it; one seed says nothing about others. In the "
        "paper: how many of the printed orderings that the claim rests on are outside noise. nano_math stands for "
        "GSM8K and nano_code for MBPP; what they are tested on out of domain for MATH and HumanEval. No adjustment for "
        "the number of claims."
    )
    header = ("Verdict", "Claim", "Source", "Cells", "Deciding number", "Seeds", "In the paper")
    return Table(title, header, rows, note)


def cells_table(claims: Sequence[Claim], cells: Mapping[str, Sequence[Cell]]) -> Table:
    """One line a claim, model and benchmark; those that were not run are left out."""
    rows = tuple(
        (cell.verdict, claim.id, cell.model, place(cell), met_text(cell), *_number(cell.deciding))
        for claim in claims
        for cell in cells[claim.id]
        if cell.verdict != "not run"
    )
    header = ("Verdict", "Claim", "Model", "Benchmark", "Met / broken / of", "Deciding number", "Seeds")
    note = "Met / broken / of: comparisons that the claim makes in this cell; others are open or were not run."
    return Table("The claims, cell by cell", header, rows, note)


def published_table(claims: Sequence[Claim], found: Mapping[str, Sequence[Ordering]]) -> Table:
    """One line a claim that rests on printed numbers: how many of its orderings stand how; then each ordering once."""
    rows = [
        (claim.id, f"{claim.source.paper}, {claim.source.place}", *_standings(found[claim.id]))
        for claim in claims
        if found[claim.id]
    ]
    every = claimed(claims, found)
    rows.append(("all, each ordering once", "but those that a claim about most leaves open", *_standings(every)))
    outside = sum(one.standing == "outside noise" for one in every)
    by_task = sum(one.outside_by_task for one in every)
    note = (
        "Outside noise: Newcombe's 95 % interval of the difference of two shares lies above 0 (unpaired; a paired "
        f"test could be tighter). Only if paired: {DECISIVE} items apart or more, so the pairing that favours the "
        f"claim most would put it outside noise. Noise however paired: fewer than {DECISIVE} items apart. Other way "
        "round: printed equal or lower. This is about which items were asked; noise between training runs comes on "
        f"top. Counting MBPP's tasks instead of its prompts, {by_task} of the {outside} are outside noise."
    )
    title = "The papers' own numbers: how many of the claimed orderings are outside noise?"
    return Table(
        title, ("Claim", "Source", "Orderings", *(name[0].upper() + name[1:] for name in STANDINGS)), tuple(rows), note
    )


def orderings_table(every: Sequence[Ordering]) -> Table:
    """Every ordering with its interval."""
    rows = tuple(
        (
            one.standing,
            one.more.model,
            one.more.benchmark,
            f"{one.more.location}: {one.more.method} {one.more.percent:.2f} v {one.less.method} {one.less.percent:.2f}",
            interval_text(one.interval, "points") if one.interval else f"{one.points:+.1f}",
            NONE if one.items is None else f"{one.items:+d} of {one.more.items}",
        )
        for one in every
    )
    header = ("Printed numbers", "Model", "Benchmark", "Ordering", "Points", "Items")
    return Table("Every ordering that the claims rest on", header, rows)


def place(cell: Cell) -> str:
    return cell.benchmark if cell.benchmark == cell.task else f"{cell.task} → {cell.benchmark}"


def cell_counts(cells: Sequence[Cell]) -> str:
    """`holds 2, contradicted 1, not run 1`."""
    counts = Counter(cell.verdict for cell in cells)
    return ", ".join(f"{verdict} {counts[verdict]}" for verdict in VERDICTS if counts[verdict]) or NONE


def outside_text(found: Sequence[Ordering]) -> str:
    """`14 of 21` printed orderings are outside noise; a dash where a claim rests on none."""
    outside = sum(one.standing == "outside noise" for one in found)
    return f"{outside} of {len(found)}" if found else NONE


def met_text(cell: Cell) -> str:
    return f"{cell.met} / {cell.broken} / {len(cell.comparisons)}"


def interval_text(interval: Interval, unit: str) -> str:
    """`-31.5 [-37.3, -25.2]`; a count has no interval; `0.61 times`."""
    sign, digits = "+" if unit in _SIGNED else "", _DIGITS[unit]
    value, low, high = (
        f"{round(v, digits) + 0.0:{sign}.{digits}f}" for v in (interval.value, interval.low, interval.high)
    )
    after = "" if unit == "points" else f" {unit}"
    return f"{value}{after}" if exact(interval) and unit == "times" else f"{value} [{low}, {high}]{after}"


def _deciding(claim: Claim, cells: Sequence[Cell]) -> tuple[str, str]:
    """Of the cells that have the claim's verdict, else of all: the number that speaks most against it."""
    verdict = overall([cell.verdict for cell in cells])
    of = [cell for cell in cells if cell.verdict == verdict] or list(cells)
    if verdict == "not run":
        return f"needs {claim.decidable}", NONE
    run = [(cell, one) for cell in of if (one := cell.deciding) and one.interval]
    cell, one = min(run, key=lambda pair: pair[1].margin)
    text, seeds = _number(one)
    if cell.quorum == "most":
        text = f"{met_text(cell)} better / worse / of; {text}"
    return f"{cell.model}, {place(cell)}: {text}", seeds


def _number(one: Comparison | None) -> tuple[str, str]:
    """`SAPO-iter 3 minus RFT: -31.5 [-37.3, -25.2]`, and the seeds."""
    if one is None or one.interval is None:
        return NONE, NONE
    least = f" (claimed: {one.least:g} at least)" if one.least else ""
    return f"{one.what}: {interval_text(one.interval, one.unit)}{least}", str(one.seeds or NONE)


def _standings(found: Sequence[Ordering]) -> tuple[str, ...]:
    counts = Counter(one.standing for one in found)
    return str(len(found)), *(str(counts[name]) for name in STANDINGS)
