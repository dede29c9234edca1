"""Every number of the tables as `results/metrics.json`: nested model → task → kind → method → round.

Accuracies and shares are in %, differences in points.
"""

from collections.abc import Sequence
from dataclasses import asdict

from sapo.report.accuracies import Accuracy, Column
from sapo.report.costs import Spent, spent
from sapo.report.run_records import Checkpoint, RoundResults, TaskResults
from sapo.report.stats import percent_numbers
from sapo.report.tables.round_tables import mean, ordered_rounds, supervision

Nested = dict[str, object]


def metrics(results: Sequence[TaskResults], columns: Sequence[Column]) -> Nested:
    """What `dvc metrics show` lists and two runs can be compared by."""
    nested: dict[str, Nested] = {"conditions": dict(results[0].conditions)}
    for entry in results:
        own = [column for column in columns if (column.model, column.task) == (entry.model, entry.task)]
        nested.setdefault(entry.model, {})[entry.task] = {
            "accuracy": {c.benchmark: by_round({k: _accuracy(a) for k, a in c.accuracies.items()}) for c in own},
            "costs": by_round({k: _rounded(spent(entry, k, a.seeds)) for k, a in own[0].accuracies.items()}),
            "rounds": by_round({one: _round(list(found.values())) for one, found in ordered_rounds(entry).items()}),
            "supervision": _supervision(entry),
            "stopped": {
                method: {str(seed): asdict(stop) for seed, stop in sorted(by_seed.items())}
                for method, by_seed in entry.stopped.items()
            },
        }
    return dict(nested)


def by_round(values: dict[Checkpoint, Nested]) -> dict[str, dict[str, Nested]]:
    """Method → round → values."""
    nested: dict[str, dict[str, Nested]] = {}
    for one, value in values.items():
        nested.setdefault(one.method, {})[str(one.round)] = value
    return nested


def _accuracy(accuracy: Accuracy) -> Nested:
    found: Nested = {
        "questions": accuracy.questions,
        "seeds": len(accuracy.seeds),
        "percent": percent_numbers(accuracy.value),
    }
    found |= {f"minus_{name}": percent_numbers(interval) for name, interval in accuracy.differences.items()}
    found |= {"right_with_wrong_step_percent": percent_numbers(accuracy.flawed)} if accuracy.flawed else {}
    return found | {"collapsed": int(accuracy.collapsed), "exploded": len(accuracy.exploded)}


def _rounded(cost: Spent) -> Nested:
    return {name: round(value, 2) for name, value in asdict(cost).items()}


def _round(found: Sequence[RoundResults]) -> Nested:
    """Means over seeds of what happened in a round."""
    said: Nested = {"seeds": len(found)}
    for name in asdict(found[0].samples):
        said[f"samples_{name}"] = _mean([getattr(one.samples, name) for one in found])
    selections = [asdict(one.selection) for one in found if one.selection]
    for name in selections[0] if selections else ():
        said[name] = _mean([one[name] for one in selections])
    if "kept" in said:
        said["kept_percent"] = _mean([100 * one["kept"] / one["questions"] for one in selections])
    for kind in ("right", "wrong"):
        values = [mean(getattr(one.rewards, kind)) for one in found if getattr(one.rewards, kind)]
        if values:
            said[f"reward_{kind}"] = _mean(values)
    for name, place in (("first_loss", 0), ("last_loss", -1)):
        said[name] = _mean([one.log[place].loss for one in found])
    return said


def _supervision(entry: TaskResults) -> Nested:
    found: dict[Checkpoint, Nested] = {}
    for item in supervision(entry):
        counts = {"trajectories": item.trajectories / item.seeds, "wrong": item.wrong / item.seeds, "seeds": item.seeds}
        each = {f"{name}_each": round(value, 2) for name, value in item.each.items()}
        found[item.made or Checkpoint("omega", 0)] = {**counts, **each}
    return dict(by_round(found))


def _mean(values: Sequence[float]) -> float:
    return round(mean(values), 6)
