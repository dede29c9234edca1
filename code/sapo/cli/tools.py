"""Commands before, beside and after a run: settings, readiness, cost, the testbed's inputs, annotation, publishing."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import click

from sapo.cli.options import MODEL, PATH, TASK, OneOf, command, of_record, opened
from sapo.records import read_plain_json, write_plain_json, write_text
from sapo.settings.configure import PARAMS

TESTBED = Path("results/lab.json")
LABORATORY = Path("docs/laboratory.md")
GPUS = "cpu, rtx3090, rtx4090, l4, a100, h100 or h200"


def _base_models() -> tuple[str, ...]:
    from sapo.models.nano import MODELS

    return MODELS


def _world() -> tuple[type, ...]:
    from sapo.evaluate.simulation import World

    return (World,)


def _voting() -> tuple[type, ...]:
    from sapo.evaluate.process.llm_annotator import LlmSettings
    from sapo.sampling.http.endpoint import Limits

    return (LlmSettings, Limits)


BASE_MODEL = OneOf("model", "base models", _base_models)
EMBEDDED_TASKS = click.Choice(["nano_math", "nano_code"])


@command("configure", "sapo configure profile=nano seed=2 sft.epochs=5")
@click.argument("settings", nargs=-1, metavar="profile=NAME [KEY=VALUE]...")
def configure(settings: tuple[str, ...]) -> None:
    """Write params.yaml from a profile of code/conf."""
    from sapo.settings.configure import configure as write_params

    written = write_params(Path(), list(settings))
    click.echo(f"{PARAMS}: profile {written.profile}, seed {written.seed}")


@command("doctor", "sapo doctor")
def doctor() -> None:
    """Is this machine ready for a run? Says how to mend what is not."""
    from sapo.plan.doctor import examine

    for line in examine():
        click.echo(line)


@command("plan", "sapo plan --gpu rtx3090")
@click.option("--gpu", metavar="NAME", help=f"{GPUS}.  [default: cpu, or a100 where tuning.device=cuda]")
@click.option("--measure", is_flag=True, help="Store text lengths of the finished run for later plans, plan nothing.")
def plan(gpu: str | None, measure: bool) -> None:
    """Hours, dollars, memory and disk that a run will take."""
    from sapo.plan.calibration import store_texts
    from sapo.plan.devices import device_of
    from sapo.plan.forecast import forecast
    from sapo.plan.texts import MEASURED
    from sapo.report.tables.plan_tables import plan_tables, texts_table
    from sapo.report.tables.rendering import show

    settings, workspace = opened()
    if measure:
        show([texts_table(MEASURED, store_texts(settings, workspace, MEASURED))])
        return
    name = gpu or ("cpu" if settings.tuning.device == "cpu" else "a100")
    device = device_of(name)
    show(plan_tables(settings, name, device, forecast(settings, device, Path())))


@command("dry-run", "sapo dry-run --rows 0 --prompt 210 --completion 512")
@click.option("--model", type=MODEL, help="Default: the first of params.yaml.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="Instead of tuning.device.")
@click.option("--prompt", type=click.IntRange(4), default=96, show_default=True, help="Tokens of a prompt.")
@click.option("--completion", type=click.IntRange(4), default=32, show_default=True, help="Tokens of a completion.")
@click.option("--rows", type=click.IntRange(0), default=8, show_default=True, help="Drawn together; 0: sampling.rows.")
@click.option("--layers", type=click.IntRange(0), default=0, help="Instead of the model's own.")
@click.option("--vocabulary", type=click.IntRange(0), default=0, help="Instead of the model's own.")
def dry_run(model: str | None, device: Literal["cpu", "cuda"] | None, rows: int, **size: int) -> None:
    """One step of every phase on random weights: time and memory.

    Nothing is fetched or kept. Fewer layers or words test the same shapes in seconds.
    """
    from sapo.plan.architecture import config_of
    from sapo.plan.dry_run import dry_run, reduced
    from sapo.plan.memory import Lengths, Shape
    from sapo.report.tables.plan_tables import dry_run_table
    from sapo.report.tables.rendering import show

    settings, _ = opened()
    tuning = dataclasses.replace(settings.tuning, device=device or settings.tuning.device)
    sampling = dataclasses.replace(settings.sampling, rows=rows or settings.sampling.rows)
    settings = dataclasses.replace(settings, tuning=tuning, sampling=sampling)
    name, lengths = model or next(iter(settings.models)), Lengths(size["prompt"], size["completion"])
    full = config_of(name, settings.models[name], settings.scratch, Path())
    config = reduced(full, size["layers"], size["vocabulary"])
    measured = list(dry_run(settings, config, lengths, sampling.rows))
    show([dry_run_table(settings, name, Shape.of(config), lengths, measured)])


@command("simulate", "sapo simulate --steps 12 --verifier .7", records=_world)
@click.option("--reasoner", type=click.Choice(["nano", "0.5B", "1B", "2B"]), help="Sets --parameters.")
@click.option("--out", type=PATH, default=Path("results/simulation"), show_default=True)
def simulate(reasoner: str | None, out: Path, **given: Any) -> None:
    """Cost of labels by labeller, from 10^3 to 10^9 trajectories."""
    from sapo.evaluate.simulation import World
    from sapo.report.figures.simulation import REASONERS, write_simulation
    from sapo.report.tables.rendering import show

    if reasoner:
        given["parameters"] = REASONERS[reasoner]
    show(write_simulation(World(**given), out))


@command(
    "annotate", "sapo annotate items.jsonl --endpoint https://HOST/v1 --model NAME --out voted.jsonl", records=_voting
)
@click.argument("file", type=PATH)
@click.option("--endpoint", required=True, help="Base URL, such as https://HOST/v1.")
@click.option("--model", required=True)
@click.option("--out", type=PATH, required=True)
@click.option("--cache", type=PATH, help="Answers that were paid for.  [default: OUT.answers.jsonl]")
@click.option("--price-prompt", type=float, help="Of a million tokens of prompts.")
@click.option("--price-answer", type=float, help="Of a million tokens of answers.")
@click.option("--key-variable", default="OPENAI_API_KEY", show_default=True, help="Holds the endpoint's key.")
@click.option("--no-key", is_flag=True, help="The endpoint needs none.")
@click.option("--no-reference", is_flag=True, help="Show the model no reference answers and tests.")
@click.option("--dry-run", is_flag=True, help="Say what would be asked and what it may cost, and stop.")
def annotate(endpoint: str, model: str, key_variable: str, no_key: bool, dry_run: bool, **given: Any) -> None:
    """A language model votes on first wrong steps, over HTTP.

    FILE holds process items or trajectories of our questions; docs/commands.md says more.
    """
    from sapo.evaluate.process.annotate_file import Annotation
    from sapo.evaluate.process.llm_annotator import LlmSettings
    from sapo.sampling.http.endpoint import Endpoint, Limits, key_from
    from sapo.sampling.http.replies import Key

    limits, settings = of_record(Limits, given), of_record(LlmSettings, given | {"model": model})
    annotation = of_record(Annotation, given | {"settings": settings})

    def connect() -> Endpoint:
        return Endpoint(endpoint, Key("") if no_key else key_from(key_variable), limits)

    for line in annotation.lines(None if dry_run else connect):
        click.echo(line)


@command("push", "sapo push sapo@2 --model qwen2_nano --task nano_math --repo OWNER/NAME --upload")
@click.argument("method")
@click.option("--model", type=MODEL, required=True)
@click.option("--task", type=TASK, required=True)
@click.option("--seed", type=int, help="Default: that of params.yaml.")
@click.option("--repo", required=True, metavar="OWNER/NAME")
@click.option("--out", type=PATH, help="Default: a folder below runs/.push.")
@click.option("--upload", is_flag=True, help="Without it nothing leaves this machine.")
@click.option("--public", is_flag=True, help="Of a repository that is made for it.")
def push(method: str, repo: str, upload: bool, public: bool, **given: Any) -> None:
    """A checkpoint and its model card, to a folder or to the hub.

    METHOD is one of params.yaml, `cot` or `sft`, at its last round, or at another as METHOD@ROUND.
    """
    from sapo.report.comparison import find_checkpoint, known_rounds
    from sapo.report.model_card import Subject
    from sapo.report.push import check_repo, prepare, upload_folder
    from sapo.stages.evaluate import checkpoints

    check_repo(repo)
    settings, workspace = opened()
    model, task, seed = given["model"], given["task"], given["seed"]
    checkpoint = find_checkpoint(method, known_rounds(settings))
    subject = Subject(model, task, checkpoint, settings.seed if seed is None else seed)
    folders = dict(checkpoints(settings, workspace, model, task))
    out = given["out"] or workspace.root / "runs" / ".push" / repo.replace("/", "--")
    prepare(settings, workspace, subject, folders.get(subject.path), out)
    for path in sorted(out.iterdir()):
        click.echo(f"{path.stat().st_size:>12,} {path}")
    sent = f"uploaded to {upload_folder(repo, out, not public)}" if upload else ""
    click.echo(sent or f"nothing was uploaded; --upload sends {out} to {repo}")


@command("questions", "sapo questions")
@click.option("--folder", type=PATH, default=Path("assets/questions"), show_default=True)
def questions(folder: Path) -> None:
    """Write the generated questions of the testbed anew."""
    from sapo.tasks.catalog import write_questions

    for path in write_questions(folder):
        click.echo(path)


@command("pretrain", "sapo pretrain qwen2_nano")
@click.argument("models", nargs=-1, required=True, type=BASE_MODEL)
@click.option("--documents", type=int, help="Default: as many as the committed models saw.")
@click.option("--folder", type=PATH, default=Path("assets/models"), show_default=True)
def pretrain(models: tuple[str, ...], documents: int | None, folder: Path) -> None:
    """Make the testbed's base models; 20 to 30 minutes each."""
    from sapo.train.pretrain import PretrainSettings, make_base_model

    settings = PretrainSettings(documents) if documents else PretrainSettings()
    for name in models:
        make_base_model(name, folder / name, settings)


