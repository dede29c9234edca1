"""The simulated cost of labels as tables, as plain data, and as a figure of four panels.

Upper left: total cost by number of trajectories. Upper right: cost a trajectory with its share of the verifier's
training, and where labellers break even. Lower left: rollouts by length. Lower right: the cheapest labeller by length
and verifier quality, of those that find nearly as many first errors as the best.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from sapo.evaluate.simulation import LABELLERS, LabellerName, Labelling, SimulationError, World, simulate
from sapo.records import write_plain_json
from sapo.report.style import BLACK, BLUE, GREEN, ORANGE, VERMILION, Look, panels, save, spread, styled
from sapo.report.tables.method_tables import Table

SIZES = tuple(10**power for power in range(3, 10))
TRUE_ENOUGH = 0.05  # a labeller is nearly as good as the best if it finds at most so many fewer first errors
LENGTHS = (3, 4, 5, 6, 8, 10, 12, 16)
QUALITIES = tuple(number / 20 for number in range(21))
# Parameters of reasoners: the embedded ones, and Qwen2.5-0.5B, Llama-3.2-1B, Gemma-2-2B.
REASONERS = {"nano": 0.46e6, "0.5B": 0.494e9, "1B": 1.236e9, "2B": 2.614e9}
LOOKS: dict[LabellerName, Look] = {
    "shepherd": Look(GREEN, "D", ""),
    "omega": Look(VERMILION, "^", ""),
    "saps_once": Look(ORANGE, "s", ""),
    "saps_until_located": Look(BLUE, "o", ""),
}
HATCHES: dict[LabellerName, str] = {"shepherd": "xx", "omega": "////", "saps_once": "....", "saps_until_located": ""}

Labellings = Mapping[str, Labelling]
Rows = list[dict[str, object]]


def cheapest(labellings: Labellings, trajectories: float, tolerance: float = 1.0) -> Labelling:
    """The least FLOPs among those that find at most `tolerance` fewer of the first errors than the best."""
    best = max(labelling.found for labelling in labellings.values())
    able = [labelling for labelling in labellings.values() if labelling.found >= best - tolerance]
    # among endlessly many, what is paid once for all counts for nothing
    return min(able, key=lambda own: own.flops if math.isinf(trajectories) else own.total(trajectories))


def as_data(world: World) -> dict[str, object]:
    """World, labellings, break-even points and winners as plain values, for simulation.json."""
    found = simulate(world)
    winners = {
        str(size): {"cheapest": cheapest(found, size).name, "nearly_best": cheapest(found, size, TRUE_ENOUGH).name}
        for size in SIZES
    }
    break_even = {
        own.name: {other.name: own.break_even(other) for other in found.values() if not other.fixed}
        for own in found.values()
        if own.fixed
    }
    labellings = {name: asdict(labelling) for name, labelling in found.items()}
    return {"world": asdict(world), "labellings": labellings, "break_even": break_even, "winners": winners}


def tables(world: World) -> list[Table]:
    """What a trajectory costs, what many cost, when saps pays off, who wins, and what other reasoners would cost."""
    found = simulate(world)
    return [
        _each_table(world, found),
        _total_table(world, found),
        _break_even_table(found),
        _winners_table(found),
        _reasoners_table(world),
    ]


def _each_table(world: World, found: Labellings) -> Table:
    title = f"A wrong trajectory of {world.steps} steps, at most {world.rollouts} rollouts a position; "
    title += f"one more step succeeds at {world.step_success:g}, the verifier points right at {world.verifier:g}"
    header = ("Labeller", "Positions", "Rollouts", "Generated tokens", "Read tokens", "TFLOP", "First errors found")
    rows = tuple(
        (
            *(own.name, f"{own.positions:.2f}", f"{own.rollouts:.1f}", f"{own.generated_tokens:.0f}"),
            *(f"{own.read_tokens:.0f}", f"{own.flops / 1e12:.3g}", f"{100 * own.found:.1f} %"),
        )
        for own in found.values()
    )
    return Table(title, header, rows, "Tokens of the reasoner; TFLOP with the verifier's reading, without its making.")


def _total_table(world: World, found: Labellings) -> Table:
    rows = tuple((own.name, *(f"{_hours(own.total(size), world):.3g}" for size in SIZES)) for own in found.values())
    note = f"At {world.flops_per_second:.3g} FLOP/s sustained, which is assumed; saps with the verifier's making."
    return Table("GPU-hours by number of wrong trajectories", ("Labeller", *map(_power, SIZES)), rows, note)


def _break_even_table(found: Labellings) -> Table:
    others = [other for other in found.values() if not other.fixed]
    rows = []
    for own in found.values():
        even = [own.break_even(other) for other in others]
        rows += [(own.name, *("never" if n is None else f"{n:,.0f}" for n in even))] if own.fixed else []
    header = ("Labeller", *(f"cheaper than {other.name}" for other in others))
    return Table("From how many trajectories on saps has paid for its verifier", header, tuple(rows))


def _winners_table(found: Labellings) -> Table:
    rows = tuple((_power(n), cheapest(found, n).name, cheapest(found, n, TRUE_ENOUGH).name) for n in SIZES)
    tolerance = f"cheapest within {100 * TRUE_ENOUGH:g} points of the best"
    note = "Best: the labeller that finds most first errors."
    return Table("Where each labeller wins", ("Trajectories", "cheapest of all", tolerance), rows, note)


def _reasoners_table(world: World) -> Table:
    worlds = {name: replace(world, parameters=size) for name, size in REASONERS.items()}
    simulated = {name: simulate(other) for name, other in worlds.items()}
    rows = tuple(
        (own, *(f"{_hours(simulated[name][own].total(10**6), worlds[name]):.3g}" for name in REASONERS))
        for own in simulate(world)
    )
    header = ("Labeller", *(f"{name} ({size / 1e9:.3g}B)" for name, size in REASONERS.items()))
    return Table("GPU-hours for 10^6 trajectories, by reasoner", header, rows)


def _hours(flops: float, world: World) -> float:
    return flops / world.flops_per_second / 3600


def _power(size: int) -> str:
    return f"10^{len(str(size)) - 1}"


def figure(world: World) -> tuple[Figure, Rows]:
    """The figure, and one row a drawn number.

    Raises:
        SimulationError: trajectories of one step, which cost nothing and have no place on a logarithmic axis.
    """
    if world.steps == 1:
        raise SimulationError("steps is 1: the first error is known without a rollout, there is nothing to draw")
    with styled():
        drawn, ((bill, each), (rollouts, chart)) = panels([2.4, 2.4], (3.1, 3.1), (0.7, 2.2, 1.9))
        rows = _draw_bill(bill, world) + _draw_each(each, world)
        rows += _draw_rollouts(rollouts, world) + _draw_chart(chart, world)
    return drawn, rows


def _row(panel: str, own: Labelling, x: float, value: float) -> dict[str, object]:
    place = {"panel": panel, "labeller": own.labeller, "waves": "lazy" if own.lazy else "all at once"}
    return {**place, "x": x, "value": value}


def _line(axes: Axes, own: Labelling, x: Sequence[float], y: Sequence[float], markevery: int = 1) -> None:
    """Filled markers on a solid line: all rollouts at once; open ones on a dashed line: lazy waves."""
    look = LOOKS[own.labeller]
    style: dict[str, Any] = {"linestyle": (0, (4, 2)) if own.lazy else "-", "linewidth": 1.4, "markersize": 4.5}
    style |= {"markerfacecolor": "white" if own.lazy else look.color, "markevery": markevery, "clip_on": False}
    axes.plot(x, y, marker=look.marker, color=look.color, **style)


def _names(axes: Axes, ends: Sequence[tuple[Labelling, float]], texts: Sequence[str]) -> None:
    """Write every line's name to the right of its end, moved apart where names would touch."""
    into_axes = axes.transData + axes.transAxes.inverted()
    places = [float(into_axes.transform((axes.get_xlim()[1], value))[1]) for _, value in ends]
    for (own, _), text, place, height in zip(ends, texts, places, spread(places, 0.085), strict=True):
        axes.plot(
            [1.01, 1.06],
            [place, height],
            color=LOOKS[own.labeller].color,
            linewidth=0.8,
            transform=axes.transAxes,
            clip_on=False,
        )
        axes.annotate(text, (1.07, height), xycoords="axes fraction", va="center", fontsize=8)


