"""Expected work of one method's start (`recipes/bootstrap.py`) and rounds (`recipes/self_improvement.py`).

Parts have keys made of what the loop's kept folders are made of, so that what methods share is found here, too.
"""

import dataclasses
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from transformers import PretrainedConfig

from sapo.evaluate.simulation import Labelling, World, simulate
from sapo.plan.devices import Part
from sapo.plan.texts import Texts
from sapo.recipes.inputs import Case
from sapo.recipes.label_step import LabelRecipe
from sapo.recipes.round_state import RoundRecipe
from sapo.settings import Settings, TaskSettings
from sapo.train.cost import Bill, Expected, drawing, learning, reading
from sapo.train.registry import trainer_of

STEPS = 40  # the simulation's longest trajectory
LABELLERS = {"shepherd": "shepherd", "omega": "omega", "once": "saps_once", "until_located": "saps_until_located"}


@dataclass(frozen=True, slots=True)
class Place:
    """One model and task, under the settings of one method and seed."""

    settings: Settings
    model: str
    task: str
    config: PretrainedConfig
    texts: Texts

    @property
    def limits(self) -> TaskSettings:
        return self.settings.tasks[self.task]

    @property
    def samples(self) -> float:
        return self.limits.train_questions * self.settings.sampling.per_question

    @property
    def fresh(self) -> float:
        """Different trajectories of a round's samples; of a single sample a question, all are."""
        return self.samples if self.settings.sampling.per_question == 1 else self.samples * self.texts.different

    @property
    def case(self) -> Case:
        return Case(self.model, self.task, self.settings.seed)

    @property
    def start(self) -> Hashable:
        """What M_0, D_0 and V_0 are made from."""
        own = self.settings
        return self.case, own.sft, own.sampling, LabelRecipe.of(own, "omega")


def start_parts(place: Place) -> list[Part]:
    """M_0, D_0 and V_0."""
    settings, texts, key = place.settings, place.texts, place.start
    gold = place.limits.sft_questions
    subset, wrong = _subset(place, settings.labels.bootstrap_trajectories, gold, 0.0)
    fit = learning(place.config, gold * (texts.prompt + texts.gold), texts.row, settings.sft.epochs)
    return [
        Part("start", place.model, "sft", "train", ("sft", key), fit),
        Part("start", place.model, "sampling", "draw", ("sampling", key), _sampling(place)),
        Part("start", place.model, "labelling", "draw", ("labelling", key), _labels(place, "omega", wrong)),
        Part("start", place.model, "verifier", "train", ("verifier", key), _verifier(place, subset, wrong, "omega")),
    ]


def method_parts(place: Place) -> Iterator[Part]:
    """All rounds of the method whose settings the place has, without the start."""
    loop, texts = place.settings.loop, place.texts
    reasoner = verifier = ("start", place.start)
    gold = place.limits.sft_questions if loop.pool == "all" else 0
    pool, scored = float(gold), gold * texts.row * texts.apart[0]
    for number, update in enumerate(loop.updates, start=1):
        later = number > 1 and loop.pool == "all"
        fresh = place.fresh * (texts.unseen if later else 1.0)
        pool = fresh + (pool if loop.pool == "all" else 0.0)
        scored = fresh * texts.row * texts.apart[later] + (scored if loop.pool == "all" else 0.0)
        sampling = ("sample", reasoner, repr(place.settings.sampling)) if number > 1 else ("sampling", reasoner[1])
        yield Part("methods", place.model, "sampling", "draw", sampling, _sampling(place))
        if loop.reward == "verifier":
            labels = place.settings.labels
            seen = labels.bootstrap_trajectories if number == 1 else 0.0
            subset, wrong = _subset(place, labels.round_trajectories, 0.0, seen)
            recipe = place.case, LabelRecipe.of(place.settings, labels.by)
            key = ("supervise", number, reasoner, verifier if labels.by == "saps" else "", *recipe)
            yield from _supervision(place, key, subset, wrong)
            verifier = key
            bill = reading(place.config, scored, texts.row)
            yield Part("methods", place.model, "scoring", "read", ("scoring", key, pool), bill)
        made = ("round", number, reasoner, verifier, place.case, RoundRecipe.of(place.settings, number))
        kept = (pool - gold) * texts.different_right
        bill = trainer_of(update).expected(expected(place, kept, place.limits.sft_questions))
        yield Part("methods", place.model, "update", "train", made, bill)
        reasoner = made


