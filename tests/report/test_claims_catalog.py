"""The file of claims: complete, resting on printed numbers, speaking of what exists; and what its reader refuses."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from sapo.evaluate.efficiency import LABELLERS
from sapo.report.claims.catalog import (
    AccuracyTest,
    ChangeTest,
    ClaimsError,
    CostTest,
    ProcessTest,
    TrendTest,
    check_printed,
    read_claims,
)
from sapo.report.claims.printed_noise import orderings
from sapo.report.claims.published import read_published
from sapo.settings import method_settings
from sapo.settings.configure import compose
from sapo.tasks.catalog import TASKS

ROOT = Path(__file__).parents[2]
CLAIMS = read_claims()
SETTINGS = compose(ROOT, ["profile=nano_full"])[1]


def claim(**changed: Any) -> dict[str, Any]:
    """A sound claim, as YAML gives it, with some keys changed; None removes one."""
    values: dict[str, Any] = {
        "id": "better",
        "source": {"paper": "SAPO", "place": "table 1"},
        "words": "SAPO is better than SFT.",
        "printed": [{"location": "table1", "more": ["SAPO-iter3"], "less": ["SFT"]}],
        "where": {"benchmarks": ["nano_math"]},
        "test": {"accuracy": {"left": "sapo 3", "right": ["sft"]}},
        "decidable": "SAPO",
    }
    return {key: value for key, value in (values | changed).items() if value is not None}


def read(folder: Path, *claims: Any) -> Any:
    path = folder / "claims.yaml"
    path.write_text(yaml.safe_dump(list(claims)), encoding="utf-8")
    return read_claims(path)


def sides(test: Any) -> list[str]:
    """Checkpoints that a test names, `METHOD ROUND`."""
    match test:
        case AccuracyTest(left, right):
            return [left, *right]
        case TrendTest(steps):
            return list(steps)
        case ChangeTest(_, method):
            return [method]
        case ProcessTest(_, more, less):
            return [said for said in (*more, *less) if said.split(" ")[0] not in ("self_verification", "mce")]
    return []


def test_both_papers_have_claims_and_there_are_enough_of_them() -> None:
    assert len(CLAIMS) >= 25
    assert {one.source.paper for one in CLAIMS} == {"SAPO", "SIPF"}
    assert {type(one.test) for one in CLAIMS} == {AccuracyTest, TrendTest, CostTest, ChangeTest, ProcessTest}


def test_all_printed_numbers_that_claims_rest_on_are_published() -> None:
    check_printed(CLAIMS, read_published())


@pytest.mark.parametrize("one", [one for one in CLAIMS if one.printed], ids=lambda one: one.id)
def test_a_claim_with_printed_numbers_has_an_ordering_from_each_entry(one: Any) -> None:
    rows = read_published()
    assert len(orderings(one, rows)) >= len(one.printed)


@pytest.mark.parametrize("one", CLAIMS, ids=lambda one: one.id)
def test_a_claim_speaks_of_methods_rounds_labellers_and_benchmarks_that_exist(one: Any) -> None:
    assert set(one.where.benchmarks) <= TASKS.keys() and one.where.benchmarks
    assert set(one.where.architectures) <= {"qwen2", "gemma2", "llama"}
    for method, _, number in (said.partition(" ") for said in sides(one.test)):
        if method not in ("cot", "sft"):
            rounds = len(method_settings(SETTINGS, method, 1).loop.updates)
            assert not number or 1 <= int(number) <= rounds, f"{method} has {rounds} rounds"
    if isinstance(one.test, CostTest):
        assert {one.test.more, one.test.less} <= LABELLERS.keys()


def test_what_may_be_left_out_is_filled_in(tmp_path: Path) -> None:
    (one,) = read(tmp_path, claim())
    assert one.test == AccuracyTest("sapo 3", ("sft",), "all")
    assert (one.printed[0].models, one.where.architectures) == ((), ())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"colour": "red"}, "unknown setting 'colour' (value 'red')"),
        ({"words": None}, "setting 'words' is missing"),
        ({"words": 3}, "words: 3 is int, expected str"),
        ({"source": {"paper": "GRPO", "place": "table 1"}}, "source: paper: 'GRPO' is not one of 'SAPO', 'SIPF'"),
        ({"where": {"benchmarks": ["nano_math"], "seed": 1}}, "where: unknown setting 'seed' (value 1)"),
        ({"where": None}, "where: expected keys, found None"),
        ({"test": {"luck": {}}}, "test: expected one of accuracy, rises, cost, change, process, found {'luck': {}}"),
        ({"test": {"accuracy": {"left": "sapo 3"}}}, "test: accuracy: setting 'right' is missing"),
        ({"test": {"accuracy": {"left": "a", "right": ["b"], "quorum": "some"}}}, "quorum: 'some' is not one of"),
        ({"printed": "table1"}, "printed: expected a list, found 'table1'"),
        ({"printed": [{"location": "table1"}]}, "printed[0]: setting"),
    ],
)
def test_an_unsound_claim_is_refused_by_name_key_and_value(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ClaimsError) as error:
        read(tmp_path, claim(**changed))
    assert str(error.value).startswith(f"{tmp_path / 'claims.yaml'}: claim 1 (better)")
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_claim_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClaimsError, match="id 'better' is there twice"):
        read(tmp_path, claim(), claim())


@pytest.mark.parametrize("text", ["", "better: 1\n", "- [\n", "- better\n"])
def test_a_file_that_is_no_list_of_claims_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ClaimsError, match=r"claims\.yaml: (expected a list|not YAML|claim 1: expected keys)"):
        read_claims(path)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"location": "table9"}, "location 'table9'"),
        ({"more": ["SAPO-iter9"]}, "method 'SAPO-iter9'"),
        ({"models": ["Qwen"]}, "model 'Qwen'"),
        ({"benchmarks": ["GSM9K"]}, "benchmark 'GSM9K'"),
    ],
)
def test_numbers_that_nobody_printed_are_refused(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    printed = {"location": "table1", "more": ["SAPO-iter3"], "less": ["SFT"]}
    claims = read(tmp_path, claim(printed=[printed | changed]))
    with pytest.raises(ClaimsError) as error:
        check_printed(claims, read_published())
    assert str(error.value) == f"claim better: no number is published for {said}"
