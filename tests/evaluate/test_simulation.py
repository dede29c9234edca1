"""The simulator: worked cases, the engine's own waves and strategies, Monte Carlo, orders that must hold, bad input."""

import csv
import itertools
import json
import math
import random
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from fakes import LineTask, ScriptedSampler, question, trajectory
from hypothesis import given, settings
from hypothesis import strategies as st

from sapo.evaluate import simulation
from sapo.evaluate.simulation import LABELLERS, LabellerName, Labelling, SimulationError, World, simulate
from sapo.labelling.detection import detect
from sapo.labelling.rollouts import Prefix, Rollouts
from sapo.labelling.search import Strategy, omega, saps, saps_until_located, shepherd, waves
from sapo.report.figures import simulation as report
from sapo.settings import RolloutSettings


def values(world: World, field: str) -> list[float]:
    """One field of the eight labellings: shepherd, omega, once, until_located, each at once and lazy."""
    return [asdict(labelling)[field] for labelling in simulate(world).values()]


def test_two_steps_and_one_rollout() -> None:
    """n = 2, T = 1, s = .5: everybody asks position 1 once, and lazy waves of one rollout save nothing.

    First error 1: the prefix is wrong, its rollout fails, error 1 is found. First error 2: found if the rollout of one
    more step succeeds, .5. Together .75, whatever the verifier says (t^ = 0 asks 1, t^ = 1 asks 1; 0 and 2 are free).
    One rollout generates one step (10 tokens) and reads prompt and one step (7 + 10).
    """
    for verifier in (0.0, 0.3, 1.0):
        world = World(2, 1, 0.5, verifier=verifier, tokens_per_step=10.0, prompt_tokens=7.0)
        assert values(world, "rollouts") == pytest.approx([1.0] * 8)
        assert values(world, "found") == pytest.approx([0.75] * 8)
        assert values(world, "generated_tokens") == pytest.approx([10.0] * 8)
        assert values(world, "read_tokens") == pytest.approx([17.0] * 8)


def test_three_steps_with_rollouts_that_always_tell() -> None:
    """n = 3, s = 1, T = 4, a perfect verifier. A good prefix costs 4 rollouts, or 1 lazily; a bad one always 4.

    First errors 1, 2, 3. shepherd asks 1 and 2: 8 each; lazily 4 + 4, 1 + 4, 1 + 1, mean 5.
    omega asks 1, and 2 where 1 is good: 4, 8, 8; lazily 4, 1 + 4, 1 + 1, mean 11 / 3.
    saps asks t^ and t^ + 1 but not 0 and 3: 4, 8, 4; lazily 4, 1 + 4, 1, mean 10 / 3. It is then located, and going
    on asks the same, since t^ is good.
    """
    world = World(3, 4, 1.0, verifier=1.0)
    assert values(world, "rollouts") == pytest.approx([8, 5, 20 / 3, 11 / 3, 16 / 3, 10 / 3, 16 / 3, 10 / 3])
    assert values(world, "found") == pytest.approx([1.0] * 8)


def test_a_perfect_reasoner_and_a_verifier_that_is_always_wrong() -> None:
    """s = 1, n = 4, v = 0: once finds the error where the drop is off by one.

    True last good steps 0, 1, 2, 3 have 1, 2, 2, 1 neighbours among the 3 others: (1/3 + 2/3 + 2/3 + 1/3) / 4 = 1/2.
    """
    found = simulate(World(4, 2, 1.0, verifier=0.0))
    assert found["saps_once"].found == pytest.approx(0.5)
    assert found["saps_until_located"].found == found["omega"].found == found["shepherd"].found == pytest.approx(1.0)


