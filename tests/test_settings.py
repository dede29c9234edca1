"""Settings: params.yaml in, one clear error or typed values out."""

import re
from pathlib import Path

import pytest
import yaml

from sapo.configure import PARAMS
from sapo.settings import FitSettings, RoundSettings, SettingsError, build, load_settings

ROOT = Path(__file__).parents[1]


def edited(tmp_path: Path, **changes: object) -> Path:
    """The committed params.yaml with some top-level keys replaced (None removes one)."""
    values = yaml.safe_load((ROOT / PARAMS).read_text(encoding="utf-8")) | changes
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in values.items() if v is not None}), encoding="utf-8")
    return path


def test_a_python_keyword_is_read_into_the_field_with_an_underscore(tmp_path: Path) -> None:
    assert load_settings(edited(tmp_path, align={"from": "previous"})).align.from_ == "previous"


def test_an_integer_is_a_fine_float_but_not_the_reverse() -> None:
    values = {"lr": 1, "epochs": 2, "batch_size": 4, "warmup": 0}
    assert build(FitSettings, values, "p") == FitSettings(lr=1.0, epochs=2, batch_size=4, warmup=0.0)
    with pytest.raises(SettingsError, match=r"p: epochs: 2\.0 is float, expected int"):
        build(FitSettings, values | {"epochs": 2.0}, "p")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sede": 1}, "unknown setting 'sede' (value 1)"),
        ({"seed": None}, "setting 'seed' is missing"),
        ({"seed": True}, "seed: True is bool, expected int"),
        ({"seed": -1}, "seed: -1 is no non-negative number"),
        ({"sft": 3}, "sft: expected keys, found 3"),
        ({"sft": {"lr": float("nan"), "epochs": 1, "batch_size": 1, "warmup": 0}}, "lr: nan is no positive number"),
        ({"detect": {"sign": "up", "virtual_start": True}}, "detect: sign: 'up' is not one of 'drop', 'rise'"),
        ({"models": {}}, "models: {} names none"),
        ({"rounds": [{"i": 1, "prev": 0}, {"i": 3, "prev": 2}]}, "rounds: (i, prev) is [(1, 0), (3, 2)]"),
        ({"rounds": {"i": 1, "prev": 0}}, "rounds: {'i': 1, 'prev': 0} is dict"),
    ],
)
def test_bad_values_are_refused_by_file_key_and_value(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = edited(tmp_path, **changes)
    with pytest.raises(SettingsError, match=re.escape(str(path)) + ".*" + re.escape(message)):
        load_settings(path)


@pytest.mark.parametrize("name", ["a.b", "a/b", "..", "A", ""])
def test_names_that_cannot_be_folders_or_stage_names_are_refused(tmp_path: Path, name: str) -> None:
    model = {"kind": "nano", "architecture": "qwen2", "hub_id": "", "revision": ""}
    with pytest.raises(SettingsError, match=re.escape(f"models: name {name!r}")):
        load_settings(edited(tmp_path, models={name: model}))


def test_a_missing_file_and_a_file_that_is_no_yaml_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        load_settings(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"bad\.yaml: not YAML"):
        load_settings(tmp_path / "bad.yaml")


def test_rounds_come_as_a_tuple_in_order() -> None:
    assert load_settings(ROOT / PARAMS).rounds[:2] == (RoundSettings(1, 0), RoundSettings(2, 1))
