"""Stage `report`: what the runs say, as metrics, tables, figures and the README's results.

The profile names the folders (`report.results`, `report.figures`) and says whether its numbers are those of the
README (`report.readme`): only profile nano writes what is committed. Nothing is written unless all inputs are sound.
"""

from sapo.records import write_json, write_text
from sapo.report.accuracies import measure
from sapo.report.figures import accuracy_by_round, scores_and_pairs_by_round
from sapo.report.rendering import markdown, section, show, with_section
from sapo.report.results import read_results
from sapo.report.style import save
from sapo.report.tables import accuracy_tables, difference_tables, metrics, pairs_table, supervision_table
from sapo.settings import Settings
from sapo.workspace import StageArguments, Workspace


def run(settings: Settings, workspace: Workspace, place: StageArguments) -> None:
    results = read_results(settings, workspace)
    columns = measure(results, settings.report.resamples, settings.seed)
    accuracies, details = accuracy_tables(columns), [pairs_table(results), supervision_table(results)]
    tables = [*accuracies, *difference_tables(columns), *details]
    drawn = {"accuracy_by_round": accuracy_by_round(columns)}
    drawn["scores_and_pairs_by_round"] = scores_and_pairs_by_round(results)
    folders = settings.report
    results_folder = workspace.root / folders.results
    texts = {results_folder / "table.md": markdown(tables)}
    if folders.readme:
        readme = workspace.root / "README.md"
        images = [f"{folders.figures}/{name}.png" for name in drawn]
        texts[readme] = with_section(
            readme, "results", section(accuracies, images, details, f"{folders.results}/table.md")
        )

    written = [results_folder / "metrics.json", *texts]
    write_json(written[0], metrics(results, columns))
    for path, text in texts.items():
        write_text(path, text)
    for name, (figure, rows) in drawn.items():
        written += save(figure, workspace.root / folders.figures, name, rows)
    show([*accuracies, *details])
    for path in written:
        print(path)
