"""Names of the methods for readers, and their order in tables and figures: by what they learn from, then by age."""

from collections.abc import Iterable
from dataclasses import dataclass

from sapo.report.run_records import Checkpoint


@dataclass(frozen=True, slots=True)
class Method:
    """A method's name for readers, what it learns from, and the method that it changes a part or setting of, if any."""

    name: str
    learns_from: str
    variant_of: str = ""


# Methods in the order of tables; those that are not named here come last, under the name that the settings give them.
KNOWN = {
    "cot": Method("CoT (pretrained)", "nothing"),
    "sft": Method("SFT", "gold rationales"),
    "star": Method("STaR", "outcome"),
    "rft": Method("RFT", "outcome"),
    "online_rft": Method("Online RFT", "outcome"),
    "orpo_outcome": Method("ORPO on outcomes", "outcome"),
    "rft_dpo": Method("RFT + DPO", "outcome"),
    "srf": Method("SRF (iterated DPO)", "outcome"),
    "rpo": Method("RPO", "outcome"),
    "grpo": Method("GRPO", "outcome"),
    "orpo_mc": Method("ORPO + MC supervision", "process"),
    "prft": Method("pRFT", "process"),
    "psrf": Method("pSRF", "process"),
    "sipf": Method("SIPF", "process"),
    "sapo": Method("SAPO", "process"),
    "sapo_without_pf": Method("SAPO w/o PF", "outcome", "sapo"),
    "sapo_without_dv": Method("SAPO w/o DV", "process", "sapo"),
    "sapo_without_rm": Method("SAPO w/o RM", "outcome", "sapo"),
    "sapo_without_ep": Method("SAPO w/o EP", "process", "sapo"),
    "sapo_ours": Method("SAPO, ours", "process", "sapo"),
    "sapo_omega": Method("SAPO, omega's labels", "process", "sapo"),
    "sapo_shepherd": Method("SAPO, shepherd's labels", "process", "sapo"),
    "sapo_lazy": Method("SAPO, lazy rollouts", "process", "sapo"),
    "sapo_until_located": Method("SAPO, until_located", "process", "sapo"),
    "sapo_right": Method("SAPO, right chosen", "process", "sapo"),
    "sapo_from_previous": Method("SAPO from the last round", "process", "sapo"),
    "sapo_full_nll": Method("SAPO, NLL of the prompt too", "process", "sapo"),
    "sapo_six_rounds": Method("SAPO, six rounds", "process", "sapo"),
    "sapo_without_pf_six_rounds": Method("SAPO w/o PF, six rounds", "outcome", "sapo"),
    "sapo_omega_six_rounds": Method("SAPO, omega's labels, six rounds", "process", "sapo"),
    "sapo_shepherd_six_rounds": Method("SAPO, shepherd's labels, six rounds", "process", "sapo"),
    "sipf_six_rounds": Method("SIPF, six rounds", "process", "sipf"),
    "sapo_eta_02": Method("SAPO, eta 0.2", "process", "sapo"),
    "sapo_eta_01": Method("SAPO, eta 0.1", "process", "sapo"),
    "sapo_eta_0": Method("SAPO, eta 0", "process", "sapo"),
    "sapo_beta_001": Method("SAPO, beta 0.01", "process", "sapo"),
    "sapo_beta_03": Method("SAPO, beta 0.3", "process", "sapo"),
    "sapo_beta_1": Method("SAPO, beta 1", "process", "sapo"),
    "sipf_without_pf": Method("SIPF w/o PF", "outcome", "sipf"),
    "sipf_without_or": Method("SIPF w/o OR", "process", "sipf"),
    "sipf_without_both": Method("SIPF w/o PF and OR", "outcome", "sipf"),
}
WHOLE = ("sapo", "sipf")  # the methods that have variants
BY_ROUND = ("sapo",)  # every round is a row of the tables


def method_name(method: str) -> str:
    """What a reader calls the method; an unknown one is called as the settings call it."""
    return KNOWN[method].name if method in KNOWN else method


def learns_from(method: str) -> str:
    return KNOWN[method].learns_from if method in KNOWN else "–"


def checkpoint_name(checkpoint: Checkpoint, rounds: int | None = None) -> str:
    """`SAPO-iter 2`, `Online RFT, round 1`; the last of a method's `rounds` goes by the method's name (not SAPO's)."""
    name = method_name(checkpoint.method)
    if checkpoint.method in BY_ROUND:
        return f"{name}-iter {checkpoint.round}"
    return name if checkpoint.round in (0, rounds) else f"{name}, round {checkpoint.round}"


def whole_of(method: str) -> str:
    """The method that this one is a variant of, or nothing: `sapo` for `sapo_lazy`."""
    return KNOWN[method].variant_of if method in KNOWN else ""


def in_order(methods: Iterable[str]) -> list[str]:
    """Methods as the tables list them, each once; unknown ones at the end in the order given."""
    place = {method: number for number, method in enumerate(KNOWN)}
    return sorted(dict.fromkeys(methods), key=lambda method: place.get(method, len(place)))
