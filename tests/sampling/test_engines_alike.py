"""Engines draw alike: greedy the same tokens, cut at the same place; sampled from the same distribution.

Ray's actors draw what one process draws, token for token: `test_engines_ray.py`. Servers that are no fakes:
`test_engines_real_server.py`.
"""

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from fake_endpoint import serve
from fake_vllm import FakeVllm, install
from model_draws import chances, model_server, shown

from sapo.models.loading import load_reasoner
from sapo.sampling.factory import Drawing, open_sampler
from sapo.sampling.hf_engine import LocalSampler
from sapo.sampling.http.server_engine import ServerSampler
from sapo.sampling.protocol import Completion, Request, Until
from sapo.settings.configure import compose
from sapo.tasks.nano import nano_math

ROOT = Path(__file__).parents[2]
LLAMA = ROOT / "assets" / "models" / "llama_nano"
MODEL, ENCODER = load_reasoner(LLAMA)
SETTINGS = compose(ROOT, ["profile=nano"])[1]
LINES = (ROOT / "assets" / "questions" / "nano_math_test.jsonl").read_text(encoding="utf-8").splitlines()[1:5]
PROMPTS = [json.loads(line)["prompt"] for line in LINES]
REQUESTS = [Request(prompt, "", seed) for seed, prompt in enumerate(PROMPTS)]


def second_line(text: str) -> int | None:
    """Where the second line ends."""
    return text.find("\n", text.find("\n") + 1) + 1 if text.count("\n") > 1 else None


def before_answer(text: str) -> int | None:
    """Where the line before the answer ends: less than what has been drawn when it is found."""
    return text.find("answer") if "answer" in text and text.endswith("\n") else None


@pytest.mark.parametrize("until", [None, nano_math.answered, second_line, before_answer])
def test_all_engines_cut_the_same_continuation_at_the_same_place(
    until: Until | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts, tokens drawn, whether they are finished, and the cost of drawing; the rules end most, not all of them.

    The embedded sampler stops at the token that makes a completion complete. So must the others: the model goes on
    with an end token or with more lines, which would be counted.
    """
    local, spent = LocalSampler(MODEL, ENCODER, 4).complete(REQUESTS, 0.0, 48, until)
    fake = FakeVllm(LocalSampler(MODEL, ENCODER, 4))
    install(fake, monkeypatch)
    vllm = Drawing(dataclasses.replace(SETTINGS.engine, kind="vllm"), SETTINGS.tuning, 4)
    found = {"vllm": open_sampler(LLAMA, vllm, tmp_path).complete(REQUESTS, 0.0, 48, until)}
    with serve(model_server(MODEL, ENCODER)) as endpoint:
        found["server"] = server(endpoint.url, tmp_path).complete(REQUESTS, 0.0, 48, until)
    for name, (completions, cost) in found.items():
        assert completions == local, name
        assert dataclasses.replace(cost, prompt_tokens=0, flops=0) == dataclasses.replace(
            spent, prompt_tokens=0, flops=0
        )
    assert not fake.running and bool(fake.aborted) == (until is not None)
    free, _ = LocalSampler(MODEL, ENCODER, 4).complete(REQUESTS, 0.0, 48)
    shorter = [a.tokens < b.tokens for a, b in zip(local, free, strict=True)]
    assert any(shorter) == (until is not None) and all(shorter) == (until is second_line)


def server(url: str, answers: Path) -> ServerSampler:
    return ServerSampler(LLAMA, dataclasses.replace(SETTINGS.engine, kind="server", url=url), answers)


def test_sampled_first_tokens_have_the_models_distribution_whoever_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 draws at temperature 4 against the model's own probabilities, by chi-square at 1 in 1000.

    The seeds are fixed, so it passes always or never. Draws at temperature 3 must not pass as such.
    """
    monkeypatch.setattr(os, "fsync", lambda file: None)  # 300 of them are slow, and no power fails here
    requests = [Request(PROMPTS[0], "", seed) for seed in range(300)]
    expected: Counter[str] = Counter()
    for token, chance in enumerate(chances(MODEL, tuple(ENCODER.prompt_ids(PROMPTS[0])), 4.0).tolist()):
        expected[shown(ENCODER, [token])] += chance
    local = LocalSampler(MODEL, ENCODER, 300)
    with serve(model_server(MODEL, ENCODER)) as endpoint:
        drawn = server(endpoint.url, tmp_path).complete(requests, 4.0, 1)[0]
    assert fits(drawn, expected)
    assert fits(local.complete(requests, 4.0, 1)[0], expected)
    assert not fits(local.complete(requests, 3.0, 1)[0], expected)


def fits(drawn: Sequence[Completion], expected: Mapping[str, float]) -> bool:
    """Whether texts are drawn with these probabilities; the likeliest first, binned to 10 expected draws or more.

    The limit is Wilson and Hilferty's for a chi-square of k degrees: k (1 - 2 / 9k + 3.09 (2 / 9k)^½)³.
    """
    seen = Counter(completion.text for completion in drawn)
    bins = [[0, 0.0]]
    for text, chance in sorted(expected.items(), key=lambda item: -item[1]):
        if bins[-1][1] >= 10:
            bins.append([0, 0.0])
        bins[-1] = [bins[-1][0] + seen[text], bins[-1][1] + len(drawn) * chance]
    degrees = len(bins) - 1
    limit = degrees * (1 - 2 / (9 * degrees) + 3.09 * (2 / (9 * degrees)) ** 0.5) ** 3
    return degrees > 9 and sum((count - mean) ** 2 / mean for count, mean in bins) <= limit
