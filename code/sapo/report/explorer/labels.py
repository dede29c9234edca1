"""What a labeller left on file: labelled trajectories, and the rollouts that became training data beside them."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sapo.records import BadInput, StepLabels, Trajectory, read_records

_ROLLOUT = re.compile(r"(.+)/after(\d+)/(\d+)", re.DOTALL)  # ids of supervise/rollouts


class ExplorerError(BadInput):
    """There is nothing to explore, or the files of a run do not fit together; the message names the file."""


class Drawn(NamedTuple):
    """The `number`-th completion of the first `position` steps of the trajectory `parent`; `whole` begins with them."""

    parent: str
    position: int
    number: int
    whole: Trajectory


@dataclass(frozen=True, slots=True)
class Labels:
    """Trajectories in the order of the file, the labels of them and of rollouts by id, rollouts by their parent."""

    trajectories: tuple[Trajectory, ...]
    labels: dict[str, StepLabels]
    rollouts: dict[str, list[Drawn]]

    @property
    def texts(self) -> list[Trajectory]:
        """All trajectories and whole rollouts."""
        return [*self.trajectories, *(drawn.whole for own in self.rollouts.values() for drawn in own)]


def read_labels(folder: Path) -> Labels:
    """Labels of a round or of stage `start`.

    Raises:
        ExplorerError: the two files are not in step, or a rollout does not continue a trajectory beside it.
        RecordError: a file is missing or broken, or labels do not fit the steps.
    """
    trajectories = read_records(folder / "labelled.jsonl", Trajectory)
    path = folder / "labels.jsonl"
    labels = read_records(path, StepLabels)
    if len(labels) != len(trajectories):
        raise ExplorerError(f"{path}: {len(labels)} labels for the {len(trajectories)} trajectories of labelled.jsonl")
    for line, (trajectory, own) in enumerate(zip(trajectories, labels, strict=True), start=2):
        if own.trajectory_id != trajectory.id:
            raise ExplorerError(
                f"{path}: line {line}: labels of {own.trajectory_id}, expected those of {trajectory.id}"
            )
        own.check(trajectory)
    by_id = {own.trajectory_id: own for own in labels}
    parents = {t.id: t for t in trajectories if by_id[t.id].case != "expansion"}
    rollouts: defaultdict[str, list[Drawn]] = defaultdict(list)
    for trajectory in trajectories:
        if trajectory.id not in parents:
            drawn = _drawn(folder / "labelled.jsonl", trajectory, parents)
            rollouts[drawn.parent].append(drawn)
    in_order = {parent: sorted(own, key=lambda drawn: drawn[1:3]) for parent, own in rollouts.items()}
    return Labels(tuple(parents.values()), by_id, in_order)


def _drawn(path: Path, whole: Trajectory, parents: Mapping[str, Trajectory]) -> Drawn:
    """The trajectory, position and number that a rollout's id names, checked by their common steps."""
    found = _ROLLOUT.fullmatch(whole.id)
    parent = parents.get(found[1]) if found else None
    if found is None or parent is None:
        raise ExplorerError(f"{path}: {whole.id} is labelled by expansion and is no rollout of a trajectory beside it")
    position = int(found[2])
    if len(parent.steps) <= position or parent.steps[:position] != whole.steps[:position]:
        raise ExplorerError(f"{path}: {whole.id} does not begin with the first {position} steps of {parent.id}")
    return Drawn(parent.id, position, int(found[3]), whole)
