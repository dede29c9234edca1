"""A hand-made runs folder of two seeds, small enough to check every number of a report by hand.

All questions of a benchmark are one cluster, so only seeds differ between resamples: an interval over two seeds
reaches from the lower one to the higher one, and the interval of one seed has no width.
"""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from sapo.evaluate.efficiency import LABELLERS, LENGTHS, RIGHT, LabelRow, TruthRow
from sapo.records import Cost, Outcome, StepLabels, StepScores, Trajectory, write_json, write_records
from sapo.runtime.workspace import Workspace
from sapo.settings import CellSettings, GroupSettings, LoopSettings, Settings, load_settings, method_settings
from sapo.train.pairs import PairReport

ROOT = Path(__file__).parents[2]
MODEL, TASK, OOD = "qwen2_nano", "nano_math", "nano_math_ood"
SEEDS = (1, 2)
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
ANSWER = ("<!-- answer:begin -->", "<!-- answer:end -->")
README = "\n".join(["# Title", "", *ANSWER, "", BEGIN, "old", END, "", "The end.", ""])

# R right, W wrong, E grader error; the same answers on both benchmarks, for seed 1 and seed 2.
VERDICTS = {"R": "right", "W": "wrong", "E": "grader_error"}
ANSWERS = {
    ("cot", 0): ("WWWW", "WWWW"),
    ("sft", 0): ("RRWW", "RWWW"),
    ("rft", 1): ("RRWW", "WWWW"),
    ("orpo_outcome", 1): ("RRRW", "RRWW"),
    ("orpo_mc", 1): ("RWEW", "WWWE"),
    ("sapo", 1): ("RRRW", "RRRW"),
    ("sapo", 2): ("RRRR", "RRRR"),
    ("sapo_without_ep", 1): ("RWWW", ""),
    ("sapo_without_ep", 2): ("RRWW", ""),
}
METHODS = {
    "rft": {"loop": {"updates": ["sft"], "reward": "outcome"}},
    "orpo_outcome": {"loop": {"updates": ["orpo"], "reward": "outcome"}},
    "orpo_mc": {"loop": {"updates": ["orpo"]}, "labels": {"by": "shepherd"}},
    "sapo": {},
    "sapo_without_ep": {"expansion": {"max_per_trajectory": 0}},
}
# Tokens and FLOPs of every part: rollouts, prompt tokens, generated tokens, trained tokens, FLOPs.
COSTS = {
    "sft": (0, 0, 0, 300, 1e6),
    "sampling": (20, 100, 200, 0, 1e6),
    "detection": (0, 10, 0, 0, 2e6),
    "labelling": (6, 60, 90, 0, 6e6),
    "verifier": (0, 0, 0, 500, 5e6),
    "scoring": (0, 40, 0, 0, 3e6),
    "update": (0, 0, 0, 1000, 4e6),
}


def tiny_settings() -> Settings:
    """One model and task, two seeds of four methods, one of an ablation; SAPO has two rounds."""
    settings = load_settings(ROOT / "params.yaml")
    task = replace(settings.tasks[TASK], train_questions=10, test_questions=4, ood_questions=4)
    headline = GroupSettings(("rft", "orpo_outcome", "orpo_mc", "sapo"), SEEDS)
    groups = {"headline": headline, "ablations": GroupSettings(("sapo_without_ep",), (1,))}
    return replace(
        settings,
        profile="tiny",
        models={MODEL: settings.models[MODEL]},
        tasks={TASK: task},
        groups=groups,
        cells={f"{MODEL}-{TASK}-{group}": CellSettings(MODEL, TASK, group) for group in groups},
        methods=METHODS,
        loop=LoopSettings(("orpo", "orpo"), "verifier", "base", "all"),
        labels=replace(settings.labels, by="saps"),
        detect=replace(settings.detect, by="scores"),
        process_benchmarks={},
        report=replace(
            settings.report, profile="tiny", resamples=50, results="results", figures="figures", readme=True
        ),
    )


def write_runs(
    root: Path, settings: Settings, answers: Mapping[tuple[str, int], tuple[str, ...]] = ANSWERS
) -> Workspace:
    """The runs below `root` that `settings` (from `tiny_settings`) ask for, and a README with a place for results.

    Args:
        answers: verdicts of a method's round, one text for each seed.
    """
    workspace = Workspace(root, settings.profile)
    for seed in SEEDS:
        write_start(workspace.start(MODEL, TASK, seed))
        for method in ("cot", "sft"):
            write_answers(workspace, seed, method, 0, answers[method, 0][seed - 1])
    for cell in settings.cells.values():
        group = settings.groups[cell.group]
        for method in group.methods:
            for seed in group.seeds:
                folder = workspace.methods(MODEL, TASK) / str(seed) / method
                own = method_settings(settings, method, seed)
                for number in range(1, len(own.loop.updates) + 1):
                    write_round(own, folder / str(number), number)
                    write_answers(workspace, seed, method, number, answers[method, number][seed - 1])
    write_efficiency(workspace.efficiency(MODEL, TASK))
    (root / "README.md").write_text(README, encoding="utf-8")
    return workspace