def _supervision(place: Place, key: Hashable, subset: float, wrong: float) -> Iterator[Part]:
    settings, texts = place.settings, place.texts
    by = settings.labels.by
    if by == "saps" and settings.detect.by == "scores":
        bill = reading(place.config, subset * texts.row * texts.apart[2], texts.row)
        yield Part("methods", place.model, "detection", "read", ("detection", key), bill)
    if by != "outcome":
        name = settings.saps.search if by == "saps" else by
        bill = _labels(place, name, wrong)
        yield Part("methods", place.model, "labelling", "draw", ("labelling", key), bill)
    bill = _verifier(place, subset, wrong, by)
    yield Part("methods", place.model, "verifier", "train", ("verifier", key), bill)


def _sampling(place: Place) -> Bill:
    """Equal prompts are read once. A program is run for every sample of a programming task."""
    texts, questions = place.texts, place.limits.train_questions
    bill = drawing(place.config, place.samples, questions * texts.prompt, texts.prompt, texts.completion)
    return dataclasses.replace(bill, programs=place.samples if texts.judging else 0.0)


def _subset(place: Place, count: int, gold: float, seen: float) -> tuple[float, float]:
    """Trajectories that are labelled, and the wrong ones of these, as `choose_subset` takes them.

    Args:
        gold: right ones that are there besides the samples. seen: labelled ones that do not count any more.
    """
    different = max(place.fresh - seen, 0.0) + gold
    share = place.texts.different_right
    right = max(place.fresh * share - seen / 2, 0.0) + gold
    right = min(right, different)
    chosen = min(float(count), different)
    wrong = min(different - right, max(chosen - right, chosen / 2))
    return chosen, wrong


def _labels(place: Place, name: str, wrong: float) -> Bill:
    """Rollouts for the wrong trajectories by the simulation of `evaluate/simulation.py`, equal prefixes merged."""
    one, texts, merge = labelling(place, name), place.texts, place.settings.rollouts.merge
    prefixes = wrong * (texts.merged if merge else 1.0)
    tokens = one.generated_tokens / max(one.rollouts, 1e-9)
    start = texts.row - tokens
    bill = drawing(place.config, prefixes * one.rollouts, prefixes * one.read_tokens, start, tokens)
    return dataclasses.replace(bill, programs=bill.rollouts if texts.judging else 0.0)


def labelling(place: Place, name: str) -> Labelling:
    """What one wrong trajectory asks for."""
    rollouts, texts = place.settings.rollouts, place.texts
    steps = min(max(round(texts.steps), 1), STEPS)
    world = World(
        steps=steps,
        rollouts=rollouts.per_position,
        step_success=max(texts.right, 0.01) ** (1 / steps),
        tokens_per_step=texts.completion / steps,
        prompt_tokens=texts.prompt,
    )
    return simulate(world)[LABELLERS[name] + (", lazy" if rollouts.lazy else "")]


def expected(place: Place, kept: float = 0.0, gold: float = 0.0, labelled: float = 0.0) -> Expected:
    """What a training of the place finds: different right samples, given rationales, labelled trajectories."""
    settings, texts = place.settings, place.texts
    possible = place.limits.train_questions * settings.pairs.per_question
    return Expected(
        settings,
        place.config,
        place.limits.train_questions,
        texts.prompt,
        texts.gold,
        texts.completion,
        texts.right,
        gold,
        kept,
        possible * texts.paired[settings.loop.reward == "verifier"],
        texts.apart[3],
        labelled,
        bool(texts.judging),
    )


def _verifier(place: Place, subset: float, wrong: float, by: str) -> Bill:
    """Labelled trajectories and their expansion, each in a row of its own."""
    most = place.settings.expansion.max_per_trajectory
    expanded = wrong * most * place.texts.expanded if by != "outcome" else 0.0
    return trainer_of("verifier").expected(expected(place, labelled=subset + expanded))