@command("lab-report", "sapo lab-report --model qwen2_nano --task nano_math --seed 1")
@click.option("--model", "models", type=BASE_MODEL, multiple=True, help="Again for more.  [default: all]")
@click.option("--task", "tasks", type=EMBEDDED_TASKS, multiple=True, help="Again for more.  [default: all]")
@click.option("--seed", "seeds", type=int, multiple=True, default=(1, 2, 3), show_default=True, help="Again for more.")
@click.option("--workers", type=int, default=2, show_default=True)
def lab_report(models: tuple[str, ...], tasks: tuple[str, ...], seeds: tuple[int, ...], workers: int) -> None:
    """Do base models and tasks meet the testbed's targets?"""
    from sapo.evaluate.testbed_run import measure_all
    from sapo.report.tables.rendering import markdown, show, with_section
    from sapo.report.tables.testbed import add_pairs, targets_table

    settings, workspace = opened()
    report = measure_all(settings, models or _base_models(), tasks or EMBEDDED_TASKS.choices, seeds, workers)
    add_pairs(report, workspace, settings)
    known = (read_plain_json(TESTBED) if TESTBED.is_file() else {}) | report
    write_plain_json(TESTBED, known)
    table = targets_table(known)
    show([table])
    write_text(LABORATORY, with_section(LABORATORY, "lab", markdown([table])))
    click.echo(f"{TESTBED}\n{LABORATORY}")


@command("pin-assets", "sapo pin-assets")
def pin_assets() -> None:
    """Accept what assets/ holds: renew pins.json and data.dvc."""
    from sapo.runtime.pins import pin_assets as pin

    click.echo(f"pinned {pin(Path())} files of assets/")


COMMANDS = (configure, doctor, plan, dry_run, simulate, annotate, push, questions, pretrain, lab_report, pin_assets)