def _round_ticks(axes: Axes) -> None:
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())


def _draw_bill(axes: Axes, world: World) -> Rows:
    rows, ends = [], []
    for own in simulate(world).values():
        if own.lazy:
            continue
        hours = [_hours(own.total(size), world) for size in SIZES]
        _line(axes, own, SIZES, hours)
        ends.append((own, hours[-1]))
        rows += [_row("GPU-hours", own, size, value) for size, value in zip(SIZES, hours, strict=True)]
    axes.set(xscale="log", yscale="log", xlim=(SIZES[0], SIZES[-1]))
    axes.set(xlabel="Wrong trajectories labelled", ylabel="GPU-hours (assumed speed)")
    axes.set_title("The whole bill", loc="left")
    _names(axes, ends, [f"{own.name}, {value:,.0f} h" for own, value in ends])
    return rows


def _draw_each(axes: Axes, world: World) -> Rows:
    """FLOPs a trajectory with its share of the verifier's making, and where saps crosses omega."""
    found, rows = simulate(world), []
    sizes = [10 ** (3 + power / 4) for power in range(17)]
    for own in found.values():
        each = [own.total(size) / size / 1e12 for size in sizes]
        _line(axes, own, sizes, each, markevery=4)
        rows += [_row("TFLOP a trajectory", own, size, value) for size, value in zip(sizes, each, strict=True)]
    crossings = [
        (number, other.flops / 1e12, own)
        for own in found.values()
        for other in found.values()
        if own.fixed and other.labeller == "omega" and other.lazy == own.lazy
        if (number := own.break_even(other)) is not None and sizes[0] <= number <= sizes[-1]
    ]
    for number, value, own in crossings:
        axes.plot(number, value, "*", color=BLACK, markersize=9, zorder=5)
        rows.append(_row("break-even with omega", own, number, value))
    axes.set(xscale="log", yscale="log", xlim=(sizes[0], sizes[-1]))
    _round_ticks(axes)
    axes.set(xlabel="Wrong trajectories labelled", ylabel="TFLOP a trajectory")
    axes.set_title(f"A trajectory's share{', ★ even with omega' if crossings else ''}", loc="left")
    _names(axes, [(own, own.total(sizes[-1]) / sizes[-1] / 1e12) for own in found.values()], list(found))
    return rows


