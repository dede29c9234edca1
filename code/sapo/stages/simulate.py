"""`python -m sapo simulate`: what labels would cost from a thousand to a billion trajectories, and which labeller wins.

Runs no model: expectations over the simple world of `evaluate/simulation.py`, from the labellers' own strategies.
Prints tables and writes the figure, its numbers and everything else as `simulation.{png,pdf,svg,csv,json}`.
"""

import argparse
from dataclasses import fields
from pathlib import Path

from sapo.evaluate.simulation import World
from sapo.records import write_plain_json
from sapo.report.rendering import show
from sapo.report.simulation import REASONERS, as_data, figure, tables
from sapo.report.style import save

NAME = "simulation"
RESULTS = Path("results/simulation")


def main(arguments: list[str]) -> None:
    """Simulate one world.

    Raises:
        SimulationError: a number describes no world.
    """
    parser = argparse.ArgumentParser(prog="python -m sapo simulate", description=__doc__)
    for option in fields(World):
        kind = type(option.default)
        parser.add_argument(f"--{option.name.replace('_', '-')}", type=kind, default=option.default)
    parser.add_argument("--reasoner", choices=REASONERS, help="sets --parameters")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = vars(parser.parse_args(arguments))
    out, reasoner = given.pop("out"), given.pop("reasoner")
    if reasoner:
        given["parameters"] = REASONERS[reasoner]
    world = World(**given)
    drawn, rows = figure(world)
    show(tables(world))
    save(drawn, out, NAME, rows)
    write_plain_json(out / f"{NAME}.json", as_data(world))