def test_a_reasoner_that_never_gets_there() -> None:
    """s = 0: no rollout succeeds, so step 1 is called wrong by all but once, and lazy waves draw all T.

    once says t^ for t^ ≥ 1 and 1 for t^ = 0. n = 3, v = 1: e = 1, 2, 3 has t^ = 0, 1, 2 and gets 1, 1, 2: one of three.
    """
    world = World(3, 5, 0.0, verifier=1.0)
    assert values(world, "found") == pytest.approx([1 / 3] * 8)
    found = simulate(world)
    assert found["shepherd, lazy"].rollouts == found["shepherd"].rollouts == pytest.approx(10)


def test_one_step_is_free() -> None:
    for name, own in simulate(World(1)).items():
        assert (own.positions, own.rollouts, own.found) == (0, 0, 1), name


def test_lazy_waves_worked() -> None:
    """p = .5 (n = 2, s = .5, error at 2), T = 4: waves 1, 1, 2 are drawn with chance 1, .5, .25.

    Rollouts 1 + .5 + .5 = 2, readings 1.75. Error at 1: 4 rollouts, 3 readings. Means 3 and 2.375.
    """
    own = simulate(World(2, 4, 0.5, tokens_per_step=1.0, prompt_tokens=0.0))["shepherd, lazy"]
    assert (own.rollouts, own.read_tokens) == pytest.approx((3.0, 2.375))
    assert own.found == pytest.approx((1 + 1 - 0.5**4) / 2)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("total", [1, 2, 3, 4, 5, 8, 11, 16, 21])
def test_waves_are_those_of_the_engine(total: int, lazy: bool) -> None:
    """A reasoner that never succeeds is asked wave after wave, one call each."""
    sampler = ScriptedSampler(lambda _: "lose\n")
    rollouts = Rollouts(
        LineTask(), sampler, RolloutSettings(total, 1.0, lazy, merge=False, reuse=False, cached_tokens=0), 9, seed=1
    )
    rollouts.ask([Prefix(question(), trajectory("t", ["a", "lose"]), 1)])
    assert sampler.sizes == waves(total, lazy)


