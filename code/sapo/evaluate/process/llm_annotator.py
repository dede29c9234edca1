"""Annotator `llm`: names the first wrong step of trajectories by votes of a language model.

1. A vote is one answer at a temperature above 0 with its own seed; an item is kept where at least `agree` votes say
   the same and no other position has as many (`annotate.agreed`), else it is dropped, with its votes and the reason.
2. An answer that is no vote (see `llm_prompt`) is counted and shown. It is not asked again: it was paid for, and
   asking until an answer fits would choose answers.
3. Every answer is on the disk before it is used (`answer_cache`). An interrupted call goes on from there; requests
   that are on their way when it ends are still waited for and kept (a kill loses those, no others).
4. Texts that are alike (same question, same steps) are one request for each vote.

Costs before: a token is taken for `CHARACTERS` characters of prompt, and every answer for as long as it may be.
Costs after: what the endpoint's `usage` says; answers without it are counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sapo.evaluate.process.annotate import Dropped, agreed
from sapo.evaluate.process.items import ProcessItem
from sapo.evaluate.process.llm_prompt import Unusable, prompt, read_answer
from sapo.records import BadInput, Question
from sapo.runtime.progress import Progress
from sapo.sampling.http.answer_cache import AnswerCache
from sapo.sampling.http.endpoint import Endpoint, EndpointError
from sapo.sampling.http.paid_requests import PaidRequest, ask_all, sha256
from sapo.sampling.http.replies import Reply

CHARACTERS = 4  # of a prompt to a token: an assumption, near the mark for English
FEW_REFUSALS = 5  # more of them, and more than one in ten, are the endpoint's or the settings' fault


@dataclass(frozen=True, slots=True)
class LlmSettings:
    """Who votes, how often, and how many votes must agree.

    Args:
        seed: of the first vote; the others count on from it.
        limit_field: how the endpoint calls the most tokens of an answer.
    """

    model: str
    votes: int = 3
    agree: int = 2
    temperature: float = 0.7
    seed: int = 0
    max_tokens: int = 1024
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"

    def __post_init__(self) -> None:
        if not self.model:
            raise BadInput("the model has no name")
        if not 1 <= self.agree <= self.votes:
            raise BadInput(f"{self.agree} of {self.votes} votes are to agree: it must be 1 to the number of votes")
        if not 0 < self.temperature < float("inf"):
            raise BadInput(f"temperature is {self.temperature}, not above 0: equal answers would pass for votes")
        if self.max_tokens < 1:
            raise BadInput(f"max tokens are {self.max_tokens}, not above 0")


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of prompts and answers, of so many requests, and of how many the endpoint did not say."""

    requests: int
    prompt: int
    answers: int
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class LlmAnnotated:
    """Kept items in the order given, dropped ones, and answers that were no votes, by item."""

    items: list[ProcessItem]
    dropped: list[Dropped]
    unusable: list[tuple[str, Unusable]]


def calls(items: Sequence[ProcessItem], questions: Mapping[str, Question], settings: LlmSettings) -> list[PaidRequest]:
    """Every vote on every item, item by item; questions, by id, where reference answers are to be shown."""
    return [
        _call(item.id, vote, text, settings)
        for item in items
        for text in [prompt(item, questions.get(item.question_id))]
        for vote in range(settings.votes)
    ]


def _call(item_id: str, vote: int, text: str, settings: LlmSettings) -> PaidRequest:
    body: dict[str, Any] = {
        "model": settings.model,
        "messages": [{"role": "user", "content": text}],
        "temperature": settings.temperature,
        "seed": settings.seed + vote,
        settings.limit_field: settings.max_tokens,
    }
    return PaidRequest(sha256(body), body, item_id, vote)


def pending(asked: Sequence[PaidRequest], known: Mapping[str, Reply]) -> list[PaidRequest]:
    """Requests without an answer, each once: first votes first, in an order that spreads like items."""
    missing = {call.key: call for call in reversed(asked) if call.key not in known}
    return sorted(missing.values(), key=lambda call: (call.vote, call.key))


def estimate(open_: Sequence[PaidRequest], settings: LlmSettings) -> Tokens:
    """Tokens that these requests would use: the prompts' by their characters, the answers' at most.

    Two prompts of 401 and 8 characters, answers of up to 10 tokens: 101 + 2 tokens of prompts, 20 of answers.
    """
    messages = [message for call in open_ for message in call.body["messages"]]
    prompts = sum(-(-len(message["content"]) // CHARACTERS) for message in messages)
    return Tokens(len(open_), prompts, len(open_) * settings.max_tokens)


def used(replies: Sequence[Reply]) -> Tokens:
    """Tokens that the endpoint counted; an answer of which it said nothing adds to `unknown` only."""
    said = [(r.prompt_tokens, r.completion_tokens) for r in replies]
    both = [(p, c) for p, c in said if p is not None and c is not None]
    return Tokens(len(replies), sum(p for p, _ in both), sum(c for _, c in both), len(said) - len(both))


def collect(endpoint: Endpoint, asked: Sequence[PaidRequest], cache: AnswerCache) -> dict[str, str]:
    """Ask for what the cache does not hold; requests that were refused, by key, with the endpoint's reason.

    Raises:
        EndpointError: it answers no more, or refuses too often; says how much is done and how to go on.
    """
    refused: dict[str, str] = {}
    every = pending(asked, {})

    def judge(request: PaidRequest, answer: Reply | str) -> None:
        if isinstance(answer, str):
            refused[request.key] = answer
            if len(refused) > max(FEW_REFUSALS, len(every) / 10):
                raise EndpointError(f"{endpoint.url}: refused {len(refused)} requests, the last: {answer}")

    missing = len(pending(asked, cache.answers))
    ask_all(endpoint, every, cache, judge, Progress("llm votes", missing, "answers"))
    return refused


def decide(
    items: Sequence[ProcessItem],
    asked: Sequence[PaidRequest],
    replies: Mapping[str, Reply],
    refused: Mapping[str, str],
    agree: int,
) -> LlmAnnotated:
    """Items by their votes. Every request has a reply or was refused."""
    by_item: dict[str, list[PaidRequest]] = {}
    for call in asked:
        by_item.setdefault(call.item, []).append(call)
    found = LlmAnnotated([], [], [])
    for item in items:
        read = [_read(call, len(item.steps), replies, refused) for call in by_item[item.id]]
        votes = tuple(vote for vote in read if isinstance(vote, int))
        found.unusable.extend((item.id, answer) for answer in read if isinstance(answer, Unusable))
        said = agreed(votes, agree)
        if said is None:
            found.dropped.append(Dropped(item.id, votes, _reason(votes, len(read), agree)))
        else:
            found.items.append(replace(item, first_error=said or None, annotator="llm", votes=votes))
    return found


def _read(call: PaidRequest, steps: int, replies: Mapping[str, Reply], refused: Mapping[str, str]) -> int | Unusable:
    if call.key in refused:
        return Unusable("refused", refused[call.key])
    return read_answer(replies[call.key], steps)


def _reason(votes: Sequence[int], asked: int, agree: int) -> str:
    named = ", ".join(f"step {vote}" if vote else "none" for vote in votes) or "no vote"
    lost = f"; {asked - len(votes)} answers are no votes" if len(votes) < asked else ""
    return f"fewer than {agree} of {asked} answers agree, or as many say another: {named}{lost}"
