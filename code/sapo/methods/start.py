"""What all methods of a model, task and seed begin with: M_0, D_0 and V_0 (method.md §7, first line)."""

import shutil
from pathlib import Path

from sapo.methods.bench import Bench, clocked, read_costs, write_costs
from sapo.methods.kept import kept, training
from sapo.methods.samples import sampled
from sapo.methods.supervision import LEFT_OUT, OUTPUTS, Simulation, choose_subset, supervise
from sapo.models.loading import load_reasoner, save_reasoner
from sapo.models.verifier import Verifier
from sapo.records import Cost, Trajectory, read_json, read_records, write_json
from sapo.supervise.sampling import distinct, gold_trajectories
from sapo.train.launch import Job, run
from sapo.train.loop import Watch, write_log
from sapo.workspace import digest

SECTIONS = ("tuning", "sft", "sampling", "rollouts", "labels", "expansion", "verifier", "data")


def begin(bench: Bench) -> Path:
    """The folder of one seed: `sft/`, `sampled.jsonl` (D_0 without gold), labels, `verifier/` (V_0), costs,
    and in `left_out.json` how many gold rationales and labelled trajectories could not be trained on.
    """
    made_from = {
        "phase": "start",
        "place": [bench.model, bench.task_name, bench.settings.seed],
        "base": digest(bench.base),
        "limits": bench.training,
        **{name: getattr(bench.settings, name) for name in SECTIONS},
    }
    return kept(bench.store, made_from, lambda folder: _make(bench, folder))


def _make(bench: Bench, folder: Path) -> None:
    tuned = fine_tuned(bench)
    shutil.copytree(tuned / "sft", folder / "sft")
    samples = sampled(bench, 1, folder / "sft")
    shutil.copyfile(samples / "sampled.jsonl", folder / "sampled.jsonl")
    drawn = read_records(samples / "sampled.jsonl", Trajectory)
    pool = distinct(bench.task, [*drawn, *gold_trajectories(bench.task, bench.gold_questions())])
    subset = choose_subset(pool, bench.settings.labels.bootstrap_trajectories, bench.seed("subset", 0))
    who = Simulation(0, "omega", folder / "sft", None, tuple(drawn))
    made = supervise(bench, who, folder / "sft", subset)
    for name in OUTPUTS:
        (folder / name).write_bytes((made / name).read_bytes())
    gold = {"gold": len(bench.gold_rationales()) - len(bench.gold_questions())}
    write_json(folder / LEFT_OUT, read_json(made / LEFT_OUT) | gold)
    Verifier.load(made / "verifier").save(folder / "verifier")
    write_costs(folder, read_costs(tuned) | read_costs(samples) | read_costs(made))


def fine_tuned(bench: Bench) -> Path:
    """The folder with M_0 (`sft/`) and its cost: done once, also where sampling or labelling starts again."""
    made_from = {
        "phase": "sft",
        "place": [bench.model, bench.task_name, bench.settings.seed],
        "base": digest(bench.base),
        "limits": bench.training,
        "sft": bench.settings.sft,
        "tuning": bench.settings.tuning,
        "data": bench.settings.data,
    }

    def make(folder: Path) -> None:
        costs: dict[str, Cost] = {}
        with clocked(costs, "sft"):
            costs["sft"] = _fine_tune(bench, folder / "sft")
        write_costs(folder, costs)

    return kept(bench.store, made_from, make)


def _fine_tune(bench: Bench, folder: Path) -> Cost:
    """M_0 = SFT(M, D_org)."""
    model, encoder = load_reasoner(bench.base)
    texts = [(question.prompt, question.solution) for question in bench.gold_questions()]
    job = Job("sft", bench.base, texts, bench.settings.sft, bench.seed("sft", 0), bench.seed("adapters", "sft", 0))
    model, log, cost = run(job, (model, encoder), bench.settings.tuning, Watch(None, training(folder.parent)))
    save_reasoner(model, encoder, folder)
    write_log(folder / "log.json", log)
    return cost
