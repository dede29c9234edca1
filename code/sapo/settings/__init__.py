"""Typed settings that mirror `params.yaml`; unknown keys and wrong types are refused before a model loads.

Every value is used somewhere: a setting that only gets recorded is a lie.
"""

from sapo.settings.graph import Settings, load_settings, method_settings, seeds_of
from sapo.settings.methods import (
    BudgetSettings,
    DetectSettings,
    DpoSettings,
    ExpansionSettings,
    FilterSettings,
    FitSettings,
    GrpoSettings,
    LabelSettings,
    LoopSettings,
    OrpoSettings,
    PairSettings,
    RolloutSettings,
    SamplingSettings,
    SapsSettings,
    VerifierSettings,
)
from sapo.settings.run import (
    AdapterSettings,
    CellSettings,
    DataSettings,
    EfficiencySettings,
    GroupSettings,
    ModelSettings,
    ProcessBenchmarkSettings,
    ProcessSettings,
    ReportSettings,
    ScratchSettings,
    TaskSettings,
    TuningSettings,
)
from sapo.settings.typed_values import SettingsError, build

__all__ = [
    "AdapterSettings",
    "BudgetSettings",
    "CellSettings",
    "DataSettings",
    "DetectSettings",
    "DpoSettings",
    "EfficiencySettings",
    "ExpansionSettings",
    "FilterSettings",
    "FitSettings",
    "GroupSettings",
    "GrpoSettings",
    "LabelSettings",
    "LoopSettings",
    "ModelSettings",
    "OrpoSettings",
    "PairSettings",
    "ProcessBenchmarkSettings",
    "ProcessSettings",
    "ReportSettings",
    "RolloutSettings",
    "SamplingSettings",
    "SapsSettings",
    "ScratchSettings",
    "Settings",
    "SettingsError",
    "TaskSettings",
    "TuningSettings",
    "VerifierSettings",
    "build",
    "load_settings",
    "method_settings",
    "seeds_of",
]
