"""What a reader calls the methods, and their order in tables and figures: by what they learn from, then by age."""

from collections.abc import Iterable

from sapo.report.results import Checkpoint

# Method: (name, what it learns from); methods that are not named here come last in each table.
KNOWN = {
    "cot": ("CoT (pretrained)", "nothing"),
    "sft": ("SFT", "gold rationales"),
    "star": ("STaR", "outcome"),
    "rft": ("RFT", "outcome"),
    "online_rft": ("Online RFT", "outcome"),
    "orpo_outcome": ("ORPO on outcomes", "outcome"),
    "rft_dpo": ("RFT + DPO", "outcome"),
    "srf": ("SRF (iterated DPO)", "outcome"),
    "rpo": ("RPO", "outcome"),
    "grpo": ("GRPO", "outcome"),
    "orpo_mc": ("ORPO + MC supervision", "process"),
    "prft": ("pRFT", "process"),
    "psrf": ("pSRF", "process"),
    "sipf": ("SIPF", "process"),
    "sapo": ("SAPO", "process"),
    "sapo_without_pf": ("SAPO w/o PF", "outcome"),
    "sapo_without_dv": ("SAPO w/o DV", "process"),
    "sapo_without_rm": ("SAPO w/o RM", "outcome"),
    "sapo_without_ep": ("SAPO w/o EP", "process"),
    "sapo_ours": ("SAPO, ours", "process"),
    "sapo_omega": ("SAPO, omega's labels", "process"),
    "sapo_shepherd": ("SAPO, shepherd's labels", "process"),
    "sapo_lazy": ("SAPO, lazy rollouts", "process"),
    "sapo_located": ("SAPO, error located", "process"),
    "sapo_right": ("SAPO, right chosen", "process"),
    "sapo_from_previous": ("SAPO from the last round", "process"),
    "sapo_full_nll": ("SAPO, NLL of the prompt too", "process"),
    "sapo_six_rounds": ("SAPO, six rounds", "process"),
    "sapo_without_pf_six_rounds": ("SAPO w/o PF, six rounds", "outcome"),
    "sapo_omega_six_rounds": ("SAPO, omega's labels, six rounds", "process"),
    "sapo_shepherd_six_rounds": ("SAPO, shepherd's labels, six rounds", "process"),
    "sipf_six_rounds": ("SIPF, six rounds", "process"),
    "sapo_eta_02": ("SAPO, eta 0.2", "process"),
    "sapo_eta_01": ("SAPO, eta 0.1", "process"),
    "sapo_eta_0": ("SAPO, eta 0", "process"),
    "sapo_beta_001": ("SAPO, beta 0.01", "process"),
    "sapo_beta_03": ("SAPO, beta 0.3", "process"),
    "sapo_beta_1": ("SAPO, beta 1", "process"),
    "sipf_without_pf": ("SIPF w/o PF", "outcome"),
    "sipf_without_or": ("SIPF w/o OR", "process"),
    "sipf_without_both": ("SIPF w/o PF and OR", "outcome"),
}
WHOLE = ("sapo", "sipf")  # the methods that have variants: NAME_…
BY_ROUND = ("sapo",)  # every round is a row of the tables


def method_name(method: str) -> str:
    """What a reader calls the method; an unknown one is called as the settings call it."""
    return KNOWN[method][0] if method in KNOWN else method


def learns_from(method: str) -> str:
    return KNOWN[method][1] if method in KNOWN else "–"


def checkpoint_name(checkpoint: Checkpoint, rounds: int | None = None) -> str:
    """`SAPO-iter 2`, `Online RFT, round 1`; the last of a method's `rounds` goes by the method's name (not SAPO's)."""
    name = method_name(checkpoint.method)
    if checkpoint.method in BY_ROUND:
        return f"{name}-iter {checkpoint.round}"
    return name if checkpoint.round in (0, rounds) else f"{name}, round {checkpoint.round}"


def whole_of(method: str) -> str:
    """The method that this one is a variant of, or nothing: `sapo` for `sapo_lazy`."""
    return next((whole for whole in WHOLE if method.startswith(f"{whole}_")), "")


def in_order(methods: Iterable[str]) -> list[str]:
    """Methods as the tables list them, each once; unknown ones at the end in the order given."""
    place = {method: number for number, method in enumerate(KNOWN)}
    return sorted(dict.fromkeys(methods), key=lambda method: place.get(method, len(place)))
