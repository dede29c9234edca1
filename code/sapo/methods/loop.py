"""One loop for all methods of both papers (method.md §7-8): sample, reward, update, again.

```
M_0 = SFT(M, D_org); D_0 = Sample(M_0) ∪ D_org; V_0 = fit(M_0, omega(subset of D_0)); M_1 = M_0
for i = 1 …:  S = Sample(M_i); D_i = S ∪ D_{i-1}; rewards by outcome or by V_i = fit(M_i, labels + expansion)
              M_{i+1} = update(pool, rewards)
```
Departure: M_1 is M_0, so round 1 takes D_0's samples for its own instead of drawing as many again; all methods
therefore start from the same samples. The subset that V_0 was trained on is not labelled again in round 1.

Each round is kept by what it was made from, so that methods share the rounds that they have in common.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sapo.methods.bench import Bench, clocked, read_costs, write_costs
from sapo.methods.kept import kept
from sapo.methods.rounds import update
from sapo.methods.samples import sampled
from sapo.methods.supervision import OUTPUTS, Simulation, choose_subset, score, supervise
from sapo.models.verifier import Verifier
from sapo.records import Cost, Trajectory, read_records, write_json, write_records
from sapo.settings import SettingsError
from sapo.supervise.sampling import distinct, gold_trajectories
from sapo.train.pairs import outcome_rewards
from sapo.train.trainer import Round
from sapo.workspace import digest

# Everything that a round of any method reads; `loop` counts by what it means for the round.
SECTIONS = ("sampling", "rollouts", "labels", "detect", "saps", "expansion", "verifier", "pairs", "filter")
SECTIONS += ("tuning", "sft", "orpo", "dpo", "grpo", "budget", "data")


@dataclass(frozen=True, slots=True)
class State:
    """What a round takes over from the one before: reasoner, verifier, and the different trajectories so far."""

    reasoner: Path
    verifier: Path
    pool: tuple[Trajectory, ...]


def run(bench: Bench, done: Callable[[int, Path], None]) -> None:
    """All rounds of the method that the bench's settings describe; `done(i, folder)` is called after each.

    Raises:
        PairError, NothingLeft: a round has nothing to train on.
        TrainingDiverged: a round's training lost its way.
    """
    state = State(bench.start / "sft", bench.start / "verifier", ())
    for number in range(1, len(bench.settings.loop.updates) + 1):
        folder = run_round(bench, number, state)
        own = tuple(read_records(folder / "sampled.jsonl", Trajectory))
        verifier = folder / "verifier" if (folder / "verifier").is_dir() else state.verifier
        state = State(folder / "model", verifier, _pool(bench, number, own, state.pool))
        done(number, folder)


def run_round(bench: Bench, number: int, state: State) -> Path:
    """The folder of one round: samples, labels and verifier where there are any, the new reasoner, costs."""
    loop = bench.settings.loop
    made_from = {
        "phase": "round",
        "place": [bench.model, bench.task_name, bench.settings.seed, number],
        "update": loop.updates[number - 1],
        "rounds": len(loop.updates) if bench.settings.budget.kind == "matched" else 0,
        "loop": [loop.reward, loop.start, loop.pool],
        "reasoner": digest(state.reasoner),
        "verifier": digest(state.verifier) if loop.reward == "verifier" else "",
        "pool": _digest(state.pool),
        "start": digest(bench.start / "sampled.jsonl"),
        "base": digest(bench.base),
        "limits": bench.training,
        **{name: getattr(bench.settings, name) for name in SECTIONS},
    }
    return kept(bench.store, made_from, lambda folder: _make_round(bench, number, state, folder))


def _make_round(bench: Bench, number: int, state: State, folder: Path) -> None:
    loop = bench.settings.loop
    own, costs = draw(bench, number, state.reasoner)
    pool = _pool(bench, number, own, state.pool)
    rewards = tuple(outcome_rewards(pool))
    if loop.reward == "verifier":
        rewards, spent = _verified(bench, number, state, own, pool, folder)
        costs |= spent
    start = bench.base if loop.start == "base" else state.reasoner
    this = _round(bench, number, state.reasoner, own, pool, rewards)
    with clocked(costs, "update"):
        costs["update"] = update(bench, this, loop.updates[number - 1], (state.reasoner, start), folder)
    write_records(folder / "sampled.jsonl", own, Trajectory)
    _write_rewards(folder, pool, rewards)
    write_json(folder / "samples.json", sample_statistics(bench, own, costs["sampling"]))
    write_costs(folder, costs)


def _round(
    bench: Bench,
    number: int,
    reasoner: Path,
    own: Sequence[Trajectory],
    pool: Sequence[Trajectory],
    rewards: Sequence[float],
) -> Round:
    settings, budget = bench.settings, bench.settings.budget
    return Round(
        number,
        bench.task,
        bench.train_questions(),
        gold_trajectories(bench.task, bench.gold_questions()),
        own,
        pool,
        rewards,
        bench.limits.max_new_tokens,
        settings.sampling,
        settings.pairs,
        settings.filter,
        budget.training_tokens / len(settings.loop.updates) if budget.kind == "matched" else 0.0,
        bench.seed,
        lambda what: bench.sampler(reasoner, what),
    )


def sample_statistics(bench: Bench, own: Sequence[Trajectory], cost: Cost) -> dict[str, float]:
    """How many of a round's samples are right and how many are different, and how long they are.

    `left_out` were empty or could not be encoded step by step.
    """
    drawn = max(len(own), 1)
    return {
        "trajectories": len(own),
        "left_out": cost.rollouts - len(own),
        "right": sum(t.right for t in own) / drawn,
        "different": len(distinct(bench.task, own)) / drawn,
        "mean_steps": sum(len(t.steps) for t in own) / drawn,
        "mean_tokens": cost.generated_tokens / max(cost.rollouts, 1),
    }


def _verified(
    bench: Bench, number: int, state: State, own: Sequence[Trajectory], pool: Sequence[Trajectory], folder: Path
) -> tuple[tuple[float, ...], dict[str, Cost]]:
    """Rewards by a verifier made anew from labels of the round's own samples; labels and verifier go to `folder`."""
    labels = bench.settings.labels
    seen = {t.id for t in read_records(bench.start / "labelled.jsonl", Trajectory)} if number == 1 else set()
    fresh = [t for t in distinct(bench.task, own) if t.id not in seen]
    subset = choose_subset(fresh, labels.round_trajectories, bench.seed("subset", number))
    simulator = bench.start / "sft" if labels.simulator == "sft" else state.reasoner
    needs_scores = labels.by == "saps" and bench.settings.detect.by == "scores"
    known = tuple(own) if labels.simulator == "reasoner" else ()
    who = Simulation(number, labels.by, simulator, state.verifier if needs_scores else None, known)
    made = supervise(bench, who, state.reasoner, subset)
    for name in OUTPUTS:
        (folder / name).write_bytes((made / name).read_bytes())
    Verifier.load(made / "verifier").save(folder / "verifier")
    verifier = bench.verifier(made / "verifier")
    scores = score(verifier, {q.id: q for q in bench.train_questions()}, pool)
    costs = read_costs(made) | {"scoring": verifier.cost}
    return tuple(s.reward for s in scores), costs