@given(st.integers(1, 6), st.integers(1, 5), st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_the_formula_of_shepherd_is_its_strategy(n: int, total: int, s: float, rescue: float, lazy: bool) -> None:
    world = World(n, total, s, rescue)
    ways = simulation._ways(lambda: shepherd(n, False, monotone=True))
    assert len(ways) == 2 ** (n - 1)
    np.testing.assert_allclose(
        simulation._shepherd(world, lazy), simulation._followed(ways, world, lazy), rtol=1e-9, atol=1e-12
    )


def random_scores(world: World, error: int, chance: random.Random) -> list[float]:
    """Scores with a large and a smaller drop: each at the true step with the verifier's chance, else elsewhere."""
    left, drops = list(range(world.steps)), dict[int, float]()
    for drop in (0.5, 0.2)[: world.steps]:
        elsewhere = [j for j in left if j != error - 1]
        hit = error - 1 in left and (not elsewhere or chance.random() < world.verifier)
        place = error - 1 if hit else chance.choice(elsewhere)
        drops[place] = drop
        left.remove(place)
    return list(itertools.accumulate(range(world.steps), lambda c, j: c - drops.get(j, 0.0), initial=1.0))[1:]


def drawn_once(world: World, name: LabellerName, lazy: bool, chance: random.Random) -> tuple[int, bool]:
    """Rollouts and success of one random trajectory, every rollout drawn; only `waves` is shared with the simulator."""
    n, error, spent = world.steps, chance.randint(1, world.steps), 0
    scores = random_scores(world, error, chance)
    strategy: Strategy = {
        "shepherd": lambda: shepherd(n, False, monotone=True),
        "omega": lambda: omega(n),
        "saps_once": lambda: saps(n, detect(scores)),
        "saps_until_located": lambda: saps_until_located(n, detect(scores), scores),
    }[name]()
    answers: dict[int, bool] | None = None
    while True:
        try:
            wanted = next(strategy) if answers is None else strategy.send(answers)
        except StopIteration as end:
            return spent, end.value.labels.index(0) + 1 == error
        answers = {}
        for j in wanted:
            answers[j] = False
            for wave in waves(world.rollouts, lazy):
                p = world.step_success ** (n - j) if j < error else world.rescue
                spent += wave
                answers[j] = any(chance.random() < p for _ in range(wave))
                if answers[j]:
                    break


@pytest.mark.parametrize(
    "world", [World(6, 4, 0.7, 0.1, 0.4), World(3, 3, 0.4, 0.0, 0.8), World(9, 8, 0.95, 0.02, 0.1)]
)
@pytest.mark.parametrize(("name", "lazy"), list(itertools.product(LABELLERS, [False, True])))
def test_expectations_agree_with_chance(world: World, name: LabellerName, lazy: bool) -> None:
    """3,000 trajectories; a mean may be 4.5 standard errors off, once in 150,000 for each of the 48 numbers."""
    chance = random.Random(f"{world} {name} {lazy}")
    runs = [drawn_once(world, name, lazy, chance) for _ in range(3000)]
    own = next(own for own in simulate(world).values() if (own.labeller, own.lazy) == (name, lazy))
    for drawn, expected in ((np.array(runs)[:, 0], own.rollouts), (np.array(runs)[:, 1], own.found)):
        assert abs(drawn.mean() - expected) <= 4.5 * drawn.std() / math.sqrt(len(runs)) + 1e-9


worlds = st.builds(
    World,
    steps=st.integers(1, 9),
    rollouts=st.integers(1, 20),
    step_success=st.floats(0, 1),
    rescue=st.floats(0, 1),
    verifier=st.floats(0, 1),
)
SLACK = 1 + 1e-9


@given(worlds)
@settings(deadline=None)
def test_orders_that_hold_in_every_world(world: World) -> None:
    """Lazy waves never draw more and find the same; saps asks a part of what shepherd asks, omega too."""
    found = simulate(world)
    for name in LABELLERS:
        full, lazy = found[name], found[f"{name}, lazy"]
        assert lazy.rollouts <= full.rollouts * SLACK
        assert full.found == pytest.approx(lazy.found) and -1e-12 <= full.found <= SLACK
        for own in (full, lazy):
            shepherds = found["shepherd, lazy" if own.lazy else "shepherd"]
            assert own.rollouts <= shepherds.rollouts * SLACK + 1e-12
            assert own.positions <= world.steps - 1 + 1e-9


@given(worlds)
@settings(deadline=None)
def test_to_search_on_never_finds_less_where_wrong_prefixes_are_not_rescued(world: World) -> None:
    """With enough rollouts to trust a failure: where t^ is called bad, nothing overrules that (t^+1 is not asked)."""
    found = simulate(replace(world, rescue=0.0, rollouts=5000, step_success=max(world.step_success, 0.5)))
    assert found["saps_until_located"].found >= found["saps_once"].found - 1e-9


@given(worlds, st.floats(0, 1))
@settings(deadline=None)
def test_a_better_verifier_helps_once_where_rollouts_always_tell(world: World, verifier: float) -> None:
    low, high = sorted((world.verifier, verifier))
    tells = replace(world, step_success=1.0, rescue=0.0)
    worse, better = (simulate(replace(tells, verifier=v))["saps_once"].found for v in (low, high))
    assert worse <= better + 1e-9


def test_costs_and_break_even_worked() -> None:
    """n = 2, T = 1, steps of 10 tokens, prompt 7, one parameter: 2 FLOPs a token.

    omega: 10 generated + 17 read = 27 tokens, 54 FLOPs. saps: the same and the verifier's 27 tokens, 108 FLOPs; fixed:
    5 trajectories at omega's 54, and 2 epochs of 27 tokens at 6 FLOPs = 324: 5 * 378 = 1,890. It never breaks even.
    """
    found = simulate(World(2, 1, 0.5, parameters=1.0, tokens_per_step=10.0, prompt_tokens=7.0, bootstrap=5, epochs=2))
    assert (found["omega"].flops, found["omega"].fixed) == (54.0, 0.0)
    assert (found["saps_once"].flops, found["saps_once"].fixed) == (108.0, 1890.0)
    assert found["saps_once"].total(10) == 1890.0 + 1080.0
    assert found["saps_once"].break_even(found["omega"]) is None
    cheap = labelling("cheap", flops=2.0, fixed=100.0, found=0.5)
    dear = labelling("dear", flops=4.0, fixed=0.0, found=0.9)
    assert cheap.break_even(dear) == 50.0 and dear.break_even(cheap) is None
    assert cheap.total(50) == dear.total(50) == 200.0


def labelling(name: str, flops: float, fixed: float, found: float) -> Labelling:
    return Labelling(name, False, 1.0, 1.0, 1.0, 1.0, found, flops, fixed)  # pyright: ignore[reportArgumentType]


def test_the_winner_is_the_cheapest_of_those_that_are_good_enough() -> None:
    """Bills for 49 and 51 trajectories: 198 against 196, 202 against 204; .5 is not within .3 of .9, but within .4."""
    both = {"cheap": labelling("cheap", 2.0, 100.0, 0.5), "dear": labelling("dear", 4.0, 0.0, 0.9)}
    assert [report.cheapest(both, n).name for n in (49, 51)] == ["dear", "cheap"]
    assert [report.cheapest(both, 51, tolerance).name for tolerance in (0.3, 0.41)] == ["dear", "cheap"]
    assert report.cheapest(both, math.inf).name == "cheap"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"steps": 0}, "steps is 0: it must be at least 1"),
        ({"steps": 41}, "steps is 41: it must be at most 40"),
        ({"rollouts": 0}, "rollouts is 0"),
        ({"step_success": 1.1}, "step_success is 1.1: it must be a probability"),
        ({"verifier": -0.1}, "verifier is -0.1"),
        ({"rescue": math.nan}, "rescue is nan"),
        ({"parameters": 0.0}, "parameters is 0.0: it must be positive"),
        ({"flops_per_second": math.inf}, "flops_per_second is inf"),
        ({"bootstrap": -1}, "bootstrap is -1"),
    ],
)
def test_a_number_that_describes_no_world_is_named(change: dict[str, float], says: str) -> None:
    with pytest.raises(SimulationError, match=says):
        World(**change)  # pyright: ignore[reportArgumentType]