def _draw_rollouts(axes: Axes, world: World) -> Rows:
    by_length = {steps: simulate(replace(world, steps=steps)) for steps in LENGTHS}
    rows = []
    for name in by_length[LENGTHS[0]]:
        owns = [found[name] for found in by_length.values()]
        _line(axes, owns[-1], LENGTHS, [own.rollouts for own in owns])
        rows += [_row("rollouts", own, steps, own.rollouts) for steps, own in zip(LENGTHS, owns, strict=True)]
    axes.set(yscale="log", xlim=(LENGTHS[0], LENGTHS[-1]), xticks=LENGTHS)
    _round_ticks(axes)
    axes.set(xlabel="Steps of a trajectory", ylabel="Rollouts a trajectory")
    axes.set_title("Rollouts by length", loc="left")
    last = by_length[LENGTHS[-1]]
    _names(axes, [(own, own.rollouts) for own in last.values()], list(last))
    return rows


def _draw_chart(axes: Axes, world: World) -> Rows:
    """A column a length, in it the winners from a useless verifier (bottom) to a perfect one."""
    rows: Rows = []
    runs: list[tuple[LabellerName, int, int, int]] = []  # labeller, column, first and last quality
    for column, steps in enumerate(LENGTHS):
        for row, quality in enumerate(QUALITIES):
            own = cheapest(simulate(replace(world, steps=steps, verifier=quality)), math.inf, TRUE_ENOUGH)
            rows.append(_row("winner", own, steps, quality))
            if runs and runs[-1][:2] == (own.labeller, column):
                runs[-1] = (*runs[-1][:3], row)
            else:
                runs.append((own.labeller, column, row, row))
    half = (QUALITIES[1] - QUALITIES[0]) / 2
    for labeller, column, first, last in runs:
        low, high = QUALITIES[first] - half, QUALITIES[last] + half
        bar = axes.bar(column, high - low, 1.0, low, color=LOOKS[labeller].color, alpha=0.75, linewidth=0)
        bar[0].set(hatch=HATCHES[labeller], edgecolor="white")
    for labeller in LABELLERS:
        if own_runs := [run for run in runs if run[0] == labeller]:
            column, quality = _middle([(c, (first + last) / 2, last + 1 - first) for _, c, first, last in own_runs])
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
            place = (column, quality * QUALITIES[1])
            axes.annotate(labeller, place, ha="center", va="center", fontsize=8, bbox=box)
    axes.grid(False)
    axes.set(xlim=(-0.5, len(LENGTHS) - 0.5), ylim=(-half, 1 + half), xlabel="Steps of a trajectory")
    axes.set_xticks(range(len(LENGTHS)), list(map(str, LENGTHS)))
    axes.set_ylabel("Verifier points at the true step")
    axes.set_title(f"Cheapest within {100 * TRUE_ENOUGH:g} points of the best", loc="left")
    return rows


def write_simulation(world: World, folder: Path) -> list[Table]:
    """Write the figure, its numbers and all other ones as `simulation.{png,pdf,svg,csv,json}`; the tables to print.

    Raises:
        SimulationError: trajectories of one step have nothing to locate.
    """
    drawn, rows = figure(world)
    save(drawn, folder, "simulation", rows)
    write_plain_json(folder / "simulation.json", as_data(world))
    return tables(world)


def _middle(runs: Sequence[tuple[int, float, int]]) -> tuple[int, float]:
    """The column and height of the run nearest to the middle of an area; runs are column, height and weight."""
    weight = sum(run[2] for run in runs)
    middle = sum(run[0] * run[2] for run in runs) / weight
    return min(runs, key=lambda run: abs(run[0] - middle))[:2]
