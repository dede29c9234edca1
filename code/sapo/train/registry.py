"""All trainers by name. There is no default: a name that is not here is refused."""

from sapo.records import BadInput
from sapo.settings import Settings, method_settings
from sapo.train.dpo import DPO
from sapo.train.grpo import GRPO
from sapo.train.orpo import ORPO
from sapo.train.sft import SFT
from sapo.train.star import STAR
from sapo.train.trainer import Trainer
from sapo.train.verifier import VERIFIER

TRAINERS: dict[str, Trainer] = {
    "verifier": VERIFIER,
    "sft": SFT,
    "star": STAR,
    "orpo": ORPO,
    "dpo": DPO,
    "grpo": GRPO,
}


def trainer_of(name: str) -> Trainer:
    """Raises BadInput naming the trainers that there are."""
    if name not in TRAINERS:
        raise BadInput(f"{name!r} is no trainer; known: {', '.join(TRAINERS)}")
    return TRAINERS[name]


def used(settings: Settings) -> list[Trainer]:
    """Trainers that the start or some method of the cells' groups uses, in the registry's order."""
    names = {"sft", "verifier"}
    for group in {cell.group for cell in settings.cells.values()}:
        for method in settings.groups[group].methods:
            names |= {*method_settings(settings, method, settings.seed).loop.updates}
    for name in names:
        trainer_of(name)
    return [trainer for name, trainer in TRAINERS.items() if name in names]