def test_the_command_prints_and_writes_the_same_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        run("simulate", ["--steps", "4", "--rollouts", "3", "--reasoner", "nano", "--out", str(tmp_path / name)])
    printed = capsys.readouterr().out
    assert "Where each labeller wins" in printed and "saps_until_located, lazy" in printed
    written = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert written == [f"simulation.{kind}" for kind in ("csv", "json", "pdf", "png", "svg")]
    for name in written:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    told = json.loads((tmp_path / "one" / "simulation.json").read_text(encoding="utf-8"))
    assert told["world"]["parameters"] == report.REASONERS["nano"] and told["world"]["steps"] == 4
    assert told["labellings"]["shepherd"]["rollouts"] == pytest.approx(9)
    assert list(told["winners"]) == [str(10**power) for power in range(3, 10)]
    with (tmp_path / "one" / "simulation.csv").open(encoding="utf-8") as file:
        panels = {row["panel"] for row in csv.DictReader(file)}
    assert panels >= {"GPU-hours", "TFLOP a trajectory", "rollouts", "winner"}


@pytest.mark.parametrize("change", [{"steps": 2}, {"rollouts": 1}, {"step_success": 0.0}, {"verifier": 1.0}])
def test_extreme_worlds_can_be_drawn(change: dict[str, float]) -> None:
    drawn, rows = report.figure(replace(World(), **change))  # pyright: ignore[reportArgumentType]
    assert len(drawn.axes) == 4 and all(math.isfinite(float(str(row["value"]))) for row in rows)


def test_one_step_has_nothing_to_draw_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match="steps is 1"):
        run("simulate", ["--steps", "1", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
