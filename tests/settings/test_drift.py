"""The committed params.yaml is what code/conf composes for profile nano, byte for byte."""

from pathlib import Path

from sapo.settings.configure import PARAMS, compose

ROOT = Path(__file__).parents[2]


def test_params_are_those_of_profile_nano() -> None:
    text, _ = compose(ROOT, ["profile=nano"])
    committed = (ROOT / PARAMS).read_text(encoding="utf-8")
    assert committed == text, "params.yaml has drifted from code/conf: run `python -m sapo configure profile=nano`"
