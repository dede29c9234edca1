"""Command `annotate FILE --endpoint URL --model NAME --out FILE`: a language model votes on first wrong steps.

FILE holds process items, whose annotation is replaced and compared, or trajectories of our questions; both begin with
a header. Questions named TASK/SPLIT/NUMBER of a known task lend their reference answer and tests to the prompt.
Beside OUT lie OUT.answers.jsonl, every answer that was paid for, from which the same command goes on, and
OUT.report.json: costs, votes, what was dropped, and which answers were none.

The key is read from an environment variable. `--dry-run` tells what would be asked and what it may cost, and stops.
"""

import argparse
import sys
import typing
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sapo.configure import PARAMS
from sapo.engines.answer_cache import AnswerCache, read_answers
from sapo.engines.endpoint import Endpoint, Limits, key_from
from sapo.engines.paid_requests import PaidRequest
from sapo.engines.replies import Key, Reply, shown
from sapo.evaluate.process import llm_annotator as llm
from sapo.evaluate.process.annotate import annotated
from sapo.evaluate.process.card import agreement
from sapo.evaluate.process.choose import gather
from sapo.evaluate.process.items import ProcessItem, check_ids, read_items, write_items
from sapo.evaluate.process.llm_prompt import FAULTS
from sapo.records import BadInput, Question, RecordError, Trajectory, read_records, write_plain_json
from sapo.settings import load_settings
from sapo.tasks.catalog import TASKS, find_task, source_of
from sapo.tasks.task import Split

TRAJECTORIES = b'{"schema": "Trajectory/'


