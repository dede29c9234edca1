"""Settings of the tests of labelling costs: those of the stage and those of its report."""

import dataclasses
from pathlib import Path

from sapo.settings import (
    CellSettings,
    FitSettings,
    GroupSettings,
    Settings,
    TaskSettings,
    VerifierSettings,
    load_settings,
)
from sapo.settings.configure import PARAMS

ROOT = Path(__file__).parents[2]


def small_efficiency_settings() -> Settings:
    """Two rollouts a position; verifiers are trained for two epochs."""
    nano, fit = load_settings(ROOT / PARAMS), FitSettings(1e-2, 2, 4, 0.1)
    return dataclasses.replace(
        nano,
        profile="test",
        workers=1,
        groups={"headline": GroupSettings(("sapo",), (1,))},
        cells={name: CellSettings("tiny", name, "headline") for name in ("lines", "nano_math")},
        models={"tiny": nano.models["qwen2_nano"]},
        tasks={"lines": TaskSettings("lines", 4, 4, 1, 1, 6)},
        rollouts=dataclasses.replace(nano.rollouts, per_position=2),
        verifier=VerifierSettings("mse", fit),
        report=dataclasses.replace(nano.report, resamples=200),
    )
