"""Choosing by verifiers, as a cached step: best of N samples of M_0, and step-by-step beam search (`rerank.py`)."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sapo.evaluate.rerank import Beam, beam_search
from sapo.labelling.trajectories import sample
from sapo.models.loading import load_encoder
from sapo.recipes.experiment import Experiment
from sapo.recipes.inputs import Case, DrawSettings, Folder, Questions, Tools
from sapo.recipes.label_step import scorable, score
from sapo.recipes.stage_cache import hand_over
from sapo.records import Question, Trajectory, write_json
from sapo.runtime.cache import cached
from sapo.settings import SamplingSettings
from sapo.tasks.task import Task

BEAM = Beam(width=4, expand=4, steps=24, temperature=1.0, limit=40)


@dataclass(frozen=True, slots=True)
class RerankInputs:
    """Of best-of-N: the reasoner that draws, the verifiers that choose, by method, and those that steer."""

    case: Case
    reasoner: Folder
    verifiers: Mapping[str, Folder]
    beam: tuple[str, ...]
    questions: Questions
    draw: DrawSettings
    sampling: SamplingSettings


def rerank(experiment: Experiment, verifiers: Mapping[str, Path], beam: Sequence[str], folder: Path) -> None:
    """`rerank.json` in `folder`: samples of M_0, their rewards by each verifier, and what beam search finds.

    Args:
        verifiers: folders by method. beam: methods whose verifiers also steer a beam search.
    """
    process = experiment.settings.process
    given = {method: Folder.of(path) for method, path in verifiers.items()}
    questions = experiment.questions(experiment.task_name, "test", process.rerank_questions)
    sampling = dataclasses.replace(experiment.settings.sampling, per_question=process.rerank_samples)
    tools = experiment.tools
    inputs = RerankInputs(experiment.case, experiment.sft(), given, tuple(beam), questions, experiment.draw, sampling)
    hand_over(cached(tools.store, inputs, lambda made: _rerank(inputs, tools, made / "rerank.json")), folder)


def _rerank(inputs: RerankInputs, tools: Tools, path: Path) -> None:
    case, task, questions, count = inputs.case, inputs.case.task, inputs.questions.items, inputs.sampling.per_question
    sampler = tools.sampler(inputs.reasoner.path, inputs.draw, "samples to choose from")
    limit = inputs.draw.max_new_tokens
    drawn, _ = sample(task, sampler, questions, inputs.sampling, limit, case.derive("rerank"))
    usable = scorable(load_encoder(inputs.reasoner.path), inputs.questions.by_id, drawn)
    drawn = list(itertools.compress(drawn, usable))
    own = {question.id: [t for t in drawn if t.question_id == question.id] for question in questions}
    missing = {q.id: count - len(own[q.id]) for q in questions}  # empty or not scorable: wrong ones
    different = list({(t.question_id, t.text): t for t in drawn}.values())  # equal texts have equal rewards
    rewards, beams = {}, {}
    for method, folder in inputs.verifiers.items():
        verifier = tools.verifier(folder.path, inputs.draw.tuning)
        scored = zip(different, score(verifier, inputs.questions.by_id, different), strict=True)
        reward = {(t.question_id, t.text): round(s.reward, 6) for t, s in scored}
        rewards[method] = [
            [*(reward[t.question_id, t.text] for t in own[q.id]), *[0.0] * missing[q.id]] for q in questions
        ]
        if method in inputs.beam:
            texts, _ = beam_search(task, sampler, verifier.score, questions, BEAM, case.derive("beam"))
            beams[method] = [verdict == "right" for verdict in task.grade(questions, texts)]
    said = [
        {
            "id": question.id,
            "group": question.group,
            "right": [*(t.right for t in own[question.id]), *[False] * missing[question.id]],
            "answers": [*_answers(task, question, own[question.id]), *[-1] * missing[question.id]],
        }
        for question in questions
    ]
    write_json(path, {"questions": said, "rewards": rewards, "beams": beams})


def _answers(task: Task, question: Question, samples: Sequence[Trajectory]) -> list[int]:
    """Equal numbers for equal answers: what the last step says, or for a program all of it."""
    texts = [task.normalise(t.text if question.tests else t.steps[-1]) for t in samples]
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    return [numbers[text] for text in texts]
