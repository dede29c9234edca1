"""Stage `report`: metrics, tables, figures, claims and the README's results, from what all other stages left.

The profile names the folders (`report.results`, `report.figures`) and says whether its numbers are those of the
README (`report.readme`): only profile nano writes what is committed. Nothing is written unless all inputs are sound.
"""

from collections.abc import Sequence
from typing import Any

from sapo.records import write_plain_json, write_text
from sapo.report.accuracies import Column, measure
from sapo.report.claims.evidence import Evidence
from sapo.report.claims.report import claims_report
from sapo.report.efficiency import SECONDS, read_efficiency, read_seconds
from sapo.report.environment import here
from sapo.report.figures.all_figures import draw_all
from sapo.report.figures.drawing import Findings
from sapo.report.load_run import read_results
from sapo.report.metrics import metrics
from sapo.report.process_records import read_process
from sapo.report.readme import answer
from sapo.report.readme import results as readme_results
from sapo.report.style import save
from sapo.report.summary import summaries, write_summaries
from sapo.report.tables.all_tables import tabulate_all
from sapo.report.tables.exports import as_data, latex, page
from sapo.report.tables.labelling_tables import efficiency_metrics
from sapo.report.tables.method_tables import Table
from sapo.report.tables.process_tables import process_metrics
from sapo.report.tables.rendering import document, show, with_sections
from sapo.report.timing import seconds_table
from sapo.runtime.workspace import StageArguments, Workspace
from sapo.settings import Settings


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    """Write the report of a run, and print its main tables and the files written."""
    results = read_results(settings, workspace)
    columns = measure(results, settings.report.resamples, settings.seed)
    labelling, process = read_efficiency(settings, workspace), read_process(settings, workspace)
    seconds = read_seconds(workspace.root / SECONDS, settings.profile)
    evidence = Evidence(settings, results, labelling, seconds, process)
    claims, verdicts, one_by_one = claims_report(evidence)
    drawn = draw_all(Findings(settings, results, columns), evidence)
    tables = tabulate_all(evidence, columns)

    folder = workspace.root / settings.report.results
    texts = {
        folder / "table.md": document(f"Results of profile {settings.profile}", tables.all),
        folder / "claims.md": claims_document(claims, one_by_one),
        folder / "tables.tex": latex([*tables.all, *claims]),
        folder / "tables.html": page(f"SAPO replicated: profile {settings.profile}", [*tables.all, *claims]),
    }
    if settings.report.readme:
        sections = {"answer": answer(claims[0], verdicts, settings.report.figures, sorted(drawn))}
        sections["results"] = readme_results(tables.accuracies, settings.report.results)
        texts[workspace.root / "README.md"] = with_sections(workspace.root / "README.md", sections)
    data = {"metrics": all_metrics(evidence, columns), "claims": verdicts, "tables": as_data([*tables.all, *claims])}
    data |= {"paper": about(settings, sorted(drawn)), "environment": here(settings.tuning.device, settings.engine.kind)}
    for name, values in data.items():
        write_plain_json(folder / f"{name}.json", values)
    for path, text in texts.items():
        write_text(path, text)
    written = [*(folder / f"{name}.json" for name in data), *texts]
    written += write_summaries(folder / "summary", summaries(columns, labelling, process, verdicts["counts"]))
    for name, (figure, rows) in drawn.items():
        written += save(figure, workspace.root / settings.report.figures, name, rows)
    timed = seconds_table(results, workspace)
    show([*tables.printed, claims[0], *([timed] if timed.rows else [])])
    for path in written:
        print(path)


def all_metrics(evidence: Evidence, columns: Sequence[Column]) -> dict[str, Any]:
    """What `metrics.json` holds: accuracies and costs, labelling by place, and verifiers by model and task."""
    numbers = metrics(evidence.results, columns)
    numbers |= {"labelling": {entry.place: efficiency_metrics(entry) for entry in evidence.labelling}}
    return numbers | {"process": {f"{one.model}/{one.task}": process_metrics(one) for one in evidence.process}}


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
