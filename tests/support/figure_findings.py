"""Hand-made findings for tests of figures: one model and task, accuracies and costs that follow from methods' names."""

from dataclasses import replace

from report_runs import tiny_settings

from sapo.evaluate.interval import Interval
from sapo.records import Cost
from sapo.report.accuracies import Accuracy, Column
from sapo.report.figures.drawing import Findings
from sapo.report.names import whole_of
from sapo.report.run_records import (
    Checkpoint,
    Labelled,
    Rewards,
    RoundResults,
    Samples,
    StartResults,
    TaskResults,
)
from sapo.report.run_records import TrainingStep as Step
from sapo.settings import Settings
from sapo.train.pairs import PairReport

MODEL, TASK, OOD = "qwen2_nano", "nano_math", "nano_math_ood"
# Rounds of the methods: the headline ones, and everything that profile nano runs.
FEW = {"rft": 1, "orpo_outcome": 1, "orpo_mc": 1, "sapo": 2}
MANY = {"star": 3, "rft": 1, "online_rft": 3, "orpo_outcome": 1, "rft_dpo": 2, "srf": 3, "rpo": 3, "grpo": 1}
MANY |= {"orpo_mc": 1, "prft": 1, "psrf": 3, "sipf": 3, "sapo": 3, "sapo_without_pf": 3, "sapo_ours": 3}
SWEPT = {"sapo_eta_0": 2, "sapo_eta_02": 2, "sapo_six_rounds": 3}


def about(percent: float, reach: float = 4) -> Interval:
    """`percent` ± `reach`."""
    return Interval(percent / 100, max(percent - reach, 0) / 100, min(percent + reach, 100) / 100)


def percent_of(method: str, number: int) -> float:
    """CoT 20, SFT 30; then ten more for each round, and one for each letter of the name."""
    return {"cot": 20, "sft": 30}.get(method, 30 + 10 * number + len(method))


def column(last: dict[str, int], benchmark: str = TASK) -> Column:
    """Accuracies as `percent_of` says; of those right, 10 % rest on a wrong step. Variants are 5 points worse."""
    accuracies = {}
    for one in [
        Checkpoint("cot", 0),
        Checkpoint("sft", 0),
        *(Checkpoint(m, n + 1) for m in last for n in range(last[m])),
    ]:
        whole = whole_of(one.method)
        differences = {whole: Interval(-0.05, -0.08, 0.01)} if whole else {}
        value = about(percent_of(one.method, one.round))
        accuracies[one] = Accuracy(100, (1, 2), value, differences=differences, flawed=about(10, 3))
    return Column(MODEL, TASK, benchmark, 100, accuracies, last, {})


def cost(flops: float) -> Cost:
    return Cost(rollouts=10, prompt_tokens=10, generated_tokens=90, trained_tokens=50, flops=flops)


def one_round(method: str, number: int) -> RoundResults:
    """Round `number`: 20 + `number` tokens a sample, 80 - 10 * `number` % different; FLOPs 1e9 a letter of its name."""
    own = {"srf": "dpo", "rpo": "dpo", "psrf": "dpo", "orpo_outcome": "orpo", "orpo_mc": "orpo", "sapo": "orpo"}
    update = own.get(method, "sft")
    measures = {} if update == "sft" else {"chosen_logp": -0.5 / number, "rejected_logp": -1.0}
    log = tuple(Step(step, 1, 1.0, 1e-3, 0.5, {k: v * step for k, v in measures.items()}) for step in (1, 2))
    pairs = PairReport(10, 4 + number, 8 + number, 0, 0, 0, 6 - number) if update != "sft" else None
    samples = Samples(80, 0, 0.5, 0.8 - 0.1 * number, 4.0, 20.0 + number)
    costs = {"sampling": cost(1e9), "update": cost(1e9 * len(method))}
    return RoundResults(update, pairs, Rewards((0.9, 0.72), (0.1,)), samples, log, costs, None)


def findings(last: dict[str, int]) -> Findings:
    """One model and task with two benchmarks; two seeds alike."""
    rounds = {Checkpoint(m, n): {s: one_round(m, n) for s in (1, 2)} for m in last for n in range(1, last[m] + 1)}
    start = StartResults({"sft": cost(1e8)}, Labelled(4, 2))
    entry = TaskResults(MODEL, TASK, (), rounds, {1: start, 2: start}, {}, last)
    return Findings(settings_with(last), [entry], [column(last), column(last, OOD)])


def settings_with(last: dict[str, int]) -> Settings:
    """Settings that know the swept methods; SAPO's own eta is 0.1, its own rounds are two."""
    settings = tiny_settings()
    methods = settings.methods | {"sapo_eta_0": {"pairs": {"eta": 0.0}}, "sapo_eta_02": {"pairs": {"eta": 0.2}}}
    methods["sapo_six_rounds"] = {"loop": {"updates": ["orpo"] * last.get("sapo_six_rounds", 1)}}
    return replace(settings, methods=methods, pairs=replace(settings.pairs, eta=0.1))
