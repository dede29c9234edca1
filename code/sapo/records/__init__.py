"""Frozen records that stages exchange (`kinds`), and checked files in and out (`files`, `checked`)."""

# ruff: noqa: F401 - names that other packages import from here

from sapo.records.checksummed import (
    SCHEMA_VERSION,
    BadInput,
    RecordError,
    check_lines,
    parse_object,
    read_json,
    read_lines,
    read_plain_json,
    same_file,
    write_bytes,
    write_json,
    write_plain_json,
    write_text,
)
from sapo.records.files import read_records, write_records
from sapo.records.schema import (
    Cost,
    LabelCase,
    Outcome,
    PreferencePair,
    Question,
    StepLabels,
    StepScores,
    Trajectory,
    Verdict,
)
