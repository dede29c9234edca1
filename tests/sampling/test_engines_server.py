"""Completions from an OpenAI-compatible server: what is asked, what is believed, and what survives a failure."""

import dataclasses
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from fake_endpoint import Clock, Response, failure, serve
from tiny_models import tiny_reasoner

from sapo.models.flops import generation_flops
from sapo.models.loading import load_reasoner, save_reasoner
from sapo.records import BadInput, Cost
from sapo.sampling.factory import Drawing, engine_name, open_sampler
from sapo.sampling.hf_engine import LocalSampler
from sapo.sampling.http.endpoint import Endpoint, EndpointError, Limits
from sapo.sampling.http.replies import TEXT, Key
from sapo.sampling.http.server_engine import ServerSampler
from sapo.sampling.protocol import Completion, Request
from sapo.sampling.token_requests import first_complete
from sapo.settings.configure import compose

ROOT = Path(__file__).parents[2]
SETTINGS = compose(
    ROOT, ["profile=nano", "engine.kind=server", "engine.url=http://localhost:1", "engine.concurrency=4"]
)[1]
REQUESTS = [
    Request("Ben has 15 coins.\n", "", 5),
    Request("def f(xs):\n", "    xs = ", 6),
    Request("so\n", "", 2**63 - 1),
]


@pytest.fixture(scope="module")
def reasoner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "reasoner"
    save_reasoner(*tiny_reasoner("llama"), folder)
    return folder


def sampler(url: str, reasoner: Path, answers: Path, **changes: Any) -> ServerSampler:
    """Over a fake: two attempts, and waits that take no time."""
    engine = dataclasses.replace(SETTINGS.engine, url=url, **changes)
    made = ServerSampler(reasoner, engine, answers)
    limits = Limits(1e6, engine.concurrency, attempts=2)
    made.endpoint = Endpoint(url, Key(""), limits, Clock().time(), TEXT)
    return made


def text_completion(text: str, prompt: int, tokens: int, finish: str = "stop") -> Response:
    usage = {"prompt_tokens": prompt, "completion_tokens": tokens}
    choice = {"index": 0, "text": text, "finish_reason": finish}
    return Response(json.dumps({"object": "text_completion", "choices": [choice], "usage": usage}).encode())


def echo(body: dict[str, Any], number: int) -> Response:
    """Three tokens that say which seed was asked for."""
    return text_completion(f"seed {body['seed']}\nand on", len(body["prompt"]), 3)


def test_a_request_is_token_ids_with_its_seed_and_nothing_that_narrows_the_distribution(
    reasoner: Path, tmp_path: Path
) -> None:
    """Costs by the lengths of the prompts and three tokens for each of three completions."""
    with serve(echo) as fake:
        drawing = sampler(fake.url, reasoner, tmp_path)
        completions, cost = drawing.complete(REQUESTS, 0.7, 8)
    _, encoder = load_reasoner(reasoner)
    prompts = [[*encoder.prompt_ids(r.prompt), *encoder.completion_ids(r.prefix)] for r in REQUESTS]
    sent = {body["seed"]: body for body in fake.bodies}
    assert set(fake.paths) == {"/v1/completions"}
    assert [sent[r.seed]["prompt"] for r in REQUESTS] == prompts
    rest = {"model": str(reasoner), "max_tokens": 8, "temperature": 0.7, "n": 1, "top_p": 1.0, "top_k": -1, "min_p": 0}
    assert sent[5] == {"prompt": prompts[0], "seed": 5, **rest}
    assert completions == [Completion(f"seed {r.seed}\nand on", 3, True) for r in REQUESTS]
    lengths = [len(prompt) for prompt in prompts]
    flops = sum(generation_flops(drawing.reader.config, length, 3) for length in lengths)
    assert cost == Cost(3, sum(lengths), 9, flops)


def test_until_cuts_what_is_complete_and_tokens_stay_those_drawn(reasoner: Path, tmp_path: Path) -> None:
    with serve(echo) as fake:
        found, cost = sampler(fake.url, reasoner, tmp_path).complete(
            REQUESTS[:1], 1, 8, lambda text: text.find("\n") + 1
        )
    assert found == [Completion("seed 5\n", 3, True)] and cost.generated_tokens == 3


def test_the_first_complete_part_is_found_at_newlines_and_at_the_end() -> None:
    """`until` names the length of the second line's end, once it is there."""
    seen: list[str] = []

    def until(text: str) -> int | None:
        seen.append(text)
        return 4 if text.count("\n") >= 2 else None

    assert first_complete("a\nb\nc\n", until) == "a\nb\n"
    assert seen == ["a\n", "a\nb\n"]
    assert first_complete("a\nb", until) is None and first_complete("a\nb\n", None) is None


def test_a_completion_that_the_limit_cut_off_is_not_finished(reasoner: Path, tmp_path: Path) -> None:
    with serve(lambda body, number: text_completion("xs", len(body["prompt"]), 8, "length")) as fake:
        found, _ = sampler(fake.url, reasoner, tmp_path).complete(REQUESTS[:1], 1, 8)
    assert found == [Completion("xs", 8, False)]


