"""What a reader calls the verifiers, and how they are drawn."""

from sapo.report.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, Look

# The methods whose verifiers the papers compare, in the order of tables and legends.
NAMES = {
    "sapo_without_pf": "online ORM",
    "sapo_omega": "OmegaPRM",
    "sapo_shepherd": "ShepherdPRM",
    "sapo": "SAPRM",
    "sipf": "SIPF (BCE)",
    "sapo_ours": "ours",
}
LOOKS = {
    "sapo_without_pf": Look(VERMILION, "s", "--", filled=False),
    "sapo_omega": Look(GREEN, "D", "-."),
    "sapo_shepherd": Look(ORANGE, "v", ":"),
    "sapo": Look(BLUE, "o", "-"),
    "sipf": Look(PURPLE, "p", (0, (7, 1.5))),
    "sapo_ours": Look(SKY, "^", (0, (3, 1, 1, 1))),
}
MCE = Look(BLACK, "x", (0, (1, 1)))
OTHER = Look(GREY, "d", "-", filled=False)


def verifier_name(method: str) -> str:
    """`start` made V_0; other methods' verifiers go by the method's own name."""
    return {"start": "V0 (OmegaPRM)", **NAMES}.get(method, f"verifier of {method}")