def write_answers(workspace: Workspace, seed: int, method: str, number: int, verdicts: str) -> None:
    """Verdicts on both benchmarks; one right answer, if any, rests on a wrong step (not known out of domain)."""
    folder = workspace.evaluation(MODEL, TASK) / str(seed) / method / str(number)
    outcomes = [
        Outcome(f"q{n}", "g", f"step\nanswer {v}\n", VERDICTS[v])  # pyright: ignore[reportArgumentType]
        for n, v in enumerate(verdicts)
    ]
    for benchmark, flawed in ((TASK, min(1, verdicts.count("R"))), (OOD, None)):
        write_records(folder / f"{benchmark}.jsonl", outcomes, Outcome)
        said = {"generated_tokens": 40, "flops": 1e5, "right_with_wrong_step": flawed}
        write_json(folder / f"{benchmark}.json", said | {"protocol": {"name": "paper"}, "sandbox": "L1"})


def write_efficiency(folder: Path) -> None:
    """One long wrong trajectory, wrong from step 2 on, that all labellers label alike; one held out like it."""
    steps = tuple(f"{n}\n" for n in range(6))
    wrong, held = (Trajectory(name, f"q{name}", steps, "wrong", "sample") for name in ("w", "h"))
    labels = (1, 0, 0, 0, 0, 0)
    for name, own in (("measured", wrong), ("held_out", held)):
        write_records(folder / f"{name}.jsonl", [own], Trajectory)
    for name, own in (("truth", wrong), ("held_out_truth", held)):
        write_records(folder / f"{name}.jsonl", [TruthRow(own.id, own.question_id, labels)], TruthRow)
    costs = {}
    for name in ("detection", *LABELLERS):
        costs |= {f"{name}/{kind}": Cost(8, 20, 40, 600.0) for kind in (*LENGTHS, RIGHT)}
    write_json(folder / "summary.json", {"costed_right": 1})
    spent = {name: {k: v for k, v in asdict(cost).items() if k != "seconds"} for name, cost in costs.items()}
    write_json(folder / "costs.json", spent)
    for name in LABELLERS:
        write_records(folder / name / "labels.jsonl", [LabelRow("w", "qw", labels, (1,), 8)], LabelRow)
        write_records(folder / name / "scores.jsonl", [StepScores("h", (0.9, *(0.1,) * 5))], StepScores)


def write_start(folder: Path) -> None:
    write_labelled(folder)
    write_costs(folder, "sft", "sampling", "labelling", "verifier")


def write_round(own: Settings, folder: Path, number: int) -> None:
    """Round `number` of a method: of 10 questions, 3 + `number` keep 2 pairs each, or 5 keep 8 trajectories (SFT)."""
    parts = ["sampling", "update"]
    if own.loop.reward == "verifier":
        write_labelled(folder)
        parts += ["labelling", "verifier", "scoring"] + (["detection"] if own.labels.by == "saps" else [])
    write_costs(folder, *parts)
    write_json(folder / "rewards.json", {"right": [1.0, 0.75], "wrong": [0.25, 0.0]})
    samples = {
        "trajectories": 20,
        "left_out": 0,
        "right": 0.5,
        "different": 0.75,
        "mean_steps": 2.0,
        "mean_tokens": 10.0,
    }
    write_json(folder / "samples.json", samples)
    write_json(folder / "log.json", [step(1, 2.0, -1.0, -1.0), step(2, 1.0, -0.5, -1.5)])
    if own.loop.updates[number - 1] == "sft":
        report = {"questions": 10, "kept": 5, "trajectories": 8, "none_right": 4, "low_reward": 1}
        write_json(folder / "filter.json", report)
    else:
        kept = 3 + number
        write_json(folder / "pairs.json", asdict(PairReport(10, kept, 2 * kept, 1, 2, 0, 7 - kept)))


def step(number: int, loss: float, chosen: float, rejected: float) -> dict[str, object]:
    """One entry of log.json."""
    measures = {"chosen_logp": chosen, "rejected_logp": rejected}
    return {"step": number, "epoch": 1, "loss": loss, "lr": 0.001, "gradient_norm": 0.5, "measures": measures}


def write_labelled(folder: Path) -> None:
    """Two labelled trajectories, one of them wrong, and one of expansion."""
    trajectories = [
        Trajectory(f"t{n}", f"q{n}", ("a\n", "b\n"), verdict, "sample")  # pyright: ignore[reportArgumentType]
        for n, verdict in enumerate(("right", "wrong", "wrong"))
    ]
    labels = [StepLabels("t0", (1, 1), (), "known_correct"), StepLabels("t1", (1, 0), (1,), "bisection")]
    write_records(folder / "labelled.jsonl", trajectories, Trajectory)
    write_records(folder / "labels.jsonl", [*labels, StepLabels("t2", (0, 0), (), "expansion")], StepLabels)


def write_costs(folder: Path, *parts: str) -> None:
    names = ("rollouts", "prompt_tokens", "generated_tokens", "trained_tokens", "flops")
    costs = {part: dict(zip(names, COSTS[part], strict=True)) | {"programs": 0} for part in parts}
    write_json(folder / "costs.json", costs)


def stop(workspace: Workspace, method: str, seed: int, number: int, reason: str) -> None:
    """Let a method stop in round `number`: its reasoners from there on, and their answers, are gone."""
    folder = workspace.methods(MODEL, TASK) / str(seed) / method
    for path in (folder, workspace.evaluation(MODEL, TASK) / str(seed) / method):
        for made in path.glob("[0-9]*"):
            if int(made.name) >= number:
                shutil.rmtree(made)
    write_json(folder / "stopped.json", {"round": number, "reason": reason})
