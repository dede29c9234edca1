"""Stage `report`: what the runs say, as metrics, tables, figures and the README's results.

The profile names the folders (`report.results`, `report.figures`) and says whether its numbers are those of the
README (`report.readme`): only profile nano writes what is committed. Nothing is written unless all inputs are sound.
"""

from collections.abc import Callable, Mapping, Sequence

from matplotlib.figure import Figure

from sapo.records import write_json, write_text
from sapo.report.accuracies import Column, measure
from sapo.report.costs import cost_table
from sapo.report.details import filters_table, pairs_table, samples_table, supervision_table
from sapo.report.metrics import metrics
from sapo.report.reading import read_results
from sapo.report.rendering import markdown, section, show, with_section
from sapo.report.results import TaskResults
from sapo.report.seconds import seconds_table
from sapo.report.style import save
from sapo.report.tables import Table, ablation_tables, accuracy_tables, difference_tables, process_tables
from sapo.settings import Settings
from sapo.workspace import StageArguments, Workspace

Drawn = tuple[Figure, Sequence[Mapping[str, object]]]

# Files of the figures folder, in the order of the README, and what draws them.
FIGURES: dict[str, Callable[[Sequence[TaskResults], Sequence[Column]], Drawn]] = {}


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    results = read_results(settings, workspace)
    columns = measure(results, settings.report.resamples, settings.seed)
    main = [*accuracy_tables(columns), *ablation_tables(columns)]
    details = detail_tables(results, columns)
    drawn = {name: draw(results, columns) for name, draw in FIGURES.items()}
    folders = settings.report
    results_folder = workspace.root / folders.results
    texts = {results_folder / "table.md": markdown([*main, *details])}
    if folders.readme:
        readme = workspace.root / "README.md"
        images = [f"{folders.figures}/{name}.png" for name in drawn]
        body = section(accuracy_tables(columns), images, ablation_tables(columns), f"{folders.results}/table.md")
        texts[readme] = with_section(readme, "results", body)

    written = [results_folder / "metrics.json", *texts]
    write_json(written[0], metrics(results, columns))
    for path, text in texts.items():
        write_text(path, text)
    for name, (figure, rows) in drawn.items():
        written += save(figure, workspace.root / folders.figures, name, rows)
    timed = seconds_table(results, workspace)
    show([*main, *([timed] if timed.rows else [])])
    for path in written:
        print(path)


def detail_tables(results: Sequence[TaskResults], columns: Sequence[Column]) -> list[Table]:
    """What `table.md` has and the README has not; without the tables that have no rows."""
    tables = [*difference_tables(columns), *process_tables(columns), cost_table(results, columns)]
    tables += [samples_table(results), pairs_table(results), filters_table(results), supervision_table(results)]
    return [table for table in tables if table.rows]
