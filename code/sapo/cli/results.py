"""Commands that look at results: of the last run, of a commit's run, or of trajectories from anywhere."""

from pathlib import Path

import click

from sapo.cli.options import METHOD, MODEL, PATH, TASK, command, opened
from sapo.evaluate.efficiency import THRESHOLD
from sapo.evaluate.rerank import AGGREGATES
from sapo.settings import load_settings, method_settings
from sapo.settings.configure import PARAMS


@command("compare", "sapo compare sapo@1 orpo_outcome --task nano_math")
@click.argument("a")
@click.argument("b")
@click.option("--model", type=MODEL, help="Default: all.")
@click.option("--task", type=TASK, help="Default: all.")
@click.option("--show", type=click.IntRange(0), default=10, show_default=True, help="Flipped questions a benchmark.")
def compare(a: str, b: str, model: str | None, task: str | None, show: int) -> None:
    """Paired difference of two methods, and the questions that flip.

    A and B are methods of params.yaml, `cot` or `sft`, at their last round, or at another as METHOD@ROUND.
    """
    from sapo.report.comparison import comparison_tables
    from sapo.report.tables.rendering import show as print_tables

    settings, workspace = opened()
    places = [(m, t) for m in ([model] if model else settings.models) for t in ([task] if task else settings.tasks)]
    print_tables(comparison_tables(settings, workspace, (a, b), places, show))


@command("explore", "sapo explore --method sapo --seed 1")
@click.option("--model", type=MODEL, help="Default: the first that runs the method.")
@click.option("--task", type=TASK, help="Default: the first that runs the method.")
@click.option("--method", type=METHOD, default="sapo", show_default=True)
@click.option("--seed", type=int, help="Default: the first of the method.")
@click.option("--most", type=int, default=2500, show_default=True, help="Trajectories a round.")
@click.option("--out", type=PATH, default=Path("explorer.html"), show_default=True)
def explore(model: str | None, task: str | None, method: str, seed: int | None, most: int, out: Path) -> None:
    """Labelled trajectories of a method as one page for a browser."""
    from sapo.recipes.experiment import Experiment
    from sapo.report.explorer.choose_run import find_cell, find_seed
    from sapo.report.explorer.collect import collect
    from sapo.report.explorer.render import write_page

    if out.is_dir():
        raise click.BadParameter(f"{out} is a folder, name a file in it", param_hint="--out")
    settings, workspace = opened()
    cell = find_cell(settings, method, model, task)
    own = method_settings(settings, method, find_seed(settings, cell, seed))
    write_page(collect(Experiment(own, workspace, cell.model, cell.task), method, most), out)


@command("score", "sapo score mine.jsonl --verifier runs/nano/qwen2_nano/methods/nano_math/1/sapo/3/verifier")
@click.argument("file", type=PATH)
@click.option("--verifier", type=PATH, required=True, help="A `verifier` folder of a run.")
@click.option("--out", type=PATH, help="Default: FILE with the ending .scores.jsonl.")
@click.option("--task", metavar="NAME", help="Cuts `text` into steps where a line has no `steps`.")
@click.option("--threshold", type=float, default=THRESHOLD, show_default=True, help="A step below it is suspected.")
@click.option("--reward", type=click.Choice([*AGGREGATES]), default="mean", show_default=True, help="Of step scores.")
def score(file: Path, verifier: Path, out: Path | None, task: str | None, threshold: float, reward: str) -> None:
    """A verifier's step scores of the trajectories in any JSONL file.

    A line of FILE has `prompt` (or `question`, or `question_id`) and `steps`; docs/commands.md says more.
    """
    from sapo.evaluate.score_file import Scoring, score_file
    from sapo.tasks.catalog import QuestionBank

    how = Scoring(QuestionBank(lambda: load_settings(PARAMS).data), task, threshold, reward)
    click.echo(score_file(file, verifier, out or file.with_suffix(".scores.jsonl"), how))


@command("verify-run", "sapo verify-run HEAD~1")
@click.argument("revision", default="HEAD")
@click.option("--show", type=int, default=5, show_default=True, help="Differences of a kind.")
def verify_run(revision: str, show: int) -> int:
    """Is the run here that of a git revision, and if not, why?

    Exit code 0: equal, or, where the machines cannot have the same bytes, all verdicts agree; 1: different; 2: nothing
    to compare. REVISION is HEAD unless given.
    """
    from sapo.report import verify_run as verify
    from sapo.report.run_files import committed, find_commit, present
    from sapo.report.tables.rendering import show as print_tables

    settings, _ = opened()
    folder = Path(settings.report.results)
    commit = find_commit(revision)
    then, now = committed(commit, folder), present(folder, settings)
    changed, outputs = verify.changed_values(then, now), verify.outputs(then, now, settings.profile)
    aspects = [*verify.causes(then, now, settings.profile, folder), outputs]
    print_tables([verify.aspects_table(aspects, show), *([verify.values_table(changed, show)] if changed else [])])
    differ, by_verdicts = bool(changed or outputs.changes), verify.compared_by_verdicts(then, now, folder)
    found = verify.verdict(aspects, differ, by_verdicts)
    click.echo(f"{revision} ({commit[:12]}), profile {settings.profile}: {found}")
    agreed = verify.verdicts_agree(then, now, folder) if differ else None
    for line in (*agreed.differing[:show], agreed) if agreed else ():
        click.echo(str(line))
    alike = by_verdicts and agreed is not None and agreed.complete
    alike = alike and verify.changed_aspects(aspects) <= {*verify.REASONS["another machine"]}
    return int(differ and not alike)


COMMANDS = (compare, explore, score, verify_run)
