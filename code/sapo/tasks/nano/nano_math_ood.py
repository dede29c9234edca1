"""nano-math-ood stands for MATH: longer chains than nano-math's and questions that compare or add two quantities."""

from sapo.records import Question
from sapo.tasks.nano import embedded
from sapo.tasks.nano.nano_math import answered, generate_named, grade, normalise, split, step_truth, unparsable_kind
from sapo.tasks.nano.nano_math_world import Asked
from sapo.tasks.task import DataSource, Split

__all__ = ["NAME", "answered", "generate", "grade", "load", "normalise", "split", "step_truth", "unparsable_kind"]

NAME = "nano_math_ood"
CHAIN_WEIGHTS = {3: 30, 4: 40, 5: 30}
QUESTIONS: tuple[Asked, ...] = ("one", "together", "difference")


def load(split: Split, source: DataSource) -> list[Question]:
    return embedded.read_embedded(source.root, NAME, split)


def generate(split: Split, count: int, seed: int) -> list[Question]:
    return generate_named(NAME, split, count, seed, CHAIN_WEIGHTS, QUESTIONS)
