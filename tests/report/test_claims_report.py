"""The whole report on the claims, from a tiny run."""

import json
from typing import Any

import pytest
from claims_evidence import evidence_of
from report_runs import tiny_settings, write_runs

from sapo.evaluate.interval import Interval
from sapo.report.claims.catalog import read_claims
from sapo.report.claims.report import claims_report
from sapo.report.claims.tables import cell_counts, interval_text
from sapo.report.claims.verdicts import VERDICTS, Cell, Comparison
from sapo.report.claims.wording import in_words
from sapo.report.tables.method_tables import Table
from sapo.report.tables.rendering import markdown


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Table], dict[str, Any], str]:
    return claims_report(evidence_of(write_runs(tmp_path_factory.mktemp("claims"), tiny_settings())))


def test_every_claim_is_one_line_and_its_verdict_comes_first(done: tuple[list[Table], dict[str, Any], str]) -> None:
    lines = markdown(done[0][:1]).splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| ")][2:]
    assert [row[1] for row in rows] == [claim.words for claim in read_claims()]
    assert {row[0].removeprefix("| ") for row in rows} <= set(VERDICTS)
    assert all(len(row) == len(done[0][0].header) for row in done[0][0].rows)


def test_lines_say_what_decided(done: tuple[list[Table], dict[str, Any], str]) -> None:
    """SAPO's first round minus SFT: 3 - 2 and 3 - 1 of 4. In the papers 4 of 6 such differences are outside noise."""
    rows = {row[1]: row for row in done[0][0].rows}
    assert rows["One round of SAPO is enough to be better than SFT."] == (
        "holds",
        "One round of SAPO is enough to be better than SFT.",
        "SAPO, table 1",
        "holds 1",
        "qwen2_nano, nano_math: SAPO-iter 1 minus SFT: +37.5 [+25.0, +50.0]",
        "2",
        "4 of 6",
    )
    assert rows["SAPO is better than three rounds of RPO (DPO with NLL) on the benchmark it was trained for."][3:6] == (
        "not run 1",
        "needs SAPO and RPO with three rounds",
        "–",
    )


def test_only_what_was_run_is_in_the_cells(done: tuple[list[Table], dict[str, Any], str]) -> None:
    cells = done[0][1]
    assert ("holds", "sapo_first_round_beats_sft", "qwen2_nano", "nano_math", "1 / 0 / 1") in {
        row[:5] for row in cells.rows
    }
    assert "not run" not in {row[0] for row in cells.rows}


def test_the_audit_adds_up(done: tuple[list[Table], dict[str, Any], str]) -> None:
    """Each line: orderings, then as many by standing. One line of table 2 has no number of items."""
    rows = [list(map(int, row[2:])) for row in done[0][2].rows]
    assert all(total == sum(parts) for total, *parts in rows)
    published = done[1]["published"]
    assert rows[-1][0] == published["orderings"] == len(done[0][3].rows)
    assert sum(published["standing"].values()) == published["orderings"]
    assert published["standing"]["items not printed"] == 16  # table 2: 18 orderings, 2 the other way round


def test_the_numbers_are_json_and_say_what_the_tables_say(done: tuple[list[Table], dict[str, Any], str]) -> None:
    tables, numbers, _ = done
    assert json.loads(json.dumps(numbers)) == numbers
    assert [entry["verdict"] for entry in numbers["claims"].values()] == [row[0] for row in tables[0].rows]
    assert sum(numbers["counts"].values()) == len(read_claims())
    (cell,) = numbers["claims"]["sapo_first_round_beats_sft"]["cells"]
    assert cell["comparisons"] == [
        {
            "what": "SAPO-iter 1 minus SFT",
            "unit": "points",
            "value": 37.5,
            "low": 25.0,
            "high": 50.0,
            "least": 0.0,
            "seeds": 2,
        }
    ]


def test_numbers_as_text() -> None:
    assert interval_text(Interval(-0.04, -1.26, 2), "points") == "+0.0 [-1.3, +2.0]"
    assert interval_text(Interval(2.444, 2.444, 2.444), "times") == "2.44 times"
    assert interval_text(Interval(0.01, 0, 0.02), "nats") == "+0.0100 [+0.0000, +0.0200] nats"


def test_cells_are_counted_by_verdict() -> None:
    better = Comparison("a minus b", "points", Interval(2.0, 1.0, 3.0))
    cells = [Cell("m", "t", "t", one) for one in ((), (better,), (better,))]
    assert cell_counts(cells) == "holds 2, not run 1"
    assert cell_counts([]) == "–"


def test_every_claim_can_be_judged_by_itself(done: tuple[list[Table], dict[str, Any], str]) -> None:
    """Verdict, profile, source, printed numbers, test, numbers with their seeds, and what would decide it.

    Of SAPO's first rounds against SFT the closest printed pair is 25.35 v 24.01; of six, four are outside noise.
    """
    pages = done[2].split("### ")[1:]
    assert [page.split("\n")[0] for page in pages] == [claim.words for claim in read_claims()]
    for page, claim in zip(pages, read_claims(), strict=True):
        assert f"in profile tiny · {claim.source.paper}, {claim.source.place} · `{claim.id}`\n" in page
        assert "\n- Printed: " in page and "\n- Test: " in page
        assert page.rstrip().endswith(f"- Decidable in a run that has: {claim.decidable}.")
    (page,) = [page for page in pages if "`sapo_first_round_beats_sft`" in page]
    assert page.split("\n")[2].startswith("**holds** in profile tiny")
    assert (
        "- Printed: 6 pairs, 4 of them outside noise; from +1.34 (Llama-3.2-1B, MBPP: SAPO-iter1 25.35 v SFT 24.01; "
        in page
    )
    assert "- Test: SAPO, round 1 answers more questions right than SFT. Paired by question and seed; " in page
    assert "- qwen2_nano, nano_math: *holds*. SAPO-iter 1 minus SFT = +37.5 [+25.0, +50.0] points, 2 seeds." in page
    (page,) = [page for page in pages if "`sapo_beats_rpo`" in page]
    assert "- qwen2_nano, nano_math: *not run*. Missing: SAPO has 2 rounds." in page


def test_tests_in_words() -> None:
    words = {claim.id: in_words(claim.test) for claim in read_claims()}
    assert words["half_the_flops_of_shepherd"].startswith(
        "Shepherd's labels take at least 2 times as many FLOPs as SAPO's labels, per labelled trajectory. "
    )
    assert words["fewer_seconds_than_omega"].startswith("OmegaPRM's labels take more seconds than SAPO's labels, ")
    assert words["sapo_rises"].startswith("Accuracy rises at each step: SAPO, round 1; SAPO, round 2; SAPO, round 3. ")
    assert words["sapo_beats_most"].startswith(
        "SAPO, round 3 answers more questions right than most of [RFT; RFT + DPO; "
    )
    assert words["dpo_lowers_chosen"].startswith(
        "In round 1 of SRF (iterated DPO) the mean log-probability a token of the chosen completions falls from "
    )
    assert words["outcome_verifier_ceiling"].startswith(
        "On the process benchmark the accuracy on steps of online ORM, round 1 is at most 1 point below that of online "
    )
    assert "that of each of [V" not in words["same_round_verifies_best"]
    assert "of each of [V1-R1; V1-R3] is above that of V3-R3." in words["same_round_verifies_best"]
