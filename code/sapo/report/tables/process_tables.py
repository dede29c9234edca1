"""Tables of the process benchmarks, and the same numbers for `results/metrics.json`."""

from collections.abc import Sequence

from sapo.evaluate.rerank import best_of, pass_at, voted
from sapo.report.process_names import NAMES, verifier_name
from sapo.report.process_records import V0, ProcessResults, Verified
from sapo.report.run_records import Checkpoint
from sapo.report.stats import percent_numbers
from sapo.report.tables.method_tables import NONE, Table, accuracy_text

PART = {"by_reasoner": "as the reasoner says", "by_truth": "as the truth says"}


def benchmark_table(results: Sequence[ProcessResults]) -> Table:
    found = {entry.task: (entry.task, str(entry.questions), str(entry.items), str(entry.steps)) for entry in results}
    return Table("Process benchmarks", ("Task", "Questions", "Trajectories", "Steps"), tuple(found.values()))


def verifier_table(results: Sequence[ProcessResults], all_of_them: bool) -> Table:
    """Verifiers on the benchmarks; `all_of_them`: every round of every method, else V_0 and the last ones compared."""
    header = ("Model", "Task", "Verifier", "Round", "Steps", "First errors", "F1", "AUC", "ECE", "Threshold")
    rows = [
        (entry.model, entry.task, verifier_name(one.method), str(one.round), *_cells(entry.verifiers[one]))
        for entry in results
        for one in (entry.verifiers if all_of_them else shown(entry))
    ]
    rows += [
        (entry.model, entry.task, f"MCE of {verifier_name(one.method)}'s reasoner", str(one.round), accuracy_text(i))
        + (NONE,) * 7
        for entry in results
        for one, i in entry.mce.items()
        if all_of_them or one in shown(entry)
    ]
    note = (
        "Accuracies in % with 95 % intervals over seeds and questions, on the half of the questions that the threshold "
        "was not chosen on. F1: ProcessBench's, of first errors. AUC of steps. ECE: mean distance of score and truth. "
        "Labels true: labels that the verifier learned from, against the oracle. MCE: labels by the reasoner's own "
        "rollouts, the upper bound."
    )
    for entry in results:
        if entry.left_out:
            note += f" {entry.model} cannot score {entry.left_out} of {entry.items} trajectories of {entry.task}."
    title = "Verifiers on the process benchmarks" + (": every round" if all_of_them else "")
    return Table(title, (*header, "Labels true", "Seeds"), tuple(rows), note)


def shown(entry: ProcessResults) -> list[Checkpoint]:
    """V_0 and the last verifier of each method that the papers compare."""
    last = [
        max((one for one in entry.verifiers if one.method == method), key=lambda one: one.round, default=None)
        for method in NAMES
    ]
    return [V0, *(one for one in last if one)]


def _cells(found: Verified) -> tuple[str, ...]:
    return (
        accuracy_text(found.steps),
        accuracy_text(found.first_error),
        *(accuracy_text(number) for number in (found.f1, found.auc, found.ece)),
        f"{found.threshold:.2f}",
        NONE if found.label_steps is None else f"{100 * found.label_steps:.1f}",
        str(found.seeds),
    )


def self_verification_table(results: Sequence[ProcessResults]) -> Table:
    """Table 2 of SAPO."""
    rows = [
        (entry.model, entry.task, name, accuracy_text(by_reasoner), accuracy_text(by_truth))
        for entry in results
        for name, (by_reasoner, by_truth) in entry.self_verification.items()
    ]
    note = (
        "In % with 95 % intervals over questions, first seed. V_a-R_b: detected by round a's verifier, checked by "
        "round b's reasoner, on the trajectories of the process benchmark. SAPO: the same round (V3-R3) errs least."
    )
    header = ("Model", "Task", "Rounds", "Error, as the reasoner says", "Error, as the truth says")
    return Table("Self-verification error (SAPO, table 2)", header, tuple(rows), note)


def label_table(results: Sequence[ProcessResults]) -> Table:
    """Labels and rewards of every round beside the truth, where it is known."""
    header = ("Model", "Task", "Method", "Round", "Labels true", "First errors: precision", "recall")
    rows = []
    for entry in results:
        for one, own in entry.verifiers.items():
            if own.label_steps is not None:
                means = [mean and mean.value for mean in (own.reward, own.true_steps)]
                shares = (own.label_steps, own.label_precision, own.label_recall, *means)
                name = verifier_name(one.method)
                rows.append((entry.model, entry.task, name, str(one.round), *map(_percent, shares)))
    note = (
        "In %. Precision: of the first errors that labels name, those that are true; recall: of the true ones, those "
        "that labels name. Reward: mean of the round's samples by its verifier; true steps: prefixes without error."
    )
    return Table("Labels and rewards beside the truth", (*header, "Reward", "True steps"), tuple(rows), note)


def choice_table(results: Sequence[ProcessResults]) -> Table:
    """Accuracy of the best of all samples of a question by each verifier, between one sample and pass@N."""
    rows = []
    for entry in results:
        again = entry.rerank
        most = min((len(right) for right in again.right), default=0)
        count = 2 ** (most.bit_length() - 1) if most else 0
        if not count:
            continue
        number = range(len(again.right))

        def percent(values: list[float]) -> str:
            return f"{100 * sum(values) / len(values):.1f}"

        one, every = ([pass_at(again.right[q], n) for q in number] for n in (1, count))
        vote = [voted(again.right[q], again.answers[q], count, q) for q in number]
        rows += [(entry.model, entry.task, what, "", percent(values)) for what, values in
                 (("one sample", one), ("majority", vote), ("pass@N", every))]  # fmt: skip
        for method, rewards in again.rewards.items():
            best = [best_of(again.right[q], rewards[q], count) for q in number]
            beam = again.beams.get(method)
            shares = (percent([float(right) for right in beam]) if beam else NONE, percent(best))
            rows.append((entry.model, entry.task, verifier_name(method), *shares))
    note = "In %, test questions, samples of M_0, last verifier of each method, first seed. N: as many as were drawn."
    return Table("Choosing by a verifier", ("Model", "Task", "By", "Beam search", "Best of N"), tuple(rows), note)


def process_metrics(entry: ProcessResults) -> dict[str, object]:
    """Everything of one model and benchmark, in % where a share."""
    verifiers: dict[str, dict[str, object]] = {}
    for one, own in entry.verifiers.items():
        means = {name: getattr(own, name) for name in ("reward", "true_steps")}
        verifiers.setdefault(one.method, {})[str(one.round)] = {
            "step_accuracy": percent_numbers(own.steps),
            "first_error": percent_numbers(own.first_error),
            "seeds": own.seeds,
            "threshold": round(own.threshold, 4),
            **{name: percent_numbers(getattr(own, name)) for name in ("f1", "auc", "ece")},
            "label_steps": None if own.label_steps is None else round(100 * own.label_steps, 2),
            **{name: mean and percent_numbers(mean) for name, mean in means.items()},
        }
    return {
        "items": entry.items,
        "left_out": entry.left_out,
        "verifiers": verifiers,
        "mce": {f"{one.method}/{one.round}": percent_numbers(i) for one, i in entry.mce.items()},
        "self_verification_error": {
            name: {kind: percent_numbers(i) for kind, i in zip(PART, both, strict=True)}
            for name, both in entry.self_verification.items()
        },
    }


def _percent(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.1f}"
