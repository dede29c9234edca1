"""Our accuracies beside the papers': what each method gains over SFT, there and here.

The benchmarks are not the same (`STANDS_FOR`), so levels cannot be compared; gains over SFT can be laid side by side.
"""

from collections.abc import Sequence

from sapo.report.accuracies import Column
from sapo.report.claims.published import Row, read_published
from sapo.report.names import checkpoint_name
from sapo.report.results import COT, SFT, Checkpoint
from sapo.report.tables import NONE, Table

STANDS_FOR = {"nano_math": "GSM8K", "nano_math_ood": "MATH", "nano_code": "MBPP", "nano_code_ood": "HumanEval"}
STANDS_FOR |= {"gsm8k": "GSM8K", "math": "MATH", "mbpp": "MBPP", "humaneval": "HumanEval"}
MODELS = {"qwen2": "Qwen-2.5-0.5B", "qwen25": "Qwen-2.5-0.5B", "llama": "Llama-3.2-1B", "llama32": "Llama-3.2-1B"}
MODELS |= {"gemma2": "Gemma-2-2B"}
METHODS = {
    COT: "CoT",
    Checkpoint("rft", 1): "RFT",
    Checkpoint("rft_dpo", 2): "RFT+DPO",
    Checkpoint("online_rft", 3): "Online-RFT",
    Checkpoint("rpo", 3): "RPO",
    Checkpoint("grpo", 1): "SFT+GRPO",
    Checkpoint("sapo", 1): "SAPO-iter1",
    Checkpoint("sapo", 2): "SAPO-iter2",
    Checkpoint("sapo", 3): "SAPO-iter3",
}


def beside_table(columns: Sequence[Column]) -> Table:
    """A row for each of our columns and each method of table 1 that both have."""
    printed = {(row.model, row.method, row.benchmark): row for row in read_published() if row.location == "table1"}
    rows = [row for column in columns for row in _rows(column, printed)]
    header = ("Model", "Benchmark", "Method", "Ours", "Printed", "Ours − SFT", "Printed − SFT", "Difference")
    pairs = ", ".join(f"{ours} for {theirs}" for ours, theirs in STANDS_FOR.items() if ours.startswith("nano"))
    note = (
        "Accuracies in %, gains over SFT and their difference in points. Printed: SAPO, table 1, for the model and "
        f"the benchmark that ours stands for: {pairs}."
    )
    return Table("Beside the paper's table 1", header, tuple(rows), note)


def _rows(column: Column, printed: dict[tuple[str, str, str], Row]) -> list[tuple[str, ...]]:
    model = MODELS.get(column.model.split("_")[0], "")
    benchmark = STANDS_FOR.get(column.benchmark, "")
    sft = printed.get((model, "SFT", benchmark))
    own_sft = column.accuracies.get(SFT)
    if sft is None or own_sft is None:
        return []
    found = []
    for one, name in METHODS.items():
        theirs, ours = printed.get((model, name, benchmark)), column.accuracies.get(one)
        if theirs is None or ours is None:
            continue
        gain, their_gain = 100 * (ours.value.value - own_sft.value.value), theirs.percent - sft.percent
        numbers = (f"{100 * ours.value.value:.1f}", f"{theirs.percent:.2f}", f"{gain:+.1f}", f"{their_gain:+.2f}")
        label = checkpoint_name(one, one.round) or NONE
        found.append((column.model, f"{column.benchmark} / {benchmark}", label, *numbers, f"{gain - their_gain:+.1f}"))
    return found
