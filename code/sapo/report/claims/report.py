"""All claims of both papers, held against this run and against the papers' own numbers: tables, and one JSON object.

The one entry of this package: stage `report` calls `claims_report` with what it has read.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sapo.report.claims.catalog import Claim, check_printed, read_claims
from sapo.report.claims.evidence import Evidence
from sapo.report.claims.pages import claim_pages
from sapo.report.claims.printed_noise import Ordering, claimed, orderings
from sapo.report.claims.published import read_published
from sapo.report.claims.tables import cells_table, orderings_table, published_table, verdict_table
from sapo.report.claims.tests import cells
from sapo.report.claims.verdicts import VERDICTS, Cell, Comparison, overall
from sapo.report.tables.method_tables import Table


def claims_report(evidence: Evidence) -> tuple[list[Table], dict[str, Any], str]:
    """Verdicts, cells, the audit of the printed numbers by claim, and every printed ordering; `claims.json`; and each
    claim as a paragraph of `claims.md`.

    Raises:
        ClaimsError, PublishedError: `code/conf/claims.yaml` or `published.csv` is not as it should be.
    """
    claims, rows = read_claims(), read_published()
    check_printed(claims, rows)
    own = {claim.id: cells(claim, evidence) for claim in claims}
    printed = {claim.id: orderings(claim, rows) for claim in claims}
    tables = [
        verdict_table(claims, own, printed, evidence.settings.profile),
        cells_table(claims, own),
        published_table(claims, printed),
        orderings_table(claimed(claims, printed)),
    ]
    profile = evidence.settings.profile
    return tables, numbers(claims, own, printed, profile), claim_pages(claims, own, printed, profile)


def numbers(
    claims: Sequence[Claim], own: Mapping[str, Sequence[Cell]], printed: Mapping[str, Sequence[Ordering]], profile: str
) -> dict[str, Any]:
    """What the tables say, as plain values: verdicts with their comparisons, and how many printed orderings stand how.

    Each ordering is a row of `tables.json` ("every-ordering-that-the-claims-rest-on").
    """
    verdicts = {claim.id: overall([cell.verdict for cell in own[claim.id]]) for claim in claims}
    every = claimed(claims, printed)
    count = Counter(verdicts.values())
    return {
        "profile": profile,
        "counts": {verdict: count[verdict] for verdict in VERDICTS},
        "claims": {claim.id: _claim(claim, verdicts[claim.id], own[claim.id], printed[claim.id]) for claim in claims},
        "published": {
            "orderings": len(every),
            "standing": dict(Counter(one.standing for one in every)),
            "outside_noise_by_task": sum(one.outside_by_task for one in every),
        },
    }


def _claim(claim: Claim, verdict: str, own: Sequence[Cell], printed: Sequence[Ordering]) -> dict[str, Any]:
    return {
        "verdict": verdict,
        "words": claim.words,
        "source": asdict(claim.source),
        "decidable": claim.decidable,
        "cells": [
            {
                "model": cell.model,
                "task": cell.task,
                "benchmark": cell.benchmark,
                "verdict": cell.verdict,
                "comparisons": [_comparison(one) for one in cell.comparisons],
            }
            for cell in own
        ],
        "published": dict(Counter(one.standing for one in printed)),
    }


def _comparison(one: Comparison) -> dict[str, Any]:
    said: dict[str, Any] = {"what": one.what}
    if one.interval is None:
        return said | {"missing": one.missing}
    interval = {name: round(value, 4) + 0.0 for name, value in asdict(one.interval).items()}
    return said | {"unit": one.unit, **interval, "least": one.least, "seeds": one.seeds}
