"""What a round does with rewarded trajectories: choose what to train on, train, and write the new reasoner."""

from dataclasses import asdict
from pathlib import Path

from sapo.methods.bench import Bench
from sapo.methods.kept import training
from sapo.models.loading import load_reasoner, save_reasoner
from sapo.records import BadInput, Cost, write_json
from sapo.train.launch import Job, run
from sapo.train.loop import StepProgress, Watch, write_log
from sapo.train.registry import trainer_of
from sapo.train.trainer import Round


def update(bench: Bench, this: Round, name: str, places: tuple[Path, Path], folder: Path) -> Cost:
    """Train by the trainer of that name; `model/`, `log.json` and how its data was chosen go to `folder`.

    Args:
        places: the round's own reasoner, and where trainers start that do not go on from it (`loop.start`).

    Raises:
        BadInput: no such trainer, or none of a reasoner. NothingLeft, PairError: nothing is left to train on.
    """
    trainer = trainer_of(name)
    if trainer.data.choose is None:
        raise BadInput(f"loop: updates: {name!r} trains no reasoner")
    rows, report, drawn = trainer.data.choose(this)
    if trainer.data.report:
        write_json(folder / trainer.data.report[0], asdict(report))
    reasoner, start = places
    start = reasoner if trainer.from_reasoner else start
    model, encoder = load_reasoner(start)
    section = trainer.section
    seeds = bench.seed(section, this.number), bench.seed("adapters", section, this.number)
    job = Job(name, start, rows, getattr(bench.settings, section), *seeds, tokens=this.tokens)
    watch = Watch(StepProgress(bench.shown(f"{name.upper()} of round {this.number}")), training(folder))
    made, log, cost = run(job, (model, encoder), bench.settings.tuning, watch)
    save_reasoner(made, encoder, folder / "model")
    write_log(folder / "log.json", log)
    return drawn + cost
