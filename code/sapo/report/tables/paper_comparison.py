"""Our numbers and the papers' printed ones: SAPO's tables 1 to 3, SIPF's 1 and 2, and the claim of figure 6.

The difference of levels says little where model and benchmark differ from the paper's. The difference of effects (gain
over SFT, loss without a part, error beyond that of the last round) is what a replication can be held to.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sapo.evaluate.interval import Interval
from sapo.report.accuracies import Column
from sapo.report.claims.evidence import Evidence
from sapo.report.claims.published import Row, read_published
from sapo.report.claims.verifier_metrics import mover
from sapo.report.names import checkpoint_name
from sapo.report.process_records import ProcessResults
from sapo.report.run_records import COT, SFT, Checkpoint
from sapo.report.tables.method_tables import NONE, Table, difference_text
from sapo.settings import ModelSettings

STANDS_FOR = {"nano_math": "GSM8K", "nano_math_ood": "MATH", "nano_code": "MBPP", "nano_code_ood": "HumanEval"}
STANDS_FOR |= {"gsm8k": "GSM8K", "math": "MATH", "mbpp": "MBPP", "humaneval": "HumanEval"}
IN_SIPF = STANDS_FOR | {"nano_math_ood": "MMLU_Math", "math": "MMLU_Math"}
HUB_IDS = {"Qwen/Qwen2.5-0.5B": "qwen2", "meta-llama/Llama-3.2-1B": "llama", "google/gemma-2-2b": "gemma2"}
ARCHITECTURES = {"qwen2": "Qwen-2.5-0.5B", "llama": "Llama-3.2-1B", "gemma2": "Gemma-2-2B"}
SIPFS_MODEL = "Gemma-2B"  # the one model whose numbers we have from SIPF
LAST = "V3-R3"  # verifier and reasoner of the last round
LABELS_SAID = (2.0, 3.0)  # SAPO, abstract and figure 6: times fewer FLOPs and seconds than shepherd's labels
LEVELS = (
    "Ours are of another model, and of benchmarks that stand for the paper's, where names differ: then only the last "
    "column, the difference of the two effects, says how ours compares; that of the levels is there to be seen."
)
HEADER = ("Model", "Benchmark", "Printed for", "Method", "Ours", "Printed", "Ours − printed")


@dataclass(frozen=True, slots=True)
class Printed:
    """One table of a paper: its methods in our checkpoints, and the method that effects are measured from.

    Args:
        by_model: whether each of our architectures has a counterpart; else all have the paper's one model.
    """

    title: str
    source: str
    location: str
    methods: dict[Checkpoint, str]
    reference: Checkpoint
    effect: str
    benchmarks: dict[str, str]
    by_model: bool = True


TABLE1 = {COT: "CoT", SFT: "SFT", Checkpoint("rft", 1): "RFT", Checkpoint("rft_dpo", 2): "RFT+DPO"}
TABLE1 |= {Checkpoint("online_rft", 3): "Online-RFT", Checkpoint("rpo", 3): "RPO", Checkpoint("grpo", 1): "SFT+GRPO"}
TABLE1 |= {Checkpoint("sapo", n): f"SAPO-iter{n}" for n in (1, 2, 3)}
PARTS = ("pf", "dv", "rm", "ep")
TABLE3 = {Checkpoint("sapo", 3): "SAPO"} | {Checkpoint(f"sapo_without_{p}", 3): f"w/o {p.upper()}" for p in PARTS}
ACCURACIES = (
    Printed("Beside SAPO's table 1", "SAPO", "table1", TABLE1, SFT, "SFT", STANDS_FOR),
    Printed("Beside SAPO's table 3", "SAPO", "table3", TABLE3, Checkpoint("sapo", 3), "SAPO", STANDS_FOR),
    Printed(
        "Beside SIPF's tables 1 and 2", "SIPF", "tables1-2", {SFT: "SFT", Checkpoint("sipf", 3): "SIPF"}, SFT, "SFT",
        IN_SIPF, False,
    ),
)  # fmt: skip


def paper_model(model: ModelSettings) -> str:
    """The model of SAPO that this one is or, trained here, stands for by its architecture; empty if there is none."""
    return ARCHITECTURES.get(HUB_IDS.get(model.hub_id, "") if model.kind == "hub" else model.architecture, "")


def beside_tables(evidence: Evidence, columns: Sequence[Column]) -> list[Table]:
    """A table for each table of the papers that this run has a cell of, in the order of the papers."""
    printed = read_published()
    models = {name: paper_model(model) for name, model in evidence.settings.models.items()}
    first, *rest = [_accuracy_table(which, columns, printed, models) for which in ACCURACIES]
    tables = [first, _error_table(evidence.process, printed, models), *rest, _times_table(evidence)]
    return [table for table in tables if table.rows]


def _accuracy_table(
    which: Printed, columns: Sequence[Column], printed: Sequence[Row], models: Mapping[str, str]
) -> Table:
    own = [row for row in printed if (row.source, row.location) == (which.source, which.location)]
    theirs = models if which.by_model else dict.fromkeys(models, SIPFS_MODEL)
    rows = tuple(row for column in columns for row in _accuracy_rows(which, column, own, theirs[column.model]))
    effects = (f"Ours − {which.effect}", f"Printed − {which.effect}", "Difference")
    note = f"Accuracies in %, differences in points; ours − {which.effect} with its 95 % interval, paired. {LEVELS}"
    return Table(which.title, (*HEADER, *effects), rows, note)


def _accuracy_rows(which: Printed, column: Column, printed: Sequence[Row], model: str) -> Iterator[tuple[str, ...]]:
    benchmark = which.benchmarks.get(column.benchmark, "")
    cells = {row.method: row.percent for row in printed if (row.model, row.benchmark) == (model, benchmark)}
    base = cells.get(which.methods[which.reference])
    for one, method in which.methods.items():
        ours, theirs = column.accuracies.get(one), cells.get(method)
        if ours is None or theirs is None or base is None:
            continue
        place = (column.model, column.benchmark, f"{model}, {benchmark}", checkpoint_name(one, one.round))
        effect = None if one == which.reference else ours.differences.get(which.reference.method)
        yield _row(place, ours.value, theirs, effect, theirs - base)


def _error_table(process: Sequence[ProcessResults], printed: Sequence[Row], models: Mapping[str, str]) -> Table:
    """Table 2: errors of self-verification, as the reasoner says; effects are distances from the last round's."""
    rows = []
    for entry in process:
        model, benchmark = models[entry.model], STANDS_FOR.get(entry.task, "")
        table2 = [row for row in printed if (row.location, row.model, row.benchmark) == ("table2", model, benchmark)]
        cells = {row.method: row.percent for row in table2}
        errors = {name: by_reasoner for name, (by_reasoner, _) in entry.self_verification.items()}
        for name, error in errors.items():
            if name in cells:
                place = (entry.model, entry.task, f"{model}, {benchmark}", name)
                effect = mover(error, errors[LAST]) if name != LAST and LAST in errors else None
                rows.append(_row(place, error, cells[name], effect, cells[name] - cells[LAST]))
    header = (*HEADER[:3], "Rounds", *HEADER[4:], f"Ours − {LAST}", f"Printed − {LAST}", "Difference")
    note = (
        "Error of self-verification in %, as the reasoner says, differences in points. V_a-R_b: detected by round a's "
        f"verifier, checked by round b's reasoner. Intervals of differences as if the two were independent. {LEVELS}"
    )
    return Table("Beside SAPO's table 2", header, tuple(rows), note)


