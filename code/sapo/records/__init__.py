"""Frozen records that stages exchange (`kinds`), and checked files in and out (`files`, `checked`)."""

from sapo.records.checked import (
    SCHEMA_VERSION,
    BadInput,
    RecordError,
    check_lines,
    parse_object,
    read_json,
    read_lines,
    read_plain_json,
    write_bytes,
    write_json,
    write_plain_json,
    write_text,
)
from sapo.records.files import read_records, write_records
from sapo.records.kinds import (
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

__all__ = [
    "SCHEMA_VERSION",
    "BadInput",
    "Cost",
    "LabelCase",
    "Outcome",
    "PreferencePair",
    "Question",
    "RecordError",
    "StepLabels",
    "StepScores",
    "Trajectory",
    "Verdict",
    "check_lines",
    "parse_object",
    "read_json",
    "read_lines",
    "read_plain_json",
    "read_records",
    "write_bytes",
    "write_json",
    "write_plain_json",
    "write_records",
    "write_text",
]
