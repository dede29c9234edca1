"""nano-code-ood stands for HumanEval: the function's head and docstring are given, and pipelines are longer."""

import random

from sapo.records import Question
from sapo.tasks.nano import embedded
from sapo.tasks.nano.nano_code import SIGNATURE, answered, grade, make_question, normalise, split, step_truth
from sapo.tasks.nano.nano_code_world import Pipeline, draw_pipeline
from sapo.tasks.program_grading.judging import unparsable_kind
from sapo.tasks.task import DataSource, Split

__all__ = [
    "NAME",
    "answered",
    "docstring_prompt",
    "generate",
    "grade",
    "load",
    "normalise",
    "split",
    "step_truth",
    "unparsable_kind",
]

NAME = "nano_code_ood"
PIPELINE_WEIGHTS = {4: 30, 5: 40, 6: 30}


def load(split: Split, source: DataSource) -> list[Question]:
    return embedded.read_embedded(source.root, NAME, split)


def docstring_prompt(pipeline: Pipeline) -> str:
    return f'{SIGNATURE}    """{pipeline.description()}."""\n'


def generate(split: Split, count: int, seed: int) -> list[Question]:
    rng = random.Random(f"{NAME}/{split}/{seed}")

    def draw() -> Question:
        pipeline = draw_pipeline(rng, PIPELINE_WEIGHTS)
        return make_question(NAME, split, pipeline, docstring_prompt(pipeline), SIGNATURE)

    return embedded.number(embedded.collect(split, count, draw))
