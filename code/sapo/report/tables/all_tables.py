"""Every table of a report, in the order of `table.md`, and those that are printed."""

from collections.abc import Sequence
from dataclasses import dataclass

from sapo.report.accuracies import Column
from sapo.report.claims.evidence import Evidence
from sapo.report.costs import cost_table
from sapo.report.tables.labelling_tables import agreement_table, targets_table
from sapo.report.tables.labelling_tables import cost_table as labelling_cost_table
from sapo.report.tables.method_tables import Table, ablation_tables, accuracy_tables, difference_tables, process_tables
from sapo.report.tables.paper_comparison import beside_tables
from sapo.report.tables.process_tables import (
    benchmark_table,
    choice_table,
    label_table,
    self_verification_table,
    verifier_table,
)
from sapo.report.tables.round_tables import filters_table, pairs_table, samples_table, supervision_table


@dataclass(frozen=True, slots=True)
class AllTables:
    """Accuracies; the paper's numbers beside ours; ablations; labelling; verifiers; and what only `table.md` has."""

    accuracies: list[Table]
    beside: list[Table]
    ablations: list[Table]
    labelling: list[Table]
    verifiers: list[Table]
    details: list[Table]

    @property
    def all(self) -> list[Table]:
        return [*self.accuracies, *self.beside, *self.ablations, *self.labelling, *self.verifiers, *self.details]

    @property
    def printed(self) -> list[Table]:
        return [*self.accuracies, *self.ablations, *self.labelling, *self.verifiers]


def tabulate_all(evidence: Evidence, columns: Sequence[Column]) -> AllTables:
    """The tables of a run; those of verifiers only where there are process benchmarks."""
    labelling, seconds, process, results = evidence.labelling, evidence.seconds, evidence.process, evidence.results
    verifiers, rounds = [], []
    if process:
        verifiers = [verifier_table(process, False), self_verification_table(process), choice_table(process)]
        rounds = [benchmark_table(process), verifier_table(process, True), label_table(process)]
    details = [*difference_tables(columns), *process_tables(columns), cost_table(results, columns)]
    details += [samples_table(results), pairs_table(results), filters_table(results), supervision_table(results)]
    return AllTables(
        accuracy_tables(columns),
        beside_tables(evidence, columns),
        ablation_tables(columns),
        [labelling_cost_table(labelling, seconds), agreement_table(labelling), targets_table(labelling)],
        verifiers,
        [*rounds, *(table for table in details if table.rows)],
    )
