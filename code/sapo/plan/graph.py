"""All stages of the graph in expectation. What is kept is counted once, whichever methods share it."""

import dataclasses
from collections.abc import Hashable, Iterator
from pathlib import Path

from sapo.evaluate.efficiency import LABELLERS
from sapo.plan.architecture import config_of
from sapo.plan.devices import Part
from sapo.plan.methods import Place, labelling, method_parts, start_parts
from sapo.plan.texts import answered, texts_of
from sapo.settings import RolloutSettings, Settings, method_settings, seeds_of
from sapo.tasks.catalog import EMBEDDED
from sapo.train.cost import Bill, drawing, learning, reading

MCE = ("sapo", "sapo_without_pf")  # as stage `verifiers` has it
RERANKERS = 7


def all_parts(settings: Settings, root: Path) -> list[Part]:
    """Every part of work of every stage that costs more than a minute's reading, in story order, each once.

    Raises:
        NoShape: a model's shape is not known here. UnknownTexts: a task's texts are not.
    """
    configs = {name: config_of(name, model, settings.scratch, root) for name, model in settings.models.items()}
    places = [
        Place(settings, model, task, config, texts_of(task))
        for model, config in configs.items()
        for task in settings.tasks
    ]
    parts = [part for place in places for part in _of_place(place)]
    parts += [part for task in settings.process_benchmarks for part in _process(settings, task, places)]
    return list({part.key: part for part in reversed(parts)}.values())[::-1]


def _of_place(place: Place) -> Iterator[Part]:
    settings, own = place.settings, []
    for seed in seeds_of(settings, place.model, place.task):
        seeded = dataclasses.replace(place, settings=dataclasses.replace(settings, seed=seed))
        own += start_parts(seeded)
        for method in _methods(settings, place, seed):
            own += method_parts(dataclasses.replace(place, settings=method_settings(settings, method, seed)))
    yield from own
    reasoners: list[Hashable] = ["cot", *dict.fromkeys(p.key for p in own if p.what in ("sft", "update"))]
    for reasoner in reasoners:
        yield Part(
            "evaluate", place.model, "answers", "draw", ("evaluate", place.model, place.task, reasoner), _answers(place)
        )
    yield from _efficiency(place)
    if place.task in settings.process_benchmarks:
        yield from _verifiers(place, own)


def _methods(settings: Settings, place: Place, seed: int) -> Iterator[str]:
    for cell in settings.cells.values():
        if (cell.model, cell.task) == (place.model, place.task) and seed in settings.groups[cell.group].seeds:
            yield from settings.groups[cell.group].methods


def _answers(place: Place) -> Bill:
    limits, bill = place.limits, Bill()
    for task, count in ((place.task, limits.test_questions), (limits.ood, limits.ood_questions)):
        prompt, completion = answered(task)
        bill += drawing(place.config, count, count * prompt, prompt, completion)
    return dataclasses.replace(bill, programs=bill.rollouts if place.texts.judging else 0.0)


def _efficiency(place: Place) -> Iterator[Part]:
    settings, texts = place.settings, place.texts
    for name, arithmetic in LABELLERS.items():
        own = dataclasses.replace(settings, rollouts=arithmetic.rollouts(settings.rollouts))
        labeller = arithmetic.search if arithmetic.labeller == "saps" else arithmetic.labeller
        one = dataclasses.replace(place, settings=own)
        bill = _labelled(one, labeller, settings.efficiency.trajectories)
        key = "efficiency", name, place.model, place.task
        yield Part("efficiency", place.model, "labelling", "draw", key, bill)
        if arithmetic.trains and place.task in EMBEDDED:
            tokens = settings.efficiency.trajectories * (1 + settings.expansion.max_per_trajectory) * texts.row
            fit = learning(place.config, tokens, texts.row, settings.verifier.fit.epochs, False)
            yield Part("efficiency", place.model, "verifier", "train", (*key, "verifier"), fit)


def _labelled(place: Place, labeller: str, count: float) -> Bill:
    one = labelling(place, labeller)
    tokens = one.generated_tokens / max(one.rollouts, 1e-9)
    return drawing(place.config, count * one.rollouts, count * one.read_tokens, place.texts.row - tokens, tokens)


def _process(settings: Settings, task: str, places: list[Place]) -> Iterator[Part]:
    benchmark, process = settings.process_benchmarks[task], settings.process
    for place in places:
        if place.task != task:
            continue
        key, texts = ("process", task, place.model), place.texts
        if place.model in (benchmark.first, benchmark.second):
            read = process.questions * texts.prompt
            bill = drawing(place.config, process.questions * process.samples, read, texts.prompt, texts.completion)
            yield Part("process", place.model, "sampling", "draw", key, bill)
        if benchmark.annotator == "rollout" and place.model == benchmark.judge:
            bill = _labelled(_saving(place), "shepherd", 2 * process.questions * process.votes)
            yield Part("process", place.model, "annotation", "draw", (*key, "judge"), bill)


def _saving(place: Place) -> Place:
    drawing_ = place.settings.rollouts
    lazy = RolloutSettings(drawing_.per_position, drawing_.temperature, True, True, False, drawing_.cached_tokens)
    return dataclasses.replace(place, settings=dataclasses.replace(place.settings, rollouts=lazy))


def _verifiers(place: Place, own: list[Part]) -> Iterator[Part]:
    """Scores of the items by every verifier; rollouts at their steps by the reasoners of `MCE`; re-ranking."""
    process, texts = place.settings.process, place.texts
    made, items = {p.key for p in own if p.what == "verifier"}, 2 * process.questions
    key = "verifiers", place.model, place.task
    bill = reading(place.config, len(made) * items * texts.row, texts.row)
    yield Part("verifiers", place.model, "scoring", "read", key, bill)
    rounds = sum(
        len(method_settings(place.settings, method, 1).loop.updates)
        for method in {*_methods(place.settings, place, seeds_of(place.settings, place.model, place.task)[0])}
        if method in MCE
    )
    bill = _labelled(_saving(place), "shepherd", rounds * items / 2)
    yield Part("verifiers", place.model, "MCE", "draw", (*key, "MCE"), bill)
    count, read = process.rerank_questions * process.rerank_samples, process.rerank_questions * texts.prompt
    bill = drawing(place.config, count, read, texts.prompt, texts.completion)
    yield Part("verifiers", place.model, "re-ranking", "draw", (*key, "rerank"), bill)
    bill = reading(place.config, RERANKERS * count * texts.row * texts.apart[0], texts.row)
    yield Part("verifiers", place.model, "rewards", "read", (*key, "rewards"), bill)