def _times_table(evidence: Evidence) -> Table:
    """Figure 6 has no printed numbers; the text says how many times cheaper labels are."""
    rows = []
    low, high = LABELS_SAID
    seconds = evidence.seconds.each if evidence.seconds else {}
    for entry in evidence.labelling:
        flops = {name: found.cost.flops for name, found in entry.labellers.items()}
        for unit, each in (("FLOPs", flops), ("seconds", seconds.get(entry.place, {}))):
            if each.get("saps") and each.get("shepherd"):
                times = each["shepherd"] / each["saps"]
                beyond = max(times - high, 0) + min(times - low, 0)
                words = f"{beyond:+.2f}" if beyond else "within"
                rows.append((entry.model, entry.task, unit, f"{times:.2f}", f"{low:g} to {high:g}", words))
    header = ("Model", "Task", "Measure", "Ours", "Printed", "Ours − printed")
    note = "How many times as much labels by shepherd cost as labels by SAPO, per labelled trajectory."
    return Table("Beside SAPO's figure 6", header, tuple(rows), note)


def _row(
    place: tuple[str, ...], ours: Interval, theirs: float, effect: Interval | None, printed_effect: float
) -> tuple[str, ...]:
    """`ours` and `effect` are shares, the printed numbers are in %; no effect for the reference itself."""
    level = 100 * ours.value
    numbers = (f"{level:.1f}", f"{theirs:.2f}", f"{level - theirs:+.1f}")
    if effect is None:
        return (*place, *numbers, NONE, NONE, NONE)
    difference = round(100 * effect.value - printed_effect, 1) + 0.0
    return (*place, *numbers, difference_text(effect, star=""), f"{printed_effect:+.2f}", f"{difference:+.1f}")
