"""Every figure of a report, by the name of its files; those that the run has nothing to show of are left out."""

from collections.abc import Callable, Sequence

from sapo.report.claims.evidence import Evidence
from sapo.report.figures import process_figures as process
from sapo.report.figures.ablations import ablations
from sapo.report.figures.accuracy import accuracy_by_round
from sapo.report.figures.drawing import Drawn, Findings
from sapo.report.figures.flops import accuracy_by_flops
from sapo.report.figures.labelling_cost import figure6
from sapo.report.figures.reasoning import flawed_reasoning
from sapo.report.figures.rounds import scores_and_pairs_by_round
from sapo.report.figures.samples import length_and_diversity
from sapo.report.figures.sweeps import sweeps
from sapo.report.figures.training import log_probabilities
from sapo.report.process_records import ProcessResults

# In the order of the README.
FIGURES: dict[str, Callable[[Findings], Drawn | None]] = {
    "accuracy_by_round": accuracy_by_round,
    "accuracy_by_flops": accuracy_by_flops,
    "flawed_reasoning": flawed_reasoning,
    "ablations": ablations,
    "sweeps": sweeps,
    "scores_and_pairs_by_round": scores_and_pairs_by_round,
    "log_probabilities": log_probabilities,
    "length_and_diversity": length_and_diversity,
}
PROCESS: dict[str, Callable[[Sequence[ProcessResults]], Drawn | None]] = {
    "gap_by_round": process.gap_by_round,
    "sapo_and_outcome_verifier": process.sapo_and_outcome_verifier,
    "verifiers_by_round": process.verifiers_by_round,
    "best_of_n": process.best_of_n,
    "rewards_beside_truth": process.rewards_beside_truth,
    "label_noise": process.label_noise,
    "reliability_of_verifiers": process.reliability_of_verifiers,
}
LABELLING = "labelling_cost"  # figure 6 of the paper


def draw_all(findings: Findings, evidence: Evidence) -> dict[str, Drawn]:
    """Figures with their rows of numbers, by name."""
    drawn = {name: figure for name, draw in FIGURES.items() if (figure := draw(findings))}
    drawn |= {name: figure for name, draw in PROCESS.items() if (figure := draw(evidence.process))}
    return drawn | {LABELLING: figure6(evidence.labelling, evidence.seconds)}
