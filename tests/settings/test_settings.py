"""Settings: params.yaml in, one clear error or typed values out."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from sapo.settings import (
    FitSettings,
    Settings,
    SettingsError,
    build,
    load_settings,
    method_settings,
    seeds_of,
)
from sapo.settings.configure import PARAMS, compose
from sapo.settings.typed_values import changed

ROOT = Path(__file__).parents[2]
CELL = {"m": {"model": "qwen2_nano", "task": "nano_math", "group": "headline"}}


def edited(tmp_path: Path, **changes: object) -> Path:
    """The committed params.yaml with some top-level keys replaced (None removes one)."""
    values = yaml.safe_load((ROOT / PARAMS).read_text(encoding="utf-8")) | changes
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in values.items() if v is not None}), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Keyword:
    from_: int


def test_a_python_keyword_is_read_into_the_field_with_an_underscore() -> None:
    assert build(Keyword, {"from": 3}, "p") == Keyword(3)
    assert changed(Keyword(3), {"from": 4}, "p") == Keyword(4)


def test_an_integer_is_a_fine_float_but_not_the_reverse() -> None:
    values = {"lr": 1, "epochs": 0.5, "batch_size": 4, "warmup": 0, "micro_batch": 0}
    assert build(FitSettings, values, "p") == FitSettings(lr=1.0, epochs=0.5, batch_size=4, warmup=0.0)
    with pytest.raises(SettingsError, match=r"p: batch_size: 4\.0 is float, expected int"):
        build(FitSettings, values | {"batch_size": 4.0}, "p")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sede": 1}, "unknown setting 'sede' (value 1)"),
        ({"seed": None}, "setting 'seed' is missing"),
        ({"seed": True}, "seed: True is bool, expected int"),
        ({"seed": -1}, "seed: -1 is no non-negative number"),
        ({"sft": 3}, "sft: expected keys, found 3"),
        (
            {"sft": {"lr": float("nan"), "epochs": 1, "batch_size": 1, "warmup": 0, "micro_batch": 0}},
            "lr: nan is no positive number",
        ),
        (
            {"detect": {"by": "scores", "sign": "up", "virtual_start": True}},
            "detect: sign: 'up' is not one of 'drop', 'rise'",
        ),
        ({"models": {}}, "models: {} names none"),
        ({"workers": 0}, "workers: 0 is no positive number"),
        ({"cells": {}}, "cells: {} names none"),
        ({"cells": {"m": CELL["m"] | {"group": "none"}}}, "cells: m: 'none' is not one of"),
        ({"cells": CELL}, "cells: m: call it qwen2_nano-nano_math-headline"),
        ({"groups": {"headline": {"methods": ["none"], "seeds": [1]}}}, "groups: headline: methods: 'none' is not"),
        ({"groups": {"headline": {"methods": ["sapo"], "seeds": [1, 1]}}}, "seeds (1, 1) must be different ones"),
        ({"methods": {"sapo": {"pears": 1}}}, "methods: sapo: unknown setting 'pears' (value 1)"),
        ({"methods": {"sapo": {"pairs": {"eta": "x"}}}}, "methods: sapo: pairs: eta: 'x' is str, expected float"),
        ({"methods": {"sapo": {"loop": {"updates": []}}}}, "methods: sapo: loop: updates: () has no round"),
        ({"methods": {"sft": {}}}, "methods: 'sft' is what every method starts from"),
        ({"methods": {"sapo": {"like": "sapo"}}}, "methods: sapo: like: 'sapo' is like itself"),
        ({"methods": {"sapo": {"like": "none"}}}, "methods: sapo: 'none' is no method"),
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


@pytest.fixture(scope="module")
def nano() -> Settings:
    return compose(ROOT, ["profile=nano"])[1]


def test_a_method_is_the_common_settings_with_its_own_changes(nano: Settings) -> None:
    """psrf is like sipf, which labels by shepherd with a BCE verifier; it changes the loop."""
    assert method_settings(nano, "sapo", nano.seed) == nano
    psrf = method_settings(nano, "psrf", 7)
    assert (psrf.seed, psrf.labels.by, psrf.verifier.loss, psrf.loop.pool) == (7, "shepherd", "bce", "new")
    assert psrf.loop.updates == ("dpo", "dpo", "dpo")
    assert psrf.verifier.fit == nano.verifier.fit
    with pytest.raises(SettingsError, match="'pears' is no method; known: sapo, rft"):
        method_settings(nano, "pears", 1)


def test_the_seeds_of_a_model_and_task_are_those_of_all_its_groups(nano: Settings) -> None:
    assert seeds_of(nano, "qwen2_nano", "nano_math") == [1, 2, 3]
    assert seeds_of(nano, "none", "nano_math") == []


def test_a_method_cannot_run_twice_with_one_seed(tmp_path: Path) -> None:
    groups = {name: {"methods": ["sapo"], "seeds": [1]} for name in ("one", "two")}
    cells = {
        f"qwen2_nano-nano_math-{g}": {"model": "qwen2_nano", "task": "nano_math", "group": g} for g in ("one", "two")
    }
    values = yaml.safe_load((ROOT / PARAMS).read_text(encoding="utf-8"))
    one = {
        "models": {"qwen2_nano": values["models"]["qwen2_nano"]},
        "tasks": {"nano_math": values["tasks"]["nano_math"]},
        "process_benchmarks": {},
    }
    with pytest.raises(SettingsError, match="cells: qwen2_nano and nano_math run sapo with seed 1 twice"):
        load_settings(edited(tmp_path, groups=groups, cells=cells, **one))


ORACLE = {"first": "qwen2_nano", "second": "gemma2_nano", "annotator": "oracle", "judge": ""}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"process_benchmarks": {"gsm8k": ORACLE}}, "process_benchmarks: 'gsm8k' is not one of nano_code, nano_math"),
        (
            {"process_benchmarks": {"nano_math": ORACLE | {"second": "phi"}}},
            "nano_math: 'phi' is not one of gemma2_nano",
        ),
        ({"process_benchmarks": {"nano_math": ORACLE | {"annotator": "rollout"}}}, "nano_math: '' is not one of"),
        ({"process_benchmarks": {"nano_math": ORACLE | {"second": "qwen2_nano"}}}, "qwen2_nano cannot write both"),
    ],
)
def test_process_benchmarks_name_a_task_and_two_models(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_settings(edited(tmp_path, **changes))


def test_more_votes_cannot_agree_than_there_are(tmp_path: Path) -> None:
    own = yaml.safe_load((ROOT / PARAMS).read_text(encoding="utf-8"))["process"]
    with pytest.raises(SettingsError, match="process: agree is 4 of 3 votes: expected 1 to all"):
        load_settings(edited(tmp_path, process=own | {"agree": 4}))