def main(arguments: list[str]) -> None:
    """Annotate a file.

    Raises:
        BadInput: the file, an option or the key cannot be used, or the endpoint gave up (see its message).
    """
    given = _parser().parse_args(arguments)
    settings = llm.LlmSettings(
        given.model, given.votes, given.agree, given.temperature, given.seed, given.max_tokens, given.limit_field
    )
    limits = Limits(given.per_minute, given.concurrency, given.attempts, given.timeout, given.longest_wait)
    prices = _prices(given)
    cache_path = given.cache or _beside(given.out, "answers.jsonl")
    _check_paths([given.file, given.out, cache_path, _beside(given.out, "report.json")])
    items, questions = _read(given.file, not given.no_reference)
    asked = llm.calls(items, questions, settings)
    known = read_answers(cache_path)
    open_ = llm.pending(asked, known)
    _say(_before(items, questions, llm.estimate(open_, settings), prices))
    if given.dry_run:
        return
    refused: dict[str, str] = {}
    sent: dict[str, Any] = {"sent": 0, "sent_again": 0, "seed_refused": False}
    if open_:
        key = Key("") if given.no_key else key_from(given.key_variable)
        endpoint = Endpoint(given.endpoint, key, limits)
        with AnswerCache(cache_path) as cache:
            refused = llm.collect(endpoint, asked, cache)
            replies = dict(cache.answers)
        sent = {"sent": endpoint.sent, "sent_again": endpoint.retried, "seed_refused": endpoint.seedless}
    else:
        replies = known
    found = llm.decide(items, asked, replies, refused, settings.agree)
    write_items(given.out, found.items)
    report = _report(items, found, prices) | _costs(open_, asked, replies, prices) | sent
    write_plain_json(_beside(given.out, "report.json"), report | {"settings": asdict(settings)})
    _say(_after(report, found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sapo annotate", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--endpoint", required=True, help="base URL, such as https://HOST/v1")
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="file of answers that were paid for; OUT.answers.jsonl")
    own = llm.LlmSettings("any")
    for name in ("votes", "agree", "temperature", "seed", "max_tokens"):
        value = getattr(own, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    names = typing.get_args(typing.get_type_hints(llm.LlmSettings)["limit_field"])
    parser.add_argument("--limit-field", choices=names, default=names[0])
    for name, value in asdict(Limits()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    parser.add_argument("--price-prompt", type=float, help="of a million tokens of prompts")
    parser.add_argument("--price-answer", type=float, help="of a million tokens of answers")
    parser.add_argument("--key-variable", default="OPENAI_API_KEY", help="environment variable that holds the key")
    parser.add_argument("--no-key", action="store_true", help="the endpoint needs none")
    parser.add_argument("--no-reference", action="store_true", help="show no reference answers and tests")
    parser.add_argument("--dry-run", action="store_true")
    return parser


def _prices(given: argparse.Namespace) -> tuple[float, float] | None:
    prices = (given.price_prompt, given.price_answer)
    if prices == (None, None):
        return None
    for name, price in zip(("--price-prompt", "--price-answer"), prices, strict=True):
        if price is None or not 0 <= price < float("inf"):
            raise BadInput(f"{name} is {price}: give both prices of a million tokens, 0 or more, or none")
    return prices


def _beside(out: Path, end: str) -> Path:
    return out.with_suffix(f".{end}")


def _check_paths(paths: Sequence[Path]) -> None:
    """Raise BadInput where one file would overwrite another."""
    for path, count in Counter(path.resolve() for path in paths).items():
        if count > 1:
            raise BadInput(f"{path}: FILE, --out, its report and --cache must be different files")


def _read(path: Path, with_reference: bool) -> tuple[list[ProcessItem], dict[str, Question]]:
    """Items to vote on, and the questions of theirs that are known (all, for trajectories)."""
    if not path.is_file():
        raise RecordError(f"{path}: no such file")
    with path.open("rb") as file:
        trajectories = file.read(len(TRAJECTORIES)) == TRAJECTORIES
    if not trajectories:
        items = read_items(path)
        return items, _questions([item.question_id for item in items]) if with_reference else {}
    samples = read_records(path, Trajectory)
    questions = _questions([t.question_id for t in samples])
    for trajectory in samples:
        if trajectory.question_id not in questions:
            raise RecordError(f"{path}: trajectory {trajectory.id}: no task has question {trajectory.question_id}")
    items = [annotated(c, None, "llm") for c in gather([*questions.values()], {path.stem: samples})]
    check_ids(path, items)
    return items, questions if with_reference else {}


def _questions(ids: Sequence[str]) -> dict[str, Question]:
    """Questions of known tasks by id; others are left out."""
    found: dict[str, Question] = {}
    for task, split in sorted({(*name.split("/"), "", "")[:2] for name in ids}):
        if task in TASKS and split in typing.get_args(Split):
            source = source_of(task, load_settings(PARAMS).data)
            found |= {q.id: q for q in find_task(task).load(typing.cast(Split, split), source)}
    return {name: found[name] for name in ids if name in found}


def _cost(tokens: llm.Tokens, prices: tuple[float, float] | None) -> float | None:
    return None if prices is None else (tokens.prompt * prices[0] + tokens.answers * prices[1]) / 1e6


def _before(
    items: Sequence[ProcessItem],
    questions: Mapping[str, Question],
    tokens: llm.Tokens,
    prices: tuple[float, float] | None,
) -> list[str]:
    cost = _cost(tokens, prices)
    known = sum(item.question_id in questions for item in items)
    return [
        f"{len(items)} trajectories, {known} with a reference answer; {tokens.requests} answers are still to be asked",
        f"estimate: {tokens.prompt} tokens of prompts ({llm.CHARACTERS} characters a token, an assumption) and at most "
        f"{tokens.answers} of answers",
        "cost: no prices given"
        if prices is None
        else f"cost: at most {cost:.4g}, at {prices[0]:g} a million tokens of prompts and {prices[1]:g} of answers",
    ]


def _report(
    items: Sequence[ProcessItem], found: llm.LlmAnnotated, prices: tuple[float, float] | None
) -> dict[str, Any]:
    unusable: dict[str, Any] = {}
    for item_id, answer in found.unusable:
        row = unusable.setdefault(answer.fault, {"answers": 0, "item": item_id, "ends": answer.text[-200:]})
        row["answers"] += 1
    truth = {item.id: item.first_error for item in items}
    others = sorted({item.annotator for item in items} - {"llm"})
    return {
        "trajectories": len(items),
        "kept": len(found.items),
        "dropped": [asdict(entry) for entry in found.dropped],
        "unusable": unusable,
        "compared_with": others,
        "agreement": agreement(found.items, truth) if others and found.items else None,
        "prices_of_a_million": prices,
    }


def _costs(
    open_: Sequence[PaidRequest],
    asked: Sequence[PaidRequest],
    replies: Mapping[str, Reply],
    prices: tuple[float, float] | None,
) -> dict[str, Any]:
    """What the endpoint counted: in this run and, earlier answers included, for all that was used."""
    table: dict[str, Any] = {}
    for name, part in (("this_run", open_), ("in_all", asked)):
        tokens = llm.used([replies[key] for key in {call.key for call in part} if key in replies])
        table[name] = asdict(tokens) | {"cost": _cost(tokens, prices)}
    return table


def _after(report: Mapping[str, Any], found: llm.LlmAnnotated) -> list[str]:
    lines = [f"{report['kept']} of {report['trajectories']} trajectories kept, {len(found.dropped)} dropped"]
    lines += [f"dropped: {entry.id}: {entry.reason}" for entry in found.dropped[:3]]
    for fault, row in report["unusable"].items():
        lines.append(
            f"no vote: {row['answers']} answers ({FAULTS[fault]}), such as on {row['item']}: {shown(row['ends'])}"
        )
    if report["agreement"]:
        same, whose = report["agreement"]["first_error"], " and ".join(report["compared_with"])
        lines.append(f"same first error as {whose}: {100 * same:.4g} % of what was kept")
    if report["sent_again"]:
        lines.append(f"{report['sent_again']} of {report['sent']} requests repeated one that failed")
    for name, words in (("this_run", "this run"), ("in_all", "in all")):
        row = report[name]
        cost = "" if row["cost"] is None else f", cost {row['cost']:.4g}"
        lines.append(
            f"{words}: {row['requests']} answers, {row['prompt']} tokens of prompts, {row['answers']} of answers{cost}"
            + (f"; {row['unknown']} answers came without usage and are not in the sums" if row["unknown"] else "")
        )
    return lines


def _say(lines: Sequence[str]) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