def test_prompts_without_room_are_answered_by_nothing_and_cost_nothing(reasoner: Path, tmp_path: Path) -> None:
    """The context is 256 tokens: a prefix of 300 has no room, a limit of 400 shrinks to what is left."""
    long = Request("so\n", "7" * 300, 1)
    with serve(echo) as fake:
        found, cost = sampler(fake.url, reasoner, tmp_path).complete([long, REQUESTS[2]], 1, 400)
    assert found[0] == Completion("", 0, False) and found[1].finished
    (body,) = fake.bodies
    assert body["max_tokens"] == 256 - len(body["prompt"])
    assert (cost.rollouts, cost.prompt_tokens) == (2, len(body["prompt"]))
    with serve(echo) as fake, pytest.raises(BadInput, match="context of 256 tokens"):
        sampler(fake.url, reasoner, tmp_path).complete([Request("7" * 300, "", 1)], 1, 8)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Response(b'{"choices": [], "usage": {}}'), "gave up after 2 attempts: the answer is no completion"),
        (Response(b"<html>"), "gave up after 2 attempts: the answer is no completion"),
        (failure(503), "gave up after 2 attempts: status 503"),
        (failure(404, "no such model"), "status 404: .*no such model"),
        (failure(400, "too long"), "refused a request for .*too long"),
        (Response(b'{"choices": [{"text": "x"}]}'), "does not say how many tokens"),
        (text_completion("x", 4711, 1), "counts 4711 tokens where the tokenizer of .* counts"),
    ],
)
def test_what_is_no_answer_ends_in_one_error_and_what_was_finished_is_asked_for_once(
    reasoner: Path, tmp_path: Path, answer: Response, said: str
) -> None:
    """Two of three requests are answered before the third fails; the second run asks for that one alone."""

    def answers(body: dict[str, Any], number: int) -> Response:
        return answer if number >= 2 else echo(body, number)

    with serve(answers) as fake, pytest.raises(BadInput, match=said):
        sampler(fake.url, reasoner, tmp_path, concurrency=1).complete(REQUESTS, 1, 8)
    with serve(echo) as again:
        made = sampler(again.url, reasoner, tmp_path).complete(REQUESTS, 1, 8)[0]
    assert [c.text for c in made] == [f"seed {r.seed}\nand on" for r in REQUESTS]
    assert [body["seed"] for body in again.bodies] == [REQUESTS[2].seed]


def test_answers_of_another_reasoner_temperature_or_limit_are_not_used(reasoner: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    save_reasoner(*tiny_reasoner("llama", seed=1), other)
    with serve(echo) as fake:
        for folder, temperature, limit in [
            (reasoner, 1, 8),
            (reasoner, 1, 8),
            (other, 1, 8),
            (reasoner, 0, 8),
            (reasoner, 1, 9),
        ]:
            sampler(fake.url, folder, tmp_path / "kept").complete(REQUESTS, temperature, limit)
    assert len(fake.bodies) == 4 * 3, "only the second of the five is a repetition"


def test_no_more_requests_at_once_than_the_settings_say(reasoner: Path, tmp_path: Path) -> None:
    """Each request waits until four are there; a fifth would be counted."""
    lock, open_, most = threading.Lock(), [0], [0]
    four = threading.Barrier(4)

    def answer(body: dict[str, Any], number: int) -> Response:
        with lock:
            open_[0] += 1
            most[0] = max(most[0], open_[0])
        four.wait(timeout=10)
        with lock:
            open_[0] -= 1
        return echo(body, number)

    with serve(answer) as fake:
        sampler(fake.url, reasoner, tmp_path).complete([Request("so\n", "", seed) for seed in range(12)], 1, 8)
    assert most == [4]


def test_transformers_serve_gets_texts_and_whole_generation_settings(reasoner: Path, tmp_path: Path) -> None:
    _, encoder = load_reasoner(reasoner)

    def answer(body: dict[str, Any], number: int) -> Response:
        return text_completion("x", len(encoder.prompt_ids(body["prompt"])), 1)

    with serve(answer) as fake:
        for temperature in (0.0, 0.5):
            sampler(fake.url, reasoner, tmp_path, dialect="transformers").complete(REQUESTS[1:2], temperature, 8)
    greedy, drawn = (json.loads(body.pop("generation_config")) for body in fake.bodies)
    assert fake.bodies[0] == {"model": str(reasoner), "prompt": "def f(xs):\n    xs = ", "max_tokens": 8, "seed": 6}
    ends = {"eos_token_id": encoder.eos_id, "pad_token_id": encoder.eos_id}
    assert greedy == {"do_sample": False, **ends}
    assert drawn == {"do_sample": True, **ends, "temperature": 0.5, "top_k": 0, "top_p": 1.0}


def test_hf_is_the_embedded_sampler_with_the_rows_and_cache_of_the_settings(reasoner: Path, tmp_path: Path) -> None:
    engine = dataclasses.replace(SETTINGS.engine, kind="hf")
    made = open_sampler(reasoner, Drawing(engine, SETTINGS.tuning, 3, 64), tmp_path)
    assert isinstance(made, LocalSampler) and made.rows == 3
    model, encoder = load_reasoner(reasoner)
    assert made.complete(REQUESTS, 1.0, 12) == LocalSampler(model, encoder, 3, "", 64).complete(REQUESTS, 1.0, 12)


def test_a_result_says_which_engine_drew_but_not_where(reasoner: Path) -> None:
    assert engine_name(SETTINGS.engine) == "server, ids"
    elsewhere = dataclasses.replace(SETTINGS.engine, url="http://localhost:2", concurrency=1, actors=3)
    assert engine_name(elsewhere) == engine_name(SETTINGS.engine)
    assert engine_name(dataclasses.replace(SETTINGS.engine, kind="hf", actors=2)) == "hf"


def test_without_url_or_key_nothing_is_asked(reasoner: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EndpointError, match="endpoint '' is no http"):
        ServerSampler(reasoner, dataclasses.replace(SETTINGS.engine, url=""), tmp_path)
    monkeypatch.delenv("SERVER_KEY", raising=False)
    with pytest.raises(EndpointError, match="SERVER_KEY holds no key"):
        ServerSampler(reasoner, dataclasses.replace(SETTINGS.engine, key="SERVER_KEY"), tmp_path)