def draw(bench: Bench, number: int, reasoner: Path) -> tuple[tuple[Trajectory, ...], dict[str, Cost]]:
    """Samples of a round's reasoner, repetitions included, and what they cost; round 1 has those of stage `start`."""
    count = bench.settings.sampling.per_question
    if number == 1:
        drawn = read_records(bench.start / "sampled.jsonl", Trajectory)
        most = read_costs(bench.start)["sampling"]
        own = [t for t in drawn if int(t.id.rsplit("/", 1)[1]) < count]
        asked = most.rollouts // bench.limits.train_questions
        if count > asked:
            raise SettingsError(f"sampling: per_question is {count}; stage start drew {asked} for every method")
        return tuple(own), {"sampling": _share(most, count / asked)}
    folder = sampled(bench, number, reasoner)
    return tuple(read_records(folder / "sampled.jsonl", Trajectory)), read_costs(folder)


def _share(cost: Cost, share: float) -> Cost:
    """The part of a cost that a method owes which uses only a share of the samples."""
    counts = (round(cost.rollouts * share), round(cost.prompt_tokens * share), round(cost.generated_tokens * share))
    return Cost(*counts, cost.flops * share, cost.seconds * share, round(cost.programs * share))


def _pool(bench: Bench, number: int, own: Sequence[Trajectory], before: Sequence[Trajectory]) -> tuple[Trajectory, ...]:
    """D_i: the round's different trajectories, then those of the rounds before, or D_org in the first."""
    if bench.settings.loop.pool == "new":
        return tuple(distinct(bench.task, own))
    older = before if number > 1 else gold_trajectories(bench.task, bench.gold_questions())
    return tuple(distinct(bench.task, [*own, *older]))


def _write_rewards(folder: Path, pool: Sequence[Trajectory], rewards: Sequence[float]) -> None:
    """Rewards by outcome, for the figure of their distribution."""
    kinds: dict[bool, list[float]] = {True: [], False: []}
    for trajectory, reward in zip(pool, rewards, strict=True):
        kinds[trajectory.right].append(round(reward, 4))
    write_json(folder / "rewards.json", {"right": kinds[True], "wrong": kinds[False]})


def _digest(pool: Sequence[Trajectory]) -> str:
    return hashlib.sha256("\0".join(f"{t.id}\0{t.text}" for t in pool).encode()).hexdigest()
