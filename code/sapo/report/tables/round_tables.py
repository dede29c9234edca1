"""Tables of what happened in the rounds, as means over seeds: samples, pairs, filters, cost of supervision."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

from sapo.records import Cost
from sapo.report.names import checkpoint_name, in_order
from sapo.report.run_records import Checkpoint, Labelled, RoundResults, TaskResults
from sapo.report.tables.method_tables import Table
from sapo.train.pairs import PairReport
from sapo.train.sft import FilterReport
from sapo.train.star import StarReport

PLACE = ("Model", "Task", "Method", "Seeds")


@dataclass(frozen=True, slots=True)
class Supervision:
    """What the labels of one verifier cost over all seeds: `trajectories` labelled, of which `wrong` ended wrong.

    Args:
        made: the round that the labels belong to; None for omega's, which the first verifier learns from.
        cost: rollouts and, where a verifier looks for suspects, its pass.
    """

    made: Checkpoint | None
    seeds: int
    trajectories: int
    wrong: int
    cost: Cost

    @property
    def each(self) -> dict[str, float]:
        """Mean cost of one labelled trajectory: counts of rollouts, tokens, FLOPs and programs."""
        each = {name: value / max(self.trajectories, 1) for name, value in asdict(self.cost).items()}
        return {name: value for name, value in each.items() if name not in ("seconds", "trained_tokens")}


def ordered_rounds(entry: TaskResults) -> dict[Checkpoint, dict[int, RoundResults]]:
    """Rounds by checkpoint in the order of the tables."""
    methods = in_order(one.method for one in entry.rounds)
    return {one: entry.rounds[one] for one in sorted(entry.rounds, key=lambda o: (methods.index(o.method), o.round))}


def supervision(entry: TaskResults) -> list[Supervision]:
    """Of omega and of every round that labelled, over its seeds."""
    omega = [(start.labelled, start.costs) for start in entry.starts.values()]
    found = [_supervision(None, omega)]
    for one, by_seed in ordered_rounds(entry).items():
        parts = [(r.labelled, r.costs) for r in by_seed.values() if r.labelled]
        found += [_supervision(one, parts)] if parts else []
    return found


def _supervision(made: Checkpoint | None, parts: Sequence[tuple[Labelled, dict[str, Cost]]]) -> Supervision:
    spent = [costs[name] for _, costs in parts for name in ("labelling", "detection") if name in costs]
    trajectories = sum(labelled.trajectories for labelled, _ in parts)
    return Supervision(made, len(parts), trajectories, sum(labelled.wrong for labelled, _ in parts), sum(spent, Cost()))


def supervision_table(results: Sequence[TaskResults]) -> Table:
    """Rollouts, tokens and FLOPs per labelled trajectory."""
    rows = []
    for entry in results:
        for item in supervision(entry):
            name = _round_name(entry, item.made) if item.made else "First verifier (omega)"
            each = item.each
            counts = (f"{item.trajectories / item.seeds:.0f}", f"{item.wrong / item.seeds:.0f}")
            costs = (f"{each['rollouts']:.2f}", f"{each['generated_tokens']:.1f}", f"{each['flops']:.2e}")
            rows.append((entry.model, entry.task, name, str(item.seeds), *counts, *costs))
    header = (*PLACE, "Trajectories", "Of these wrong", "Rollouts", "Generated tokens", "FLOPs")
    note = "The last three columns are means per labelled trajectory, with the verifier's pass that finds suspects."
    return Table("What supervision cost", header, tuple(rows), note)


def pairs_table(results: Sequence[TaskResults]) -> Table:
    """Pairs of every round, the share of training questions that keep one, and why the others lost theirs."""

    def cells(reports: Sequence[PairReport]) -> tuple[str, ...]:
        fates = ("kept", "few_texts", "flat", "none_right", "small_gap")
        shares = (mean([getattr(r, name) / r.questions for r in reports]) for name in fates)
        return f"{mean([r.pairs for r in reports]):.0f}", *(f"{100 * share:.1f} %" for share in shares)

    header = (*PLACE, "Pairs", "Questions with a pair", "Too few texts", "Equal rewards", "None right", "Gap below eta")
    note = "Shares of the training questions; the last four columns say why a question has no pair."
    return Table("Preference pairs", header, tuple(_rows(results, PairReport, cells)), note)


def filters_table(results: Sequence[TaskResults]) -> Table:
    """What RFT's and pRFT's filters kept; what STaR found unaided and from the answer."""

    def cells(reports: Sequence[FilterReport | StarReport]) -> tuple[str, ...]:
        found = [_filter_shares(report) for report in reports]
        shares = (f"{100 * mean([one[place] for one in found]):.1f} %" for place in range(1, 5))
        return f"{mean([one[0] for one in found]):.0f}", *shares

    header = (*PLACE, "Trajectories", "Questions kept", "By rationalisation", "None right", "Reward too low")
    note = "Shares of the training questions. STaR's rationalisation: right only after the answer was given as a hint."
    rows = _rows(results, (FilterReport, StarReport), cells)
    return Table("What filters left to learn from", header, tuple(rows), note)


def _filter_shares(report: FilterReport | StarReport) -> tuple[int, float, float, float, float]:
    """Trajectories; of the questions, kept, rationalised, none right, reward too low."""
    whole = report.questions
    if isinstance(report, FilterReport):
        return report.trajectories, report.kept / whole, 0.0, report.none_right / whole, report.low_reward / whole
    kept = report.unaided + report.rationalised
    return kept, kept / whole, report.rationalised / whole, 1 - kept / whole, 0.0


def samples_table(results: Sequence[TaskResults]) -> Table:
    """Samples of every round: how many are right and different, and how long they are."""
    rows = []
    for entry in results:
        for one, by_seed in ordered_rounds(entry).items():
            found = [r.samples for r in by_seed.values()]
            shares = [f"{100 * mean([getattr(s, name) for s in found]):.1f} %" for name in ("right", "different")]
            lengths = [f"{mean([getattr(s, name) for s in found]):.1f}" for name in ("mean_steps", "mean_tokens")]
            counts = [f"{mean([getattr(s, name) for s in found]):.0f}" for name in ("trajectories", "left_out")]
            rows.append((entry.model, entry.task, _round_name(entry, one), str(len(found)), *counts, *shares, *lengths))
    header = (*PLACE, "Samples", "Left out", "Right", "Different", "Steps", "Tokens")
    note = (
        "Drawn at the beginning of the round, by the reasoner of the round before. Left out: empty, or not to be "
        "encoded step by step. Steps and tokens: means a sample."
    )
    return Table("Samples of every round", header, tuple(rows), note)


def _rows(
    results: Sequence[TaskResults], kind: type | tuple[type, ...], cells: Callable[..., tuple[str, ...]]
) -> Iterator[tuple[str, ...]]:
    """A row for every round that has reports of a kind, over its seeds."""
    for entry in results:
        for one, by_seed in ordered_rounds(entry).items():
            reports = [r.selection for r in by_seed.values() if isinstance(r.selection, kind)]
            if reports:
                yield entry.model, entry.task, _round_name(entry, one), str(len(reports)), *cells(reports)


def _round_name(entry: TaskResults, one: Checkpoint) -> str:
    rounds = entry.last[one.method]
    return checkpoint_name(one, 1 if rounds == 1 else None)


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
