"""Stage `report`: what the runs say, as metrics, tables, figures and the README's results.

The profile names the folders (`report.results`, `report.figures`) and says whether its numbers are those of the
README (`report.readme`): only profile nano writes what is committed. Nothing is written unless all inputs are sound.
"""

from collections.abc import Callable, Sequence

from sapo.records import write_plain_json, write_text
from sapo.report.accuracies import Column, measure
from sapo.report.claims.evidence import Evidence
from sapo.report.claims.report import claims_report
from sapo.report.costs import cost_table
from sapo.report.efficiency import SECONDS, read_efficiency, read_seconds
from sapo.report.environment import here
from sapo.report.figures.ablations import ablations
from sapo.report.figures.accuracy import accuracy_by_round
from sapo.report.figures.drawing import Drawn, Findings
from sapo.report.figures.flops import accuracy_by_flops
from sapo.report.figures.labelling_cost import figure6
from sapo.report.figures.process_figures import (
    best_of_n,
    gap_by_round,
    label_noise,
    reliability_of_verifiers,
    rewards_beside_truth,
    sapo_and_outcome_verifier,
    verifiers_by_round,
)
from sapo.report.figures.reasoning import flawed_reasoning
from sapo.report.figures.rounds import scores_and_pairs_by_round
from sapo.report.figures.samples import length_and_diversity
from sapo.report.figures.sweeps import sweeps
from sapo.report.figures.training import log_probabilities
from sapo.report.load_run import read_results
from sapo.report.metrics import metrics
from sapo.report.process_records import ProcessResults, read_process
from sapo.report.readme import answer
from sapo.report.readme import results as readme_results
from sapo.report.run_records import TaskResults
from sapo.report.style import save
from sapo.report.summary import summaries, write_summaries
from sapo.report.tables.exports import as_data, latex, page
from sapo.report.tables.labelling_tables import agreement_table, efficiency_metrics, targets_table
from sapo.report.tables.labelling_tables import cost_table as labelling_cost_table
from sapo.report.tables.method_tables import Table, ablation_tables, accuracy_tables, difference_tables, process_tables
from sapo.report.tables.paper_comparison import beside_tables
from sapo.report.tables.process_tables import (
    benchmark_table,
    choice_table,
    label_table,
    process_metrics,
    self_verification_table,
    verifier_table,
)
from sapo.report.tables.rendering import document, show, with_sections
from sapo.report.tables.round_tables import filters_table, pairs_table, samples_table, supervision_table
from sapo.report.timing import seconds_table
from sapo.runtime.workspace import StageArguments, Workspace
from sapo.settings import Settings

# Files of the figures folder, in the order of the README, and what draws them where the run has anything to show.
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
LABELLING = "labelling_cost"  # figure 6 of the paper
PROCESS: dict[str, Callable[[Sequence[ProcessResults]], Drawn | None]] = {
    "gap_by_round": gap_by_round,
    "sapo_and_outcome_verifier": sapo_and_outcome_verifier,
    "verifiers_by_round": verifiers_by_round,
    "best_of_n": best_of_n,
    "rewards_beside_truth": rewards_beside_truth,
    "label_noise": label_noise,
    "reliability_of_verifiers": reliability_of_verifiers,
}


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    results = read_results(settings, workspace)
    columns = measure(results, settings.report.resamples, settings.seed)
    labelling = read_efficiency(settings, workspace)
    seconds = read_seconds(workspace.root / SECONDS, settings.profile)
    process = read_process(settings, workspace)
    evidence = Evidence(settings, results, labelling, seconds, process)
    claims, verdicts, one_by_one = claims_report(evidence)

    findings = Findings(settings, results, columns)
    drawn = {name: figure for name, draw in FIGURES.items() if (figure := draw(findings))}
    drawn |= {name: figure for name, draw in PROCESS.items() if (figure := draw(process))}
    drawn[LABELLING] = figure6(labelling, seconds)
    accuracies, ablations_ = accuracy_tables(columns), ablation_tables(columns)
    labels = [labelling_cost_table(labelling, seconds), agreement_table(labelling), targets_table(labelling)]
    steps = [verifier_table(process, False), self_verification_table(process), choice_table(process)] if process else []
    details = [*step_details(process), *detail_tables(results, columns)]
    numbers = metrics(results, columns)
    numbers |= {"labelling": {entry.place: efficiency_metrics(entry) for entry in labelling}}
    numbers |= {"process": {f"{entry.model}/{entry.task}": process_metrics(entry) for entry in process}}

    beside = beside_tables(evidence, columns)
    folder = workspace.root / settings.report.results
    every = [*accuracies, *beside, *ablations_, *labels, *steps, *details]
    texts = {
        folder / "table.md": document(f"Results of profile {settings.profile}", every),
        folder / "claims.md": claims_document(claims, one_by_one),
        folder / "tables.tex": latex([*every, *claims]),
        folder / "tables.html": page(f"SAPO replicated: profile {settings.profile}", [*every, *claims]),
    }
    if settings.report.readme:
        sections = {"answer": answer(claims[0], verdicts, settings.report.figures, sorted(drawn))}
        sections["results"] = readme_results(accuracies, settings.report.results)
        texts[workspace.root / "README.md"] = with_sections(workspace.root / "README.md", sections)
    data = {"metrics": numbers, "claims": verdicts, "tables": as_data([*every, *claims])}
    data |= {"paper": about(settings, sorted(drawn)), "environment": here(settings.tuning.device, settings.engine.kind)}
    written = [*(folder / f"{name}.json" for name in data), *texts]
    for path, values in zip(written, data.values(), strict=False):
        write_plain_json(path, values)
    for path, text in texts.items():
        write_text(path, text)
    written += write_summaries(folder / "summary", summaries(columns, labelling, process, verdicts["counts"]))
    for name, (figure, rows) in drawn.items():
        written += save(figure, workspace.root / settings.report.figures, name, rows)
    timed = seconds_table(results, workspace)
    show([*accuracies, *ablations_, *labels, *steps, claims[0], *([timed] if timed.rows else [])])
    for path in written:
        print(path)


def claims_document(tables: Sequence[Table], one_by_one: str) -> str:
    """All verdicts, each claim by itself, and the audit of the printed numbers; the cells are in the paragraphs."""
    verdicts, _, *published = tables
    first = document("The papers' claims, and their own numbers", [verdicts])
    return "\n".join([first, "## Claim by claim", "", one_by_one, document("The printed numbers", published)])


def about(settings: Settings, drawn: Sequence[str]) -> dict[str, object]:
    """What the paper says of the run besides results; sizes are those of the first task."""
    first = next(iter(settings.tasks.values()))
    sizes = {"train_questions": first.train_questions, "test_questions": first.test_questions}
    names = {"profile": settings.profile, "models": list(settings.models), "tasks": list(settings.tasks)}
    return {**names, **sizes, "figures": drawn}


def step_details(process: Sequence[ProcessResults]) -> list[Table]:
    """Every round of every verifier, where there are process benchmarks."""
    return [benchmark_table(process), verifier_table(process, True), label_table(process)] if process else []


def detail_tables(results: Sequence[TaskResults], columns: Sequence[Column]) -> list[Table]:
    """What `table.md` has and the README has not; without the tables that have no rows."""
    tables = [*difference_tables(columns), *process_tables(columns), cost_table(results, columns)]
    tables += [samples_table(results), pairs_table(results), filters_table(results), supervision_table(results)]
    return [table for table in tables if table.rows]
