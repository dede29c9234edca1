"""Variants differ from the method that their name begins with in what the name says, and in nothing else."""

import dataclasses
from pathlib import Path

import pytest

from sapo.settings import Settings, method_settings
from sapo.settings.configure import compose

NANO = compose(Path(__file__).parents[2], ["profile=nano"])[1]


def flat(settings: Settings) -> dict[str, object]:
    def walk(value: object, name: str) -> dict[str, object]:
        if isinstance(value, dict):
            return {k: v for key, item in value.items() for k, v in walk(item, f"{name}.{key}").items()}
        return {name.lstrip("."): value}

    return walk({k: v for k, v in dataclasses.asdict(settings).items() if k != "methods"}, "")


def differences(method: str, other: str) -> dict[str, tuple[object, object]]:
    """Settings that differ between two methods: their values in the second and in the first."""
    one, two = flat(method_settings(NANO, method, 1)), flat(method_settings(NANO, other, 1))
    return {name: (two[name], one[name]) for name in one if one[name] != two[name]}


ABLATIONS = {
    ("sapo_without_pf", "sapo"): {"labels.by": ("saps", "outcome")},
    ("sapo_without_dv", "sapo"): {"detect.by": ("scores", "random")},
    ("sapo_without_rm", "sapo"): {"loop.reward": ("verifier", "outcome")},
    ("sapo_without_ep", "sapo"): {"expansion.max_per_trajectory": (2, 0)},
    ("sipf_without_pf", "sipf"): {"loop.reward": ("verifier", "outcome")},
    ("sipf_without_or", "sipf"): {"orpo.beta": (0.1, 0.0)},
    ("sipf_without_both", "sipf"): {"loop.reward": ("verifier", "outcome"), "orpo.beta": (0.1, 0.0)},
    ("sapo_until_located", "sapo"): {"saps.search": ("once", "until_located")},
    ("sapo_right", "sapo"): {"pairs.chosen": ("any", "right")},
    ("sapo_from_previous", "sapo"): {"loop.start": ("base", "previous")},
    ("sapo_full_nll", "sapo"): {"orpo.nll": ("completion", "full")},
    ("sapo_six_rounds", "sapo"): {"loop.updates": (("orpo",) * 3, ("orpo",) * 6)},
    ("sapo_without_pf_six_rounds", "sapo_without_pf"): {"loop.updates": (("orpo",) * 3, ("orpo",) * 6)},
    ("sapo_omega_six_rounds", "sapo_omega"): {"loop.updates": (("orpo",) * 3, ("orpo",) * 6)},
    ("sapo_shepherd_six_rounds", "sapo_shepherd"): {"loop.updates": (("orpo",) * 3, ("orpo",) * 6)},
    ("sipf_six_rounds", "sipf"): {"loop.updates": (("orpo",) * 3, ("orpo",) * 6)},
    ("sapo_eta_02", "sapo"): {"pairs.eta": (0.02, 0.2)},
    ("sapo_beta_1", "sapo"): {"orpo.beta": (0.1, 1.0)},
    ("prft", "sipf"): {"loop.updates": (("orpo",) * 3, ("sft",))},
    ("psrf", "srf"): {
        "loop.reward": ("outcome", "verifier"),
        "labels.by": ("saps", "shepherd"),
        "labels.monotone": (True, False),
        "verifier.loss": ("mse", "bce"),
        "expansion.max_per_trajectory": (2, 0),
    },
    ("rpo", "srf"): {"dpo.nll": (0.0, 1.0)},
    ("online_rft", "rft"): {"loop.updates": (("sft",), ("sft",) * 3)},
}


@pytest.mark.parametrize(("method", "other"), ABLATIONS)
def test_a_variant_differs_in_what_its_name_says(method: str, other: str) -> None:
    assert differences(method, other) == ABLATIONS[method, other]


def test_every_ablation_is_compared_here() -> None:
    """Variants of SAPO and SIPF that no line above names must at least differ in one setting only."""
    for method in NANO.methods:
        paper = method.split("_")[0]
        base = NANO.methods[method].get("like", paper)
        if paper in ("sapo", "sipf") and method != base and (method, base) not in ABLATIONS and method != "sapo_ours":
            found = differences(method, base)
            assert len(found) == 1 or {name.split(".")[0] for name in found} == {"rollouts"}, (method, found)
