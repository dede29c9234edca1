"""The reader of the published numbers: what it finds, and what it refuses."""

from pathlib import Path

import pytest

from sapo.report.claims.published import HEADER, PublishedError, Row, read_published

GOOD = "SAPO,table1,Gemma-2-2B,SFT,GSM8K,accuracy,39.12,1319"


def write(folder: Path, *lines: str) -> Path:
    path = folder / "published.csv"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_every_printed_number_is_read() -> None:
    """Table 1 has 3 models x 10 methods x 4 benchmarks; table 2 3 x 3 x 2, table 3 2 x 5; SIPF 6: 154 numbers."""
    rows = read_published()
    assert len(rows) == 3 * 10 * 4 + 3 * 3 * 2 + 2 * 5 + 6
    assert Row("SAPO", "table1", "Qwen-2.5-0.5B", "SAPO-iter3", "GSM8K", "accuracy", 41.62, 1319) in rows


def test_a_number_of_unknown_items_is_read(tmp_path: Path) -> None:
    (row,) = read_published(write(tmp_path, HEADER, "SAPO,table2,Gemma-2-2B,V1-R1,MBPP,error,67.48,"))
    assert (row.percent, row.items) == (67.48, None)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((), "line 1: '', expected 'source,"),
        (("source,location",), "line 1: 'source,location', expected"),
        ((HEADER, GOOD, GOOD), "line 3: SAPO, table1, Gemma-2-2B, SFT, GSM8K, accuracy is in line 2 already"),
        ((HEADER, "SAPO,table1,SFT"), "line 2: 3 values, expected 8"),
        ((HEADER, GOOD.replace("39.12", "high")), "line 2: value is 'high', expected a number from 0 to 100"),
        ((HEADER, GOOD.replace("39.12", "nan")), "line 2: value is 'nan'"),
        ((HEADER, GOOD.replace("39.12", "139.12")), "line 2: value is '139.12'"),
        ((HEADER, GOOD.replace("1319", "0")), "line 2: n_items is '0', expected a positive whole number"),
        ((HEADER, GOOD.replace("1319", "1e3")), "line 2: n_items is '1e3'"),
        ((HEADER, GOOD.replace("SFT", "")), "line 2: method is empty"),
    ],
)
def test_what_is_not_as_it_should_be_is_refused_by_line_and_value(
    tmp_path: Path, lines: tuple[str, ...], said: str
) -> None:
    path = write(tmp_path, *lines)
    with pytest.raises(PublishedError) as error:
        read_published(path)
    assert str(error.value).startswith(f"{path}: {said}")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PublishedError, match="no such file"):
        read_published(tmp_path / "published.csv")
